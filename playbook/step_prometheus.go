package playbook

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

const (
	prometheusPause = 5 * time.Second // how long at least until it is asked again
	samples         = 60              // of a window, at most, and not closer than a second
)

// prometheusGate asks a query of a Prometheus, or of what speaks its API: its value now, or all the while of a window up to now. All
// series have to hold. No sample at all, or one that is no number, says nothing: it is waited for one that does.
type prometheusGate struct{ own strangler.OwnStep }

func (g prometheusGate) ask(ctx context.Context, a *act) (verdict, error) {
	p := g.own.Prometheus
	what := fmt.Sprintf("%s to be %s", clip(p.Query, maxFound), p.Bounds())
	no := func(format string, args ...any) (verdict, error) {
		return unmet(prometheusPause, what, fmt.Sprintf(format, args...), strangler.Shown(p.URL)+"/graph"), nil
	}
	target, err := g.target(a.Now())
	if err != nil {
		return verdict{}, err
	}
	status, body, err := exchange(ctx, g.own.Timeout, http.MethodGet, target, nil)
	switch {
	case ctx.Err() != nil:
		return verdict{}, ctx.Err()
	case err != nil:
		return no("%v", err)
	}
	all, why := readSamples(status, body)
	if why != "" {
		return no("%s", why)
	}
	silent := 0
	for _, s := range all {
		switch {
		case math.IsNaN(s.value):
			silent++
		case p.Above != nil && !(s.value > *p.Above), p.Below != nil && !(s.value < *p.Below):
			return no("it was %g at %s", s.value, clock(s.at))
		}
	}
	switch {
	case len(all) == 0:
		return no("no data: inconclusive")
	case silent > 0:
		return no("%d of %d samples are no number: inconclusive", silent, len(all))
	}
	return done("all of %d samples are %s, the last %g", len(all), p.Bounds(), all[len(all)-1].value), nil
}

func (g prometheusGate) target(now time.Time) (string, error) {
	p := g.own.Prometheus
	u, err := url.Parse(p.URL)
	if err != nil {
		return "", fmt.Errorf("the URL of %s cannot be read: %w", g.own.Name, strangler.ErrConfig)
	}
	q := u.Query()
	q.Set("query", p.Query)
	if p.For == 0 {
		q.Set("time", seconds(now))
		u = u.JoinPath("api", "v1", "query")
	} else {
		q.Set("start", seconds(now.Add(-p.For)))
		q.Set("end", seconds(now))
		q.Set("step", strconv.FormatFloat(max(p.For/samples, time.Second).Seconds(), 'f', 3, 64))
		u = u.JoinPath("api", "v1", "query_range")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

type sample struct {
	at    time.Time
	value float64
}

// UnmarshalJSON reads [1435781430.781, "1.5"].
func (s *sample) UnmarshalJSON(b []byte) error {
	var at float64
	var text string
	if err := json.Unmarshal(b, &[]any{&at, &text}); err != nil {
		return err
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return err
	}
	s.at, s.value = time.UnixMilli(int64(at*1000)), value
	return nil
}

// readSamples reads the samples of all series, or says why there are none to read.
func readSamples(status int, body []byte) (all []sample, why string) {
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	err := json.Unmarshal(body, &answer)
	switch {
	case err == nil && answer.Status == "error":
		return nil, "Prometheus says " + clip(answer.Error, maxFound)
	case status != http.StatusOK:
		return nil, fmt.Sprintf("Prometheus answered %d", status)
	case err != nil || answer.Status != "success":
		return nil, fmt.Sprintf("what answered is no Prometheus, or said more than %d bytes", maxAnswer)
	}
	switch answer.Data.Type {
	case "vector", "matrix":
		var series []struct {
			Value  *sample  `json:"value"`
			Values []sample `json:"values"`
		}
		err = json.Unmarshal(answer.Data.Result, &series)
		for _, one := range series {
			if one.Value != nil {
				all = append(all, *one.Value)
			}
			all = append(all, one.Values...)
		}
	case "scalar":
		all = make([]sample, 1)
		err = json.Unmarshal(answer.Data.Result, &all[0])
	default:
		return nil, fmt.Sprintf("the query is a %q, which is no number", clip(answer.Data.Type, maxFound))
	}
	if err != nil {
		return nil, "Prometheus answered what cannot be read"
	}
	return all, ""
}

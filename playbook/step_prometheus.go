package playbook

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

const (
	prometheusPause = 5 * time.Second // how long at least until it is asked again
	samples         = 60              // of a window, at most, and not closer than a second
	hole            = 3               // how many of them in a row may be missing
)

// prometheusGate asks a query of a Prometheus, or of what speaks its API: its value now, or all the while of a window up to now. All
// series have to hold. No sample at all, one that is no number, or a series that is not there from the window's start to its end, says
// nothing: it is waited for one that does.
type prometheusGate struct{ own strangler.OwnStep }

func (g prometheusGate) ask(ctx context.Context, a *act) (verdict, error) {
	p := g.own.Prometheus
	what := fmt.Sprintf("%s to be %s", clip(p.Query, maxFound), p.Bounds())
	no := func(format string, args ...any) (verdict, error) {
		return unmet(prometheusPause, what, fmt.Sprintf(format, args...), strangler.Shown(p.URL)+"/graph"), nil
	}
	now := a.Now()
	target, err := g.target(now)
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
	series, why := readSeries(status, body)
	if why != "" {
		return no("%s", why)
	}
	all := slices.Concat(series...)
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
	for i, one := range series {
		if gap := g.gap(one, now); gap != "" {
			return no("%s: inconclusive (series %d of %d)", gap, i+1, len(series))
		}
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
		q.Set("step", strconv.FormatFloat(g.step().Seconds(), 'f', 3, 64))
		u = u.JoinPath("api", "v1", "query_range")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// step is how far apart the samples of a window are.
func (g prometheusGate) step() time.Duration { return max(g.own.Prometheus.For/samples, time.Second) }

// gap says where a series, whose samples come in their order, leaves the window up to now open; empty: nowhere.
func (g prometheusGate) gap(series []sample, now time.Time) string {
	window := g.own.Prometheus.For
	if window == 0 {
		return ""
	}
	at := now.Add(-window)
	for _, s := range append(slices.Clone(series), sample{at: now}) {
		if missing := s.at.Sub(at); missing > (hole+1)*g.step() {
			return fmt.Sprintf("there are no samples from %s to %s, of a window of %s up to %s", clock(at), clock(s.at), span(window), clock(now))
		}
		at = s.at
	}
	return ""
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

// readSeries reads the samples of each series, or says why there are none to read.
func readSeries(status int, body []byte) (all [][]sample, why string) {
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
				one.Values = append(one.Values, *one.Value)
			}
			all = append(all, one.Values)
		}
	case "scalar":
		all = [][]sample{make([]sample, 1)}
		err = json.Unmarshal(answer.Data.Result, &all[0][0])
	default:
		return nil, fmt.Sprintf("the query is a %q, which is no number", clip(answer.Data.Type, maxFound))
	}
	if err != nil {
		return nil, "Prometheus answered what cannot be read"
	}
	return all, ""
}

package playbook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

const (
	gatePause = time.Second // how long at least until a gate is asked again
	maxAnswer = 1 << 20     // bytes of an answer that are read
	maxFound  = 200         // characters of a value that are shown
)

// httpGate asks a URL. A redirect is an answer like any other: it is not followed.
type httpGate struct{ own strangler.OwnStep }

func (g httpGate) ask(ctx context.Context, _ *act) (verdict, error) {
	h := g.own.HTTP
	what := fmt.Sprintf("GET %s to answer %d", strangler.Shown(h.URL), h.Status)
	no := func(format string, args ...any) (verdict, error) {
		return unmet(gatePause, what, fmt.Sprintf(format, args...), look(g.own)), nil
	}
	status, body, err := exchange(ctx, g.own.Timeout, http.MethodGet, h.URL, nil)
	switch {
	case ctx.Err() != nil:
		return verdict{}, ctx.Err()
	case err != nil:
		return no("%v", err)
	case status != h.Status:
		return no("it answered %d", status)
	case len(h.JSON) == 0:
		return done("GET %s answered %d", strangler.Shown(h.URL), status), nil
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // as it is written
	if err := decoder.Decode(&value); err != nil {
		return no("its body is not JSON, or longer than %d bytes", maxAnswer)
	}
	for _, path := range h.Paths() {
		found, there := at(value, path)
		if !there {
			return no("its body has no %s", path)
		}
		if want := h.JSON[path]; found != want {
			return no("%s is %q, not %q", path, clip(found, maxFound), want)
		}
	}
	return done("GET %s answered %d with what it should", strangler.Shown(h.URL), status), nil
}

// exchange sends one request and reads the answer, up to maxAnswer bytes. Its errors show nothing of the URL but the host.
func exchange(ctx context.Context, timeout time.Duration, method, target string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("the URL cannot be read: %w", strangler.ErrConfig)
	}
	req.Header.Set("User-Agent", "strangler")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err == nil {
		answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		err = errors.Join(err, resp.Body.Close())
		status = resp.StatusCode
	}
	var wrapped *url.Error // its text has the whole URL
	switch {
	case err == nil:
		return status, answer, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return 0, nil, fmt.Errorf("%s did not answer within %v", req.URL.Host, timeout)
	case errors.As(err, &wrapped):
		err = wrapped.Err
	}
	return 0, nil, fmt.Errorf("%s could not be asked: %w", req.URL.Host, err)
}

// at is the value at the end of a path as $.checks[0].state, as text: strings as they are, everything else as JSON writes it.
func at(value any, path string) (string, bool) {
	rest := strings.TrimPrefix(path, "$")
	for rest != "" {
		end := strings.IndexAny(rest[1:], ".[") + 1
		if end == 0 {
			end = len(rest)
		}
		part := rest[:end]
		rest = rest[end:]
		switch parent := value.(type) {
		case map[string]any:
			next, there := parent[strings.TrimPrefix(part, ".")]
			if !there || part[0] != '.' {
				return "", false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(strings.Trim(part, "[]"))
			if err != nil || part[0] != '[' || i < 0 || i >= len(parent) {
				return "", false
			}
			value = parent[i]
		default:
			return "", false
		}
	}
	if s, ok := value.(string); ok {
		return s, true
	}
	text, err := json.Marshal(value)
	return string(text), err == nil
}

// clip is a text that is to be shown, of so many characters at most.
func clip(s string, most int) string {
	s = clean(s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// clean is a text without what a ledger or a terminal cannot take.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strangler-fig/strangler"
)

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestIdentitiesThatChangeAreNoticed, once, where an answer changes what the identity is read from; a cookie that stays, one that is
// set anew as it was, and a login now and then are not.
func TestIdentitiesThatChangeAreNoticed(t *testing.T) {
	n := 0
	for name, c := range map[string]struct {
		header, sends string
		answer        func(h http.Header)
		want          bool
	}{
		"a session cookie that is encrypted anew": {"Cookie", "Cookie: theme=dark; session=old", func(h http.Header) { h.Add("Set-Cookie", fmt.Sprintf("session=%d; Path=/", n)) }, true},
		"a token that every answer replaces":      {"Access-Token", "access-token: old", func(h http.Header) { h.Set("Access-Token", fmt.Sprint(n)) }, true},
		"a cookie that is set as it was":          {"Cookie", "Cookie: session=same", func(h http.Header) { h.Add("Set-Cookie", "session=same; Path=/") }, false},
		"a cookie that the client had not sent":   {"Cookie", "Cookie: session=same", func(h http.Header) { h.Add("Set-Cookie", fmt.Sprintf("trace=%d", n)) }, false},
		"a cookie, where the identity is another": {"X-User-Id", "X-User-ID: 7", func(h http.Header) { h.Add("Set-Cookie", fmt.Sprintf("X-User-Id=%d", n)) }, false},
		"a login now and then": {"Cookie", "Cookie: session=old", func(h http.Header) {
			if n%4 == 0 {
				h.Add("Set-Cookie", "session=new")
			}
		}, false},
		"requests without one": {"Access-Token", "Accept: */*", func(h http.Header) { h.Set("Access-Token", fmt.Sprint(n)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			back := newBackend(t, "legacy", func(w http.ResponseWriter, _ *http.Request) { c.answer(w.Header()) })
			capability := delivery(t, back.URL)
			capability.IdentityHeader = c.header
			conf, logged := config(back.URL, capability), &lines{}
			registry := prometheus.NewRegistry()
			conf.Log, conf.Registerer = slog.New(slog.NewTextHandler(logged, nil)), registry
			p := start(t, conf)
			apply(t, p, toggle(1, strangler.ModeLegacy, 0))
			ours := client(t)
			for n = range 100 {
				ask(t, ours, "GET", p.URL()+"/couriers/7", "", c.sends)
			}
			notices := p.Notices("delivery")
			if (len(notices) == 1) != c.want || c.want && !strings.Contains(notices[0], "100 of 100 answers") {
				t.Errorf("it noticed %q", notices)
			}
			if said := strings.Count(logged.String(), "identities change with every answer"); (said == 1) != c.want {
				t.Errorf("it was said %d times:\n%s", said, logged)
			}
			if c.want {
				counted := map[string]float64{}
				families, err := registry.Gather()
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range families {
					for _, m := range f.GetMetric() {
						if f.GetName() == "strangler_proxy_identities_total" {
							counted[m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
						}
					}
				}
				if counted["answered"] != 100 || counted["renewed"] != 100 {
					t.Errorf("the metrics say %v", counted)
				}
			}
			if again := p.Notices("unknown"); again != nil {
				t.Errorf("of an unknown capability: %q", again)
			}
		})
	}
}

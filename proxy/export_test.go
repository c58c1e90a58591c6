package proxy

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strangler-fig/strangler"
)

func dropped(n int) string { return fmt.Sprintf("strangler_proxy_trace_spans_dropped_total %d", n) }

// ends closes a proxy, which a collector must not keep from it.
func ends(t *testing.T, p *Proxy) {
	t.Helper()
	closed := make(chan error, 1)
	go func() { closed <- p.Close(t.Context()) }()
	await(t, "the proxy to close", func() bool { return len(closed) == 1 })
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// A collector that takes exports and never answers holds up no request. Spans wait for it, up to a
// bound; what is beyond is dropped, counted, and said once. Close gives the rest up.
func TestACollectorThatHangs(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	cut := make(chan struct{}, 100)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 64<<10)
		for err := error(nil); err == nil; {
			_, err = r.Body.Read(buf) // or the server would not see that the client leaves
		}
		<-r.Context().Done()
		cut <- struct{}{}
	}))
	t.Cleanup(hangs.Close)
	registry, log := prometheus.NewRegistry(), &logged{}
	conf := config(legacy.URL)
	conf.Traces, conf.Registerer, conf.Log = Traces{Endpoint: hangs.URL, Sample: strangler.Hundred}, registry, slog.New(slog.NewTextHandler(log, nil))
	p := start(t, conf)
	c := client(t)
	const tooMany = 10
	for i := range tracesQueue + tooMany {
		if a := ask(t, c, "GET", p.URL()+"/x", ""); a.status != 200 {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
	await(t, "what does not fit to be counted", func() bool { return holds(registry, dropped(tooMany)) })
	ends(t, p)
	<-cut
	if !holds(registry, dropped(tracesQueue+tooMany)) {
		t.Error("spans that Close gave up are not counted")
	}
	if n := strings.Count(log.text.String(), "spans of traces are dropped"); n != 1 {
		t.Errorf("it was said %d times: %s", n, log.text.String())
	}
}

// What the collector has taken makes room: spans are exported while the proxy runs, as many as there are.
func TestSpansAreExportedAsTheyCome(t *testing.T) {
	legacy, to := newBackend(t, "legacy", nil), newCollector(t)
	p := start(t, traced(t, to, legacy.URL))
	c := client(t)
	for n := tracesBatch; n <= tracesQueue+tracesBatch; n += tracesBatch {
		for range tracesBatch {
			ask(t, c, "GET", p.URL()+"/x", "")
		}
		await(t, "a batch", func() bool { return len(to.all()) == n })
	}
}

// A collector that cannot be reached, or does not want what it is sent, costs spans, and nothing else.
func TestACollectorThatIsDown(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	gone := httptest.NewServer(nil)
	gone.Close()
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }))
	t.Cleanup(refuses.Close)
	for _, endpoint := range []string{gone.URL, refuses.URL} {
		registry, log := prometheus.NewRegistry(), &logged{}
		conf := config(legacy.URL)
		conf.Traces = Traces{Endpoint: endpoint, Sample: strangler.Hundred, Headers: map[string]string{"Authorization": "hidden"}}
		conf.Registerer, conf.Log = registry, slog.New(slog.NewTextHandler(log, nil))
		p := start(t, conf)
		for range 3 {
			if a := ask(t, client(t), "GET", p.URL()+"/x", ""); a.status != 200 {
				t.Errorf("%+v", a)
			}
		}
		ends(t, p)
		if !holds(registry, dropped(3)) {
			t.Error("spans that went nowhere are not counted")
		}
		if !log.said("spans of traces are dropped") || log.said("hidden") {
			t.Errorf("the log says %s", log.text.String())
		}
	}
}

// What a client can make long is cut.
func TestSpansAreBounded(t *testing.T) {
	legacy, to := newBackend(t, "legacy", nil), newCollector(t)
	p := start(t, traced(t, to, legacy.URL))
	_, in := dial(t, p, strings.Repeat("M", 2*tracesText)+" /"+strings.Repeat("x", 2*tracesText)+" HTTP/1.1\r\nHost: "+strings.Repeat("h", 2*tracesText)+"\r\n\r\n")
	readAnswer(t, in)
	end(t, p)
	all := to.all()
	for _, s := range all {
		for _, name := range []string{"http.request.method_original", "url.path", "server.address"} {
			if value, _ := said(s.Attributes)[name].(string); len(value) != tracesText {
				t.Errorf("%s has %d bytes", name, len(value))
			}
		}
	}
	if len(all) != 1 {
		t.Errorf("%d spans", len(all))
	}
}

// Operators name what they run in one way, whoever made it. A collector may be below a path.
func TestTheEnvironmentNamesTheProcess(t *testing.T) {
	t.Setenv("OTEL_SERVICE_NAME", "shop-proxy")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
	legacy, to := newBackend(t, "legacy", nil), newCollector(t)
	conf := traced(t, to, legacy.URL)
	conf.Traces.Endpoint += "/otlp/"
	p := start(t, conf)
	ask(t, client(t), "GET", p.URL()+"/x", "")
	end(t, p)
	if path := to.asked[0].URL.Path; path != "/otlp/v1/traces" {
		t.Errorf("the export went to %s", path)
	}
	if got := said(to.spans[0].Resource.Attributes); got["service.name"] != "shop-proxy" || got["deployment.environment.name"] != "staging" {
		t.Errorf("the process is %v", got)
	}
}

// The walk in a server of the caller's own has traces as well, but nobody who exports them before Start.
func TestTracesWithoutStart(t *testing.T) {
	legacy, to := newBackend(t, "legacy", nil), newCollector(t)
	p, err := New(traced(t, to, legacy.URL))
	if err != nil {
		t.Fatal(err)
	}
	if engine == EngineNetHTTP { // whose handler it is
		w := httptest.NewRecorder()
		p.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
		if got := legacy.last(t).Header.Get("Traceparent"); w.Code != 200 || !traceparents.MatchString(got) {
			t.Errorf("%d, the upstream got %q", w.Code, got)
		}
	}
	end(t, p)
	if n := len(to.all()); n != 0 {
		t.Errorf("%d spans were exported", n)
	}
}

package proxy

import (
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/strangler-fig/strangler"
)

// collector takes spans by OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	raw   bytes.Buffer // all that it was sent
	asked []*http.Request
	spans []*tracepb.ResourceSpans
	conns atomic.Int64 // that are open
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the export broke off: %v", err)
		}
		var sent coltracepb.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &sent); err != nil {
			t.Errorf("the export is no protobuf: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		c.asked = append(c.asked, r)
		c.spans = append(c.spans, sent.ResourceSpans...)
	}))
	c.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			c.conns.Add(1)
		case http.StateClosed:
			c.conns.Add(-1)
		}
	}
	c.Start()
	t.Cleanup(c.Close)
	return c
}

// all are the spans in the order in which they came.
func (c *collector) all() (all []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.spans {
		for _, scope := range r.ScopeSpans {
			all = append(all, scope.Spans...)
		}
	}
	return all
}

// got are all spans, by their paths.
func (c *collector) got(t *testing.T) map[string]*tracepb.Span {
	t.Helper()
	byPath := map[string]*tracepb.Span{}
	for _, s := range c.all() {
		path, _ := said(s.Attributes)["url.path"].(string)
		if byPath[path] != nil {
			t.Errorf("%s has two spans", path)
		}
		byPath[path] = s
	}
	return byPath
}

// said are attributes as they are compared.
func said(attributes []*commonpb.KeyValue) map[string]any {
	all := map[string]any{}
	for _, kv := range attributes {
		switch v := kv.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			all[kv.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[kv.Key] = int(v.IntValue)
		case *commonpb.AnyValue_DoubleValue:
			all[kv.Key] = v.DoubleValue
		}
	}
	return all
}

// traced is a configuration whose requests are all sampled.
func traced(t *testing.T, to *collector, legacy string, capabilities ...strangler.Capability) Config {
	conf := config(legacy, capabilities...)
	conf.Traces = Traces{Endpoint: to.URL, Sample: strangler.Hundred, Headers: map[string]string{"Authorization": "Bearer export"}}
	return conf
}

func end(t *testing.T, p *Proxy) {
	t.Helper()
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

const (
	aTrace, aParent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	aTraceparent    = "00-" + aTrace + "-" + aParent + "-01"
)

// What the collector is told of each kind of request; nothing of it is secret.
func TestSpans(t *testing.T) {
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/broken":
			io.WriteString(w, strings.Repeat("x", 100_000))
			panic(http.ErrAbortHandler)
		case "/fails":
			w.WriteHeader(500)
		}
	})
	service, to := newBackend(t, "service", nil), newCollector(t)
	capability := delivery(t, service.URL)
	capability.IdentityHeader = "X-User-ID"
	conf := traced(t, to, legacy.URL, capability)
	conf.Hold.Requests = 1
	conf.Passed = func(string) time.Time { return time.Now().Add(time.Hour) }
	p := start(t, conf)
	c := client(t)
	send := func(method, target, body string) {
		ask(t, c, method, p.URL()+target, body, "Host: shop.example", "X-User-ID: ann", "Authorization: Basic hidden", "Cookie: session=hidden")
	}
	began := time.Now()

	send("GET", "/couriers/unknown", "")
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	ask(t, c, "GET", p.URL()+"/couriers/plain?token=hidden", "", "Host: shop.example:8443", "Authorization: Basic hidden", "Cookie: session=hidden",
		"traceparent: "+aTraceparent, "tracestate: a=1,b=2", "baggage: user=ann")
	apply(t, p, toggle(2, strangler.ModeCanary, strangler.Hundred))
	send("GET", "/couriers/canary", "")
	apply(t, p, gated(toggle(3, strangler.ModeCanary, strangler.Hundred)))
	var held sync.WaitGroup
	held.Go(func() { send("POST", "/couriers", "{}") })
	await(t, "a write to be held", func() bool { return p.Stats("delivery").Held == 1 })
	send("POST", "/couriers/refused/availability", "{}")
	apply(t, p, toggle(4, strangler.ModeCanary, strangler.Hundred))
	held.Wait()
	service.Close()
	send("GET", "/couriers/gone", "")
	send("POST", "/orders/touch/accept", "{}")
	send("GET", "/restaurants", "")
	send("GET", "/fails", "")
	send("PURGE", "/purge", "")
	send("TRACE", "/trace", "")
	_, broken := dial(t, p, "GET /broken HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	_, _ = io.Copy(io.Discard, broken) // until it breaks
	apply(t, p, gated(toggle(5, strangler.ModeCanary, strangler.Hundred)))
	conn, _ := dial(t, p, "POST /couriers/leaves/availability HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n")
	await(t, "a write to be held", func() bool { return p.Stats("delivery").Held == 1 })
	conn.Close()
	await(t, "its client's leaving to be seen", func() bool { return p.Stats("delivery").Held == 0 })
	end(t, p)

	const unset, failed = tracepb.Status_STATUS_CODE_UNSET, tracepb.Status_STATUS_CODE_ERROR
	moves := func(mode string, epoch int) map[string]any {
		return map[string]any{"strangler.capability": "delivery", "strangler.mode": mode, "strangler.epoch": epoch}
	}
	courier := map[string]any{"http.route": "/couriers/{id}"}
	available := map[string]any{"http.route": "/couriers/{id}/availability", "http.request.method": "POST", "strangler.capability": "delivery", "strangler.side": "none"}
	spans := to.got(t)
	for path, want := range map[string]struct {
		name   string
		status tracepb.Status_StatusCode
		held   bool
		said   []map[string]any // over what most of them say
	}{
		"/couriers/unknown": {"GET /couriers/{id}", failed, false, []map[string]any{courier, {"strangler.capability": "delivery", "strangler.side": "none",
			"http.response.status_code": 503, "error.type": "toggle_unknown"}}},
		"/couriers/plain":  {"GET /couriers/{id}", unset, false, []map[string]any{courier, moves("legacy", 1), {"server.port": 8443}}},
		"/couriers/canary": {"GET /couriers/{id}", unset, false, []map[string]any{courier, moves("canary", 2), {"strangler.side": "service"}}},
		"/couriers":        {"POST /couriers", unset, true, []map[string]any{moves("canary", 4), {"http.route": "/couriers", "http.request.method": "POST"}}},
		"/couriers/refused/availability": {"POST /couriers/{id}/availability", failed, false, []map[string]any{available,
			{"http.response.status_code": 503, "error.type": "held_too_many"}}},
		"/couriers/leaves/availability": {"POST /couriers/{id}/availability", unset, true, []map[string]any{available,
			{"http.response.status_code": nil, "error.type": "gone"}}},
		"/couriers/gone": {"GET /couriers/{id}", failed, false, []map[string]any{courier, moves("canary", 4), {"strangler.side": "service",
			"http.response.status_code": 502, "error.type": "upstream_unreachable"}}},
		"/orders/touch/accept": {"POST", unset, false, []map[string]any{moves("canary", 4), {"http.request.method": "POST"}}},
		"/restaurants":         {"GET", unset, false, nil},
		"/fails":               {"GET", failed, false, []map[string]any{{"http.response.status_code": 500, "error.type": "500"}}},
		"/broken":              {"GET", failed, false, []map[string]any{{"error.type": "broken"}}},
		"/purge":               {"HTTP", unset, false, []map[string]any{{"http.request.method": "_OTHER", "http.request.method_original": "PURGE"}}},
		"/trace": {"TRACE", unset, false, []map[string]any{{"http.request.method": "TRACE", "strangler.side": "none",
			"http.response.status_code": 405}}},
	} {
		s := spans[path]
		if s == nil {
			t.Errorf("%s has no span", path)
			continue
		}
		delete(spans, path)
		all := map[string]any{"http.request.method": "GET", "url.path": path, "url.scheme": "http", "http.response.status_code": 200,
			"server.address": "shop.example", "client.address": "127.0.0.1", "strangler.side": "legacy"}
		for _, more := range want.said {
			for name, value := range more {
				if all[name] = value; value == nil {
					delete(all, name)
				}
			}
		}
		got := said(s.Attributes)
		if seconds, _ := got["strangler.held_seconds"].(float64); seconds > 0 != want.held {
			t.Errorf("%s was held for %v", path, got["strangler.held_seconds"])
		}
		delete(got, "strangler.held_seconds")
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		if s.Name != want.name || s.Kind != tracepb.Span_SPAN_KIND_SERVER || s.Status.GetCode() != want.status {
			t.Errorf("%s: %q, %v, %v", path, s.Name, s.Kind, s.Status)
		}
		if s.StartTimeUnixNano < uint64(began.UnixNano()) || s.EndTimeUnixNano <= s.StartTimeUnixNano || s.EndTimeUnixNano > uint64(time.Now().UnixNano()) {
			t.Errorf("%s lasted from %d to %d", path, s.StartTimeUnixNano, s.EndTimeUnixNano)
		}
		if hasParent := path == "/couriers/plain"; hasParent != (len(s.ParentSpanId) > 0) {
			t.Errorf("%s has the parent %x", path, s.ParentSpanId)
		} else if hasParent {
			asChild(t, s, legacy.requests()[0])
		}
	}
	if len(spans) > 0 {
		t.Errorf("spans of something else: %v", spans)
	}
	if bytes.Contains(to.raw.Bytes(), []byte("hidden")) {
		t.Error("a query, a cookie or a password was exported")
	}
	await(t, "the connection to the collector to be closed", func() bool { return to.conns.Load() == 0 })
	if a := to.asked[0]; a.URL.Path != "/v1/traces" || a.Header.Get("Authorization") != "Bearer export" {
		t.Errorf("%s, %v", a.URL, a.Header)
	}
	if got := said(to.spans[0].Resource.Attributes); got["service.name"] != "strangler" || got["host.name"] == nil {
		t.Errorf("the process is %v", got)
	}
}

// asChild checks that a span stands between the client's and what the upstream does.
func asChild(t *testing.T, s *tracepb.Span, upstream *http.Request) {
	t.Helper()
	if hex.EncodeToString(s.TraceId) != aTrace || hex.EncodeToString(s.ParentSpanId) != aParent {
		t.Errorf("the span is in %x below %x", s.TraceId, s.ParentSpanId)
	}
	want := http.Header{"Traceparent": {"00-" + aTrace + "-" + hex.EncodeToString(s.SpanId) + "-01"}, "Tracestate": {"a=1,b=2"}, "Baggage": {"user=ann"}}
	for name := range want {
		if diff := cmp.Diff(want[name], upstream.Header[name]); diff != "" {
			t.Errorf("%s at the upstream (-want +got):\n%s", name, diff)
		}
	}
}

var traceparents = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]$`)

// A trace goes on only where its traceparent is what W3C Trace Context says, and stands alone; else a new
// one begins, without the other's tracestate.
func TestTraceparent(t *testing.T) {
	legacy, to := newBackend(t, "legacy", nil), newCollector(t)
	p := start(t, traced(t, to, legacy.URL))
	c := client(t)
	later := "-" + aTrace + "-" + aParent + "-01"
	for _, one := range []struct {
		goesOn bool
		lines  []string
	}{
		{true, []string{aTraceparent}},
		{true, []string{"00-" + aTrace + "-" + aParent + "-00"}},
		{true, []string{"00-" + aTrace + "-" + aParent + "-fe"}}, // flags without a meaning
		{true, []string{"01" + later}},
		{true, []string{"fe" + later}},
		{true, []string{"cc" + later + "-what-comes"}},
		{false, nil},
		{false, []string{""}},
		{false, []string{aTraceparent, aTraceparent}},
		{false, []string{aTraceparent + ", " + aTraceparent}},
		{false, []string{aTraceparent + "-"}},
		{false, []string{aTraceparent + "-more"}},
		{false, []string{"ff" + later}},
		{false, []string{"CC" + later}},
		{false, []string{"0" + later}},
		{false, []string{"0x" + later}},
		{false, []string{"cc" + later + ".what"}},
		{false, []string{"cc" + later + "0"}},
		{false, []string{"00-" + strings.Repeat("0", 32) + "-" + aParent + "-01"}},
		{false, []string{"00-" + aTrace + "-" + strings.Repeat("0", 16) + "-01"}},
		{false, []string{"00-" + strings.ToUpper(aTrace) + "-" + aParent + "-01"}},
		{false, []string{"00-" + aTrace + "-" + strings.ToUpper(aParent) + "-01"}},
		{false, []string{"00-" + aTrace[1:] + ".-" + aParent + "-01"}},
		{false, []string{"00-" + aTrace[1:] + "-" + aParent + "-01"}},
		{false, []string{"00-" + aTrace + "0-" + aParent + "-01"}},
		{false, []string{"00-" + aTrace + "-" + aParent[1:] + "-01"}},
		{false, []string{"00-" + aTrace + "-" + aParent + "0-01"}},
		{false, []string{"00-" + aTrace + "-" + aParent + "-0A"}},
		{false, []string{"00-" + aTrace + "-" + aParent + "-1"}},
		{false, []string{"00-" + aTrace + "-" + aParent + "-"}},
		{false, []string{"00-" + aTrace + "-" + aParent}},
		{false, []string{"00_" + aTrace + "-" + aParent + "-01"}},
		{false, []string{"00-" + aTrace + "_" + aParent + "-01"}},
		{false, []string{"00-" + aTrace + "-" + aParent + "_01"}},
	} {
		headers := []string{"TraceState: a=1", "tracestate: b=2", "baggage: user=ann"}
		for _, line := range one.lines {
			headers = append(headers, "TraceParent: "+line)
		}
		ask(t, c, "GET", p.URL()+"/x", "", headers...)
		got := legacy.last(t).Header
		parts := traceparents.FindStringSubmatch(strings.Join(got["Traceparent"], "; "))
		if parts == nil {
			t.Errorf("%q: the upstream got %q", one.lines, got["Traceparent"])
			continue
		}
		if goesOn := parts[1] == aTrace; goesOn != one.goesOn || parts[2] == aParent {
			t.Errorf("%q: the upstream is in trace %s below %s", one.lines, parts[1], parts[2])
		}
		if state := strings.Join(got["Tracestate"], ","); state != "a=1,b=2" && one.goesOn || state != "" && !one.goesOn {
			t.Errorf("%q: the upstream got the tracestate %q", one.lines, state)
		}
		if got.Get("Baggage") != "user=ann" {
			t.Errorf("%q: the upstream got the baggage %q", one.lines, got["Baggage"])
		}
	}
}

// Without an endpoint a client's context is none of the proxy's business, be it right or wrong.
func TestWithoutTracesTheContextIsPassedOn(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	p := start(t, config(legacy.URL))
	ask(t, client(t), "GET", p.URL()+"/x", "", "traceparent: "+aTraceparent, "traceparent: wrong", "tracestate: a=1", "tracestate: b=2", "baggage: user=ann")
	want := http.Header{"Traceparent": {aTraceparent, "wrong"}, "Tracestate": {"a=1", "b=2"}, "Baggage": {"user=ann"}}
	for name := range want {
		if diff := cmp.Diff(want[name], legacy.last(t).Header[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	ask(t, client(t), "GET", p.URL()+"/x", "")
	if got := legacy.last(t).Header["Traceparent"]; got != nil {
		t.Errorf("a context was made up: %q", got)
	}
}

// A trusted peer says whether a trace is sampled; of anyone else's requests, and where nobody says so, a
// share is.
func TestTracesAreSampled(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, one := range []struct {
		sample strangler.Percent
		trust  []netip.Prefix
		flags  string // of the client's; empty: it has no trace
		want   bool
	}{
		{0, nil, "", false}, {0, nil, "00", false}, {0, nil, "01", false}, {0, loopback, "", false}, {0, loopback, "00", false}, {0, loopback, "01", true},
		{strangler.Hundred, nil, "", true}, {strangler.Hundred, nil, "00", true}, {strangler.Hundred, nil, "01", true},
		{strangler.Hundred, loopback, "", true}, {strangler.Hundred, loopback, "00", false}, {strangler.Hundred, loopback, "01", true},
		{strangler.Hundred, loopback, "02", false}, {0, loopback, "ff", true},
	} {
		to := newCollector(t)
		conf := traced(t, to, legacy.URL)
		conf.Traces.Sample, conf.Trust = one.sample, one.trust
		p := start(t, conf)
		headers := []string{"X-Forwarded-Proto: https"}
		if one.flags != "" {
			headers = append(headers, "traceparent: 00-"+aTrace+"-"+aParent+"-"+one.flags)
		}
		ask(t, client(t), "GET", p.URL()+"/x", "", headers...)
		end(t, p)
		s, passed := to.got(t)["/x"], legacy.last(t).Header.Get("Traceparent")
		if (s != nil) != one.want || strings.HasSuffix(passed, "-01") != one.want || !traceparents.MatchString(passed) || strings.Contains(passed, aParent) {
			t.Errorf("%+v: the span is %v, the upstream got %q", one, s, passed)
			continue
		}
		if scheme := map[bool]string{true: "https", false: "http"}[one.trust != nil]; s != nil && said(s.Attributes)["url.scheme"] != scheme {
			t.Errorf("%+v: the span says %v", one, said(s.Attributes))
		}
	}
	conf := traced(t, newCollector(t), legacy.URL)
	conf.Traces.Sample = strangler.Hundred / 2
	p, sampled := start(t, conf), 0
	c := client(t)
	for range 400 {
		ask(t, c, "GET", p.URL()+"/x", "")
		if strings.HasSuffix(legacy.last(t).Header.Get("Traceparent"), "-01") {
			sampled++
		}
	}
	if sampled < 150 || sampled > 250 { // five standard deviations
		t.Errorf("%d of 400 are sampled, at a half", sampled)
	}
}

func TestShadowsAreInTheTrace(t *testing.T) {
	legacy, service := newBackend(t, "legacy", nil), newBackend(t, "service", nil)
	capability := delivery(t, service.URL)
	capability.Shadow.Sample = strangler.Hundred
	p := start(t, traced(t, newCollector(t), legacy.URL, capability))
	apply(t, p, toggle(1, strangler.ModeShadow, 0))
	ask(t, client(t), "GET", p.URL()+"/couriers/7", "", "traceparent: "+aTraceparent, "tracestate: a=1")
	await(t, "the shadow", func() bool { return len(service.requests()) == 1 })
	for _, name := range []string{"Traceparent", "Tracestate"} {
		if diff := cmp.Diff(legacy.last(t).Header[name], service.last(t).Header[name]); diff != "" {
			t.Errorf("%s (-legacy +service):\n%s", name, diff)
		}
	}
}

package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/strangler-fig/strangler"
)

// Traces says where the spans of requests go. The zero value: nowhere, and a client's trace context is
// passed on as it came.
type Traces struct {
	Endpoint string            // base URL of an OpenTelemetry collector: OTLP over HTTP, to /v1/traces below it
	Sample   strangler.Percent // of the requests for which no trusted peer has decided it
	Headers  map[string]string // go with every export; they may hold secrets
}

const (
	tracesQueue   = 2048             // spans that are not exported yet; what does not fit is dropped and counted
	tracesBatch   = 512              // spans of one export
	tracesTimeout = 10 * time.Second // one attempt to export
	tracesFlush   = 2 * time.Second  // how long Close waits for the collector
	tracesSilence = time.Minute      // between two lines of the log about spans that were dropped
	tracesText    = 1 << 10          // bytes of a client's text that a span keeps
)

// traces exports spans, in the background and in batches: a collector that is slow or gone costs spans,
// never time.
type traces struct {
	config   Traces
	started  *sdktrace.TracerProvider // nil before start
	tracer   trace.Tracer
	exporter *otlptrace.Exporter
	resource *resource.Resource
	client   *http.Client
	log      *slog.Logger
	dropped  prometheus.Counter

	waiting atomic.Int64 // spans that are not exported yet
	unsaid  atomic.Int64 // spans dropped since the log last said so
	said    atomic.Int64 // when that was, in Unix nanoseconds

	ctx    context.Context // of every export; ends when Close has waited long enough
	cancel context.CancelFunc
}

// newTraces starts nothing; without an endpoint it returns nil.
func newTraces(config Config) (*traces, error) {
	if config.Traces.Endpoint == "" {
		return nil, nil
	}
	transport := newTransport(config.Timeouts, false, nil)
	transport.Proxy, transport.IdleConnTimeout = http.ProxyFromEnvironment, time.Minute
	t := &traces{config: config.Traces, log: config.Log, client: &http.Client{Transport: transport, Timeout: tracesTimeout}}
	t.ctx, t.cancel = context.WithCancel(context.Background()) // lives until close
	t.dropped = prometheus.NewCounter(prometheus.CounterOpts{Name: "strangler_proxy_trace_spans_dropped_total",
		Help: "Spans that were not exported: the collector did not keep up, or did not take them."})
	if err := config.Registerer.Register(t.dropped); err != nil {
		return nil, fmt.Errorf("the proxy's metrics cannot be registered; give each proxy a registry of its own: %w", err)
	}
	var err error
	t.resource, err = resource.New(t.ctx, resource.WithAttributes(semconv.ServiceName("strangler")), resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("%w: what traces say of this process: %w", strangler.ErrConfig, err)
	}
	t.exporter, err = otlptracehttp.New(t.ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(t.config.Endpoint, "/")+"/v1/traces"),
		otlptracehttp.WithHeaders(t.config.Headers), otlptracehttp.WithHTTPClient(t.client))
	if err != nil {
		return nil, fmt.Errorf("%w: where traces go: %w", strangler.ErrConfig, err)
	}
	return t, nil
}

// validate says what is unusable.
func (c Traces) validate() error {
	if c.Sample < 0 || c.Sample > strangler.Hundred {
		return fmt.Errorf("the sample %s is not between 0%% and 100%%", c.Sample)
	}
	u, err := url.Parse(c.Endpoint)
	if c.Endpoint == "" {
		return nil
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("the endpoint is not of the form http://host:port; a token goes into a header")
	}
	return nil
}

func (t *traces) start() {
	t.started = sdktrace.NewTracerProvider(
		sdktrace.WithResource(t.resource), sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithIDGenerator(given{}),
		sdktrace.WithBatcher(t, sdktrace.WithMaxQueueSize(tracesQueue), sdktrace.WithMaxExportBatchSize(tracesBatch)))
	t.tracer = t.started.Tracer("github.com/strangler-fig/strangler/proxy", trace.WithSchemaURL(semconv.SchemaURL))
}

// close exports what is waiting, and gives it up when that takes too long.
func (t *traces) close() {
	if t.started != nil {
		late := time.AfterFunc(tracesFlush, t.cancel)
		defer late.Stop()
		_ = t.started.Shutdown(context.Background()) // what it could not export was counted
	}
	t.cancel()
	t.client.CloseIdleConnections()
}

// ExportSpans makes traces the SDK's exporter: it counts what is lost.
func (t *traces) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := t.exporter.ExportSpans(t.ctx, spans); err != nil {
		t.lose(len(spans), err) // all of them, although the collector may have taken a part
	}
	t.waiting.Add(-int64(len(spans)))
	return nil
}

// Shutdown is called by the SDK, once nothing more is exported.
func (t *traces) Shutdown(ctx context.Context) error { return t.exporter.Shutdown(ctx) }

func (t *traces) lose(n int, why error) {
	t.dropped.Add(float64(n))
	t.unsaid.Add(int64(n))
	now, said := time.Now().UnixNano(), t.said.Load()
	if now-said > int64(tracesSilence) && t.said.CompareAndSwap(said, now) {
		t.log.Warn("spans of traces are dropped; requests go on", "spans", t.unsaid.Swap(0), strangler.LogError, why)
	}
}

var errQueueFull = errors.New("the collector does not keep up")

// end exports the span of a request that has ended, if it is sampled.
func (t *traces) end(x *exchange, how outcome, took time.Duration) {
	if !x.span.sampled || t.started == nil {
		return
	}
	if t.waiting.Add(1) > tracesQueue { // the SDK's queue, which has as many places, is never full
		t.waiting.Add(-1)
		t.lose(1, errQueueFull)
		return
	}
	ctx := context.WithValue(context.Background(), spanKey{}, x.span)
	if x.span.parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: x.span.trace, SpanID: x.span.parent}))
	}
	name, attributes := x.described()
	_, s := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(x.began), trace.WithAttributes(attributes...))
	if kind := x.errorType(how); kind != "" {
		s.SetAttributes(semconv.ErrorTypeKey.String(kind))
		if how != outcomeGone { // that is not the server's failure
			s.SetStatus(codes.Error, "")
		}
	}
	s.End(trace.WithTimestamp(x.began.Add(took)))
}

// given has the SDK take the ids that the upstream was told.
type given struct{}

type spanKey struct{}

func (given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	s := ctx.Value(spanKey{}).(span)
	return s.trace, s.id
}

func (given) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	return ctx.Value(spanKey{}).(span).id
}

// described is what a span says of a request: never its query, its cookies or its other headers, which
// may hold secrets.
func (x *exchange) described() (name string, all []attribute.KeyValue) {
	scheme := "http"
	if x.peer.https {
		scheme = "https"
	}
	name, all = x.describedMethod(make([]attribute.KeyValue, 0, 16))
	all = append(all, semconv.URLPath(copied(x.request.Path)), semconv.URLScheme(scheme), attribute.String("strangler.side", sideNames[sideIndex(x.side())]))
	if x.match.route != none {
		route := x.p.routes[x.match.by].route // "GET /couriers/{id}", or without a method
		route = route[strings.IndexByte(route, ' ')+1:]
		name += " " + route
		all = append(all, semconv.HTTPRoute(route))
	}
	if x.status != 0 && x.status != statusGone {
		all = append(all, semconv.HTTPResponseStatusCode(x.status))
	}
	if x.peer.address != "" {
		all = append(all, semconv.ClientAddress(x.peer.address))
	}
	if host, port, err := net.SplitHostPort(x.host); err == nil {
		all = append(all, semconv.ServerAddress(copied(host)))
		if n, err := strconv.Atoi(port); err == nil {
			all = append(all, semconv.ServerPort(n))
		}
	} else if x.host != "" {
		all = append(all, semconv.ServerAddress(copied(x.host)))
	}
	return name, x.describedMove(all)
}

// describedMethod adds the method, and says how a span's name begins, of which there may only be few.
func (x *exchange) describedMethod(all []attribute.KeyValue) (string, []attribute.KeyValue) {
	switch m := x.request.Method; m {
	case "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE":
		m = strings.Clone(m)
		return m, append(all, semconv.HTTPRequestMethodKey.String(m))
	default:
		return "HTTP", append(all, semconv.HTTPRequestMethodOther, semconv.HTTPRequestMethodOriginal(copied(m)))
	}
}

// describedMove adds what the request has to do with what moves.
func (x *exchange) describedMove(all []attribute.KeyValue) []attribute.KeyValue {
	if x.held > 0 {
		all = append(all, attribute.Float64("strangler.held_seconds", x.held.Seconds()))
	}
	name := x.capabilityName()
	if name == "" {
		return all
	}
	all = append(all, attribute.String("strangler.capability", name))
	if x.snapshot != nil {
		if t := x.snapshot.toggles[x.p.byName[name].index]; t != nil {
			all = append(all, attribute.String("strangler.mode", string(t.Mode)), attribute.Int64("strangler.epoch", t.Epoch))
		}
	}
	return all
}

// copied outlives the request, is bounded, and is UTF-8, without which a whole batch could not be sent.
func copied(s string) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), tracesText)]), "\ufffd")
}

// errorType is what a request failed by, of which there may only be few kinds; empty: it did not fail.
func (x *exchange) errorType(how outcome) string {
	switch {
	case how == outcomeBroken || how == outcomeGone:
		return outcomeNames[how]
	case x.status < http.StatusInternalServerError:
		return ""
	case x.refused != "":
		return x.refused
	}
	return strconv.Itoa(x.status)
}

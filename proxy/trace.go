package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/strangler-fig/strangler/proxy/h1"
)

// span is the proxy's own part of a trace: of the one that the client is in, or of a new one. The zero
// span: the proxy has no traces, and passes on what the client says of its own.
type span struct {
	trace   trace.TraceID
	parent  trace.SpanID // the client's; zero: the trace begins here
	id      trace.SpanID
	sampled bool
}

// begin gives a request its span. Of several traceparent lines none is believed (W3C Trace Context,
// 3.2.1). Whether a trace is sampled is its parent's to say where a trusted peer names it; anyone else
// could have every request exported, and his is sampled by chance, like one that begins here.
func (t *traces) begin(traceparent string, lines int, trusted bool) span {
	s, continues := span{}, false
	if lines == 1 {
		s, continues = readTraceparent(traceparent)
	}
	for !s.trace.IsValid() {
		binary.NativeEndian.PutUint64(s.trace[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(s.trace[8:], rand.Uint64())
	}
	for !s.id.IsValid() {
		binary.NativeEndian.PutUint64(s.id[:], rand.Uint64())
	}
	if !continues || !trusted {
		s.sampled = rand.Uint32N(1_000_000) < uint32(t.config.Sample)
	}
	return s
}

// readTraceparent takes the parent from "version-trace id-parent id-flags". Version ff is none; one that
// is later than ours may have more behind it. Of the flags only the lowest, sampled, has a meaning.
func readTraceparent(s string) (span, bool) {
	const size = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(s) < size || s[2] != '-' || s[35] != '-' || s[52] != '-' || len(s) > size && (s[:2] == "00" || s[size] != '-') {
		return span{}, false
	}
	traceID, err := trace.TraceIDFromHex(s[3:35])
	parent, errParent := trace.SpanIDFromHex(s[36:52])
	if err != nil || errParent != nil || s[:2] == "ff" || !lowerHex(s[:2]) || !lowerHex(s[53:size]) {
		return span{}, false
	}
	return span{trace: traceID, parent: parent, sampled: strings.IndexByte(hexDigits, s[54])&1 == 1}, true
}

func lowerHex(s string) bool { return strings.Trim(s, hexDigits) == "" }

// traceparent appends the value of the line that makes the span the parent of what the upstream does.
func (s *span) traceparent(dst []byte) []byte {
	dst = hex.AppendEncode(append(dst, "00-"...), s.trace[:])
	dst = hex.AppendEncode(append(dst, '-'), s.id[:])
	if s.sampled {
		return append(dst, "-01"...)
	}
	return append(dst, "-00"...)
}

const (
	traceparentName = "traceparent"
	tracestateName  = "tracestate"
)

// traced begins the request's span, and takes out of its lines what does not go on: the traceparent,
// which is written anew, and the tracestate of a trace that is not gone on with.
func (x *overH1) traced() {
	traceparent, lines := "", 0
	for i := range x.c.Fields {
		if f := &x.c.Fields[i]; len(f.Name) == len(traceparentName) && h1.EqualFold(f.Name, traceparentName) {
			traceparent = text(f.Value)
			lines++
			f.Kind = h1.Dropped
		}
	}
	x.span = x.p.traces.begin(traceparent, lines, x.peer.trusted)
	for i := range x.c.Fields {
		if f := &x.c.Fields[i]; !x.span.parent.IsValid() && len(f.Name) == len(tracestateName) && h1.EqualFold(f.Name, tracestateName) {
			f.Kind = h1.Dropped
		}
	}
}

// appendTrace appends the traceparent of the request that goes out.
func (x *overH1) appendTrace(dst []byte) []byte {
	return append(x.span.traceparent(append(dst, traceparentName+": "...)), "\r\n"...)
}

// traced begins the request's span.
func (x *overHTTP) traced() {
	lines := x.in.Header["Traceparent"]
	x.span = x.p.traces.begin(canonical(x.in.Header).Get("Traceparent"), len(lines), x.peer.trusted)
}

// setTrace puts the span in the place of the client's into the request that goes out.
func (x *overHTTP) setTrace(out http.Header) {
	out["Traceparent"] = []string{string(x.span.traceparent(nil))}
	if !x.span.parent.IsValid() {
		delete(out, "Tracestate")
	}
}

package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/strangler-fig/strangler"
)

// newHTTP2Backend is an upstream that takes HTTP/2 in the clear and nothing else.
func newHTTP2Backend(t *testing.T, name string, do func(http.ResponseWriter, *http.Request)) *backend {
	b := &backend{name: name}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r)
		b.mu.Unlock()
		if r.ProtoMajor != 2 {
			t.Errorf("the upstream was asked in %s", r.Proto)
		}
		do(w, r)
	}))
	b.Config.Protocols = new(http.Protocols)
	b.Config.Protocols.SetUnencryptedHTTP2(true)
	b.Start()
	t.Cleanup(b.Close)
	b.URL = strings.Replace(b.URL, "http://", "h2c://", 1)
	return b
}

// TestHTTP2ToUpstreams: bodies, heads, interim answers and trailers go to an upstream in HTTP/2 and back, for clients in HTTP/1.1.
func TestHTTP2ToUpstreams(t *testing.T) {
	up := newHTTP2Backend(t, "up", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			w.Header().Set("Link", "</x>")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
			return
		case "/unchanged":
			w.WriteHeader(http.StatusNotModified)
			return
		case "/trailers":
			w.Header().Set("Trailer", "X-Sum")
			defer w.Header().Set("X-Sum", "42")
			defer w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
		}
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Add("Set-Cookie", CookieName+"=forged")
		w.Header().Set("X-Saw", fmt.Sprint(r.Method, " ", r.URL, " ", r.Host, " ", r.ContentLength, " ", r.Header["X-Forwarded-For"], r.Header["Upgrade"], r.Header["Connection"]))
		if r.ContentLength < 0 || r.URL.Path == "/trailers" { // or the server finds the length out
			w.(http.Flusher).Flush()
		}
		io.Copy(w, r.Body)
	})
	p := start(t, config(up.URL))
	c := client(t)
	host := strings.TrimPrefix(p.URL(), "http://")
	for _, size := range []int{0, 1, 5_000, 100_000, 3 << 20} {
		body := strings.Repeat("x", size)
		for _, path := range []string{"/echo?q=1", "/early", "/trailers"} {
			a := ask(t, c, "POST", p.URL()+path, body)
			want := fmt.Sprintf("POST %s %s %d [127.0.0.1] [] []", path, host, size)
			if a.status != 200 || a.body != body || a.header.Get("X-Saw") != want || fmt.Sprint(a.header["Set-Cookie"]) != "[a=1 b=2]" {
				t.Errorf("%s with %d bytes: %d, %d bytes, %q (want %q), %q", path, size, a.status, len(a.body), a.header.Get("X-Saw"), want, a.header["Set-Cookie"])
			}
		}
	}
	raw := func(request string) string {
		conn, _ := dial(t, p, request)
		all, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		return string(all)
	}
	for _, one := range []struct{ name, request, begins, ends string }{
		{"chunked", "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "abcde\r\n0\r\n\r\n"},
		{"HTTP/1.0", "POST /echo HTTP/1.0\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.", "\r\n\r\nabc"},
		{"HEAD", "HEAD /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n"},
		{"no content", "GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 204 No Content\r\n", "\r\n\r\n"},
		{"not modified", "GET /unchanged HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n", "\r\n\r\n"},
		{"an upgrade", "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n"},
		{"trailers", "POST /trailers HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE, close\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 200 OK\r\n", "\r\n\r\n"},
		{"early hints", "GET /early HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n", "\r\n"},
	} {
		got := raw(one.request)
		if !strings.HasPrefix(got, one.begins) || !strings.HasSuffix(got, one.ends) || one.name == "trailers" && !(strings.Contains(got, "\r\nX-Sum: 42\r\n") && strings.Contains(got, "\r\nX-Late: yes\r\n")) {
			t.Errorf("%s: %q", one.name, got)
		}
	}
	conn, r := dial(t, p, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
	if line, _ := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("a client that holds its body back: %q", line)
	}
	r.ReadString('\n')
	io.WriteString(conn, strings.Repeat("y", 5000)+"GET /echo HTTP/1.1\r\nHost: second\r\n\r\n")
	for _, want := range []string{strings.Repeat("y", 5000), ""} { // and the connection goes on
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(a.Body); err != nil || string(body) != want {
			t.Errorf("%d bytes, %v; want %d", len(body), err, len(want))
		}
	}
}

// TestHTTP2UpstreamThatBreaksOff: an answer that breaks off is broken off towards the client; one that does not come is a 502; a
// read ends with its client, and a write does not.
func TestHTTP2UpstreamThatBreaksOff(t *testing.T) {
	ended, release := make(chan error, 1), make(chan struct{})
	up := newHTTP2Backend(t, "up", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/broken":
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/nothing":
			panic(http.ErrAbortHandler)
		case "/couriers", "/couriers/7":
			select {
			case <-r.Context().Done():
			case <-release:
			}
			ended <- r.Context().Err()
		}
	})
	p := start(t, config(refuses(t), delivery(t, up.URL)))
	apply(t, p, toggle(1, strangler.ModeExtracted, 0))
	for _, at := range []struct{ path, method string }{{"/couriers", "POST"}, {"/couriers/7", "GET"}} {
		ctx, leave := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, at.method, p.URL()+at.path, nil)
		gone := make(chan struct{})
		before := len(up.requests())
		go func() {
			defer close(gone)
			if res, err := client(t).Do(r); err == nil {
				res.Body.Close()
			}
		}()
		await(t, "the request", func() bool { return len(up.requests()) > before })
		leave()
		<-gone
		if at.method == "POST" {
			release <- struct{}{}
		}
		if err := <-ended; (err == nil) != (at.method == "POST") {
			t.Errorf("%s, whose client has left, ended with %v", at.method, err)
		}
	}
	direct := start(t, config(up.URL))
	res, err := client(t).Get(direct.URL() + "/broken")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil || string(body) != "half" {
		t.Errorf("an answer that breaks off came as %q, %v", body, err)
	}
	if a := ask(t, client(t), "POST", direct.URL()+"/nothing", "x"); a.status != 502 || a.code(t) != "upstream_failed" {
		t.Errorf("no answer: %d %s", a.status, a.body)
	}
	gone := start(t, config(strings.Replace(refuses(t), "http", "h2c", 1)))
	if a := ask(t, client(t), "POST", gone.URL()+"/", "x"); a.status != 502 || a.code(t) != "upstream_unreachable" {
		t.Errorf("nobody there: %d %s", a.status, a.body)
	}
}

// TestHTTP2OverTLS: h2:// is HTTP/2 with a certificate that is checked.
func TestHTTP2OverTLS(t *testing.T) {
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	up.EnableHTTP2 = true
	up.StartTLS()
	t.Cleanup(up.Close)
	p := start(t, config(strings.Replace(up.URL, "https", "h2", 1)))
	if a := ask(t, client(t), "GET", p.URL()+"/", ""); a.status != 502 {
		t.Errorf("a certificate that nobody knows: %+v", a)
	}
	roots := x509.NewCertPool()
	roots.AddCert(up.Certificate())
	p = start(t, config(strings.Replace(up.URL, "https", "h2", 1)), func(p *Proxy) { p.legacy.transport.TLSClientConfig = &tls.Config{RootCAs: roots} })
	if a := ask(t, client(t), "GET", p.URL()+"/", ""); a.status != 200 || a.body != "HTTP/2.0" {
		t.Errorf("%+v", a)
	}
}

// TestProtocolsOfASide: all servers of a side speak one.
func TestProtocolsOfASide(t *testing.T) {
	c := several("h2c://127.0.0.1:1", "http://127.0.0.1:2")
	if _, err := New(c); !errors.Is(err, strangler.ErrConfig) {
		t.Errorf("two protocols on one side: %v", err)
	}
}

// TestGRPC has a real client and a real server talk through the proxy: calls, streams, errors, and a call that is held at a gate and
// goes to the side that the gate's release names.
func TestGRPC(t *testing.T) {
	serve := func(state healthpb.HealthCheckResponse_ServingStatus) (*health.Server, string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s, h := grpc.NewServer(), health.NewServer()
		h.SetServingStatus("shop", state)
		healthpb.RegisterHealthServer(s, h)
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		t.Cleanup(func() { s.Stop(); <-ended })
		return h, "h2c://" + l.Addr().String()
	}
	monolith, legacy := serve(healthpb.HealthCheckResponse_SERVING)
	_, service := serve(healthpb.HealthCheckResponse_NOT_SERVING)
	capability := delivery(t, service)
	capability.Routes = routes(t, "POST /grpc.health.v1.Health/Check")
	p := start(t, config(legacy, capability))
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	u, _ := url.Parse(p.URL())
	conn, err := grpc.NewClient(u.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := healthpb.NewHealthClient(conn)
	check := func() (healthpb.HealthCheckResponse_ServingStatus, error) {
		a, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "shop"})
		return a.GetStatus(), err
	}
	if s, err := check(); err != nil || s != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("a call: %s, %v", s, err)
	}
	var trailer metadata.MD
	if _, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "unknown"}, grpc.Trailer(&trailer)); status.Code(err) != codes.NotFound {
		t.Errorf("an error's code, which is in the trailers: %v, %v", err, trailer)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := c.Watch(ctx, &healthpb.HealthCheckRequest{Service: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVING} {
		monolith.SetServingStatus("shop", s)
		if got, err := watch.Recv(); err != nil || got.Status != s {
			t.Fatalf("a stream: %v, %v; want %s", got, err, s)
		}
	}
	apply(t, p, gated(toggle(2, strangler.ModeLegacy, 0)))
	held := make(chan string, 1)
	go func() {
		s, err := check()
		held <- fmt.Sprint(s, " ", err)
	}()
	await(t, "the call to be held", func() bool { return p.Stats("delivery").Held == 1 })
	apply(t, p, toggle(3, strangler.ModeExtracted, 0))
	if got := <-held; got != "NOT_SERVING <nil>" {
		t.Errorf("a call that was held: %s", got)
	}
	cancel()
	if _, err := watch.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("a stream that its client ends: %v", err)
	}
}

// TestShadowOverHTTP2: shadows and questions for health speak the side's protocol.
func TestShadowOverHTTP2(t *testing.T) {
	var service *backend
	service = newHTTP2Backend(t, "service", func(w http.ResponseWriter, r *http.Request) {})
	capability := delivery(t, service.URL)
	capability.Shadow.Sample, capability.Service.Health = strangler.Hundred, "/healthz"
	conf := config(newBackend(t, "legacy", nil).URL, capability)
	conf.Health = 10 * time.Millisecond
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeShadow, 0))
	ask(t, client(t), "GET", p.URL()+"/couriers/7", "")
	await(t, "both", func() bool {
		paths := strings.Join(service.paths(), " ")
		return strings.Contains(paths, "/healthz") && strings.Contains(paths, "/couriers/7")
	})
}

// TestHTTP2CloseCuts: Close does not wait for a write's upstream beyond its bound.
func TestHTTP2CloseCuts(t *testing.T) {
	release := make(chan struct{})
	up := newHTTP2Backend(t, "up", func(w http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	p, err := New(config(refuses(t), delivery(t, up.URL)))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	apply(t, p, toggle(1, strangler.ModeExtracted, 0))
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if res, err := client(t).Post(p.URL()+"/couriers", "text/plain", bytes.NewReader(nil)); err == nil {
			res.Body.Close()
		}
	}()
	await(t, "the write", func() bool { return len(up.requests()) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); err == nil {
		t.Error("Close did not say that it has cut a request")
	}
	<-answered
}

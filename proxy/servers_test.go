package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strangler-fig/strangler"
)

// several is a configuration whose monolith has these servers.
func several(servers ...string) Config {
	c := config(servers[0])
	c.Legacy.URLs = servers
	return c
}

// refuses is the address of nobody.
func refuses(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// TestServersTakeTurns: servers with as much to do as each other get as many requests.
func TestServersTakeTurns(t *testing.T) {
	servers := []*backend{newBackend(t, "one", nil), newBackend(t, "two", nil), newBackend(t, "three", nil)}
	p, c := start(t, several(servers[0].URL, servers[1].URL, servers[2].URL)), client(t)
	for range 30 {
		ask(t, c, "GET", p.URL()+"/", "")
	}
	for _, s := range servers {
		if n := len(s.requests()); n != 10 {
			t.Errorf("%s got %d of 30 requests", s.name, n)
		}
	}
}

// TestServerWithTheLeastToDo: what takes long at one server keeps others' requests from it.
func TestServerWithTheLeastToDo(t *testing.T) {
	release := make(chan struct{})
	slow := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
	}
	servers := []*backend{newBackend(t, "one", slow), newBackend(t, "two", slow)}
	p, c := start(t, several(servers[0].URL, servers[1].URL)), client(t)
	var waiting sync.WaitGroup
	waiting.Go(func() { ask(t, c, "GET", p.URL()+"/slow", "") })
	defer waiting.Wait()
	defer close(release)
	await(t, "the slow request", func() bool { return len(servers[0].requests())+len(servers[1].requests()) == 1 })
	busy, free := servers[0], servers[1]
	if len(busy.requests()) == 0 {
		busy, free = free, busy
	}
	for range 9 {
		ask(t, c, "GET", p.URL()+"/", "")
	}
	if n := len(free.requests()); n != 9 {
		t.Errorf("the server with nothing to do got %d of 9 requests, the busy one %q", n, busy.paths())
	}
}

// TestServerThatCannotBeReached: a request whose connection is refused goes to another server, whatever it is: nothing of it was
// sent. Where none can be reached the client is told.
func TestServerThatCannotBeReached(t *testing.T) {
	there := newBackend(t, "there", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Got", fmt.Sprint(r.Header["X-Forwarded-For"], len(r.Header["X-Forwarded-Host"])))
		w.Write(body)
	})
	var said logged
	conf := several(refuses(t), there.URL, refuses(t))
	conf.Log = slog.New(slog.NewTextHandler(&said, nil))
	p, c := start(t, conf), client(t)
	large := strings.Repeat("x", 1<<20)
	for i, body := range []string{"", "small", large, "small", large, "", large} {
		method := "POST"
		if body == "" {
			method = "GET"
		}
		a := ask(t, c, method, p.URL()+"/", body)
		if a.status != 200 || a.body != body || a.header.Get("X-Got") != "[127.0.0.1] 1" {
			t.Errorf("request %d: %d, %d bytes of %d, %q", i, a.status, len(a.body), len(body), a.header.Get("X-Got"))
		}
	}
	if n := len(there.requests()); n != 7 {
		t.Errorf("7 requests were sent %d times", n)
	}
	if !said.said("a server is left out") {
		t.Errorf("the log does not say that servers are left out")
	}
	nobody := start(t, several(refuses(t), refuses(t), refuses(t), refuses(t)))
	if a := ask(t, c, "POST", nobody.URL()+"/", "x"); a.status != 502 || a.code(t) != "upstream_unreachable" {
		t.Errorf("no server can be reached: %d %s", a.status, a.body)
	}
}

// TestServerThatBreaksOff: a write is sent to one server, once, however that fares; a server that breaks requests off is left out
// after some in a row, and one that does so now and then is not.
func TestServerThatBreaksOff(t *testing.T) {
	var all, often atomic.Int64
	hangsUp := accepts(t, func(conn net.Conn) {
		buf := make([]byte, 4096)
		if _, err := conn.Read(buf); err == nil {
			all.Add(1)
		}
	})
	well := newBackend(t, "well", func(w http.ResponseWriter, r *http.Request) { often.Add(1) })
	p, c := start(t, several("http://"+hangsUp.Addr().String(), well.URL)), client(t)
	const sent = 40
	failed := 0
	for range sent {
		if a := ask(t, c, "POST", p.URL()+"/", "x"); a.status != 200 {
			failed++
			if a.code(t) != "upstream_failed" {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
	}
	if failed != fewFailures || all.Load() != fewFailures || often.Load() != sent-fewFailures {
		t.Errorf("of %d writes %d failed; the server that breaks off got %d, the other one %d", sent, failed, all.Load(), often.Load())
	}
}

// TestHealthPath: a server whose health path does not answer 2xx gets no requests until it does, and the metrics say so.
func TestHealthPath(t *testing.T) {
	var ill atomic.Bool
	var asked atomic.Int64
	one := newBackend(t, "one", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			asked.Add(1)
			if ill.Load() {
				http.Redirect(w, r, "/", http.StatusFound)
			}
			return
		}
		io.WriteString(w, "one")
	})
	two := newBackend(t, "two", nil)
	conf := config(refuses(t), delivery(t, one.URL))
	conf.Capabilities[0].Service = strangler.Upstream{URLs: []string{one.URL, two.URL}, Health: "/healthz"}
	conf.Health = 200 * time.Millisecond
	registry := prometheus.NewRegistry()
	conf.Registerer = registry
	p, c := start(t, conf), client(t)
	apply(t, p, toggle(1, strangler.ModeExtracted, 0))
	metrics := func() string {
		w := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	is := func(b *backend, n int) bool {
		return strings.Contains(metrics(), fmt.Sprintf(`strangler_proxy_server_up{capability="delivery",server="%s",side="service"} %d`, strings.TrimPrefix(b.URL, "http://"), n))
	}
	up := func(n int) bool { return is(one, n) }
	both := func() int {
		seen := map[string]bool{}
		for range 6 {
			seen[ask(t, c, "GET", p.URL()+"/couriers/7", "").body] = true
		}
		return len(seen)
	}
	await(t, "both servers to be asked", func() bool { return asked.Load() > 0 && both() == 2 && up(1) })
	ill.Store(true)
	await(t, "the ill one to be left out", func() bool { return up(0) })
	for range 6 {
		if a := ask(t, c, "GET", p.URL()+"/couriers/7", ""); a.body != "two" {
			t.Fatalf("the ill server got a request: %q", a.body)
		}
	}
	ill.Store(false)
	await(t, "it to be well again", func() bool { return up(1) && both() == 2 })
	two.CloseClientConnections()
	two.Close()
	await(t, "the other one's end", func() bool { return is(two, 0) })
	for range 6 {
		if a := ask(t, c, "POST", p.URL()+"/couriers", "x"); a.body != "one" {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
}

// TestAllServersAreIll: then they are used all the same, since one that is slow to answer its health path may serve.
func TestAllServersAreIll(t *testing.T) {
	var asked atomic.Int64
	servers := make([]string, 2)
	for i := range servers {
		servers[i] = newBackend(t, "b", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" {
				asked.Add(1)
				w.WriteHeader(http.StatusInternalServerError)
			}
		}).URL
	}
	conf := several(servers...)
	conf.Legacy.Health, conf.Health = "/healthz", 10*time.Millisecond
	p, c := start(t, conf), client(t)
	await(t, "questions", func() bool { return asked.Load() > 8 })
	if a := ask(t, c, "POST", p.URL()+"/", "x"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestOneRequestTriesAServerAgain: when its time of being left out is over, not all requests run into a server that hangs.
func TestOneRequestTriesAServerAgain(t *testing.T) {
	release := make(chan struct{})
	hangs := newBackend(t, "hangs", func(w http.ResponseWriter, r *http.Request) { <-release })
	well := newBackend(t, "well", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			<-release
		}
		io.WriteString(w, "well")
	})
	p, c := start(t, several(hangs.URL, well.URL)), client(t)
	s := p.legacy.servers[0]
	s.failed.Store(fewFailures)
	s.out.Store(time.Now().Add(time.Hour).UnixNano())
	var trying sync.WaitGroup
	for range 3 { // so that the other one has more to do
		trying.Go(func() { ask(t, c, "GET", p.URL()+"/busy", "") })
	}
	await(t, "the other one to be busy", func() bool { return len(well.requests()) == 3 })
	s.out.Store(1) // which is long over
	trying.Go(func() {
		for len(hangs.requests()) == 0 { // the first may be the other one's turn
			ask(t, c, "GET", p.URL()+"/", "")
		}
	})
	await(t, "a request to try it", func() bool { return len(hangs.requests()) == 1 })
	for range 9 {
		if a := ask(t, c, "GET", p.URL()+"/", ""); a.body != "well" {
			t.Errorf("%q", a.body)
		}
	}
	close(release)
	trying.Wait()
	await(t, "it to be well", func() bool { return s.out.Load() == 0 && s.well() })
}

//go:build torture

package proxy

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// TestTortureNothingLeaks sends a million requests of all kinds, of which some are broken off by either side, and then counts
// what is left: goroutines, descriptors, memory.
func TestTortureNothingLeaks(t *testing.T) {
	if engine != EngineH1 {
		return
	}
	const requests, clients = 1_000_000, 32
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/breaks":
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "/large":
			io.WriteString(w, strings.Repeat("x", 200_000))
		default:
			io.Copy(w, r.Body)
		}
	})
	legacy.Config.ErrorLog = nil
	c := delivery(t, legacy.URL)
	c.IdentityHeader = "X-User-ID"
	p := start(t, config(legacy.URL, c))
	apply(t, p, toggle(1, strangler.ModeCanary, 500_000))
	scripts := []string{
		"GET /couriers/7 HTTP/1.1\r\nHost: x\r\nX-User-ID: ann\r\n\r\n",
		"POST /couriers HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /breaks HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf",
	}
	weights := []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 6}
	round := func(n int) {
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				dice := rand.New(rand.NewPCG(uint64(n), uint64(i)))
				var conn net.Conn
				var in *bufio.Reader
				for range n / clients {
					if conn == nil {
						var err error
						if conn, err = net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://")); err != nil {
							t.Error(err)
							return
						}
						in = bufio.NewReader(conn)
					}
					kind := weights[dice.IntN(len(weights))]
					_, err := io.WriteString(conn, scripts[kind])
					if kind == 6 || dice.IntN(200) == 0 { // the client leaves
						conn.Close()
						conn = nil
						continue
					}
					var res *http.Response
					if err == nil {
						res, err = http.ReadResponse(in, nil)
					}
					if err == nil {
						_, err = io.Copy(io.Discard, res.Body)
					}
					if err != nil || res.Close {
						conn.Close()
						conn = nil
					}
					if err != nil && kind < 4 {
						t.Errorf("%.30q: %v", scripts[kind], err)
					}
				}
				if conn != nil {
					conn.Close()
				}
			})
		}
		all.Wait()
		legacy.mu.Lock()
		legacy.seen = nil
		legacy.mu.Unlock()
	}
	left := func() (goroutines, descriptors int, heap uint64) {
		await(t, "all to end", func() bool { return p.Stats("delivery").InFlight == 0 })
		time.Sleep(idleUpstream + time.Second) // in which the connections to upstreams end
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(open), m.HeapAlloc
	}
	round(requests / 10)
	g, d, h := left()
	round(requests)
	g2, d2, h2 := left()
	t.Logf("goroutines %d, %d; descriptors %d, %d; heap %d, %d", g, g2, d, d2, h, h2)
	if g2 > g+8 || d2 > d+8 || h2 > h+h/2+(4<<20) {
		t.Errorf("something is left: goroutines %d, then %d; descriptors %d, then %d; heap %d, then %d", g, g2, d, d2, h, h2)
	}
}

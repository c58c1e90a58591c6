package proxy

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Past the limit of connections, whichever way they came in, one that waits for a request makes room, be it the first or the next;
// where none does, the new one is closed.
func TestConnectionsOfEveryKindAreBounded(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			block := make(chan struct{})
			legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					<-block
				}
				io.WriteString(w, "legacy")
			})
			conf := config(legacy.URL)
			conf.Limits.Connections, conf.Timeouts.Head = 3, time.Hour
			conf.Trust, conf.ProxyProtocol = loopback, true
			var pool *x509.CertPool
			if w.tls {
				pool = secure(t, &conf)
			}
			p := start(t, conf)
			handed := engine == EngineH1 && w.name == "HTTP/2 in the clear" // to net/http, where they make no room
			// fresh has a request answered over a connection of its own, which stays.
			fresh := func(path string) *http.Client {
				c := w.through(t, pool, "PROXY UNKNOWN\r\n", false)
				c.Timeout = 0
				res, err := c.Get(p.URL() + path)
				if err != nil {
					return nil
				}
				defer res.Body.Close()
				if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || string(body) != "legacy" {
					return nil
				}
				return c
			}

			closed := make(chan struct{}, 3)
			for _, text := range []string{"", "PROXY ", "PROXY UNKNOWN\r\n"} { // and nothing more
				_, in := dial(t, p, text)
				go func() {
					in.Peek(1)
					closed <- struct{}{}
				}()
			}
			var kept []*http.Client
			place := func() bool {
				c := fresh("/fast")
				if c != nil {
					kept = append(kept, c)
				}
				return c != nil
			}
			for range 3 {
				await(t, "room in place of one that says nothing", place)
			}
			if handed {
				for range 3 {
					<-closed
				}
				if place() {
					t.Error("a fourth connection was served")
				}
				kept[0].CloseIdleConnections()
			}
			await(t, "room in place of one that has been answered", place)

			for _, c := range kept {
				c.CloseIdleConnections()
			}
			before := len(legacy.requests())
			answered := make(chan *http.Client, 3)
			for n := range 3 {
				var refused chan bool
				await(t, "a request to be under way", func() bool {
					if refused == nil {
						refused = make(chan bool, 1)
						go func(refused chan bool) {
							if c := fresh("/slow"); c != nil {
								answered <- c
							} else {
								refused <- true
							}
						}(refused)
					}
					select {
					case <-refused: // until those that were closed are gone
						refused = nil
					default:
					}
					return len(legacy.requests()) == before+n+1
				})
			}
			for range 3 {
				if place() {
					t.Error("a fourth connection was served beside three with requests under way")
				}
			}
			if n := len(legacy.requests()); n != before+3 {
				t.Errorf("the upstream was sent %d requests too many", n-before-3)
			}
			close(block)
			for range 3 {
				(<-answered).CloseIdleConnections()
			}
			await(t, "room for another one", place)
		})
	}
}

// A connection that is to make room, and on which a request comes in that very instant, stays: what has reached the upstream is
// answered.
func TestMakingRoomLosesNoAnswer(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			done := map[string]int{}
			legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				mu.Lock()
				defer mu.Unlock()
				done[r.URL.Path]++
			})
			conf := config(legacy.URL)
			conf.Limits.Connections = 4
			var pool *x509.CertPool
			if w.tls {
				pool = secure(t, &conf)
			}
			p := start(t, conf)
			stop := make(chan struct{})
			var busy, pushing sync.WaitGroup
			for range 2 {
				pushing.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						c := w.through(t, pool, "", false)
						if res, err := c.Get(p.URL() + "/new"); err == nil {
							res.Body.Close()
						}
						c.CloseIdleConnections()
					}
				})
			}
			answered := map[string]bool{}
			for n := range 4 {
				busy.Go(func() {
					c := w.through(t, pool, "", false)
					for i, until := 0, time.Now().Add(3*time.Second); time.Now().Before(until); i++ {
						path := fmt.Sprintf("/%d/%d", n, i)
						r, err := http.NewRequestWithContext(t.Context(), "POST", p.URL()+path, strings.NewReader("x"))
						if err != nil {
							t.Error(err)
							return
						}
						if i%2 > 0 { // its body comes when it has been decided that the connection stays
							r.Header.Set("Expect", "100-continue")
						}
						res, err := c.Do(r)
						if err == nil {
							res.Body.Close()
							if res.StatusCode != 200 {
								t.Errorf("%s was answered %s", path, res.Status)
							}
						}
						mu.Lock()
						answered[path] = err == nil
						mu.Unlock()
					}
				})
			}
			busy.Wait()
			close(stop)
			pushing.Wait()
			if err := p.Close(t.Context()); err != nil { // so that nothing is under way
				t.Error(err)
			}
			for path, ok := range answered {
				if ok != (done[path] == 1) {
					t.Errorf("%s reached the upstream %d times; answered: %v", path, done[path], ok)
				}
			}
		})
	}
}

package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRetire has one proxy after another take over a listener while clients write, each request once, on connections that they keep
// and on new ones: none fails.
func TestRetire(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	shared, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	next := func() *Proxy {
		conf := config(legacy.URL)
		conf.Listener = func(string, string) (net.Listener, error) {
			file, err := shared.(*net.TCPListener).File()
			if err != nil {
				return nil, err
			}
			l, err := net.FileListener(file)
			return l, errors.Join(err, file.Close())
		}
		p, err := New(conf)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	answered := make(chan struct{})
	for i := range 8 {
		transport := &http.Transport{DisableKeepAlives: i%2 == 1}
		clients.Go(func() {
			defer transport.CloseIdleConnections()
			for ctx.Err() == nil {
				r, _ := http.NewRequest("POST", "http://"+shared.Addr().String()+"/x", struct{ io.Reader }{strings.NewReader("x")}) // which net/http does not send twice
				res, err := transport.RoundTrip(r)
				if err != nil {
					t.Errorf("a request that was sent once: %v", err)
					return
				}
				body, err := io.ReadAll(res.Body)
				if err = errors.Join(err, res.Body.Close()); err != nil || string(body) != "legacy" {
					t.Errorf("%s %q %v", res.Status, body, err)
				}
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
	}
	p := next()
	for range 20 {
		for range 8 {
			select {
			case <-answered:
			case <-time.After(20 * time.Second):
				t.Fatal("no answers")
			}
		}
		successor := next()
		bounded, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		p.Retire(bounded)
		cancel()
		bounded, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		if err := p.Close(bounded); err != nil {
			t.Errorf("Close: %v", err)
		}
		cancel()
		p = successor
	}
	stop()
	clients.Wait()
	bounded, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Close(bounded); err != nil {
		t.Errorf("Close: %v", err)
	}
}

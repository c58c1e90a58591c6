package daemon_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/daemon"
)

// away is a daemon's configuration of which there is a good snapshot, while its control store cannot be opened until back is called.
func away(t *testing.T, legacy string) (cfg *config.Config, back func()) {
	t.Helper()
	dir := t.TempDir()
	cfg = load(t, dir, "control: 'sqlite:control.db'\nproxy: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\nlegacy: {url: '"+legacy+"'}\ncapabilities:\n  search: {routes: [/search], service: {url: '"+legacy+"'}}\n")
	d, err := daemon.Start(t.Context(), cfg, daemon.Options{Proxy: true})
	must(t, err)
	must(t, d.Close())
	store, aside := filepath.Join(dir, "control.db"), filepath.Join(dir, "aside.db")
	must(t, os.Rename(store, aside))
	must(t, os.Mkdir(store, 0o700))
	return cfg, func() {
		must(t, os.Remove(store))
		must(t, os.Rename(aside, store))
	}
}

// waits is a log that says when a daemon waits for its control store.
func waits() (*slog.Logger, <-chan struct{}) {
	said := make(chan struct{}, 1)
	return slog.New(slog.NewTextHandler(writer(func(b []byte) {
		if strings.Contains(string(b), "the control store cannot be reached") {
			select {
			case said <- struct{}{}:
			default:
			}
		}
	}), nil)), said
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}

// TestEndsInOrderHavingBegunStale: a daemon that served its snapshot at first is an instance until its last request has its answer.
func TestEndsInOrderHavingBegunStale(t *testing.T) {
	came, answer := make(chan struct{}), make(chan struct{})
	legacy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(came)
			<-answer
		}
	}))
	defer legacy.Close()
	cfg, back := away(t, legacy.URL)
	log, waiting := waits()
	ready, ended := make(chan *daemon.Daemon, 1), make(chan error, 1)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var listens net.Addr
	go func() {
		ended <- daemon.Run(ctx, cfg, daemon.Options{
			Proxy: true, Log: log, Ready: func(d *daemon.Daemon) error { ready <- d; return nil },
			Listen: func(network, address string) (net.Listener, error) {
				l, err := net.Listen(network, address)
				if listens == nil && err == nil { // the proxy's, before it is said that the store is waited for
					listens = l.Addr()
				}
				return l, err
			},
		})
	}()
	<-waiting
	url := "http://" + listens.String()
	resp, err := http.Get(url + "/search")
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		t.Errorf("served stale: %s", resp.Status)
	}
	back()
	<-ready
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get(url + "/slow")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-came
	end()
	for err = nil; err == nil; {
		var c net.Conn
		if c, err = net.Dial("tcp", listens.String()); err == nil {
			must(t, c.Close())
		}
	}
	store, err := control.Open(t.Context(), control.Config{DSN: cfg.Control})
	must(t, err)
	if all, err := store.Instances(t.Context()); err != nil || len(all) != 1 || !all[0].Live {
		t.Errorf("while a request is under way the instances are %+v, %v", all, err)
	}
	must(t, store.Close())
	close(answer)
	must(t, <-answered)
	must(t, <-ended)
	http.DefaultClient.CloseIdleConnections()
}

// TestEndedWhileStale: whoever ends a daemon that waits for its control store has it end well.
func TestEndedWhileStale(t *testing.T) {
	cfg, _ := away(t, "http://127.0.0.1:1")
	ctx, end := context.WithCancel(t.Context())
	defer end()
	log, waiting := waits()
	go func() {
		<-waiting
		end()
	}()
	must(t, daemon.Run(ctx, cfg, daemon.Options{Proxy: true, Log: log}))
}

// TestASuccessorServesNothingStale: while another process serves, one that waits for its control store does not, and gives up by itself.
func TestASuccessorServesNothingStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := away(t, "http://127.0.0.1:1")
		began := time.Now()
		err := daemon.Run(t.Context(), cfg, daemon.Options{Proxy: true, Successor: true, Listen: func(string, string) (net.Listener, error) {
			t.Error("it listens")
			return nil, errors.New("not here")
		}})
		if err == nil || !strings.Contains(err.Error(), "nothing was changed, and the process before serves") {
			t.Errorf("it ends with %v", err)
		}
		if took := time.Since(began); took > 50*time.Second { // behind a minute it would be killed
			t.Errorf("it waits for %s", took)
		}
	})
}

// TestOlderThanItsStore: a daemon refuses a control store of a newer version, though it has a snapshot that it could serve.
func TestOlderThanItsStore(t *testing.T) {
	cfg, back := away(t, "http://127.0.0.1:1")
	back()
	run(t, "sqlite", "file:"+strings.TrimPrefix(cfg.Control, "sqlite:"), "UPDATE control_store SET version = version + 1")
	err := daemon.Run(t.Context(), cfg, daemon.Options{Proxy: true, Listen: func(string, string) (net.Listener, error) {
		t.Error("it listens")
		return nil, errors.New("not here")
	}})
	if !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("%v", err)
	}
}

// TestWhoCannotSayThatItServesEnds, in good order: the process before it goes on.
func TestWhoCannotSayThatItServesEnds(t *testing.T) {
	cfg, back := away(t, "http://127.0.0.1:1")
	back()
	silent := errors.New("nobody could be told")
	var url string
	err := daemon.Run(t.Context(), cfg, daemon.Options{Proxy: true, Successor: true, Ready: func(d *daemon.Daemon) error {
		url = d.ProxyURL()
		return silent
	}})
	if err == nil || err.Error() != silent.Error() {
		t.Errorf("it ends with %v", err)
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		must(t, c.Close())
		t.Error("and listens still")
	}
	store, err := control.Open(t.Context(), control.Config{DSN: cfg.Control})
	must(t, err)
	defer func() { must(t, store.Close()) }()
	if all, err := store.Instances(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("and is an instance still: %+v, %v", all, err)
	}
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/admin/admintest"
	"github.com/strangler-fig/strangler/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// daemon is an admin API with a token, a backend behind it and a client before it.
func daemon(t *testing.T) (*admintest.Backend, *client.Client) {
	t.Helper()
	backend := admintest.New()
	cfg := backend.Config()
	cfg.Token = "s3cret"
	server := admintest.Open(t, cfg)
	return backend, connect(t, client.Config{URL: server.URL() + "/", Token: "s3cret"})
}

var ann = admin.Order{Who: "ann@laptop", Why: "now"}

func TestEveryMethodAsksItsEndpoint(t *testing.T) {
	backend, c := daemon(t)
	backend.History = []strangler.AuditEntry{{ID: 1, Capability: "delivery", Who: "ann"}}
	backend.Writers = []strangler.Writer{{Application: "shop", Writes: 2}}
	backend.Evidence = []string{"legacy"}
	backend.Notices = []string{"delivery changes"}
	ctx := t.Context()
	for name, do := range map[string]func() (got, want any, err error){
		"snapshot": func() (any, any, error) {
			s, err := c.Snapshot(ctx)
			return s.Toggles, []strangler.Toggle{backend.Toggle}, err
		},
		"toggle": func() (any, any, error) { v, err := c.Toggle(ctx, "delivery"); return v, backend.Toggle, err },
		"noticed": func() (any, any, error) {
			v, err := c.Noticed(ctx, "delivery")
			return v, admin.Noticed{Toggle: backend.Toggle, Notices: []string{"delivery changes"}}, err
		},
		"flip": func() (any, any, error) {
			v, err := c.Flip(ctx, "delivery", strangler.ToggleChange{Mode: strangler.ModeCanary, Percent: 5_000, Who: "ann", Why: "x"}, false)
			return v.Toggle.Percent, strangler.Percent(5_000), err
		},
		"dry flip": func() (any, any, error) {
			v, err := c.Flip(ctx, "delivery", strangler.ToggleChange{Mode: strangler.ModeShadow, Who: "ann", Why: "x"}, true)
			return v.Pending, []string{"one"}, err
		},
		"history":   func() (any, any, error) { v, err := c.History(ctx, "delivery"); return v, backend.History, err },
		"instances": func() (any, any, error) { v, err := c.Instances(ctx); return v, backend.Instances, err },
		"status":    func() (any, any, error) { v, err := c.SplitStatus(ctx, "delivery"); return v, backend.Splits[0], err },
		"writers":   func() (any, any, error) { v, err := c.Writers(ctx, "delivery"); return v, backend.Writers, err },
		"start":     func() (any, any, error) { v, err := c.Start(ctx, "delivery", ann); return v, backend.Splits[0], err },
		"verify":    func() (any, any, error) { v, err := c.Verify(ctx, "delivery", ann); return v, backend.Verify, err },
		"cutover":   func() (any, any, error) { v, err := c.Cutover(ctx, "delivery", ann); return v, backend.Cutover, err },
		"rollback":  func() (any, any, error) { v, err := c.Rollback(ctx, "delivery", ann); return v, backend.Cutover, err },
		"complete":  func() (any, any, error) { v, err := c.Complete(ctx, "delivery", ann); return v, backend.Splits[0], err },
		"cancel":    func() (any, any, error) { v, err := c.Cancel(ctx, "delivery", ann); return v, backend.Splits[0], err },
		"adopt": func() (any, any, error) {
			v, err := c.Adopt(ctx, "delivery", ann)
			return v.Lines, backend.Evidence, err
		},
		"preview": func() (any, any, error) {
			v, err := c.PreviewSplit(ctx, "delivery", "cutover", ann)
			return v.Statements, []string{backend.Fence[0] + " -- from legacy", backend.Fence[1] + " -- from legacy"}, err
		},
		"run status": func() (any, any, error) { v, err := c.RunStatus(ctx, "delivery"); return v, backend.Runs[0], err },
		"run":        func() (any, any, error) { v, err := c.Run(ctx, "delivery", ann); return v, backend.Runs[0], err },
		"run rollback": func() (any, any, error) {
			v, err := c.RollbackRun(ctx, "delivery", ann)
			return v, backend.Runs[0], err
		},
		"approve": func() (any, any, error) {
			v, err := c.Approve(ctx, "delivery", admin.Order{Who: "ann", Step: "cutover"})
			return v, backend.Runs[0], err
		},
		"pause": func() (any, any, error) {
			v, err := c.AskRun(ctx, "delivery", "pause", ann)
			return v.Run, backend.Runs[0], err
		},
		"preview of a run": func() (any, any, error) { v, err := c.PreviewRun(ctx, "delivery", "", ann); return v.DryRun, true, err },
		"preview of a approval": func() (any, any, error) {
			v, err := c.PreviewRun(ctx, "delivery", "approve", admin.Order{Who: "a", Step: "cutover"})
			return v.DryRun, true, err
		},
	} {
		got, want, err := do()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// An error means on this side what it meant on the daemon's.
func TestErrorsSurviveTheWay(t *testing.T) {
	backend, c := daemon(t)
	refusal := &strangler.Refusal{Check: "lag", Why: "it is behind", Next: []string{"wait", "throttle"}}
	backend.Fail("cutover", fmt.Errorf("cutting over: %w", refusal))
	_, err := c.Cutover(t.Context(), "delivery", ann)
	var got *strangler.Refusal
	if !errors.Is(err, strangler.ErrRefused) || !errors.As(err, &got) {
		t.Fatalf("a refusal came back as %v", err)
	}
	if diff := cmp.Diff(refusal, got); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
	sentinels := []error{strangler.ErrRefused, strangler.ErrConflict, strangler.ErrUnknown, strangler.ErrSuperseded, strangler.ErrStopped, strangler.ErrConfig, strangler.ErrNotFound}
	for _, want := range sentinels {
		backend.Fail("cutover", fmt.Errorf("cutting over: %w", want))
		_, err := c.Cutover(t.Context(), "delivery", ann)
		for _, s := range sentinels {
			if errors.Is(err, s) != (s == want) {
				t.Errorf("%v came back as %v, which errors.Is calls %v", want, err, s)
			}
		}
		if err == nil || err.Error() != "cutting over: "+want.Error() {
			t.Errorf("%v came back as %q", want, err)
		}
	}
	backend.Fail("cutover", errors.New("disk full"))
	_, err = c.Cutover(t.Context(), "delivery", ann)
	if err == nil || err.Error() != "disk full" {
		t.Errorf("a plain failure came back as %v", err)
	}
	for _, s := range sentinels {
		if errors.Is(err, s) {
			t.Errorf("a plain failure is %v", s)
		}
	}
}

func TestUnreachableDaemonSaysHowToStartIt(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c := connect(t, client.Config{URL: url, Start: "strangler serve -c shop.yaml"})
	_, err = c.Cutover(t.Context(), "delivery", ann)
	var unreachable *client.Unreachable
	if !errors.As(err, &unreachable) || errors.Is(err, strangler.ErrUnknown) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{url, "nothing was changed", "strangler serve -c shop.yaml"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestWrongTokenIsAConfigurationError(t *testing.T) {
	cfg := admintest.New().Config()
	cfg.Token = "s3cret"
	server := admintest.Open(t, cfg)
	_, err := connect(t, client.Config{URL: server.URL(), Token: "hunter2"}).Snapshot(t.Context())
	if !errors.Is(err, strangler.ErrConfig) || !strings.Contains(err.Error(), "admin.token") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

// Whoever stops waiting does not know the outcome, and the operation goes on.
func TestClientThatGoesAwayStopsNothing(t *testing.T) {
	backend, c := daemon(t)
	block := backend.Block("cutover")
	ctx, leave := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := c.Cutover(ctx, "delivery", ann)
		failed <- err
	}()
	<-block.Entered
	leave()
	if err := <-failed; !errors.Is(err, strangler.ErrUnknown) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on in the daemon") {
		t.Errorf("error %v", err)
	}
	block.Release()
	if err := block.Left(); err != nil {
		t.Errorf("the operation's context ended with its client: %v", err)
	}
}

// broken answers every request in its own way.
func broken(t *testing.T, answer http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return connect(t, client.Config{URL: server.URL})
}

func TestAnswersThatAreNone(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	page := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>welcome</html>") }
	short := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":`)
	}
	strange := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, `{}`)
	}
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusTemporaryRedirect)
	}
	for name, c := range map[string]struct {
		answer          http.HandlerFunc
		reading, change error // what each is, nil: none of the root's
		says            string
	}{
		"a connection that breaks": {abort, nil, strangler.ErrUnknown, "the daemon at"},
		"a web page":               {page, strangler.ErrConfig, strangler.ErrConfig, "is not Strangler's admin API"},
		"half an object":           {short, nil, strangler.ErrUnknown, "cannot be read"},
		"a status without reason":  {strange, nil, strangler.ErrUnknown, "status 418"},
		"a redirect":               {redirect, strangler.ErrConfig, strangler.ErrConfig, "is not Strangler's admin API"},
	} {
		t.Run(name, func(t *testing.T) {
			client := broken(t, c.answer)
			_, reading := client.SplitStatus(t.Context(), "delivery")
			_, change := client.Cutover(t.Context(), "delivery", ann)
			for what, e := range map[string]struct{ got, want error }{"reading": {reading, c.reading}, "change": {change, c.change}} {
				if e.got == nil || !strings.Contains(e.got.Error(), c.says) {
					t.Errorf("%s: error %v, want %q", what, e.got, c.says)
				}
				for _, s := range []error{strangler.ErrUnknown, strangler.ErrConfig} {
					if errors.Is(e.got, s) != (s == e.want) {
						t.Errorf("%s: %v; is %v: %v", what, e.got, s, errors.Is(e.got, s))
					}
				}
			}
		})
	}
}

func TestConfigIsRefused(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:8081", "ftp://h", "http://", "http://h/api", "http://u:hunter2@h"} {
		_, err := client.New(client.Config{URL: url})
		if !errors.Is(err, strangler.ErrConfig) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestDocNamesFilesThatExist(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for word := range strings.FieldsSeq(string(text)) {
		if name := strings.Trim(word, ",.;:"); strings.HasSuffix(name, ".go") {
			named++
			if _, err := os.Stat(name); err != nil {
				t.Errorf("doc.go names %s: %v", name, err)
			}
		}
	}
	if named < 6 {
		t.Errorf("doc.go names %d files", named)
	}
}

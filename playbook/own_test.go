package playbook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	strangler "github.com/strangler-fig/strangler"
)

// told is a server that answers as it is told to, and keeps what it was told itself. It stands outside of every bubble.
type told struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	body   string
	asked  int
	posts  []notice
}

func newTold(t *testing.T) *told {
	s := &told{status: http.StatusOK, body: `{"state":"ready"}`}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		if r.Method == http.MethodPost {
			var n notice
			if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
				t.Error(err)
			}
			s.posts = append(s.posts, n)
		}
		w.WriteHeader(s.status)
		fmt.Fprint(w, s.body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *told) set(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func (s *told) seen() (asked int, posts []notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, slices.Clone(s.posts)
}

// queries answer what they are told to.
type queries struct {
	mu     sync.Mutex
	answer string
	err    error
}

func (q *queries) Query(context.Context, string, strangler.Side, string) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.answer, q.err
}

func (q *queries) set(answer string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answer, q.err = answer, err
}

// diary is a file that programs write a line to.
type diary struct {
	t    *testing.T
	path string
}

func newDiary(t *testing.T) diary { return diary{t, filepath.Join(t.TempDir(), "diary")} }

// script writes what it was begun for to the diary, and then does what is said.
func (d diary) script(word, then string) []string {
	return []string{"/bin/sh", "-c", fmt.Sprintf(`echo "$STRANGLER_STEP %s $STRANGLER_DIRECTION $STRANGLER_TRY" >>%q; %s`, word, d.path, then)}
}

func (d diary) lines() []string {
	d.t.Helper()
	text, err := os.ReadFile(d.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}

func (d diary) want(lines ...string) {
	d.t.Helper()
	if diff := cmp.Diff(lines, d.lines()); diff != "" {
		d.t.Errorf("what the programs did (-want +got):\n%s", diff)
	}
}

func ownRun(name, after string, s strangler.RunStep) strangler.OwnStep {
	return strangler.OwnStep{Name: name, After: after, Timeout: time.Minute, Run: &s}
}

func ownHTTP(name, before, url string) strangler.OwnStep {
	return strangler.OwnStep{Name: name, Before: before, Timeout: time.Minute, HTTP: &strangler.HTTPStep{URL: url, Status: 200, JSON: map[string]string{"$.state": "ready"}}}
}

// TestOwnForwardAndBack takes a run through a step of each kind, and back past all of them.
func TestOwnForwardAndBack(t *testing.T) {
	for name, c := range map[string]strangler.Capability{"tables": delivery(), "stateless": stateless()} {
		t.Run(name, func(t *testing.T) {
			server, d, q := newTold(t), newDiary(t), &queries{answer: "0"}
			prometheus := newTold(t)
			prometheus.set(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.001"]}]}}`)
			low := 0.01
			c.Playbook.Own = []strangler.OwnStep{
				{Name: "first", Before: Expand, Timeout: time.Minute, Run: &strangler.RunStep{Command: d.script("do", ":"), Undo: d.script("undo", ":")}},
				ownRun("warm", Verify, strangler.RunStep{Command: d.script("do", ":"), Undo: d.script("undo", ":")}),
				ownRun("seed", Verify, strangler.RunStep{Command: d.script("do", ":")}),
				ownHTTP("service_ready", Cutover, server.URL+"/ready"),
				{Name: "no_orphans", Before: Cutover, Timeout: time.Minute, SQL: &strangler.SQLStep{Side: strangler.Legacy, Query: "SELECT 0", Answer: "0"}},
				{Name: "errors_low", After: Canary, Timeout: time.Minute, Prometheus: &strangler.PrometheusStep{URL: prometheus.URL, Query: "up", Below: &low}},
				{Name: "sign_off", Before: Soak, Approve: &strangler.ApproveStep{By: []string{"ann@desk", "bob"}}},
				{Name: "night", Before: Soak, Wait: &strangler.WaitStep{For: 2 * time.Hour}},
				{Name: "tell", After: Cutover, Timeout: time.Minute, Notify: &strangler.NotifyStep{URL: server.URL + "/hook", Text: "it has moved"}},
				ownRun("late", Soak, strangler.RunStep{Command: d.script("do", ":"), Undo: d.script("undo", ":")}),
			}
			inBed(t, c, func(w *world, cfg *Config) { w.queries, cfg.Queries = q, q }, func(b *bed) {
				b.run()
				b.approval(Cutover)
				b.approve(Cutover)
				run := b.approval("sign_off")
				if d := record(run, "sign_off").Detail; !strings.Contains(d, "ann@desk or bob") {
					b.Errorf("it does not say who may: %q", d)
				}
				for _, who := range []string{"eve", "eve@desk", "ann", "ann@other", "", "bobby"} {
					if err := b.e.Approve(b.Context(), "delivery", RunOptions{Step: "sign_off", Who: who, Confirm: "delivery"}); !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), "ann@desk, bob may") {
						b.Errorf("%q, who may not: %v", who, err)
					}
				}
				if err := b.e.Approve(b.Context(), "delivery", RunOptions{Step: "sign_off", Who: "bob@anywhere", Confirm: "delivery"}); err != nil {
					b.Error(err)
				}
				begun := time.Now()
				run = b.approval(Complete)
				if waited := time.Since(begun); waited < 2*time.Hour || waited > 2*time.Hour+time.Minute {
					b.Errorf("the wait of 2h took %v", waited)
				}
				var names []string
				for _, s := range run.Steps {
					if s.Name != Complete && s.State != strangler.StepDone {
						b.Errorf("%s is %s: %s", s.Name, s.State, s.Detail)
					}
					names = append(names, s.Name)
				}
				if got, want := strings.Join(names, " "), "first expand copy verify warm seed shadow canary errors_low service_ready no_orphans cutover tell sign_off night soak late complete"; got != want {
					b.Errorf("the steps are %s", got)
				}
				if _, posts := server.seen(); len(posts) != 1 || posts[0].Text != "it has moved" || posts[0].Step != "tell" || posts[0].Capability != "delivery" || posts[0].Run != 1 {
					b.Errorf("told %+v", posts)
				}
				d.want("first do forward 1", "warm do forward 1", "seed do forward 1", "late do forward 1")
				b.rollback("")
				b.wait(strangler.RunRolledBack)
				d.want("first do forward 1", "warm do forward 1", "seed do forward 1", "late do forward 1", "late undo back 1")
				b.rollback("first")
				b.wait(strangler.RunRolledBack)
				d.want("first do forward 1", "warm do forward 1", "seed do forward 1", "late do forward 1", "late undo back 1", "warm undo back 1", "first undo back 1")
				b.run() // a run of its own
				b.approval(Cutover)
				if lines := d.lines(); len(lines) != 10 || lines[7] != "first do forward 1" {
					b.Errorf("the second run: %q", lines)
				}
			})
		})
	}
}

// TestNothingIsTakenBackThatWasNotBegun: the ledger says what was, and a check where there is one.
func TestNothingIsTakenBackThatWasNotBegun(t *testing.T) {
	d, c := newDiary(t), stateless()
	c.Playbook.Own = []strangler.OwnStep{
		ownRun("asked", Shadow, strangler.RunStep{Command: d.script("do", ":"), Undo: d.script("undo", ":")}),
		ownRun("later", Canary, strangler.RunStep{Command: d.script("do", ":"), Undo: d.script("undo", ":")}),
		ownRun("there", Canary, strangler.RunStep{Command: d.script("do", ":"), Check: []string{"true"}, Undo: d.script("undo", ":")}),
		ownRun("absent", Canary, strangler.RunStep{Command: d.script("do", ":"), Check: []string{"false"}, Undo: d.script("undo", ":")}),
	}
	c.Playbook.Approve = []string{"asked"}
	inBed(t, c, nil, func(b *bed) {
		b.run()
		b.approval("asked")
		b.rollback(Shadow)
		run := b.wait(strangler.RunRolledBack)
		d.want("there undo back 1")
		for name, want := range map[string]string{"asked": "it was not begun", "later": "it was not begun", "absent": "false says that it is not done"} {
			if s := record(run, name); s.State != strangler.StepUndone || !strings.Contains(s.Detail, want) {
				b.Errorf("%s is %s: %q", name, s.State, s.Detail)
			}
		}
	})
}

// TestGateWaits: it says what is missing, how far it is and what shows more; it does not fail, and nothing before it is done again.
func TestGateWaits(t *testing.T) {
	server, d, q := newTold(t), newDiary(t), &queries{answer: "3"}
	server.set(503, "")
	c := stateless()
	c.Playbook.Own = []strangler.OwnStep{
		ownRun("warm", Verify, strangler.RunStep{Command: d.script("do", ":")}),
		ownHTTP("ready", Shadow, strings.Replace(server.URL, "http://", "http://u:hunter2@", 1)+"/ready?token=hunter2"),
		{Name: "orphans", Before: Shadow, Timeout: time.Minute, SQL: &strangler.SQLStep{Side: strangler.Legacy, Query: "SELECT 0", Answer: "0"}},
	}
	c.Playbook.Approve = []string{"ready"}
	shown := strangler.Shown(server.URL) + "/ready"
	inBed(t, c, func(w *world, cfg *Config) { w.queries, cfg.Queries = q, q }, func(b *bed) {
		b.run()
		waits := func(step, text, detail string) {
			b.Helper()
			run := b.until(func(r strangler.Run) bool { return record(r, step).Detail == detail })
			if run.State != strangler.RunWaiting || run.Waiting != text {
				b.Errorf("the run is %s", doing(run))
			}
		}
		text := "waiting for GET " + shown + " to answer 200"
		more := "; curl -i " + shown + " shows more"
		waits("ready", text, text+": it answered 503"+more)
		server.set(200, `{"state":"starting"}`)
		waits("ready", text, text+`: $.state is "starting", not "ready"`+more)
		server.set(200, `{}`)
		waits("ready", text, text+`: its body has no $.state`+more)
		server.set(200, `no JSON`)
		waits("ready", text, text+`: its body is not JSON, or longer than 1048576 bytes`+more)
		b.restart()
		server.set(200, `{"state":"ready"}`)
		b.approval("ready") // a gate may be approved as well
		server.set(503, "")
		b.approve("ready")
		waits("ready", text, text+": it answered 503"+more)
		server.set(200, `{"state":"ready"}`)
		text, more = `waiting for the legacy database to answer "0" to the query of orphans`, "; strangler playbook show delivery shows more"
		waits("orphans", text, text+`: it answered "3"`+more)
		q.set("", strangler.ErrNotFound)
		waits("orphans", text, text+`: it answered no row`+more)
		q.set("", errors.New("connection refused"))
		waits("orphans", text, text+`: connection refused`+more)
		q.set("0", nil)
		b.until(func(r strangler.Run) bool { return record(r, "orphans").State == strangler.StepDone })
		d.want("warm do forward 1")
		for _, s := range b.w.runs[0].Steps {
			if strings.Contains(s.Detail, "hunter2") {
				b.Errorf("%s shows the secret: %q", s.Name, s.Detail)
			}
		}
	})
}

// TestGateThatCanNeverBeMet ends the run: no waiting would help.
func TestGateThatCanNeverBeMet(t *testing.T) {
	c := stateless()
	c.Playbook.Own = []strangler.OwnStep{{Name: "orphans", Before: Shadow, Timeout: time.Minute, SQL: &strangler.SQLStep{Side: strangler.Legacy, Query: "SELECT 1, 2", Answer: "0"}}}
	inBed(t, c, func(_ *world, cfg *Config) {
		cfg.Queries = &queries{err: fmt.Errorf("the query answers 2 columns: %w", strangler.ErrConfig)}
	}, func(b *bed) {
		b.run()
		if run := b.wait(strangler.RunFailed); !strings.Contains(run.Error, "step orphans: the query of orphans: the query answers 2 columns") {
			b.Errorf("the error: %s", run.Error)
		}
	})
}

// TestEvidenceGrowsOld: gates right before the cutover are asked again when the approval has come, days later.
func TestEvidenceGrowsOld(t *testing.T) {
	for name, c := range map[string]strangler.Capability{"tables": delivery(), "stateless": stateless()} {
		t.Run(name, func(t *testing.T) {
			server, early := newTold(t), newTold(t)
			c.Playbook.Own = []strangler.OwnStep{ownHTTP("early", Shadow, early.URL), ownHTTP("ready", Cutover, server.URL)}
			inBed(t, c, nil, func(b *bed) {
				b.run()
				b.approval(Cutover)
				server.set(503, "")
				early.set(503, "") // of the shadow, not of the cutover
				b.approve(Cutover)
				b.until(func(r strangler.Run) bool {
					return r.Waiting == "waiting for the gate ready, which was met before, to be met again" && strings.Contains(record(r, Cutover).Detail, "it answered 503")
				})
				if b.w.toggle.Mode == strangler.ModeExtracted {
					b.Error("it was cut over")
				}
				server.set(200, `{"state":"ready"}`)
				b.approval(Complete)
			})
		})
	}
}

func TestCanaryWaitsForRequests(t *testing.T) {
	c := delivery()
	c.Playbook.Requests = 100
	inBed(t, c, func(w *world, _ *Config) { w.silent = true }, func(b *bed) {
		b.run()
		run := b.until(func(r strangler.Run) bool { return strings.Contains(record(r, Canary).Detail, "inconclusive") })
		if want := "waiting for 100 requests answered by the service at canary 1%"; run.Waiting != want || !strings.HasPrefix(record(run, Canary).Detail, want+": 0 of 100 requests; no traffic: inconclusive") {
			b.Errorf("it is %s, %q", run.Waiting, record(run, Canary).Detail)
		}
		time.Sleep(24 * time.Hour)
		if run, err := b.e.Status(b.Context(), "delivery"); err != nil || run.State != strangler.RunWaiting {
			b.Errorf("after a day without traffic: %s, %v", doing(run), err)
		}
		b.w.set(func() { b.w.silent, b.w.booted = false, time.Now() })
		b.until(func(r strangler.Run) bool {
			return strings.Contains(record(r, Canary).Detail, ": 40 of 100 requests; service")
		})
		b.approval(Cutover)
	})
}

// TestNotify tells again what may not have been heard, and fails in the end.
func TestNotify(t *testing.T) {
	server, c := newTold(t), stateless()
	server.set(500, "")
	c.Playbook.Own = []strangler.OwnStep{{Name: "tell", Before: Shadow, Timeout: time.Minute, Retries: 2, Notify: &strangler.NotifyStep{URL: server.URL + "/hunter2", Text: "x"}}}
	inBed(t, c, nil, func(b *bed) {
		b.run()
		run := b.wait(strangler.RunFailed)
		if asked, _ := server.seen(); asked != 3 || !strings.Contains(run.Error, "3 attempts, the last: "+strings.TrimPrefix(server.URL, "http://")+" answered 500") || strings.Contains(run.Error, "hunter2") {
			b.Errorf("told %d times, %s", asked, run.Error)
		}
		server.set(204, "")
		b.run()
		b.until(func(r strangler.Run) bool { return record(r, "tell").State == strangler.StepDone })
		if asked, _ := server.seen(); asked != 4 {
			b.Errorf("told %d times", asked)
		}
	})
}

// TestWaitAndClocks: a clock that is set back neither ends a wait early nor holds it for ever; a restart does not begin it anew.
func TestWaitAndClocks(t *testing.T) {
	c := stateless()
	c.Playbook.Own = []strangler.OwnStep{{Name: "night", Before: Shadow, Wait: &strangler.WaitStep{For: 2 * time.Hour}}}
	until := func(b *bed, began time.Time) bool {
		run, err := b.e.Status(b.Context(), "delivery")
		return err != nil || record(run, "night").State == strangler.StepDone || time.Since(began) > 10*time.Hour
	}
	var mu sync.Mutex
	var off time.Duration
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Round(0).Add(off)
	}
	inBed(t, c, func(_ *world, cfg *Config) { cfg.Now = now }, func(b *bed) {
		began := time.Now()
		b.run()
		run := b.until(func(r strangler.Run) bool { return r.State == strangler.RunWaiting })
		if s := record(run, "night"); s.Detail != "waiting for 2h to pass: 2h0m0s are left" {
			b.Errorf("it says %q", s.Detail)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		off = -24 * time.Hour
		mu.Unlock()
		for !until(b, began) {
			time.Sleep(time.Minute)
		}
		if took := time.Since(began); took < 2*time.Hour || took > 2*time.Hour+3*time.Minute {
			b.Errorf("the wait of 2h took %v", took)
		}
	})
	off = 0
	inBed(t, c, func(_ *world, cfg *Config) { cfg.Now = now }, func(b *bed) {
		began := time.Now()
		b.run()
		time.Sleep(time.Hour)
		b.restart()
		for !until(b, began) {
			time.Sleep(time.Minute)
		}
		if took := time.Since(began); took < 2*time.Hour || took > 2*time.Hour+3*time.Minute {
			b.Errorf("with a restart the wait of 2h took %v", took)
		}
	})
}

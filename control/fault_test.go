package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

// write is one durable write. arrange brings a fresh store, where every id is 1, to where call has
// something to do; call does it, and nothing else.
type write struct {
	arrange func(ctx context.Context, s *Store) error
	call    func(ctx context.Context, s *Store) error
}

func nothing(context.Context, *Store) error { return nil }

func prepared(ctx context.Context, s *Store) error {
	_, err := s.Prepare(ctx, "delivery", strangler.Service, latestID(s), "ann", "it is time")
	return err
}

func decide(ctx context.Context, s *Store) error {
	_, err := s.Decide(ctx, 1, strangler.Committed, "serial 17", "")
	return err
}

func decided(ctx context.Context, s *Store) error {
	if err := prepared(ctx, s); err != nil {
		return err
	}
	return decide(ctx, s)
}

func leased(ctx context.Context, s *Store) error {
	_, err := s.Lease(ctx, "work", "a", time.Hour)
	return err
}

func splitLeased(ctx context.Context, s *Store) error {
	_, err := s.Lease(ctx, strangler.SplitLease("delivery"), "a", time.Hour)
	return err
}

func registered(ctx context.Context, s *Store) error {
	return s.Register(ctx, strangler.Instance{ID: "a"})
}

func started(ctx context.Context, s *Store) error {
	_, err := s.StartRun(ctx, "", newRun())
	return err
}

// writes are all durable writes but the making of the store.
var writes = map[point]write{
	pointEnsure: {nothing, func(ctx context.Context, s *Store) error {
		return s.Ensure(ctx, []strangler.Capability{{Name: "billing"}, {Name: "search", Tables: delivery.Tables}})
	}},
	pointSet: {nothing, func(ctx context.Context, s *Store) error {
		_, err := set(ctx, s, "delivery", strangler.ModeCanary, 1000)
		return err
	}},
	pointPrepare: {nothing, prepared},
	pointDecide:  {prepared, decide},
	pointRelease: {decided, func(ctx context.Context, s *Store) error { return s.Release(ctx, 1) }},
	pointNextEpoch: {nothing, func(ctx context.Context, s *Store) error {
		_, err := s.NextEpoch(ctx, "delivery", "worker", "w")
		return err
	}},
	pointAdopt: {prepared, func(ctx context.Context, s *Store) error {
		_, err := s.Adopt(ctx, "delivery", strangler.Service, 40, "ann", "w")
		return err
	}},
	pointNextTerm: {nothing, func(ctx context.Context, s *Store) error {
		_, err := s.NextTerm(ctx)
		return err
	}},
	pointLease:   {nothing, leased},
	pointUnlease: {leased, func(ctx context.Context, s *Store) error { return s.Unlease(ctx, "work", "a") }},
	pointSaveSplit: {splitLeased, func(ctx context.Context, s *Store) error {
		return s.SaveSplit(ctx, "a", strangler.Split{Capability: "delivery"})
	}},
	pointRegister:    {nothing, registered},
	pointHeartbeat:   {registered, func(ctx context.Context, s *Store) error { return s.Heartbeat(ctx, "a") }},
	pointAcknowledge: {registered, func(ctx context.Context, s *Store) error { return s.Acknowledge(ctx, "a", "delivery", 1) }},
	pointLeave:       {registered, func(ctx context.Context, s *Store) error { return s.Leave(ctx, "a") }},
	pointStartRun:    {nothing, started},
	pointSaveRun: {started, func(ctx context.Context, s *Store) error {
		return s.SaveRun(ctx, "", strangler.Run{ID: 1, State: strangler.RunDone})
	}},
	pointSaveStep: {started, func(ctx context.Context, s *Store) error {
		return s.SaveStep(ctx, "", 1, strangler.StepRun{Name: "expand", State: strangler.StepDoing})
	}},
	pointApprove: {started, func(ctx context.Context, s *Store) error { return s.Approve(ctx, 1, "expand", "bob") }},
}

// eachWrite runs a test for every durable write but the making of the store, over an arranged store in
// each place.
func eachWrite(t *testing.T, test func(t *testing.T, p point, w write, dsn string)) {
	eachPlace(t, func(t *testing.T, at place) {
		for _, name := range FaultPoints() {
			if p := point(name); p != pointOpen {
				t.Run(name, func(t *testing.T) { test(t, p, writes[p], arranged(t, at, p)) })
			}
		}
	})
}

// arranged is the DSN of a store in which the write has something to do.
func arranged(t *testing.T, at place, p point) string {
	t.Helper()
	w, ok := writes[p]
	if !ok {
		t.Fatalf("no test breaks the write %s", p)
	}
	dsn := at.dsn(t)
	s := openStore(t, Config{DSN: dsn})
	ensure(t, s)
	noError(t, w.arrange(t.Context(), s))
	return dsn
}

// dump is everything that the store holds.
func dump(t *testing.T, s *Store) []string {
	t.Helper()
	var lines []string
	for _, table := range tables {
		var rows []map[string]any
		noError(t, s.db.Model(table).Find(&rows).Error)
		for _, row := range rows {
			lines = append(lines, fmt.Sprintf("%T %v", table, row))
		}
	}
	slices.Sort(lines)
	return lines
}

var errInjected = errors.New("injected")

// failAt is a Fault that fails at one point, and counts how often it was there.
func failAt(at string, count *int) func(string) error {
	return func(p string) error {
		if p == at {
			*count++
			return errInjected
		}
		return nil
	}
}

func TestWritesNotDone(t *testing.T) {
	eachWrite(t, func(t *testing.T, p point, w write, dsn string) {
		reader := openStore(t, Config{DSN: dsn})
		before := dump(t, reader)
		count := 0
		broken := openStore(t, Config{DSN: dsn, Fault: failAt(string(p)+".before", &count)})
		wants(t, w.call(t.Context(), broken), errInjected)
		if diff := cmp.Diff(before, dump(t, reader)); diff != "" || count != 1 {
			t.Errorf("a write that was broken off (%d times) left something: %s", count, diff)
		}
		noError(t, w.call(t.Context(), reader)) // no lock is left behind
	})
}

func TestWritesDoneButReportedFailed(t *testing.T) {
	eachWrite(t, func(t *testing.T, p point, w write, dsn string) {
		reader := openStore(t, Config{DSN: dsn})
		before := dump(t, reader)
		count := 0
		broken := openStore(t, Config{DSN: dsn, Fault: failAt(string(p)+".after", &count)})
		err := w.call(t.Context(), broken)
		wants(t, err, strangler.ErrUnknown)
		if !errors.Is(err, errInjected) {
			t.Errorf("the cause is lost: %v", err)
		}
		if cmp.Equal(before, dump(t, reader)) || count != 1 {
			t.Errorf("the write was not done (%d times)", count)
		}
	})
}

// The context ends between the last statement and the commit.
func TestWritesWhoseContextEndsAtTheCommit(t *testing.T) {
	eachWrite(t, func(t *testing.T, p point, w write, dsn string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := openStore(t, Config{DSN: dsn, Fault: func(at string) error {
			if at == string(p)+".before" {
				cancel()
			}
			return nil
		}})
		wants(t, w.call(ctx, s), strangler.ErrUnknown)
		err := w.call(ctx, s) // it has ended before the call
		if !errors.Is(err, context.Canceled) || errors.Is(err, strangler.ErrUnknown) {
			t.Errorf("a call under a context that has ended gives %v; want one that is certain", err)
		}
	})
}

// A process that dies at the commit leaves the write undone before it and done after it.
func TestWritesOfAProcessThatIsKilled(t *testing.T) {
	eachWrite(t, func(t *testing.T, p point, w write, dsn string) {
		reader := openStore(t, Config{DSN: dsn})
		before := dump(t, reader)
		kill(t, string(p)+".before", dsn)
		if diff := cmp.Diff(before, dump(t, reader)); diff != "" {
			t.Errorf("killed before the commit: %s", diff)
		}
		kill(t, string(p)+".after", dsn)
		if cmp.Equal(before, dump(t, reader)) {
			t.Error("killed after the commit: nothing is stored")
		}
	})
}

func kill(t *testing.T, at, dsn string) {
	t.Helper()
	output, err := childProcess(t, at, dsn).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process did not die at %s: %v: %s", at, err, output)
	}
}

// The making of the store, broken both ways.
func TestMakingTheStoreIsBroken(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		for _, c := range []struct {
			at   string
			want error
		}{{"open.before", errInjected}, {"open.after", strangler.ErrUnknown}} {
			t.Run(c.at, func(t *testing.T) {
				dsn := at.dsn(t)
				count := 0
				_, err := Open(t.Context(), Config{DSN: dsn, Fault: failAt(c.at, &count)})
				wants(t, err, c.want)
				made := 0
				s := openStore(t, Config{DSN: dsn, Fault: func(p string) error {
					if p == "open.after" {
						made++
					}
					return nil
				}})
				if done := c.want == strangler.ErrUnknown; count != 1 || (made == 0) != done {
					t.Errorf("broken %d times; opened again it was made %d times", count, made)
				}
				ensure(t, s)
			})
		}
	})
}

// A decision of unknown outcome is settled by a new worker: abort what is still preparing, go by what is decided.
func TestADecisionOfUnknownOutcomeIsReadBack(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		for point, want := range map[string]strangler.CutoverState{"decide.before": strangler.Aborted, "decide.after": strangler.Committed} {
			dsn := at.dsn(t)
			s := openStore(t, Config{DSN: dsn})
			ensure(t, s)
			cutover := must(s.Prepare(ctx, "delivery", strangler.Service, latestID(s), "ann", "it is time"))(t)
			count := 0
			broken := openStore(t, Config{DSN: dsn, Fault: failAt(point, &count)})
			row, err := broken.Decide(ctx, cutover.ID, strangler.Committed, "serial 17", "")
			if err == nil || row != (strangler.Cutover{}) {
				t.Fatalf("%s: %+v, %v", point, row, err)
			}
			settled, err := s.Decide(ctx, cutover.ID, strangler.Aborted, "", "settled by a new worker")
			if (err != nil) != (want == strangler.Committed) || settled.State != want {
				t.Errorf("%s: settled as %+v, %v; want %s", point, settled, err, want)
			}
			checkAudit(t, s, "delivery")
		}
	})
}

const childTerms = 5

// child is the other process of a test: it opens the store and takes some terms, or dies at a point.
func child(task, dsn string) error {
	ctx := context.Background()
	s, err := Open(ctx, Config{DSN: dsn, Fault: func(at string) error {
		if at == task {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				return err
			}
			select {} // the signal may reach another thread first
		}
		return nil
	}})
	if err != nil {
		return err
	}
	defer s.Close()
	if task == "id" {
		for range childTerms {
			if _, err := s.NextTerm(ctx); err != nil {
				return err
			}
		}
		_, err := io.WriteString(os.Stdout, s.ID())
		return err
	}
	name, _, _ := strings.Cut(task, ".")
	if err := writes[point(name)].call(ctx, s); err != nil {
		return err
	}
	return fmt.Errorf("%s was passed alive", task)
}

package outage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

const noRoom = `CREATE OR REPLACE FUNCTION no_room() RETURNS %s LANGUAGE plpgsql AS $$BEGIN
	RAISE 'could not extend file "base/1/2": No space left on device' USING ERRCODE = 'disk_full', HINT = 'Check free disk space.'; END$$;`

// full has a side's server answer to every write of a table as it does with a full disk, until the answer is called.
func (r *rig) full(side strangler.Side, table string) (room func()) {
	r.t.Helper()
	r.superuser(side, fmt.Sprintf(noRoom, "trigger")+"CREATE TRIGGER no_room BEFORE INSERT OR UPDATE OR DELETE ON "+table+" FOR EACH ROW EXECUTE FUNCTION no_room(); ALTER TABLE "+table+" ENABLE ALWAYS TRIGGER no_room")
	return func() { r.t.Helper(); r.superuser(side, "DROP TRIGGER no_room ON "+table) }
}

// saysFull waits until the status tells of a full database; nothing else of it may change.
func (r *rig) saysFull(side strangler.Side, phase strangler.Phase) {
	r.t.Helper()
	owner := r.owner()
	await(r.t, "a word of the full database", func() bool {
		st := r.status()
		if st.Phase != phase || st.Owner != owner {
			r.t.Fatalf("the split is %s, owned by %s: %s", st.Phase, st.Owner, st.Error)
		}
		return strings.Contains(st.Error, "the "+string(side)+" database of billing is full: ") && strings.Contains(st.Error, "No space left on device") &&
			strings.Contains(st.Error, "Nothing was lost: the "+string(owner)+" side serves") && strings.Contains(st.Error, "Make room there")
	})
}

// saysNothing waits until the status tells of no error.
func (r *rig) saysNothing() {
	r.t.Helper()
	await(r.t, "an end of the word of the full database", func() bool { return r.status().Error == "" })
}

// TestAFullDatabaseIsWaitedFor has every kind of write find no room. It is said, the owner goes on serving, and with
// room the split goes on by itself. A script that finds none changes nothing.
func TestAFullDatabaseIsWaitedFor(t *testing.T) {
	t.Parallel()
	t.Run("copying", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		w := r.through("through")
		r.superuser(strangler.Service, fmt.Sprintf(noRoom, "event_trigger")+"CREATE EVENT TRIGGER no_room ON ddl_command_start WHEN TAG IN ('CREATE FUNCTION') EXECUTE FUNCTION no_room()")
		err := r.splits.Expand(t.Context(), capability)
		if !errors.Is(err, migrations.ErrFull) || !strings.Contains(err.Error(), "changed nothing; make room") || !strings.Contains(err.Error(), "the service database of billing is full") {
			t.Errorf("without room the scripts say: %v", err)
		}
		w.await(10)
		r.superuser(strangler.Service, "DROP EVENT TRIGGER no_room; DROP FUNCTION no_room()")
		must(t, r.splits.Expand(t.Context(), capability))
		marks, rows := r.full(strangler.Service, "strangler_mark"), r.full(strangler.Service, "invoice")
		must(t, r.copyOnce(t.Context()))
		r.saysFull(strangler.Service, strangler.PhaseCopying)
		w.await(10)
		marks() // the chunk behind the mark does not find any
		r.saysFull(strangler.Service, strangler.PhaseCopying)
		w.await(10)
		rows()
		r.awaitPhase(strangler.PhaseSyncing)
		r.saysNothing()
		r.check(w)
	})
	t.Run("following", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		w := r.through("through")
		r.copied()
		without := func(side strangler.Side, table string, phase strangler.Phase) {
			t.Helper()
			room := r.full(side, table)
			r.saysFull(side, phase)
			w.await(10)
			room()
			r.saysNothing()
		}
		without(strangler.Service, "line", strangler.PhaseSyncing)
		without(strangler.Service, "strangler_position", strangler.PhaseSyncing)
		without(strangler.Legacy, "strangler_position", strangler.PhaseSyncing)
		r.handed(strangler.Service)
		without(strangler.Legacy, "line", strangler.PhaseReversed)
		r.check(w)
	})
}

// TestCutoverToAFullDatabase: it is refused before a write is held; where the room ends later, it is aborted and the
// owner opened, whatever becomes of the other side; where it ends behind the decision, the new owner is opened
// as soon as there is some.
func TestCutoverToAFullDatabase(t *testing.T) {
	t.Parallel()
	t.Run("before a write is held", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		w := r.through("through")
		r.copied()
		before := r.gate.Load().closed()
		room := r.full(strangler.Service, "line")
		r.saysFull(strangler.Service, strangler.PhaseSyncing)
		w.await(10)
		var told *strangler.Refusal
		if err := r.hand(t.Context(), strangler.Service); !errors.As(err, &told) || told.Check != "room" || !strings.Contains(told.Why, "the service database of billing is full") {
			t.Errorf("a cutover without room says: %v", err)
		}
		if _, err := r.splits.Verify(t.Context(), capability); err != nil && (!errors.As(err, &told) || told.Check != "room") {
			t.Errorf("a verification without room says: %v", err)
		}
		if r.gate.Load().closed() != before || r.owner() != strangler.Legacy {
			t.Errorf("a cutover without room has held writes, or has gone through")
		}
		room()
		r.handed(strangler.Service)
		w.await(1)
		r.check(w)
	})
	t.Run("behind the fence", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		w := r.through("through")
		r.copied()
		var room func()
		came := r.watch.when(step{"at the position", "end.after", 1}, func() { room = r.full(strangler.Service, "strangler_fence") })
		answer := make(chan error, 1)
		go func() { answer <- r.hand(context.WithoutCancel(t.Context()), strangler.Service) }()
		await(t, "the fence", came)
		await(t, "the abort", func() bool {
			st := r.status()
			return st.Cutover != nil && st.Cutover.State == strangler.Aborted && strings.Contains(st.Cutover.Why, "the service database of billing is full")
		})
		w.await(10) // the owner is open, though the other side cannot be written to
		room()
		if err := <-answer; err == nil || !strings.Contains(err.Error(), "aborted, the legacy side owns as before and nothing was lost") || !errors.Is(err, migrations.ErrFull) {
			t.Errorf("a cutover whose room has ended says: %v", err)
		}
		r.handed(strangler.Service)
		r.check(w)
	})
	t.Run("behind the decision", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		w := r.through("through")
		r.copied()
		var tries atomic.Int64
		var room func()
		came := r.watch.when(step{"behind the decision", "decide.after", 1}, func() { room = r.full(strangler.Service, "strangler_fence") })
		r.watch.always(func(point string) {
			if came() && point == "fence.before" && tries.Add(1) == 3 {
				room()
			}
		})
		must(t, r.hand(t.Context(), strangler.Service))
		r.watch.always(nil)
		if !came() || tries.Load() < 3 {
			t.Errorf("the fence was opened at the first of %d tries", tries.Load())
		}
		w.await(10)
		r.check(w)
	})
}

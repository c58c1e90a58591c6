package outage

import (
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// stops waits until the split has stopped with words, and begins it again once what stopped it is taken back.
func (r *rig) stops(w *writer, change, back strangler.Side, words ...string) func(statement, undo string) {
	return func(statement, undo string) {
		r.t.Helper()
		owner := r.owner()
		if statement != "" {
			r.superuser(change, statement)
		}
		var st strangler.SplitStatus
		await(r.t, "the stop", func() bool { st = r.status(); return st.Phase == strangler.PhaseStopped })
		for _, word := range append(words, "strangler split start billing", "nothing was lost") {
			if !strings.Contains(st.Error, word) {
				r.t.Errorf("the split that has stopped does not say %q: %s", word, st.Error)
			}
		}
		if st.Owner != owner {
			r.t.Errorf("%s owns", st.Owner)
		}
		w.await(10)
		r.superuser(back, undo)
		r.again("the start", r.copyOnce)
		await(r.t, "the follower", func() bool {
			st := r.status()
			return st.Phase == strangler.PhaseSyncing || st.Phase == strangler.PhaseReversed
		})
	}
}

// TestTablesThatChangeStopTheSplit changes a table that moves at either side, in the copy, while the service follows
// and once it owns. The owner goes on serving, the split stops and says what to do, and with the change taken back it goes
// on and has everything.
func TestTablesThatChangeStopTheSplit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.through("through")
	must(t, r.splits.Expand(t.Context(), capability))
	r.superuser(strangler.Legacy, "ALTER TABLE note ADD more integer")
	must(t, r.copyOnce(t.Context()))
	r.stops(w, "", strangler.Legacy, "legacy database", "note has ", "more integer")("", "ALTER TABLE note DROP more")
	r.verified()
	for _, owner := range sides {
		r.handed(owner)
		for _, side := range sides {
			r.stops(w, side, side, string(side)+" database", "note has ")("ALTER TABLE note RENAME text TO words", "ALTER TABLE note RENAME words TO text")
			r.stops(w, side, side, string(side)+" database", "note")("ALTER TABLE note RENAME TO memo", "ALTER TABLE memo RENAME TO note")
		}
		r.caughtUp()
		r.verified()
	}
	r.check(w)
}

// TestATableThatIsGoneAtTheStart: a worker that begins anew finds it as the one before it did.
func TestATableThatIsGoneAtTheStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.through("through")
	r.copied()
	for _, side := range sides {
		must(t, r.stop())
		r.superuser(side, "ALTER TABLE note RENAME TO memo")
		r.start()
		r.stops(w, "", side, string(side)+" database", "note")("", "ALTER TABLE memo RENAME TO note")
	}
	r.check(w)
}

// TestARowThatDoesNotFitStopsTheSplit: the owner's table has come to take what the follower's does not.
func TestARowThatDoesNotFitStopsTheSplit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.superuser(strangler.Legacy, "CREATE TYPE kind AS ENUM ('good'); ALTER TYPE kind OWNER TO "+appRole+"; ALTER TABLE note ADD k kind, ADD n integer CHECK (n > 0), ADD m integer NOT NULL DEFAULT 1")
	w := r.through("through")
	must(t, r.splits.Expand(t.Context(), capability))
	r.superuser(strangler.Legacy, "ALTER TYPE kind ADD VALUE 'bad'")
	r.superuser(strangler.Legacy, "INSERT INTO note (id, k) VALUES (-1, 'bad')")
	must(t, r.copyOnce(t.Context()))
	r.stops(w, "", strangler.Service, "row does not fit", "invalid input value for enum")("", "ALTER TYPE kind ADD VALUE 'bad'")
	r.stops(w, strangler.Legacy, strangler.Service, "row does not fit", "check constraint")(
		"ALTER TABLE note DROP CONSTRAINT note_n_check; UPDATE note SET n = -1 WHERE id = 1", "ALTER TABLE note DROP CONSTRAINT note_n_check")
	r.stops(w, strangler.Legacy, strangler.Service, "row does not fit", "not-null constraint")(
		"ALTER TABLE note ALTER m DROP NOT NULL; UPDATE note SET m = NULL WHERE id = 2", "ALTER TABLE note ALTER m DROP NOT NULL")
	r.verified()
	r.check(w)
}

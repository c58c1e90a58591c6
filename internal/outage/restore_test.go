package outage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// TestControlStorePutBackOpensNothing puts the control store back from a copy that knows nothing of a cutover.
func TestControlStorePutBackOpensNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.through("through")
	r.copied()
	must(t, r.stop())
	file := strings.TrimPrefix(r.control, "sqlite:")
	before, err := os.ReadFile(file)
	must(t, err)
	r.start()
	r.handed(strangler.Service)
	w.await(3)
	must(t, r.stop())
	for _, beside := range []string{"-wal", "-shm"} {
		if err := os.Remove(file + beside); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	must(t, os.WriteFile(file, before, 0o600))
	r.start()
	r.opensNothing(strangler.Service, "the store was put back from an older copy")
	r.adopted(strangler.Service, strangler.PhaseReversed)
	w.await(3)
	r.verified()
	r.handed(strangler.Legacy)
	w.await(1)
	r.check(w)
}

// TestForeignControlStoreOpensNothing begins with a new control store over databases that belong to another.
func TestForeignControlStoreOpensNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.through("through")
	r.copied()
	r.handed(strangler.Service)
	w.await(1)
	must(t, r.stop())
	r.control = "sqlite:" + filepath.Join(r.dir, "another.db")
	r.start()
	r.again("the copy", r.copyOnce)
	r.opensNothing(strangler.Service, "belongs to another control store")
	r.adopted(strangler.Service, strangler.PhaseReversed)
	w.await(3)
	r.verified()
	r.handed(strangler.Legacy)
	w.await(1)
	r.check(w)
}

// TestDatabasePutBackStopsTheSplit puts one side back from a dump that is one batch old, into the same and into a new database.
// The split stops, and begins anew once a person has named the owner.
func TestDatabasePutBackStopsTheSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		side strangler.Side
		back func(r *rig, side strangler.Side, file string)
	}{
		{"the owner in the same database", strangler.Legacy, (*rig).restoreInto},
		{"the owner in a new database", strangler.Legacy, (*rig).restoreAnew},
		{"the follower in the same database", strangler.Service, (*rig).restoreInto},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.copied()
			r.caughtUp()
			file := r.dump(c.side)
			run(t, r.apps[strangler.Legacy], "INSERT INTO note VALUES (-7, 'behind the dump')")
			r.caughtUp()
			must(t, r.stop())
			c.back(r, c.side, file)
			r.start()
			r.opensNothing(strangler.Legacy, "put back")
			r.begunAnew()
		})
	}
}

// TestServerPutBackStopsTheSplit puts the owner's whole server back from a copy of its files, as the snapshot
// of a machine is: no identifier tells, but the batches that it has given away since.
func TestServerPutBackStopsTheSplit(t *testing.T) {
	r := newRig(t)
	r.copied()
	r.caughtUp()
	s := server(t, strangler.Legacy)
	var data string
	must(t, r.root(strangler.Legacy).QueryRow(t.Context(), "SHOW data_directory").Scan(&data))
	before := data + ".before"
	t.Cleanup(func() { must(t, os.RemoveAll(before)) })
	restart := func(f func()) {
		must(t, s.Kill())
		f()
		must(t, s.Restart(t.Context()))
		r.apps[strangler.Legacy].Reset()
	}
	restart(func() { r.execute("cp", "-a", data, before) })
	for i := range 3 {
		run(t, r.apps[strangler.Legacy], "INSERT INTO note VALUES ($1, 'behind the copy')", -7-i)
		r.caughtUp()
	}
	restart(func() {
		must(t, os.RemoveAll(data))
		must(t, os.Rename(before, data))
	})
	r.opensNothing(strangler.Legacy, "put back")
	r.begunAnew()
}

// begunAnew takes a split back that nobody can go on with, and moves again.
func (r *rig) begunAnew() {
	r.t.Helper()
	r.adopted(strangler.Legacy, "")
	r.again("cancel", func(ctx context.Context) error { return r.splits.Cancel(ctx, capability) })
	for _, table := range tables {
		r.superuser(strangler.Service, "DROP TABLE IF EXISTS "+table+" CASCADE")
	}
	w := r.through("through")
	r.copied()
	r.handed(strangler.Service)
	w.await(1)
	r.check(w)
}

// TestFailoverOpensNothing lets the owner's server come back on another timeline, as a replica that was
// promoted does.
func TestFailoverOpensNothing(t *testing.T) {
	r := newRig(t)
	w := r.through("through")
	r.copied()
	s := server(t, strangler.Legacy)
	var data string
	must(t, r.root(strangler.Legacy).QueryRow(t.Context(), "SHOW data_directory").Scan(&data))
	must(t, s.Kill())
	must(t, os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o644))
	must(t, s.Restart(t.Context()))
	r.superuser(strangler.Legacy, "SELECT pg_promote()")
	r.opensNothing(strangler.Legacy, "another server took over")
	r.adopted(strangler.Legacy, strangler.PhaseSyncing)
	w.await(3)
	r.verified()
	r.handed(strangler.Service)
	w.await(1)
	r.check(w)
}

// TestBrokenAdoptionOpensOneSide names the side that does not own, as a person would who thinks that the other
// is lost. Each durable write of that is broken both ways, and the worker ends there. At no moment two sides
// are open, and the same again ends it.
func TestBrokenAdoptionOpensOneSide(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.copied()
	r.handed(strangler.Service)
	r.handed(strangler.Legacy)
	r.caughtUp() // the worker raises no term any more
	r.watch.always(func(point string) {
		if r.fenceState(strangler.Legacy) == "open" && r.fenceState(strangler.Service) == "open" {
			t.Errorf("at %s both fences are open", point)
		}
	})
	owner := strangler.Legacy
	for _, s := range []step{{point: "next-term", n: 1}, {point: "claim", n: 1}, {point: "adopt", n: 1}, {point: "claim", n: 2}, {point: "save-split", n: 1}} {
		for _, when := range []string{".before", ".after"} {
			owner = owner.Other()
			came := r.watch.breaks(step{point: s.point + when, n: s.n})
			if _, err := r.splits.Adopt(t.Context(), capability, migrations.AdoptOrder{Owner: owner, Who: "a person", Why: "the other is slow"}); err == nil || !came() {
				t.Fatalf("broken at %s%s, the adoption says: %v", s.point, when, err)
			}
			must(t, r.stop())
			r.start()
			r.adopted(owner, map[strangler.Side]strangler.Phase{strangler.Legacy: strangler.PhaseSyncing, strangler.Service: strangler.PhaseReversed}[owner])
		}
	}
	r.watch.always(nil)
	w := r.through("through")
	r.verified()
	r.handed(owner.Other())
	w.await(1)
	r.check(w)
}

// TestAdoptWithoutTheOtherSide names an owner while the other side's database cannot be reached: refused, unless it
// is said to be lost. Should it come back after all, it is closed.
func TestAdoptWithoutTheOtherSide(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.copied()
	r.handed(strangler.Service)
	must(t, r.stop())
	r.addr[strangler.Service] = "127.0.0.1:1"
	r.start()
	order := migrations.AdoptOrder{Owner: strangler.Legacy, Who: "a person", Why: "the service's disk is gone"}
	var refusal *strangler.Refusal
	if _, err := r.splits.Adopt(t.Context(), capability, order); !errors.As(err, &refusal) || !strings.Contains(strings.Join(refusal.Next, ""), "--lost") {
		t.Fatalf("an owner beside a side that cannot be closed: %v", err)
	}
	r.oneOpen(strangler.Service)
	if owner := r.owner(); owner != strangler.Service {
		t.Fatalf("the store names %q", owner)
	}
	order.Lost = true
	_, err := r.splits.Adopt(t.Context(), capability, order)
	must(t, err)
	w := r.through("through")
	w.await(1)
	if state := r.fenceState(strangler.Legacy); state != "open" {
		t.Errorf("the owner's fence is %s", state)
	}
	must(t, r.stop())
	delete(r.addr, strangler.Service)
	r.start()
	await(t, "the lost side's fence, closed", func() bool { return r.fenceState(strangler.Service) == "closed" })
	r.oneOpen(strangler.Legacy)
	w.await(1)
}

// opensNothing: the split has stopped and says why, both fences are as they were, a hand over is refused, and
// the evidence shows both sides.
func (r *rig) opensNothing(owner strangler.Side, why string) {
	t := r.t
	t.Helper()
	r.awaitPhase(strangler.PhaseStopped)
	if st := r.status(); !strings.Contains(st.Error, why) || !strings.Contains(st.Error, "split adopt") {
		t.Errorf("stopped with %q", st.Error)
	}
	r.oneOpen(owner)
	for _, to := range sides {
		if to != r.owner() {
			if err := r.hand(t.Context(), to); !errors.Is(err, strangler.ErrRefused) {
				t.Errorf("a hand over to the %s side says: %v", to, err)
			}
		}
	}
	lines, _, err := r.splits.Evidence(t.Context(), capability)
	must(t, err)
	text := strings.Join(lines, "\n")
	for _, want := range []string{"control store", "legacy database", "service database"} {
		if !strings.Contains(text, want) {
			t.Errorf("the evidence does not tell of the %s:\n%s", want, text)
		}
	}
	r.oneOpen(owner)
}

// adopted names the owner as a person would, and waits for the phase; empty: for no certain one.
func (r *rig) adopted(owner strangler.Side, phase strangler.Phase) {
	r.t.Helper()
	r.again("adopt", func(ctx context.Context) error {
		_, err := r.splits.Adopt(ctx, capability, migrations.AdoptOrder{Owner: owner, Who: "a person", Why: "has looked"})
		return err
	})
	if phase != "" {
		r.caughtUp()
		r.awaitPhase(phase)
	}
	r.oneOpen(owner)
}

// program runs one of PostgreSQL's, of the version that the server has.
func (r *rig) program(name string, args ...string) {
	r.t.Helper()
	var folder string
	must(r.t, r.root(strangler.Legacy).QueryRow(r.t.Context(), "SELECT setting FROM pg_config WHERE name = 'BINDIR'").Scan(&folder))
	r.execute(filepath.Join(folder, name), args...)
}

func (r *rig) execute(path string, args ...string) {
	r.t.Helper()
	var said bytes.Buffer
	cmd := exec.CommandContext(r.t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%s: %v\n%s", path, err, said.String())
	}
}

func (r *rig) dump(side strangler.Side) (file string) {
	r.t.Helper()
	file = filepath.Join(r.dir, string(side)+".dump")
	r.program("pg_dump", "-Fc", "-f", file, server(r.t, side).DSN(r.names[side]))
	return file
}

// restoreInto replaces what stands in the database.
func (r *rig) restoreInto(side strangler.Side, file string) {
	r.t.Helper()
	r.program("pg_restore", "--clean", "--if-exists", "--exit-on-error", "-d", server(r.t, side).DSN(r.names[side]), file)
}

// restoreAnew makes a new database under the old one's name.
func (r *rig) restoreAnew(side strangler.Side, file string) {
	r.t.Helper()
	s := server(r.t, side)
	must(r.t, s.Drop(r.t.Context(), r.names[side]))
	r.rootMu.Lock()
	delete(r.roots, side) // its sessions were ended
	r.rootMu.Unlock()
	must(r.t, s.Create(r.t.Context(), r.names[side], appRole))
	r.program("pg_restore", "--exit-on-error", "-d", s.DSN(r.names[side]), file)
	r.apps[side] = r.pool(side, appRole, fmt.Sprint(side))
}

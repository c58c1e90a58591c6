package enginetest

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var fenceRules = []rule{
	{"a closed fence refuses every write", fenceClosedRefuses},
	{"its error names the capability, the owner and a command", fenceErrorSpeaks},
	{"an open fence lets writes pass", fenceOpenPasses},
	{"legacy starts open, the service closed", fenceStartsAsOwned},
	{"a closed fence without its row refuses", fenceRowMissingRefuses},
	{"a connection and a statement from before are refused too", fenceBindsOldConnections},
	{"a lower epoch changes nothing", fenceGuardedByEpoch},
	{"the same call twice is done", fenceTwiceIsDone},
	{"a foreign control store changes nothing", fenceForeignControl},
	{"closing waits for a writer in flight", fenceWaitsForWriters},
	{"the statement shown is the statement run", fenceStatementHolds},
	{"a broken fence or capture stops the stream, and the fence is put back", fenceTamperedWith},
	{"a claim writes whatever stands there", fenceClaimed},
	{"a side without a fence is not mended into a closed one", fenceNotInstalled},
}

// writes are an application's statements on the moved tables of Couriers.
var writes = []string{
	"INSERT INTO couriers (id, name) VALUES (9, 'Zed')",
	"UPDATE couriers SET name = 'Eve' WHERE id = 1",
	"UPDATE couriers SET id = 8 WHERE id = 3",
	"DELETE FROM couriers WHERE id = 3",
	"DELETE FROM actions",
	"INSERT INTO actions (courier, at, what) SELECT courier, at + 10, what FROM actions",
}

func fenceClosedRefuses(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.must(p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	for _, side := range []*sql.DB{p.App, p.Served} {
		before := images(p, side)
		for _, q := range writes {
			p.Refused(side, q)
		}
		if diff := cmp.Diff(before, images(p, side)); diff != "" {
			t.Errorf("a refused write changed something:\n%s", diff)
		}
	}
	if n := p.Pending(); n != 0 {
		t.Errorf("%d refused changes were recorded", n)
	}
	p.Exec(p.App, "UPDATE orders SET courier = NULL") // what stays is nobody's business
}

func images(p *Pair, db *sql.DB) (out []string) {
	for _, table := range Moved {
		out = append(out, p.lab.Speech().Image(p.t, db, table)...)
	}
	return out
}

func fenceErrorSpeaks(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	speaks := func(db *sql.DB, owner string) {
		_, err := db.ExecContext(t.Context(), writes[0])
		if err == nil {
			t.Fatal("the write passed")
		}
		for _, want := range []string{capability, owner, "strangler split status " + capability, "nothing was written"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
	speaks(p.Served, "the monolith")
	p.CutOver()
	speaks(p.App, "its service")
}

func fenceOpenPasses(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.must(p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	p.must(p.Legacy.SetFence(t.Context(), 2, migrations.FenceOpen))
	for _, q := range writes {
		p.Exec(p.App, q)
	}
	p.Sync()
	p.Alike()
}

func fenceStartsAsOwned(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	want := migrations.Fence{Installed: true, ControlID: controlID, State: migrations.FenceOpen, Term: p.Term}
	for _, d := range []migrations.Database{p.Legacy, p.Service} {
		f, err := d.Fence(t.Context())
		p.must(err)
		if f != want {
			t.Errorf("got %+v, want %+v", f, want)
		}
		want.State = migrations.FenceClosed
	}
	p.Refused(p.Served, writes[0])
}

func fenceRowMissingRefuses(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.must(p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	p.Exec(p.Admin(strangler.Legacy), "DELETE FROM strangler_fence")
	for _, q := range writes {
		p.Refused(p.App, q)
	}
	if f, err := p.Legacy.Fence(t.Context()); err != nil || f.Installed {
		t.Errorf("got %+v, %v; want a fence that is not installed", f, err)
	}
	p.Wants(p.Legacy.SetFence(t.Context(), 5, migrations.FenceOpen), strangler.ErrSuperseded)
	p.Wants(p.Legacy.RaiseTerm(t.Context(), 50), strangler.ErrSuperseded)
	p.Wants(p.Legacy.Claim(t.Context(), 5, migrations.FenceOpen, 50), strangler.ErrRefused)
}

func fenceBindsOldConnections(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	old := lab.Connect(t, p.LegacyDSN)
	insert, err := old.PrepareContext(t.Context(), "INSERT INTO actions (courier, at, what) VALUES (2, 50, 'wait')")
	p.must(err)
	defer insert.Close()
	_, err = insert.ExecContext(t.Context())
	p.must(err)
	p.must(p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	if _, err := insert.ExecContext(t.Context()); !fenced(err) {
		t.Errorf("a prepared statement got %v", err)
	}
	for _, q := range writes {
		p.Refused(old, q)
	}
}

func fenceGuardedByEpoch(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	for _, now := range []migrations.FenceState{migrations.FenceClosed, migrations.FenceOpen} {
		p.Epoch += 10
		p.must(p.Legacy.SetFence(t.Context(), p.Epoch, now))
		before, err := p.Legacy.Fence(t.Context())
		p.must(err)
		for _, late := range []migrations.FenceState{migrations.FenceClosed, migrations.FenceOpen} {
			p.Wants(p.Legacy.SetFence(t.Context(), p.Epoch-1, late), strangler.ErrSuperseded)
			if late != now {
				p.Wants(p.Legacy.SetFence(t.Context(), p.Epoch, late), strangler.ErrSuperseded)
			}
		}
		after, err := p.Legacy.Fence(t.Context())
		p.must(err)
		if after != before {
			t.Errorf("a late call made %+v of %+v", after, before)
		}
		_, err = p.App.ExecContext(t.Context(), "UPDATE couriers SET name = name")
		if fenced(err) != (now == migrations.FenceClosed) {
			t.Errorf("behind late calls the fence is %s and a write got %v", now, err)
		}
	}
}

func fenceTwiceIsDone(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	for _, state := range []migrations.FenceState{migrations.FenceClosed, migrations.FenceOpen} {
		p.Epoch++
		p.must(p.Legacy.SetFence(t.Context(), p.Epoch, state))
		p.must(p.Legacy.SetFence(t.Context(), p.Epoch, state))
		f, err := p.Legacy.Fence(t.Context())
		p.must(err)
		if f.State != state || f.Epoch != p.Epoch {
			t.Errorf("got %+v", f)
		}
	}
}

func fenceForeignControl(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	before, err := p.Legacy.Fence(t.Context())
	p.must(err)
	own := p.Service
	p.planning("store-2")
	p.Wants(p.Legacy.SetFence(t.Context(), 99, migrations.FenceClosed), strangler.ErrSuperseded)
	p.Wants(p.Legacy.SetFence(t.Context(), before.Epoch, before.State), strangler.ErrSuperseded) // not even what stands there
	p.Wants(p.Legacy.RaiseTerm(t.Context(), 99), strangler.ErrSuperseded)
	p.Wants(p.Legacy.RaiseTerm(t.Context(), before.Term), strangler.ErrSuperseded)
	_, err = p.Begin(p.Service, p.Term)
	p.Wants(err, strangler.ErrSuperseded)
	after, err := p.Legacy.Fence(t.Context())
	p.must(err)
	if after != before {
		t.Errorf("a foreign store made %+v of %+v", after, before)
	}
	a, err := p.Begin(own, p.Term)
	p.must(err)
	p.must(a.Rollback())
}

// fenceWaitsForWriters holds a write open. Closing must not come back with success while it is; once
// it has succeeded, the write is in the log.
func fenceWaitsForWriters(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	tx, err := p.App.BeginTx(t.Context(), nil)
	p.must(err)
	defer tx.Rollback()
	_, err = tx.ExecContext(t.Context(), writes[0])
	p.must(err)

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Legacy.SetFence(short, 1, migrations.FenceClosed); err == nil {
		t.Fatal("the fence was closed over a write in flight")
	}
	if f, err := p.Legacy.Fence(t.Context()); err != nil || f.State != migrations.FenceOpen {
		t.Fatalf("a failed closing left %+v, %v", f, err)
	}

	closed := make(chan error, 1)
	go func() { closed <- p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed) }()
	committed := tx.Commit()
	p.must(<-closed)
	want := int64(1)
	if committed != nil {
		want = 0
	}
	if n := p.Pending(); n != want {
		t.Errorf("commit: %v; the log behind the fence has %d changes, want %d", committed, n, want)
	}
	p.Refused(p.App, writes[1])
}

func fenceStatementHolds(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	for _, state := range []migrations.FenceState{migrations.FenceClosed, migrations.FenceOpen} {
		p.Epoch++
		p.Exec(p.Admin(strangler.Legacy), p.Legacy.FenceStatement(p.Epoch, state))
		p.must(p.Legacy.SetFence(t.Context(), p.Epoch, state))
		_, err := p.App.ExecContext(t.Context(), writes[1])
		if fenced(err) != (state == migrations.FenceClosed) {
			t.Errorf("by hand the fence is %s, and a write got %v", state, err)
		}
	}
}

func fenceTamperedWith(t *testing.T, lab Lab) {
	for _, tamper := range lab.Speech().Tampers {
		t.Run(tamper.Name, func(t *testing.T) {
			p := Armed(t, lab, Couriers, Moved...)
			if mended, err := p.Legacy.Mend(t.Context()); err != nil || mended {
				t.Fatalf("before: mended %v, %v", mended, err)
			}
			p.Exec(p.Admin(strangler.Legacy), tamper.Statement("couriers"))
			p.Exec(p.App, "UPDATE couriers SET name = 'the owner goes on serving'")
			before := images(p, p.Served)
			_, err := p.Step()
			p.Wants(err, strangler.ErrStopped)
			if diff := cmp.Diff(before, images(p, p.Served)); diff != "" {
				t.Errorf("something was applied:\n%s", diff)
			}
			mended, err := p.Legacy.Mend(t.Context())
			p.must(err)
			if mended != tamper.Fence {
				t.Errorf("mended: %v", mended)
			}
			if _, err = p.Step(); tamper.Fence {
				p.must(err)
			} else {
				p.Wants(err, strangler.ErrStopped)
			}
			p.Exec(p.Admin(strangler.Legacy), tamper.Statement("couriers"))
			p.must(p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
			for _, q := range writes {
				p.Refused(p.App, q)
			}
		})
	}
}

func fenceClaimed(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.planning("store-2")
	p.must(p.Legacy.Claim(t.Context(), 7, migrations.FenceClosed, 70))
	want := migrations.Fence{Installed: true, ControlID: "store-2", Epoch: 7, State: migrations.FenceClosed, Term: 70}
	if f, err := p.Legacy.Fence(t.Context()); err != nil || f != want {
		t.Errorf("got %+v, %v", f, err)
	}
	p.Refused(p.App, writes[0])
	p.must(p.Legacy.Claim(t.Context(), 3, migrations.FenceOpen, 30))
	p.Exec(p.App, writes[0])
}

func fenceNotInstalled(t *testing.T, lab Lab) {
	p := NewPair(t, lab, Couriers, Moved...)
	if f, err := p.Legacy.Fence(t.Context()); err != nil || f != (migrations.Fence{}) {
		t.Errorf("got %+v, %v", f, err)
	}
	if mended, err := p.Legacy.Mend(t.Context()); mended || err == nil {
		t.Errorf("mended %v, %v; there is no fence to mend", mended, err)
	}
	for _, q := range writes {
		p.Exec(p.App, q)
	}
}

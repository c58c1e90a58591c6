package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/postgres"
)

// automatic has the capture chosen, or chosen by force; its roles may decode.
type automatic struct {
	apart
	force strangler.Capture
}

func (l automatic) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	b.Capture = l.force
	return postgres.Open(ctx, b)
}

// by is how a split that is under way captures.
func by(t *testing.T, p *enginetest.Pair) string {
	t.Helper()
	return query(t, p.Admin(strangler.Legacy), "SELECT CASE WHEN base IS NULL THEN 'triggers' ELSE 'logical' END FROM strangler_position")[0]
}

// said is what check says of the capture.
func said(t *testing.T, p *enginetest.Pair) string {
	t.Helper()
	found, err := p.Plan.Examine(t.Context())
	must(t, err)
	for _, f := range found {
		if f.Side == strangler.Legacy && f.Check == "replication" {
			return f.What
		}
	}
	t.Fatal("check says nothing of the capture")
	return ""
}

// TestCaptureIsChosen: by logical decoding where it can be, by triggers with the reasons where not, and by triggers
// where that was asked for.
func TestCaptureIsChosen(t *testing.T) {
	identity := append(append([]string{}, enginetest.Couriers...), "ALTER TABLE couriers REPLICA IDENTITY NOTHING")
	for name, c := range map[string]struct {
		lab  enginetest.Lab
		ddl  []string
		want string
		says string
	}{
		"where it can be": {automatic{apart{made: new(true)}, ""}, enginetest.Couriers, "logical", "allow it"},
		"forced":          {automatic{apart{made: new(true)}, strangler.CaptureTriggers}, enginetest.Couriers, "triggers", "strangler.yaml says so"},
		"asked for":       {decoding{}, enginetest.Couriers, "logical", "strangler.yaml says so"},
		"by the role":     {unable{}, enginetest.Couriers, "triggers", "the role has no REPLICATION"},
		"by the tables":   {automatic{apart{made: new(true)}, ""}, identity, "triggers", "the replica identity of couriers"},
	} {
		t.Run(name, func(t *testing.T) {
			p := enginetest.NewPair(t, c.lab, c.ddl, enginetest.Moved...)
			would := said(t, p)
			plan := p.Write()
			for _, says := range []string{would, plan.Capture} {
				if !strings.Contains(says, c.says) {
					t.Errorf("it says %q, and not %q", says, c.says)
				}
			}
			p.To(migrations.StageArmed)
			p.Raise()
			p.Copy()
			if got := by(t, p); got != c.want {
				t.Errorf("changes are captured by %s, want %s", got, c.want)
			}
			p.Exec(p.App, "UPDATE couriers SET name = 'changed'")
			p.Sync()
			p.Alike()
			if is := said(t, p); !strings.Contains(is, "so it was chosen") {
				t.Errorf("of a split under way it says %q", is)
			}
		})
	}
}

// unable chooses for a role that may not decode.
type unable struct{ lab }

func (unable) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	return postgres.Open(ctx, b)
}

// TestCheckTellsTheServersOwnCap: without one it warns, but only where there will be a slot.
func TestCheckTellsTheServersOwnCap(t *testing.T) {
	own := ownServer(t, nil)
	find := func(force strangler.Capture) (all []migrations.Finding) {
		t.Helper()
		*own.made = false
		p := enginetest.NewPair(t, automatic{own, force}, enginetest.Couriers, enginetest.Moved...)
		found, err := p.Plan.Examine(t.Context())
		must(t, err)
		for _, f := range found {
			if f.Check == "retained_wal" {
				all = append(all, f)
			}
		}
		return all
	}
	if got := find(""); len(got) != 1 || got[0].Fine || !strings.Contains(got[0].What, "is -1") {
		t.Errorf("without a cap check says %+v", got)
	}
	must(t, run(own.server.DSN("postgres"), "ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'"))
	must(t, own.server.Restart(t.Context()))
	if got := find(""); len(got) != 1 || !got[0].Fine || !strings.Contains(got[0].What, "20 GiB") {
		t.Errorf("with a cap check says %+v", got)
	}
	if got := find(strangler.CaptureTriggers); len(got) > 0 {
		t.Errorf("of triggers check says %+v", got)
	}
}

// TestCaptureStaysAsItWasChosen changes wal_level behind the plan: what was planned for a slot is refused or stopped
// without one, and what has triggers keeps them.
func TestCaptureStaysAsItWasChosen(t *testing.T) {
	own := ownServer(t, nil)
	level := func(l string) {
		t.Helper()
		must(t, run(own.server.DSN("postgres"), "ALTER SYSTEM SET wal_level = "+l))
		must(t, own.server.Restart(t.Context()))
	}
	pair := func() *enginetest.Pair {
		*own.made = false
		return enginetest.NewPair(t, automatic{own, ""}, enginetest.Couriers, enginetest.Moved...)
	}
	planned := pair()
	planned.Write()
	following := pair()
	following.Write()
	following.To(migrations.StageArmed)
	following.Raise()
	following.Copy()
	must(t, run(own.server.DSN("postgres"), "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active",
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"))
	level("replica")

	_, err := again(t, following)
	following.Wants(err, strangler.ErrStopped)

	must(t, reconnected(func() error { return planned.Plan.To(t.Context(), migrations.StageCapture) }))
	err = reconnected(func() error { return planned.Legacy.Ready(t.Context()) })
	planned.Wants(err, strangler.ErrRefused)
	if !strings.Contains(fmt.Sprint(err), "wal_level is replica") {
		t.Errorf("it says: %v", err)
	}

	triggers := pair()
	triggers.Write()
	triggers.To(migrations.StageArmed)
	triggers.Raise()
	triggers.Copy()
	level("logical")
	triggers.App, triggers.Served = own.Connect(t, triggers.LegacyDSN), own.Connect(t, triggers.ServiceDSN)
	triggers.Exec(triggers.App, "UPDATE couriers SET name = 'behind the change'")
	if _, err := again(t, triggers); err != nil {
		t.Fatal(err)
	}
	triggers.Sync()
	triggers.Alike()
	if got := by(t, triggers); got != "triggers" {
		t.Errorf("changes are captured by %s", got)
	}
}

// again steps once more where a connection had ended with its server.
func again(t *testing.T, p *enginetest.Pair) (n int64, err error) {
	t.Helper()
	err = reconnected(func() (err error) { n, err = p.Step(); return err })
	return n, err
}

// reconnected does what a connection may be in the way of that has ended with its server; each try meets another one.
func reconnected(f func() error) (err error) {
	for range 20 {
		if err = f(); err == nil || errors.Is(err, strangler.ErrStopped) || errors.Is(err, strangler.ErrRefused) {
			return err
		}
	}
	return err
}

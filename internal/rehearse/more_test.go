package rehearse

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// While production's own split follows, it can be rehearsed: what of Strangler stands there is not copied, and not touched.
func TestWhileTheSplitIsUnderWay(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		store, err := control.Open(t.Context(), control.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "control.db")})
		must(t, err)
		defer func() { must(t, store.Close()) }()
		must(t, store.Ensure(t.Context(), []strangler.Capability{w.capability}))
		splits, err := migrations.New(migrations.Config{
			Capabilities: []strangler.Capability{w.capability}, Open: engines.Open, Dir: t.TempDir(), ControlID: store.ID(), Decisions: store, Records: store, Leases: store,
			Adopter: store, Gates: newGate(func(context.Context) (strangler.Side, error) { return strangler.Legacy, nil }), Worker: "production",
		})
		must(t, err)
		splits.Start(context.WithoutCancel(t.Context()))
		must(t, splits.Copy(t.Context(), "delivery"))
		for phase := strangler.PhaseNone; phase != strangler.PhaseSyncing; {
			st, err := splits.Status(t.Context(), "delivery")
			must(t, err)
			phase = st.Phase
			must(t, sleep(t.Context(), 20*time.Millisecond))
		}
		must(t, splits.Close())
		before := []string{w.image(w.shop), w.image(w.delivery)}
		report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 60})
		if len(report.HandOvers) != 3 || strings.Contains(strings.Join(report.Surprises, "\n"), "rows already") {
			t.Errorf("%+v", report)
		}
		if diff := cmp.Diff(before, []string{w.image(w.shop), w.image(w.delivery)}); diff != "" {
			t.Errorf("production has changed: %s", diff)
		}
		w.nothingLeft()
	})
}

// What has no way back is no mismatch, and is said.
func TestOneWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqliteKind)
	w.capability.Tables = []strangler.Table{{From: "courier_requests", To: "courier_requests", OneWay: true}}
	report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 60})
	if all := strings.Join(report.Surprises, "\n"); !strings.Contains(all, "did not come back to the monolith (reverse: false)") {
		t.Errorf("nothing is said of what did not come back: %s", all)
	}
	w.nothingLeft()
}

// The two sides may be of two kinds, each with a copy of its own kind.
func TestBetweenKinds(t *testing.T) {
	for _, pair := range [][2]kind{{postgresKind, mysqlKind}, {mysqlKind, sqliteKind}, {sqliteKind, postgresKind}} {
		t.Run(string(pair[0])+" to "+string(pair[1]), func(t *testing.T) {
			t.Parallel()
			w, other := newWorld(t, pair[0]), newWorld(t, pair[1])
			w.capability.Service, w.capability.Playbook.Rehearse.Service = other.capability.Service, other.scratchAt
			w.capability.Tables = w.capability.Tables[:3]
			db := other.open(other.delivery)
			for _, name := range []string{"deliveries", "courier_actions", "couriers", "courier_requests"} { // the plan makes them
				other.exec(db, "DROP TABLE "+name)
			}
			before := []string{w.image(w.shop), other.image(other.delivery)}
			w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 60})
			if diff := cmp.Diff(before, []string{w.image(w.shop), other.image(other.delivery)}); diff != "" {
				t.Errorf("production has changed: %s", diff)
			}
			w.nothingLeft()
			other.nothingLeft()
		})
	}
}

// Where changes are read from the server's own log, the copies' server has a slot, which does not stay: it would keep the log
// for good, and so it is dropped even where the copies are kept.
func TestTheServersLog(t *testing.T) {
	w := newWorld(t, postgresKind)
	w.capability.Capture, w.capability.Tables = strangler.CaptureLogical, w.capability.Tables[:3]
	report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 60})
	if !strings.Contains(report.Capture, "logical decoding") {
		t.Errorf("captured by %q", report.Capture)
	}
	w.nothingLeft()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := Run(ctx, Options{Dir: w.dir, Capability: w.capability, Rows: 60, Progress: func(p Progress) {
		if p.Phase == "changes at the service side" {
			cancel()
		}
	}}); !errors.Is(err, strangler.ErrStopped) {
		t.Error(err)
	}
	w.nothingLeft()
	report = w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 60, Keep: true})
	db := w.open(w.scratchFor)
	there, err := postgresKind.stands(t.Context(), db)
	must(t, err)
	if all := strings.Join(there, " "); !strings.Contains(all, "couriers") || len(report.Left) != 3 {
		t.Errorf("kept: %s, %v", all, report.Left)
	}
	slots, err := texts(t.Context(), db, "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
	must(t, err)
	if len(slots) > 0 {
		t.Errorf("slots stay: %v", slots)
	}
}

// Rows that the service made itself are none of the copy's, and would stop the plan in production.
func TestRowsAtTheService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqliteKind)
	w.exec(w.open(w.delivery), "INSERT INTO courier_requests VALUES ('theirs', 'r', 'h', 201, '{}', '2030-01-01 00:00:00')")
	before := w.image(w.delivery)
	report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 20, Changes: -1})
	if all := strings.Join(report.Surprises, "\n"); !strings.Contains(all, "the service's table courier_requests has 1 rows already") {
		t.Errorf("nothing is said of them: %s", all)
	}
	if report.Changes.Legacy+report.Changes.Service != 0 {
		t.Errorf("changes that nobody asked for: %+v", report.Changes)
	}
	if diff := cmp.Diff(before, w.image(w.delivery)); diff != "" {
		t.Errorf("production has changed: %s", diff)
	}
	w.nothingLeft()
}

// What the service deletes while orders of the monolith's refer to it is found behind the rollback.
func TestOrphans(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqliteKind)
	w.capability.Tables = []strangler.Table{{From: "couriers", To: "couriers"}}
	service := w.open(w.delivery)
	w.exec(service, "DROP TABLE deliveries")
	w.exec(service, "DROP TABLE courier_actions")
	report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 100})
	if all := strings.Join(report.Surprises, "\n"); !strings.Contains(all, "behind the rollback a foreign key is back, and is violated") {
		t.Errorf("nothing is said of them: %s", all)
	}
}

// Tables in schemas of their own, with a type and a sequence from elsewhere, are found there again.
func TestSchemas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgresKind)
	db := w.open(w.shop)
	for _, statement := range []string{
		"CREATE SCHEMA billing", "CREATE SCHEMA kinds", "CREATE TYPE kinds.mood AS ENUM ('good', 'bad')", "CREATE SEQUENCE numbers",
		`CREATE TABLE billing."Bills" (id integer PRIMARY KEY DEFAULT nextval('numbers'), courier bigint REFERENCES couriers, state kinds.mood DEFAULT 'bad')`,
		`INSERT INTO billing."Bills" (courier) SELECT n FROM generate_series(1, 200) AS n`,
	} {
		w.exec(db, statement)
	}
	w.exec(w.open(w.delivery), "CREATE SCHEMA billing")
	w.exec(w.open(w.delivery), "CREATE SCHEMA kinds")
	w.capability.Tables = []strangler.Table{{From: "billing.Bills", To: "billing.bills"}}
	report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 50})
	if c := report.Copied[1]; c.Table != "couriers" || c.Rows != 50 {
		t.Errorf("%+v", report.Copied)
	}
	w.nothingLeft()
}

package rehearse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

// rehearse runs one that is to pass.
func (w *world) rehearse(o Options) *Report {
	w.t.Helper()
	report, err := Run(w.t.Context(), o)
	if report != nil {
		w.t.Logf("%+v", *report)
	}
	must(w.t, err)
	return report
}

// The reference capability goes forward, back and forward on copies of its databases, of every kind. Both are as they were
// before, and nothing is left of the copies.
func TestTheReferenceIsRehearsed(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		production := []string{w.image(w.shop), w.image(w.delivery)}
		report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 100, Changes: 400})
		if !report.Passed || report.Mismatches != 0 || report.Compared < 500 || len(report.Left) > 0 {
			t.Errorf("%+v", report)
		}
		to := []strangler.Side{}
		for _, h := range report.HandOvers {
			to = append(to, h.To)
			if h.Held <= 0 || h.Attempts < 1 {
				t.Errorf("a hand-over that held nothing: %+v", h)
			}
			if h.Rate <= 0 || h.Rate > 400 {
				t.Errorf("a hold under %f changes a second, of 400: %+v", h.Rate, h)
			}
		}
		if diff := cmp.Diff([]strangler.Side{strangler.Service, strangler.Legacy, strangler.Service}, to); diff != "" {
			t.Error(diff)
		}
		for _, surprise := range report.Surprises {
			if strings.Contains(surprise, "fence") {
				t.Error(surprise)
			}
		}
		if c := report.Changes; c.Asked != 400 || c.Legacy < enough || c.Service < 2*enough {
			t.Errorf("changes: %+v", c)
		}
		if diff := cmp.Diff(production, []string{w.image(w.shop), w.image(w.delivery)}); diff != "" {
			t.Errorf("production has changed: %s", diff)
		}
		w.nothingLeft()
	})
}

// Where rows of production do not fit into the service's tables, the rehearsal says so, and still leaves nothing behind.
func TestADefectIsFound(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		service := w.open(w.delivery)
		if w.kind == sqliteKind {
			w.exec(service, "DROP TABLE courier_requests")
			w.exec(service, "CREATE TABLE courier_requests (idempotency_key TEXT PRIMARY KEY NOT NULL, request TEXT NOT NULL, body_hash TEXT NOT NULL, status INTEGER NOT NULL CHECK (status < 200), answer TEXT NOT NULL, recorded_at TEXT NOT NULL)")
		} else {
			w.exec(service, "ALTER TABLE courier_requests ADD CONSTRAINT few CHECK (status < 200)")
		}
		report, err := Run(t.Context(), Options{Dir: w.dir, Capability: w.capability, Rows: 50})
		if !errors.Is(err, ErrFound) || !strings.Contains(err.Error(), "courier_requests") || report.Passed {
			t.Errorf("%v, %+v", err, report)
		}
		w.nothingLeft()
	})
}

// A copy goes nowhere where anything is: not into production, not beside other tables, not to where the other copy goes, and no
// database is made unasked.
func TestWhereCopiesDoNotGo(t *testing.T) {
	for _, k := range []kind{postgresKind, mysqlKind} {
		t.Run(string(k), func(t *testing.T) {
			w := newWorld(t, k)
			used := k.fresh(t)
			w.exec(w.open(used), "CREATE TABLE theirs (id INTEGER PRIMARY KEY)")
			before := []string{w.image(w.shop), w.image(w.delivery), w.image(used)}
			for name, c := range map[string]struct {
				legacy, service string
				want            error
				says            string
			}{
				"production":         {w.shop, w.scratchAt, strangler.ErrRefused, "one and the same"},
				"the other side":     {w.delivery, w.scratchAt, strangler.ErrRefused, "one and the same"},
				"the other copy":     {w.scratchAt, w.scratchAt, strangler.ErrRefused, "one and the same"},
				"what has tables":    {used, w.scratchAt, strangler.ErrRefused, "theirs"},
				"nowhere":            {"", "", strangler.ErrRefused, "unasked"},
				"another kind":       {"sqlite:/x.db", w.scratchAt, strangler.ErrConfig, "another kind"},
				"nothing that there": {strings.Replace(w.scratchFor, "test_", "gone_", 1), w.scratchAt, strangler.ErrRefused, "cannot be reached"},
			} {
				capability := w.capability
				capability.Playbook.Rehearse = strangler.Rehearse{Legacy: c.legacy, Service: c.service}
				for what, f := range map[string]func(context.Context, Options) (*Report, error){"run": Run, "preview": Preview} {
					if _, err := f(t.Context(), Options{Dir: w.dir, Capability: capability}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
						t.Errorf("%s, %s: %v", name, what, err)
					}
				}
			}
			if diff := cmp.Diff(before, []string{w.image(w.shop), w.image(w.delivery), w.image(used)}); diff != "" {
				t.Errorf("changed: %s", diff)
			}
			w.nothingLeft()
		})
	}
}

// Whenever a rehearsal is interrupted, it takes away what it has made.
func TestAnInterruptedRehearsalLeavesNothing(t *testing.T) {
	for _, at := range []string{"copies of both databases", "changes at the service side", "second cutover"} {
		t.Run(at, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				seen := false
				report, err := Run(ctx, Options{Dir: w.dir, Capability: w.capability, Rows: 50, Progress: func(p Progress) {
					if p.Phase == at {
						seen = true
						cancel()
					}
				}})
				if !seen || !errors.Is(err, strangler.ErrStopped) || !strings.Contains(err.Error(), "nothing is left") || len(report.Left) > 0 {
					t.Errorf("%v, %+v", err, report)
				}
				w.nothingLeft()
			})
		})
	}
}

// A preview says what would be read, and makes nothing.
func TestPreview(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		report, err := Preview(t.Context(), Options{Dir: w.dir, Capability: w.capability, Rows: 70})
		must(t, err)
		all := fmt.Sprintf("%+v", report.Copied)
		for _, want := range []string{"{Side:legacy Table:couriers Moves:true Rows:70 Production:300}", "{Side:legacy Table:restaurants Moves:false Rows:0 Production:1}", "{Side:service Table:deliveries Moves:true Rows:0 Production:0}"} {
			if !strings.Contains(all, want) {
				t.Errorf("%s lacks %s", all, want)
			}
		}
		w.nothingLeft()
	})
}

// Of production no more is needed than a role that may read, and that one could not write.
func TestProductionIsOnlyRead(t *testing.T) {
	for _, k := range []kind{postgresKind, mysqlKind} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, k)
			w.capability.Legacy.Database, w.capability.Service.Database = w.reader(w.shop), w.reader(w.delivery)
			before := []string{w.image(w.shop), w.image(w.delivery)} // with what the role was granted
			db := w.open(w.capability.Legacy.Database)
			for _, statement := range []string{"INSERT INTO consumers VALUES (9, 'a', 'b')", "CREATE TABLE x (id integer)"} {
				if _, err := db.Exec(statement); err == nil {
					t.Fatalf("the role may write: %s", statement)
				}
			}
			report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 100})
			if diff := cmp.Diff(before, []string{w.image(w.shop), w.image(w.delivery)}); diff != "" {
				t.Errorf("production has changed: %s", diff)
			}
			if c := report.Copied[0]; c.Rows <= 100 {
				t.Errorf("rows to which others refer are not copied: %+v", c)
			}
			if all := strings.Join(report.NotRehearsed, "\n"); k == mysqlKind && !strings.Contains(all, "triggers of orders in the legacy database, if it has any") {
				t.Errorf("nothing is said of triggers that the role may not see: %s", all)
			}
			w.nothingLeft()
		})
	}
}

// What a table has beside its columns goes along: types, keys over several columns, references to itself, generated columns,
// generated keys. What does not is named.
func TestWhatIsCopied(t *testing.T) {
	for _, k := range kinds {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, k)
			db := w.open(w.shop)
			for _, statement := range strings.Split(odd[k], ";\n") {
				w.exec(db, statement)
			}
			for i := range 250 {
				parent := "NULL"
				if i > 0 {
					parent = fmt.Sprint(i / 2)
				}
				w.exec(db, fmt.Sprintf("INSERT INTO zones (id, region, parent, label, price) VALUES (%d, 'r', %s, 'zone %d', 1.50)", i, parent, i))
			}
			w.capability.Tables = []strangler.Table{{From: "zones", To: "zones"}}
			before := w.image(w.shop)
			report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 40})
			if c := report.Copied[0]; c.Rows < 40 || c.Rows > 200 || c.Production != 250 {
				t.Errorf("%+v", c)
			}
			if all := strings.Join(report.NotRehearsed, "\n"); k == postgresKind && !strings.Contains(all, "the triggers of zones in the legacy database: noted") {
				t.Errorf("nothing is said of the trigger: %s", all)
			}
			if diff := cmp.Diff(before, w.image(w.shop)); diff != "" {
				t.Errorf("production has changed: %s", diff)
			}
			w.nothingLeft()
		})
	}
}

var odd = map[kind]string{
	sqliteKind: "CREATE TABLE zones (id INTEGER NOT NULL, region TEXT NOT NULL, parent INTEGER, label TEXT UNIQUE, price NUMERIC CHECK (price > 0), twice NUMERIC GENERATED ALWAYS AS (price * 2) STORED, PRIMARY KEY (id, region), FOREIGN KEY (parent, region) REFERENCES zones (id, region))",
	postgresKind: `CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE zones (id integer NOT NULL, region text NOT NULL, parent integer, label text UNIQUE, price numeric(10,2) CHECK (price > 0), twice numeric GENERATED ALWAYS AS (price * 2) STORED, state mood NOT NULL DEFAULT 'good', n serial,
	tags text[] NOT NULL DEFAULT '{a,b}', PRIMARY KEY (id, region), FOREIGN KEY (parent, region) REFERENCES zones (id, region));
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noted BEFORE UPDATE ON zones FOR EACH ROW EXECUTE FUNCTION noted()`,
	mysqlKind: "CREATE TABLE zones (id int NOT NULL, region varchar(20) NOT NULL, parent int, label varchar(40) UNIQUE, price decimal(10,2) CHECK (price > 0), twice decimal(10,2) AS (price * 2) STORED, state enum('good', 'bad') NOT NULL DEFAULT 'good', n int NOT NULL AUTO_INCREMENT, KEY (n), PRIMARY KEY (id, region), FOREIGN KEY (parent, region) REFERENCES zones (id, region))",
}

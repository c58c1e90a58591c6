package enginetest

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

const (
	capability = "delivery"
	controlID  = "store-1"
)

// Couriers is the schema that most tests move: a table with a second unique key, a table with a
// composite key that refers to it, and two tables that stay, one on each side of a crossing foreign key.
var Couriers = []string{
	"CREATE TABLE zones (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40))",
	`CREATE TABLE couriers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, badge INTEGER, boss INTEGER, zone INTEGER,
		CONSTRAINT couriers_badge UNIQUE (badge),
		CONSTRAINT couriers_boss FOREIGN KEY (boss) REFERENCES couriers (id),
		CONSTRAINT couriers_zone FOREIGN KEY (zone) REFERENCES zones (id))`,
	`CREATE TABLE actions (courier INTEGER NOT NULL, at INTEGER NOT NULL, what VARCHAR(40), PRIMARY KEY (courier, at),
		CONSTRAINT actions_courier FOREIGN KEY (courier) REFERENCES couriers (id) ON DELETE CASCADE)`,
	"CREATE TABLE orders (id INTEGER NOT NULL PRIMARY KEY, courier INTEGER, CONSTRAINT orders_courier FOREIGN KEY (courier) REFERENCES couriers (id))",
	"INSERT INTO zones (id, name) VALUES (1, 'north')",
	"INSERT INTO couriers (id, name, badge, boss, zone) VALUES (1, 'Ann', 10, NULL, 1), (2, 'Bob', 20, 1, 1), (3, 'Cyd', NULL, 1, NULL)",
	"INSERT INTO actions (courier, at, what) VALUES (1, 1, 'pickup'), (1, 2, 'dropoff'), (2, 1, 'pickup')",
	"INSERT INTO orders (id, courier) VALUES (1, 1), (2, 2)",
}

// Moved are the tables of Couriers that move.
var Moved = []string{"couriers", "actions"}

// Pair is both sides of one capability, with an application's session at each. Legacy owns until
// CutOver.
type Pair struct {
	Legacy, Service       migrations.Database
	App, Served           *sql.DB // an application's session at legacy, at the service
	LegacyDSN, ServiceDSN string
	Plan                  *migrations.Planning
	Capability            strangler.Capability
	Term, Epoch           int64
	Owner                 strangler.Side

	t     *testing.T
	lab   Lab
	admin map[strangler.Side]*sql.DB
}

// NewPair makes both databases, legacy's with the statements of ddl, and binds the tables. Nothing is
// planned yet.
func NewPair(t *testing.T, lab Lab, ddl []string, tables ...string) *Pair {
	t.Helper()
	return newPair(t, lab, ddl, named(tables))
}

// named are tables by their names, "from→to" where they differ.
func named(tables []string) (moved []strangler.Table) {
	for _, name := range tables {
		from, to, renamed := strings.Cut(name, "→")
		if !renamed {
			to = from
		}
		moved = append(moved, strangler.Table{From: from, To: to})
	}
	return moved
}

func newPair(t *testing.T, lab Lab, ddl []string, moved []strangler.Table) *Pair {
	t.Helper()
	p := &Pair{t: t, lab: lab, LegacyDSN: lab.Fresh(t), ServiceDSN: lab.Fresh(t), Owner: strangler.Legacy,
		Capability: strangler.Capability{Name: capability, Tables: moved}}
	p.App, p.Served = lab.Connect(t, p.LegacyDSN), lab.Connect(t, p.ServiceDSN)
	for _, q := range ddl {
		p.Exec(p.App, q)
	}
	p.Capability.Legacy.Database, p.Capability.Service.Database = p.LegacyDSN, p.ServiceDSN
	p.Plan = p.planning(controlID)
	return p
}

// planning opens both sides for a control store, and makes them the Pair's own.
func (p *Pair) planning(controlID string) *migrations.Planning {
	p.t.Helper()
	plan, done, err := migrations.NewPlanning(p.t.Context(), func(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
		d, err := p.lab.Open(ctx, b)
		if b.Side == strangler.Legacy {
			p.Legacy = d
		} else {
			p.Service = d
		}
		return d, err
	}, p.t.TempDir(), controlID, p.Capability)
	p.must(err)
	p.t.Cleanup(func() {
		if err := done(); err != nil {
			p.t.Errorf("close: %v", err)
		}
	})
	return plan
}

// Planned is a Pair whose scripts are written, and run to a stage, with a term raised at both sides.
func Planned(t *testing.T, lab Lab, to migrations.Stage, ddl []string, tables ...string) *Pair {
	t.Helper()
	p := NewPair(t, lab, ddl, tables...)
	p.Write()
	p.To(to)
	if to >= migrations.StageCapture {
		p.Raise()
	}
	return p
}

// Armed is a Planned at StageArmed with every row copied: the instant before a cutover.
func Armed(t *testing.T, lab Lab, ddl []string, tables ...string) *Pair {
	t.Helper()
	p := Planned(t, lab, migrations.StageArmed, ddl, tables...)
	p.Copy()
	return p
}

// Write makes and writes the plan.
func (p *Pair) Write() migrations.Plan {
	p.t.Helper()
	plan, err := p.Plan.Make(p.t.Context())
	p.must(err)
	p.must(p.Plan.Write(p.t.Context(), plan))
	return plan
}

// To runs the scripts of both sides to a stage.
func (p *Pair) To(s migrations.Stage) {
	p.t.Helper()
	p.must(p.Plan.To(p.t.Context(), s))
	if s >= migrations.StageCapture && s < migrations.StageComplete {
		p.must(p.Legacy.Ready(p.t.Context()))
	}
}

// Raise takes a new term at both sides.
func (p *Pair) Raise() {
	p.t.Helper()
	p.Term++
	p.must(p.Legacy.RaiseTerm(p.t.Context(), p.Term))
	p.must(p.Service.RaiseTerm(p.t.Context(), p.Term))
}

// Side is the database of a side.
func (p *Pair) Side(s strangler.Side) migrations.Database {
	if s == strangler.Legacy {
		return p.Legacy
	}
	return p.Service
}

func (p *Pair) from() migrations.Database { return p.Side(p.Owner) }
func (p *Pair) to() migrations.Database   { return p.Side(p.Owner.Other()) }

// Admin is the session of somebody who may do anything at a side.
func (p *Pair) Admin(s strangler.Side) *sql.DB {
	p.t.Helper()
	if p.admin[s] == nil {
		if p.admin == nil {
			p.admin = map[strangler.Side]*sql.DB{}
		}
		p.admin[s] = p.lab.Admin(p.t, map[strangler.Side]string{strangler.Legacy: p.LegacyDSN, strangler.Service: p.ServiceDSN}[s])
	}
	return p.admin[s]
}

// Exec runs a statement that has to pass.
func (p *Pair) Exec(db *sql.DB, query string) {
	p.t.Helper()
	if _, err := db.ExecContext(p.t.Context(), query); err != nil {
		p.t.Fatalf("%s: %v", query, err)
	}
}

// Refused runs an application's statement that the fence has to refuse.
func (p *Pair) Refused(db *sql.DB, query string) {
	p.t.Helper()
	if _, err := db.ExecContext(p.t.Context(), query); !fenced(err) {
		p.t.Errorf("%s: got %v, want the fence's refusal", query, err)
	}
}

func fenced(err error) bool {
	return err != nil && strings.Contains(err.Error(), "strangler: "+capability)
}

// Begin opens a transaction of the applier that ends with the test at the latest.
func (p *Pair) Begin(d migrations.Database, term int64) (migrations.Apply, error) {
	a, err := d.Begin(p.t.Context(), term)
	if err == nil {
		p.t.Cleanup(func() { _ = a.Rollback() })
	}
	return a, err
}

// Apply runs f in one transaction of the applier at the follower.
func (p *Pair) Apply(f func(a migrations.Apply) error) error {
	a, err := p.to().Begin(p.t.Context(), p.Term)
	if err != nil {
		return err
	}
	defer a.Rollback()
	if err := f(a); err != nil {
		return errors.Join(err, a.Rollback())
	}
	return a.Commit()
}

// Copy inserts every row of the owner at the follower in ranges of two rows, and marks the tables finished.
func (p *Pair) Copy() {
	p.t.Helper()
	ctx := p.t.Context()
	for t := range p.Capability.Tables {
		var after migrations.Key
		for {
			upto, err := p.from().Bound(ctx, t, migrations.Range{After: after}, 2)
			p.must(err)
			p.must(p.Apply(func(a migrations.Apply) error {
				return p.from().Range(ctx, t, migrations.Range{After: after, Upto: upto}, func(r migrations.Row) error { return a.Insert(ctx, t, r) })
			}))
			if upto == nil {
				break
			}
			after = upto
		}
		p.must(p.Apply(func(a migrations.Apply) error {
			return a.SetMark(ctx, 0, migrations.Mark{Table: t, Attempt: 1, Finished: true})
		}))
	}
}

// Step applies one batch from the owner to the follower, and says how many changes it held.
func (p *Pair) Step() (int64, error) { return p.step(func() error { return nil }) }

// step calls crash between the follower's commit and the owner's forgetting.
func (p *Pair) step(crash func() error) (n int64, err error) {
	ctx := p.t.Context()
	applied, err := p.to().Applied(ctx)
	if err != nil {
		return 0, err
	}
	b, err := p.from().Read(ctx, applied)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if b.Changes() == 0 {
		return 0, nil
	}
	if err := p.Apply(func(a migrations.Apply) error { return p.replay(ctx, b, a, applied) }); err != nil {
		return 0, err
	}
	if err := crash(); err != nil {
		return b.Changes(), err
	}
	return b.Changes(), p.from().Forget(ctx, b)
}

func (p *Pair) replay(ctx context.Context, b migrations.Batch, a migrations.Apply, applied migrations.Position) error {
	for t := range p.Capability.Tables {
		if b.Truncated(t) {
			if err := a.Empty(ctx, t); err != nil {
				return err
			}
		}
		if err := b.Keys(ctx, t, nil, func(k migrations.Key, _ int) error { return a.Delete(ctx, t, k) }); err != nil {
			return err
		}
	}
	for t := range p.Capability.Tables {
		if err := b.Rows(ctx, t, nil, func(r migrations.Row, _ int) error { return a.Insert(ctx, t, r) }); err != nil {
			return err
		}
	}
	return a.Advance(ctx, applied, b.Next())
}

// Sync applies batches until nothing is left.
func (p *Pair) Sync() {
	p.t.Helper()
	for {
		n, err := p.Step()
		p.must(err)
		if n == 0 {
			return
		}
	}
}

// CutOver hands the writes to the other side: fence, catch up, open, raise.
func (p *Pair) CutOver() {
	p.t.Helper()
	ctx := p.t.Context()
	p.Epoch++
	p.must(p.from().SetFence(ctx, p.Epoch, migrations.FenceClosed))
	p.Sync()
	p.Epoch++
	p.must(p.to().SetFence(ctx, p.Epoch, migrations.FenceOpen))
	p.Owner = p.Owner.Other()
	p.Raise()
}

// Alike fails unless both sides have the same rows, value for value and type for type.
func (p *Pair) Alike() {
	p.t.Helper()
	for i := range p.Capability.Tables {
		p.alike(i)
	}
}

func (p *Pair) alike(table int) {
	p.t.Helper()
	image, t := p.lab.Speech().Image, p.Capability.Tables[table]
	if diff := cmp.Diff(image(p.t, p.App, t.From), image(p.t, p.Served, t.To)); diff != "" {
		p.t.Errorf("table %s, - legacy, + service:\n%s", t.From, diff)
	}
}

// each runs f as a test of its own for each sample, with the number of its table.
func (p *Pair) each(samples []Sample, f func(p *Pair, table int, s Sample)) {
	for i, s := range samples {
		p.t.Run(s.Name, func(t *testing.T) {
			own := *p
			own.t = t
			f(&own, i, s)
		})
	}
}

// execAll runs an application's statements.
func (p *Pair) execAll(db *sql.DB, queries []string) {
	p.t.Helper()
	for _, q := range queries {
		p.Exec(db, q)
	}
}

// Pending counts the owner's changes that are not yet given away.
func (p *Pair) Pending() int64 {
	p.t.Helper()
	if p.lab.Speech().Streamed {
		applied, err := p.to().Applied(p.t.Context())
		p.must(err)
		b, err := p.from().Read(p.t.Context(), applied)
		p.must(err)
		defer func() { p.must(b.Close()) }()
		if n := b.Changes(); n != 1 || p.tells(b) {
			return n
		}
		return 0 // its position passes what others have written on the server
	}
	n, err := p.from().Pending(p.t.Context())
	p.must(err)
	return n
}

// tells reports whether a batch has a change of the tables.
func (p *Pair) tells(b migrations.Batch) (tells bool) {
	p.t.Helper()
	for t := range p.Capability.Tables {
		p.must(b.Keys(p.t.Context(), t, nil, func(migrations.Key, int) error {
			tells = true
			return nil
		}))
		tells = tells || b.Truncated(t)
	}
	return tells
}

// Keys are the keys of one table that changed at the owner, as text, and are not forgotten.
func (p *Pair) Keys(table int) map[string]bool {
	p.t.Helper()
	ctx := p.t.Context()
	applied, err := p.to().Applied(ctx)
	p.must(err)
	b, err := p.from().Read(ctx, applied)
	p.must(err)
	defer func() { p.must(b.Close()) }()
	out := map[string]bool{}
	p.must(b.Keys(ctx, table, nil, func(k migrations.Key, _ int) error {
		if out[show(k)] {
			p.t.Errorf("the key %s is yielded twice", show(k))
		}
		out[show(k)] = true
		return nil
	}))
	return out
}

// Wants fails unless err is what is wanted.
func (p *Pair) Wants(err, want error) {
	p.t.Helper()
	if !errors.Is(err, want) {
		p.t.Fatalf("got %v, want %v", err, want)
	}
}

func (p *Pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

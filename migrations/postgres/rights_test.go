package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
)

// estate is a monolith's database whose objects belong to several roles, and an empty one of a service.
// Strangler's role has nothing.
type estate struct {
	t                                *testing.T
	prefix                           string // of its roles
	legacy, service                  string // databases
	capability                       strangler.Capability
	legacyDSN, serviceDSN, appAtSide string
}

// oneRow is held over what changes who may set session_replication_role: the server keeps that in one row for all
// roles and databases, and refuses the second of two who change it at once ("tuple concurrently updated").
var oneRow sync.Mutex

func (e *estate) role(name string) string { return e.prefix + "_" + name }

// script puts the roles' names into a script.
func (e *estate) script(text string) string { return strings.ReplaceAll(text, "%", e.prefix+"_") }

const estateDDL = `
	CREATE SCHEMA hr AUTHORIZATION "%owner"; CREATE SCHEMA kinds AUTHORIZATION "%third"; CREATE SCHEMA far AUTHORIZATION "%third"; CREATE SCHEMA farther AUTHORIZATION "%fourth"; CREATE SCHEMA counters AUTHORIZATION "%third";
	CREATE TYPE kinds.mood AS ENUM ('sad', 'ok'); CREATE SEQUENCE counters.free; ALTER SEQUENCE counters.free OWNER TO "%third"; GRANT USAGE ON SCHEMA counters TO "%owner"; GRANT USAGE ON SEQUENCE counters.free TO "%owner"; GRANT USAGE ON SCHEMA kinds TO "%owner";
	CREATE TABLE far.zones (id integer PRIMARY KEY); ALTER TABLE far.zones OWNER TO "%third"; GRANT USAGE ON SCHEMA far TO "%owner"; GRANT REFERENCES ON far.zones TO "%owner";
	CREATE TABLE hr.couriers (id integer DEFAULT nextval('counters.free'), m kinds.mood, zone integer REFERENCES far.zones, PRIMARY KEY (id, m)); ALTER TABLE hr.couriers OWNER TO "%owner";
	CREATE TABLE visits (id serial, part integer, note text, PRIMARY KEY (id, part)) PARTITION BY LIST (part); CREATE TABLE visits_1 PARTITION OF visits FOR VALUES IN (1); CREATE TABLE visits_d PARTITION OF visits DEFAULT;
	ALTER TABLE visits OWNER TO "%owner"; ALTER TABLE visits_1 OWNER TO "%owner"; ALTER TABLE visits_d OWNER TO "%second";
	CREATE TABLE farther.orders (id integer PRIMARY KEY, courier integer, m kinds.mood, FOREIGN KEY (courier, m) REFERENCES hr.couriers ON DELETE SET NULL); ALTER TABLE farther.orders OWNER TO "%fourth"; GRANT REFERENCES ON hr.couriers TO "%fourth"; GRANT USAGE ON SCHEMA hr, kinds TO "%fourth";
	INSERT INTO far.zones VALUES (1); INSERT INTO hr.couriers (m, zone) VALUES ('sad', 1), ('ok', NULL); INSERT INTO visits (part, note) VALUES (1, 'a'), (2, 'b'); INSERT INTO farther.orders VALUES (1, 1, 'sad');
	REVOKE USAGE ON SCHEMA kinds, far, counters FROM "%owner", "%fourth"; REVOKE REFERENCES ON far.zones FROM "%owner"; REVOKE USAGE ON SEQUENCE counters.free FROM "%owner"; GRANT USAGE ON SEQUENCE counters.free TO "%app"`

func newEstate(t *testing.T) *estate {
	t.Helper()
	server := localdbtest.Shared(t)
	e := &estate{t: t, legacy: localdbtest.Database(t, "")}
	e.prefix = e.legacy
	for _, name := range []string{"owner", "second", "third", "fourth", "served", "app", "strangler"} {
		must(t, server.Role(t.Context(), e.role(name)))
	}
	e.service = localdbtest.Database(t, e.role("served"))
	t.Cleanup(func() { // before the databases are dropped
		oneRow.Lock() // DROP OWNED takes that right, too
		defer oneRow.Unlock()
		run := func(dsn, script string) { runAfter(t, dsn, e.script(script)) }
		for _, db := range []string{e.legacy, e.service} {
			run(server.DSN(db), `DROP OWNED BY "%owner", "%second", "%third", "%fourth", "%app", "%strangler" CASCADE; REASSIGN OWNED BY "%served" TO postgres`)
		}
		run(server.DSN("postgres"), `DROP OWNED BY "%strangler"; DROP ROLE "%owner", "%second", "%third", "%fourth", "%served", "%app", "%strangler"`)
	})
	run(t, server.DSN(e.legacy), e.script(estateDDL), e.script(`GRANT "%owner" TO "%app"; GRANT "%second" TO "%app"`))
	run(t, server.DSN(e.service), e.script(`CREATE SCHEMA desk AUTHORIZATION "%fourth"; GRANT USAGE ON SCHEMA desk TO "%served"`))
	e.legacyDSN, e.serviceDSN = server.As(e.role("strangler"), e.legacy), server.As(e.role("strangler"), e.service)
	e.capability = strangler.Capability{Name: "delivery", Tables: []strangler.Table{{From: "hr.couriers", To: "desk.couriers"}, {From: "visits", To: "visits"}},
		OnDelete: map[string]strangler.Delete{"hr.couriers(zone)": strangler.DeleteRestrict, "farther.orders(courier, m)": strangler.DeleteCascade}}
	e.capability.Legacy.Database, e.capability.Service.Database = e.legacyDSN, e.serviceDSN
	return e
}

func (e *estate) planning() (p *migrations.Planning, legacy, service *Database, done func() error, err error) {
	p, done, err = migrations.NewPlanning(e.t.Context(), func(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
		d, err := Open(ctx, b)
		if err == nil && b.Side == strangler.Legacy {
			legacy = d.(*Database)
		} else if err == nil {
			service = d.(*Database)
		}
		return d, err
	}, e.t.TempDir(), "store-1", e.capability)
	return p, legacy, service, done, err
}

// right is a statement, to be run at a side.
type right struct {
	Side      strangler.Side
	Statement string
}

// missing are the rights that Examine says are missing.
func (e *estate) missing() (out []right) {
	e.t.Helper()
	p, _, _, done, err := e.planning()
	must(e.t, err)
	found, err := p.Examine(e.t.Context())
	must(e.t, errors.Join(err, done()))
	for _, f := range found {
		if f.Forbids {
			if f.Check != "grant" || len(f.Next) != 1 {
				e.t.Fatalf("%+v", f)
			}
			out = append(out, right{f.Side, f.Next[0]})
		}
	}
	return out
}

// grant runs a statement as the superuser.
func (e *estate) grant(r right) {
	e.t.Helper()
	if strings.Contains(r.Statement, " ON PARAMETER ") {
		oneRow.Lock()
		defer oneRow.Unlock()
	}
	run(e.t, localdbtest.Shared(e.t).DSN(map[strangler.Side]string{strangler.Legacy: e.legacy, strangler.Service: e.service}[r.Side]), r.Statement)
}

// walk takes the capability all the way: plan, expand, copy, cutover, rollback, cutover, complete.
func (e *estate) walk() (err error) {
	ctx := e.t.Context()
	p, legacy, service, done, err := e.planning()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	w := &walk{ctx: ctx, p: p, from: legacy, to: service}
	plan, err := p.Make(ctx)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if err := p.Write(ctx, plan); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"expand", func() error { return p.To(ctx, migrations.StageCapture) }},
		{"raise", w.raise},
		{"copy", w.copy},
		{"write", func() error {
			return e.as("app", e.legacy, `INSERT INTO visits (part, note) VALUES (1, 'c'); UPDATE visits SET part = 1, note = 'moved' WHERE part = 2; INSERT INTO hr.couriers (m, zone) VALUES ('ok', 1); TRUNCATE visits_d`)
		}},
		{"sync", w.sync},
		{"arm", func() error { return p.To(ctx, migrations.StageArmed) }},
		{"cutover", w.cutover},
		{"write at the service", func() error {
			return e.as("served", e.service, `INSERT INTO visits (part, note) VALUES (2, 'd'); DELETE FROM desk.couriers WHERE m = 'sad'; INSERT INTO desk.couriers (m) VALUES ('ok')`)
		}},
		{"sync back", w.sync},
		{"rollback", w.cutover},
		{"restore keys", func() error { return p.To(ctx, migrations.StageCapture) }},
		{"orphans", func() error {
			orphans, err := legacy.Orphans(ctx, nil)
			if err == nil && len(orphans) != 0 { // the order's courier was deleted, and the order lost it
				err = fmt.Errorf("orphans %v", orphans)
			}
			return err
		}},
		{"writers", func() error {
			writers, err := legacy.Writers(ctx)
			if err == nil && !slices.ContainsFunc(writers, func(x strangler.Writer) bool { return x.User == e.role("app") }) {
				err = fmt.Errorf("writers %v", writers)
			}
			return err
		}},
		{"arm again", func() error { return p.To(ctx, migrations.StageArmed) }},
		{"cutover again", w.cutover},
		{"complete", func() error { return p.To(ctx, migrations.StageComplete) }},
		{"sweep", func() error { return errors.Join(legacy.Sweep(ctx), service.Sweep(ctx)) }},
		{"write on", func() error { return e.as("served", e.service, `INSERT INTO visits (part, note) VALUES (1, 'e')`) }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (e *estate) as(role, database, script string) error {
	c, err := pgx.Connect(e.t.Context(), localdbtest.Shared(e.t).As(e.role(role), database))
	if err != nil {
		return err
	}
	_, err = c.Exec(e.t.Context(), script, pgx.QueryExecModeSimpleProtocol)
	return errors.Join(err, c.Close(context.Background()))
}

// walk drives two sides by the calls that migrations makes.
type walk struct {
	ctx         context.Context
	p           *migrations.Planning
	from, to    *Database
	term, epoch int64
}

func (w *walk) raise() error {
	w.term++
	return errors.Join(w.from.RaiseTerm(w.ctx, w.term), w.to.RaiseTerm(w.ctx, w.term))
}

func (w *walk) apply(f func(a migrations.Apply) error) error {
	a, err := w.to.Begin(w.ctx, w.term)
	if err != nil {
		return err
	}
	if err := f(a); err != nil {
		return errors.Join(err, a.Rollback())
	}
	return a.Commit()
}

func (w *walk) copy() error {
	for i := range w.from.b.Tables {
		err := w.apply(func(a migrations.Apply) error {
			if err := w.from.Range(w.ctx, i, migrations.Range{}, func(r migrations.Row) error { return a.Insert(w.ctx, i, r) }); err != nil {
				return err
			}
			return a.SetMark(w.ctx, 0, migrations.Mark{Table: i, Attempt: 1, Finished: true})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) sync() error {
	for {
		at, err := w.to.Applied(w.ctx)
		if err != nil {
			return err
		}
		b, err := w.from.Read(w.ctx, at)
		if err != nil {
			return err
		}
		if b.Changes() == 0 {
			return b.Close()
		}
		err = w.apply(func(a migrations.Apply) error {
			for i := range w.from.b.Tables {
				if err := b.Keys(w.ctx, i, nil, func(k migrations.Key, _ int) error { return a.Delete(w.ctx, i, k) }); err != nil {
					return err
				}
				if err := b.Rows(w.ctx, i, nil, func(r migrations.Row, _ int) error { return a.Insert(w.ctx, i, r) }); err != nil {
					return err
				}
			}
			return a.Advance(w.ctx, at, b.Next())
		})
		if err == nil {
			err = w.from.Forget(w.ctx, b)
		}
		if err = errors.Join(err, b.Close()); err != nil {
			return err
		}
	}
}

func (w *walk) cutover() error {
	for _, d := range []*Database{w.from, w.to} {
		release, err := d.Hold(w.ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	w.epoch++
	if err := w.from.SetFence(w.ctx, w.epoch, migrations.FenceClosed); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	next, err := w.from.Sequences(w.ctx)
	if err != nil {
		return err
	}
	for i := range next {
		next[i] += 100
	}
	if err := w.apply(func(a migrations.Apply) error { return a.SetSequences(w.ctx, next) }); err != nil {
		return err
	}
	w.epoch++
	if err := w.to.SetFence(w.ctx, w.epoch, migrations.FenceOpen); err != nil {
		return err
	}
	w.from, w.to = w.to, w.from
	return w.raise()
}

// TestGrantsAreEnough: a role with nothing is given what Examine says, statement by statement, until there is
// nothing left to say; then it can take a capability all the way.
func TestGrantsAreEnough(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	given := e.giveAll()
	t.Logf("%d grants", len(given))
	if err := e.walk(); err != nil {
		t.Errorf("with\n%v\nand yet: %v", given, err)
	}
}

// giveAll gives one after the other; each has to disappear, and nothing may come up.
func (e *estate) giveAll() (given []right) {
	e.t.Helper()
	left := e.missing()
	for len(left) > 0 {
		e.grant(left[0])
		given = append(given, left[0])
		now := e.missing()
		for _, r := range now {
			if r == left[0] || !slices.Contains(left, r) {
				e.t.Fatalf("after %s there is still, or newly, %s", left[0].Statement, r.Statement)
			}
		}
		left = now
	}
	return given
}

// TestNoGrantIsTooMuch: with any one of them left out, something fails, or is refused.
func TestNoGrantIsTooMuch(t *testing.T) {
	t.Parallel()
	probe := newEstate(t)
	var all []right
	for _, r := range probe.missing() {
		privileges, on, several := strings.Cut(strings.TrimPrefix(r.Statement, "GRANT "), " ON ")
		for one := range strings.SplitSeq(privileges, ", ") {
			if several {
				r.Statement = "GRANT " + one + " ON " + on
			}
			if !slices.ContainsFunc(all, func(x right) bool { return x.Statement == r.Statement }) { // both sides are on one server
				all = append(all, r)
			}
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %v", all)
	}
	for i, left := range all {
		t.Run(strings.ReplaceAll(left.Statement, probe.prefix+"_", ""), func(t *testing.T) {
			t.Parallel()
			e := newEstate(t)
			for j, r := range all {
				if j != i {
					e.grant(right{r.Side, strings.ReplaceAll(r.Statement, probe.prefix+"_", e.prefix+"_")})
				}
			}
			if len(e.missing()) == 0 {
				t.Error("nothing is said to be missing")
			}
			if err := e.walk(); err == nil {
				t.Error("it is not needed")
			}
		})
	}
}

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-migrate/migrate/v4/database"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// sharedTables are one set for all capabilities of a database. Sweep drops them once they are empty.
var sharedTables = []struct{ name, columns string }{
	{"strangler_fence", "capability TEXT NOT NULL PRIMARY KEY, control_id TEXT NOT NULL, epoch INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('open', 'closed')), term INTEGER NOT NULL, applier INTEGER NOT NULL DEFAULT 0"},
	{"strangler_position", "capability TEXT NOT NULL PRIMARY KEY, applied TEXT NOT NULL, forgotten INTEGER NOT NULL, durable INTEGER NOT NULL"},
	{"strangler_mark", "capability TEXT NOT NULL, tbl INTEGER NOT NULL, part INTEGER NOT NULL, after BLOB, upto BLOB, done BLOB, flight BLOB, in_flight INTEGER NOT NULL, attempt INTEGER NOT NULL, finished INTEGER NOT NULL, copied INTEGER NOT NULL, columns TEXT NOT NULL, PRIMARY KEY (capability, tbl, part)"},
	{"strangler_key", "capability TEXT NOT NULL, kind TEXT NOT NULL, tbl INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (capability, kind, tbl, key)"},
	{"strangler_cut", "capability TEXT NOT NULL, child TEXT NOT NULL, parent TEXT NOT NULL, along TEXT, PRIMARY KEY (capability, child, parent)"},
}

func (d *Database) versionTable() string { return "strangler_" + d.b.Capability + "_scripts" }

// script collects statements, one a line.
type script struct{ b strings.Builder }

func (s *script) add(format string, args ...any) { fmt.Fprintf(&s.b, format+";\n", args...) }

// refuseUnless ends the script, with nothing done, unless condition selects 1 (or no row at all).
func (s *script) refuseUnless(why, condition string) {
	s.add("CREATE TEMP TABLE strangler_refuse (ok INTEGER CONSTRAINT %s CHECK (ok = 1))", ident("strangler: "+why))
	s.add("INSERT INTO strangler_refuse %s", condition)
	s.add("DROP TABLE temp.strangler_refuse")
}

func (d *Database) stateIs(state migrations.FenceState) string {
	return fmt.Sprintf("SELECT state = %s FROM strangler_fence WHERE capability = %s", literal(string(state)), literal(d.b.Capability))
}

// stateIsSurely is false where the fence row is gone; stateIs lets a cancel clear away what is left.
func (d *Database) stateIsSurely(state migrations.FenceState) string {
	return "SELECT coalesce((" + d.stateIs(state) + "), 0)"
}

// head is the comment that every script begins with.
func (d *Database) head(what string) string {
	return fmt.Sprintf("-- %s\n-- Strangler runs it by: strangler migrate up %s. With any golang-migrate, in this folder:\n-- migrate -source file://. -database 'sqlite://PATH-OF-THE-DATABASE?x-migrations-table=%s' up\n",
		what, d.b.Capability, d.versionTable())
}

func (d *Database) pair(stage migrations.Stage, name, what string, up, down *script) migrations.Script {
	return migrations.Script{Stage: stage, Name: name, Up: d.head(what) + up.b.String(), Down: d.head("Takes back: "+what) + down.b.String()}
}

// install makes the shared tables, this capability's rows and its fence; uninstall takes them back.
func (d *Database) install(tables []*table, state migrations.FenceState) (up, down *script) {
	up, down = &script{}, &script{}
	c := literal(d.b.Capability)
	for _, t := range sharedTables {
		up.add("CREATE TABLE IF NOT EXISTS %s (%s)", t.name, t.columns)
	}
	up.add("INSERT INTO strangler_fence (capability, control_id, epoch, state, term) VALUES (%s, %s, 0, %s, 0)", c, literal(d.b.ControlID), literal(string(state)))
	up.add("INSERT INTO strangler_position (capability, applied, forgotten, durable) VALUES (%s, '0', 0, 0)", c)
	down.refuseUnless(fmt.Sprintf("the fence of %s is not %s here, so its rows may be the only copy; see strangler split status %s", d.b.Capability, state, d.b.Capability), d.stateIs(state))
	for i, t := range tables {
		whole := 0 // the service's tables are to be copied
		if state == migrations.FenceOpen {
			whole = 1 // the monolith's have all their rows
		}
		up.add("INSERT INTO strangler_mark (capability, tbl, part, in_flight, attempt, finished, copied, columns) VALUES (%s, %d, 0, 0, 0, %d, 0, %s)", c, i, whole, literal(t.columnNames()))
		if !t.share.Whole() {
			up.add("%s", t.besideDDL())
		}
		for _, g := range d.fenceTriggers(d.b.Tables[i], t) {
			up.add("%s", g.sql)
			down.add("DROP TRIGGER IF EXISTS %s", ident(g.name))
		}
		if !t.share.Whole() {
			down.add("DROP TABLE %s", ident(besideTable(t.name)))
		}
	}
	return up, down
}

// forgetRows deletes this capability's rows from the shared tables.
func (d *Database) forgetRows(s *script) {
	for _, t := range sharedTables {
		s.add("DELETE FROM %s WHERE capability = %s", t.name, literal(d.b.Capability))
	}
}

func (d *Database) captureScript(tables []*table, state migrations.FenceState) (up, down *script) {
	up, down = &script{}, &script{}
	down.refuseUnless(fmt.Sprintf("the fence of %s is not %s here: changes are still recorded for the other side", d.b.Capability, state), d.stateIs(state))
	for _, t := range tables {
		up.add("%s", t.logDDL())
		for _, g := range d.captureTriggers(t) {
			up.add("%s", g.sql)
			down.add("DROP TRIGGER IF EXISTS %s", ident(g.name))
		}
		down.add("DROP TABLE %s", ident(logTable(t.name)))
	}
	return up, down
}

func never(what string) *script {
	s := &script{}
	s.refuseUnless(what, "SELECT 0")
	return s
}

// OwnerScripts are legacy's: fence, capture, the cut of crossing keys, the end.
func (d *Database) OwnerScripts(ctx context.Context, _ migrations.Schema) ([]migrations.Script, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	up, down := d.install(tables, migrations.FenceOpen)
	d.forgetRows(down)
	fence := d.pair(migrations.StageFirst, "fence", "The fence of "+d.b.Capability+", open: the monolith owns its tables.", up, down)

	up, down = d.captureScript(tables, migrations.FenceOpen)
	capture := d.pair(migrations.StageCapture, "capture", "Records which rows of "+d.b.Capability+" change.", up, down)

	edited, err := d.crossingTables(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := d.foreignKeys(ctx, d.pool, edited)
	if err != nil {
		return nil, err
	}
	if err := d.childless(ctx, keys); err != nil {
		return nil, err
	}
	if up, down, err = d.cutScript(edited, keys); err != nil {
		return nil, err
	}
	cut := d.pair(migrations.StageArmed, "cut_foreign_keys", "Drops the foreign keys that cross the cut; run before a cutover.", up, down)

	up = &script{}
	up.refuseUnless("the service does not own "+d.b.Capability+"; its tables here are the only copy", d.stateIsSurely(migrations.FenceClosed))
	for _, g := range d.restrictTriggers(keys) {
		up.add("DROP TRIGGER IF EXISTS %s", ident(g.name))
	}
	what, gone := "The point of no return: drops the tables of "+d.b.Capability+" and their fence together.", "the tables are gone from here"
	for i, t := range tables {
		if t.share.Whole() {
			up.add("DROP TABLE %s", ident(t.name))
		} else {
			what = "The point of no return: drops the tables of " + d.b.Capability + " and their fence together; of a shared table the fence only."
			gone = "the fences are gone from here"
			for _, g := range append(d.fenceTriggers(d.b.Tables[i], t), d.captureTriggers(t)...) {
				up.add("DROP TRIGGER IF EXISTS %s", ident(g.name))
			}
			up.add("DROP TABLE %s", ident(besideTable(t.name)))
		}
		up.add("DROP TABLE %s", ident(logTable(t.name)))
	}
	d.forgetRows(up)
	complete := d.pair(migrations.StageComplete, "complete", what, up, never("complete cannot be taken back: "+gone))
	return []migrations.Script{fence, capture, cut, complete}, nil
}

// FollowerScripts are the service's: tables, fence, its own capture, the end.
func (d *Database) FollowerScripts(ctx context.Context, from migrations.Schema) ([]migrations.Script, error) {
	up, down := &script{}, &script{}
	what := "The tables of " + d.b.Capability + " are there already, made by the service; nothing to make."
	var tables []*table
	like := from
	if d.b.Common {
		like = d.adopted(from)
	}
	alike, err := d.likenesses(ctx, like)
	if err != nil {
		return nil, err
	}
	for i, name := range d.b.Tables {
		made := alike[i]
		t, err := describe(ctx, d.pool, name)
		if err != nil {
			return nil, err
		}
		if t != nil {
			if err := d.fits(from.Tables[i], made, t); err != nil {
				return nil, err
			}
			tables = append(tables, t)
			continue
		}
		what = "The tables of " + d.b.Capability + ", like the monolith's but for foreign keys to tables that stay."
		if d.b.Common {
			what = "The tables of " + d.b.Capability + ", with the columns, keys, unique constraints and foreign keys of the monolith's."
		}
		for _, text := range append([]string{made.ddl}, made.indexes...) {
			up.add("%s", text)
		}
		down.add("DROP TABLE %s", ident(name))
		tables = append(tables, made)
	}
	if up.b.Len() == 0 {
		up.add("SELECT 1")
		down.add("SELECT 1")
	}
	first := d.pair(migrations.StageFirst, "tables", what, up, down)

	up, down = d.install(tables, migrations.FenceClosed)
	for _, name := range d.b.Tables {
		up.refuseUnless("the service's table "+name+" already has rows", "SELECT NOT EXISTS (SELECT 1 FROM "+ident(name)+")")
		down.add("DELETE FROM %s", ident(name))
	}
	d.forgetRows(down)
	fence := d.pair(migrations.StageCapture, "fence", "The fence of "+d.b.Capability+", closed: only copied rows come in.", up, down)

	up, down = d.captureScript(tables, migrations.FenceClosed)
	armed := d.pair(migrations.StageArmed, "capture", "Records which rows change once the service owns them; run before a cutover.", up, down)

	up = &script{}
	up.refuseUnless("the service does not own "+d.b.Capability, d.stateIsSurely(migrations.FenceOpen))
	for _, t := range tables {
		for _, g := range append(d.fenceTriggers(t.name, t), d.captureTriggers(t)...) {
			up.add("DROP TRIGGER IF EXISTS %s", ident(g.name))
		}
		up.add("DROP TABLE %s", ident(logTable(t.name)))
	}
	d.forgetRows(up)
	complete := d.pair(migrations.StageComplete, "complete", "The service's tables are its own from here on: fence and capture go.", up, never("complete cannot be taken back: the monolith's tables are gone"))
	return []migrations.Script{first, fence, armed, complete}, nil
}

// fits refuses a table of the service into which the monolith's rows do not go unchanged; made is what the plan would make.
func (d *Database) fits(from migrations.Table, made, t *table) error {
	wrong := misfits(made, t)
	if d.b.Common {
		wrong = migrations.FitsKinds(from, t.plain())
	}
	if len(wrong) == 0 {
		return nil
	}
	return strangler.Refuse("fit", fmt.Sprintf("the service's table %s does not take the monolith's rows: %s", t.name, strings.Join(wrong, "; ")), "change it, or drop it and let the plan make it")
}

// misfits are what keeps rows from going from one table into another as they are.
func misfits(source, t *table) (wrong []string) {
	has := map[string]migrations.Column{}
	for _, c := range t.columns {
		has[c.Name] = c
	}
	keyNames := func(t *table) string {
		return list(t.key, func(k keyColumn) string { return k.name + " " + strings.ToUpper(k.collation) })
	}
	for _, c := range source.columns {
		h, ok := has[c.Name]
		switch {
		case !ok:
			wrong = append(wrong, "it has no column "+c.Name)
		case !strings.EqualFold(h.Type, c.Type):
			wrong = append(wrong, fmt.Sprintf("column %s is %s there and %s in the monolith", c.Name, h.Type, c.Type))
		case h.NotNull && !c.NotNull && !slices.ContainsFunc(source.key, func(k keyColumn) bool { return k.name == c.Name }):
			wrong = append(wrong, fmt.Sprintf("column %s refuses NULL, the monolith's does not", c.Name))
		}
		delete(has, c.Name)
	}
	for name := range has {
		wrong = append(wrong, "it has a column more: "+name)
	}
	if keyNames(t) != keyNames(source) {
		wrong = append(wrong, fmt.Sprintf("its key is (%s), the monolith's (%s)", keyNames(t), keyNames(source)))
	}
	if t.strict && !source.strict {
		wrong = append(wrong, "it is STRICT, the monolith's is not")
	}
	return wrong
}

// likenesses are the tables that the plan makes, described by making them in a database in memory. Where
// a table gets another name, so do the references to it.
func (d *Database) likenesses(ctx context.Context, from migrations.Schema) (made []*table, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	var first, then []string // by way of a third name, since two tables may change theirs
	for i, source := range from.Tables {
		for _, text := range source.DDL {
			if _, err := db.ExecContext(ctx, text); err != nil {
				return nil, fmt.Errorf("make a table like %s: %w", source.Name, err)
			}
		}
		if name := d.b.Tables[i]; source.Name != name {
			between := ident(fmt.Sprintf("strangler_renamed_%d", i))
			first = append(first, "ALTER TABLE "+ident(source.Name)+" RENAME TO "+between)
			then = append(then, "ALTER TABLE "+between+" RENAME TO "+ident(name))
		}
	}
	for _, text := range append(first, then...) {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
	}
	for _, name := range d.b.Tables {
		t, err := describe(ctx, db, name)
		if err != nil || t == nil {
			return nil, errors.Join(err, fmt.Errorf("make a table like %s", name))
		}
		made = append(made, t)
	}
	return made, nil
}

// cutScript edits the stored text of every table that holds a crossing foreign key: SQLite has no DROP
// CONSTRAINT, and rebuilding a table would delete its children and drop its triggers. Making and
// dropping a table raises the schema's version, by which other processes notice.
func (d *Database) cutScript(tables []*table, keys []migrations.ForeignKey) (up, down *script, err error) {
	up, down = &script{}, &script{}
	if len(tables) == 0 {
		up.add("SELECT 1")
		down.add("SELECT 1")
		return up, down, nil
	}
	d.noteCut(up, tables, keys)
	down.refuseUnless("the monolith does not own "+d.b.Capability+": its foreign keys would refuse what the service writes", d.stateIs(migrations.FenceOpen))
	down.add("DELETE FROM strangler_cut WHERE capability = %s", literal(d.b.Capability))
	for _, g := range d.restrictTriggers(keys) {
		down.add("DROP TRIGGER IF EXISTS %s", ident(g.name))
	}
	edits := [2][]string{}
	for _, t := range tables {
		cut, err := withoutReferences(t.ddl, func(parent string, from []string) bool { return d.crosses(t.name, parent, from) })
		if err != nil {
			return nil, nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		for i, s := range []*script{up, down} {
			from, to := t.ddl, cut
			if i == 1 {
				from, to = cut, t.ddl
			}
			s.refuseUnless("table "+t.name+" was changed since the plan; write it again: strangler migrate plan "+d.b.Capability,
				fmt.Sprintf("SELECT count(*) = 1 FROM sqlite_schema WHERE type = 'table' AND name = %s AND sql = %s", literal(t.name), literal(from)))
			edits[i] = append(edits[i], fmt.Sprintf("UPDATE sqlite_schema SET sql = %s WHERE type = 'table' AND name = %s", literal(to), literal(t.name)))
		}
	}
	for i, s := range []*script{up, down} {
		s.add("PRAGMA writable_schema = ON")
		for _, e := range edits[i] {
			s.add("%s", e)
		}
		s.add("CREATE TABLE strangler_reread (x)")
		s.add("DROP TABLE strangler_reread")
		s.add("PRAGMA writable_schema = RESET")
	}
	for _, g := range d.restrictTriggers(keys) {
		up.add("%s", g.sql)
	}
	return up, down, nil
}

// Scripts opens golang-migrate's driver on a connection of its own: closing it closes that connection.
func (d *Database) Scripts(context.Context) (database.Driver, error) {
	db, err := sql.Open("sqlite", dsn(d.path)+"&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	r, err := newRunner(db, d)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

// Version reads the version table without making it.
func (d *Database) Version(ctx context.Context) (version uint, dirty bool, err error) {
	d.metaMu.Lock()
	d.stale = true // scripts make and change tables
	d.metaMu.Unlock()
	there, err := d.exists(ctx, d.versionTable())
	if err != nil || !there {
		return 0, false, err
	}
	var v int64 // -1 while the first script goes down
	err = d.pool.QueryRowContext(ctx, "SELECT version, dirty FROM "+ident(d.versionTable())+" LIMIT 1").Scan(&v, &dirty)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return uint(max(v, 0)), dirty, err
}

func (d *Database) exists(ctx context.Context, table string) (bool, error) {
	var n int
	err := d.pool.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", table).Scan(&n)
	return n > 0, err
}

// Sweep drops the version table, and the shared tables once no capability has rows in any of them. Where
// scripts have run since the ones that called for it, somebody has begun anew, and it drops nothing.
func (d *Database) Sweep(ctx context.Context) error {
	return d.write(ctx, func(t *tx) error {
		if begun, err := d.begun(ctx, t.w.conn); err != nil || begun {
			return err
		}
		drop := []string{d.versionTable()}
		var left int
		for _, s := range sharedTables {
			var n int
			if err := t.w.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = ?", s.name).Scan(&n); err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			drop = append(drop, s.name)
			if err := t.w.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+s.name).Scan(&n); err != nil {
				return err
			}
			left += n
		}
		if left > 0 {
			drop = drop[:1]
		}
		for _, name := range drop {
			if _, err := t.w.conn.ExecContext(ctx, "DROP TABLE IF EXISTS "+ident(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// begun reports whether scripts have run, and not to their end.
func (d *Database) begun(ctx context.Context, q querier) (bool, error) {
	var n int
	if err := q.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", d.versionTable()).Scan(&n); err != nil || n == 0 {
		return false, err
	}
	err := q.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE version BETWEEN 1 AND %d", ident(d.versionTable()), migrations.StageComplete-1)).Scan(&n)
	return n > 0, err
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-migrate/migrate/v4/database"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/strangler-fig/strangler/migrations"
)

// sharedTables are one set for all capabilities of a database. Sweep drops them once they are empty.
var sharedTables = []struct{ name, columns string }{
	{"strangler_fence", "capability text PRIMARY KEY, control_id text NOT NULL, epoch bigint NOT NULL, state text NOT NULL CHECK (state IN ('open', 'closed')), term bigint NOT NULL, server text NOT NULL"},
	{"strangler_position", "capability text PRIMARY KEY, applied text NOT NULL, forgotten bigint NOT NULL, durable bigint NOT NULL, base bigint"},
	{"strangler_mark", "capability text, tbl integer, part integer, after bytea, upto bytea, done bytea, flight bytea, in_flight boolean NOT NULL, attempt bigint NOT NULL, finished boolean NOT NULL, copied bigint NOT NULL, columns text NOT NULL, loose text[], PRIMARY KEY (capability, tbl, part)"},
	{"strangler_key", "capability text, kind text, tbl integer, key bytea, PRIMARY KEY (capability, kind, tbl, key)"},
	{"strangler_writer", `capability text, "user" text, application text, address text, writes bigint NOT NULL, last timestamptz NOT NULL, PRIMARY KEY (capability, "user", application, address)`},
	{"strangler_cut", "capability text, child text, parent text, along text, PRIMARY KEY (capability, child, parent)"},
}

// server names the cluster, its timeline, the database and the fence's own table: another answer means a
// restore, or a failover. A dump that is put back into the same database makes the table anew.
func (d *Database) server() string {
	return "(SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8), (SELECT oid FROM pg_database WHERE datname = current_database()), to_regclass(" + literal(d.ours("strangler_fence")) + ")::oid))"
}

// A script first waits for vacuums and other DDL, for firstWait, with a lock that lets the application read and
// write. Then lockTimeout bounds how long each statement that needs a strong lock lets it queue.
const (
	firstWait   = "5s"
	lockTimeout = "300ms"
)

func (d *Database) versionTable() string { return short("strangler_" + d.b.Capability + "_scripts") }

// script collects statements, one a line.
type script struct {
	b    strings.Builder
	path string // the search_path of what follows; "" where that names all schemas itself
	mode string // of the lock that it takes first on all tables that it changes; "" takes none
}

// scriptWaits are a script's tries for several tables at once: most are short, since short ones stop nobody.
var scriptWaits = []string{"20ms", "20ms", "30ms", "30ms", "50ms", "50ms", "100ms", "100ms", "200ms", lockTimeout}

const (
	forTriggers = "SHARE ROW EXCLUSIVE" // to make triggers and foreign keys: readers pass
	forDrops    = "ACCESS EXCLUSIVE"    // to drop them
)

// under has what follows find names along a path, whoever runs the script.
func (s *script) under(path []string) {
	if next := list(path, ident); len(path) > 0 && next != s.path {
		s.path = next
		s.add("SET LOCAL search_path = %s", next)
	}
}

func (s *script) add(format string, args ...any) { fmt.Fprintf(&s.b, format+";\n", args...) }

// refuseUnless ends the script, with nothing done, unless condition selects true (or no row at all).
func (s *script) refuseUnless(why, condition string) {
	s.add("DO %s", literal(fmt.Sprintf("BEGIN IF (%s) IS FALSE THEN RAISE EXCEPTION USING MESSAGE = %s; END IF; END", condition, literal("strangler: "+why))))
}

func (d *Database) stateIs(state migrations.FenceState) string {
	return fmt.Sprintf("SELECT state = %s FROM %s WHERE capability = %s", literal(string(state)), d.ours("strangler_fence"), literal(d.b.Capability))
}

// stateIsSurely is false where the fence row is gone; stateIs lets a cancel clear away what is left.
func (d *Database) stateIsSurely(state migrations.FenceState) string {
	return "SELECT coalesce((" + d.stateIs(state) + "), false)"
}

// head is the comment that every script begins with.
func (d *Database) head(what string) string {
	return fmt.Sprintf("-- %s\n-- Strangler runs it by: strangler migrate up %s. With any golang-migrate, in this folder:\n-- migrate -source file://. -database 'pgx5://%s@HOST:PORT/DATABASE?x-migrations-table=%s' up\n",
		what, d.b.Capability, d.role, d.versionTable())
}

// pair completes a script and its way back; locked are the tables that both change.
func (d *Database) pair(stage migrations.Stage, name, what string, up, down *script, locked ...string) migrations.Script {
	return migrations.Script{Stage: stage, Name: name, Up: d.head(what) + limits(up.mode, locked) + up.b.String(), Down: d.head("Takes back: "+what) + limits(down.mode, locked) + down.b.String()}
}

func fulls(tables []*table) (out []string) {
	for _, t := range tables {
		out = append(out, t.full())
	}
	return out
}

// install makes the shared tables, this capability's rows and its fence; uninstall takes them back.
func (d *Database) install(ctx context.Context, tables []*table, state migrations.FenceState) (up, down *script, err error) {
	up, down = &script{mode: forTriggers}, &script{mode: forDrops}
	c := literal(d.b.Capability)
	for _, t := range sharedTables {
		up.add("CREATE TABLE IF NOT EXISTS %s (%s)", d.ours(t.name), t.columns)
	}
	up.add("INSERT INTO %s (capability, control_id, epoch, state, term, server) VALUES (%s, %s, 0, %s, 0, %s)", d.ours("strangler_fence"), c, literal(d.b.ControlID), literal(string(state)), d.server())
	up.add("INSERT INTO %s (capability, applied, forgotten, durable) VALUES (%s, '0', 0, 0)", d.ours("strangler_position"), c)
	down.refuseUnless(fmt.Sprintf("the fence of %s is not %s here, so its rows may be the only copy; see strangler split status %s", d.b.Capability, state, d.b.Capability), d.stateIs(state))
	for i, t := range tables {
		whole := state == migrations.FenceOpen // the monolith's tables have all their rows, the service's are to be copied
		up.add("INSERT INTO %s (capability, tbl, part, in_flight, attempt, finished, copied, columns, loose) VALUES (%s, %d, 0, false, 0, %t, 0, %s, %s)", d.ours("strangler_mark"), c, i, whole, literal(t.planned()), looseKey(t))
	}
	up.add("%s", d.functionDDL(d.fenceTrigger()))
	for _, t := range tables {
		if t.shared() {
			up.add("%s", d.functionDDL(d.shareTrigger(t)))
		}
	}
	err = d.onEach(ctx, tables, func(t *table, relation string) {
		for _, g := range d.fenceTriggers(t) {
			for _, text := range d.triggerOn(g, t, relation, firing(state)) {
				up.add("%s", text)
			}
		}
	})
	for _, t := range tables {
		if t.shared() {
			down.add("DROP FUNCTION IF EXISTS %s() CASCADE", d.ours(d.shareTrigger(t).function))
		}
	}
	down.add("DROP FUNCTION IF EXISTS %s() CASCADE", d.ours(d.fenceTrigger().function))
	return up, down, err
}

// onEach calls f for every table and every partition that there is.
func (d *Database) onEach(ctx context.Context, tables []*table, f func(t *table, relation string)) error {
	for _, t := range tables {
		f(t, t.full())
		parts := t.made
		if t.oid != 0 { // it is there
			var err error
			if parts, err = partitions(ctx, d.pool, t.oid); err != nil {
				return err
			}
		}
		for _, p := range parts {
			f(t, p.full())
		}
	}
	return nil
}

// forgetRows deletes this capability's rows from the shared tables.
func (d *Database) forgetRows(s *script) {
	for _, t := range sharedTables {
		s.add("DELETE FROM %s WHERE capability = %s", d.ours(t.name), literal(d.b.Capability))
	}
}

func (d *Database) captureScript(ctx context.Context, tables []*table, state migrations.FenceState) (up, down *script, err error) {
	up, down = &script{mode: forTriggers}, &script{mode: forDrops}
	down.refuseUnless(fmt.Sprintf("the fence of %s is not %s here: changes are still recorded for the other side", d.b.Capability, state), d.stateIs(state))
	for _, t := range tables {
		up.under(t.path) // for the types of its key
		up.add("%s", d.logDDL(t))
		for _, g := range d.captureTriggers(t) {
			up.add("%s", d.functionDDL(g))
		}
	}
	err = d.onEach(ctx, tables, func(t *table, relation string) {
		for _, g := range d.captureTriggers(t) {
			for _, text := range d.triggerOn(g, t, relation, 'A') {
				up.add("%s", text)
			}
		}
	})
	for _, t := range tables {
		d.dropCapture(down, t)
	}
	return up, down, err
}

// triggerOn makes a trigger at a table or a partition of it; one for rows at a partition is made by the table's own.
func (d *Database) triggerOn(g trigger, t *table, relation string, state byte) []string {
	ddl := d.triggerDDL(g, relation, state)
	if g.kind&forRow != 0 && relation != t.full() {
		return ddl[1:]
	}
	return ddl
}

func (d *Database) dropCapture(s *script, t *table) {
	for _, g := range d.captureTriggers(t) {
		s.add("DROP FUNCTION IF EXISTS %s() CASCADE", d.ours(g.function))
	}
	s.add("DROP TABLE %s", d.ours(d.logTable(t.bound)))
}

func never(what string) *script {
	s := &script{}
	s.refuseUnless(what, "SELECT false")
	return s
}

// OwnerScripts are legacy's: fence, capture, the cut of crossing keys, the end.
func (d *Database) OwnerScripts(ctx context.Context, _ migrations.Schema) ([]migrations.Script, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	up, down, err := d.install(ctx, tables, migrations.FenceOpen)
	if err != nil {
		return nil, err
	}
	d.forgetRows(down)
	fence := d.pair(migrations.StageFirst, "fence", "The fence of "+d.b.Capability+", open: the monolith owns its tables.", up, down, fulls(tables)...)

	c, err := d.choose(ctx, tables)
	if err != nil {
		return nil, err
	}
	records := "Records which rows of " + d.b.Capability + " change."
	if c.Log {
		records = "Publishes the tables of " + d.b.Capability + "; their changes are read from a replication slot, which is made before the copy."
		up, down = d.publishScript(tables)
	} else if up, down, err = d.captureScript(ctx, tables, migrations.FenceOpen); err != nil {
		return nil, err
	}
	capture := d.pair(migrations.StageCapture, "capture", records, up, down, fulls(tables)...)

	keys, err := d.crossing(ctx)
	if err != nil {
		return nil, err
	}
	up, down = d.cutScript(tables, keys)
	cut := d.pair(migrations.StageArmed, "cut_foreign_keys", "Drops the foreign keys that cross the cut; run before a cutover.", up, down)

	up = &script{mode: forDrops}
	up.refuseUnless("the service does not own "+d.b.Capability+"; its tables here are the only copy", d.stateIsSurely(migrations.FenceClosed))
	for _, x := range d.restricted(keys) {
		d.letGo(up, x)
	}
	whole := slices.DeleteFunc(slices.Clone(tables), (*table).shared)
	if len(whole) > 0 {
		up.add("DROP TABLE %s", list(whole, func(t *table) string { return t.full() }))
	}
	if c.Log {
		d.unpublish(up)
	} else {
		for _, t := range tables {
			d.dropCapture(up, t)
		}
	}
	end, gone := "The point of no return: drops the tables of "+d.b.Capability+" and their fence together.", "complete cannot be taken back: the tables are gone from here"
	if len(whole) == len(tables) {
		up.add("DROP FUNCTION %s()", d.ours(d.fenceTrigger().function))
	} else {
		end = "The point of no return: drops the tables of " + d.b.Capability + ", but for those that are shared, and the fence of all of them."
		gone = "complete cannot be taken back: what has moved is the service's alone"
		up.add("DROP FUNCTION %s() CASCADE", d.ours(d.fenceTrigger().function))
		for _, t := range tables {
			if t.shared() {
				up.add("DROP FUNCTION %s() CASCADE", d.ours(d.shareTrigger(t).function))
			}
		}
	}
	d.forgetRows(up)
	complete := d.pair(migrations.StageComplete, "complete", end, up, never(gone), fulls(tables)...)
	return []migrations.Script{fence, capture, cut, complete}, nil
}

// cutScript drops the crossing foreign keys, each in a transaction of its own: the fewer tables are locked together,
// the fewer transactions stand in the way. Down, they come back NOT VALID, so that new rows are checked from
// there on; the old rows are checked in a transaction of their own, which lets writers pass, and orphans leave
// the key NOT VALID with a warning.
func (d *Database) cutScript(tables []*table, all []crossing) (up, down *script) {
	up, down = &script{}, &script{}
	if len(all) == 0 {
		up.add("SELECT 1")
		down.add("SELECT 1")
		return up, down
	}
	restricted := d.restricted(all)
	var check []string
	for i, k := range all {
		table, name := k.table.full(), ident(k.name)
		both := slices.Compact([]string{table, k.parent.full()})
		up.b.WriteString(limits(forDrops, both))
		if i == 0 {
			d.noteCut(up, tables, all)
		}
		bound := slices.ContainsFunc(restricted, func(x crossing) bool { return x.table == k.table && x.name == k.name })
		if bound {
			d.letGo(up, k) // of a run that did not come to its end
			d.restrict(up, k)
		}
		up.add("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", table, name)
		up.add("COMMIT")
		def, mode := strings.TrimSuffix(k.def, " NOT VALID")+" NOT VALID", forTriggers
		if bound {
			mode = forDrops
		}
		down.b.WriteString(limits(mode, both))
		down.refuseUnless("the monolith does not own "+d.b.Capability+": its foreign keys would refuse what the service writes", d.stateIs(migrations.FenceOpen))
		if bound {
			d.letGo(down, k)
		}
		down.add("DO %s", literal(fmt.Sprintf("BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s) THEN ALTER TABLE %s ADD CONSTRAINT %s %s; END IF; END",
			literal(table), literal(k.name), table, name, def)))
		down.add("COMMIT")
		if k.validated {
			check = append(check, fmt.Sprintf("DO %s", literal(fmt.Sprintf("BEGIN ALTER TABLE %s VALIDATE CONSTRAINT %s; EXCEPTION WHEN foreign_key_violation THEN RAISE WARNING USING MESSAGE = %s; END",
				table, name, literal("strangler: rows violate "+k.name+", which stays NOT VALID")))))
		}
	}
	for _, text := range check {
		down.add("%s", text)
	}
	down.add("DELETE FROM %s WHERE capability = %s", d.ours("strangler_cut"), literal(d.b.Capability))
	return up, down
}

// FollowerScripts are the service's: tables, fence, its own capture, the end.
func (d *Database) FollowerScripts(ctx context.Context, from migrations.Schema) ([]migrations.Script, error) {
	up, down := &script{}, &script{}
	what := "The tables of " + d.b.Capability + " are there already, made by the service; nothing to make."
	tables := make([]*table, len(d.b.Tables))
	var names renaming
	var then []string
	var beside []companion
	var indexes, constraints []located
	heir, err := d.heir(ctx)
	if err != nil {
		return nil, err
	}
	monolith := from
	if d.b.Common {
		if from, err = d.adopted(from); err != nil {
			return nil, err
		}
	}
	at, err := d.places(ctx, from)
	if err != nil {
		return nil, err
	}
	for i, name := range d.b.Tables {
		source := from.Tables[i]
		t, err := describe(ctx, d.pool, name)
		if err != nil {
			return nil, err
		}
		if t != nil {
			if err := d.fits(monolith.Tables[i], t); err != nil {
				return nil, err
			}
			tables[i] = t
			continue
		}
		what = "The tables of " + d.b.Capability + ", like the monolith's but for foreign keys to tables that stay."
		tables[i] = d.likeness(at, i, source)
		if err := at.take(i, source); err != nil {
			return nil, err
		}
		for _, b := range slices.Concat(source.Indexes, source.Constraints) {
			if b.Name != "" {
				up.refuseUnless(fmt.Sprintf("the service's database has something named %s already, as an index of %s is", b.Name, source.Name),
					"SELECT NOT EXISTS (SELECT FROM pg_class WHERE relname = "+literal(b.Name)+" AND relnamespace = to_regnamespace("+literal(ident(tables[i].schema))+"))")
			}
		}
		for _, text := range source.DDL {
			path := at.along(i, text)
			if len(path) > 0 && path[0] == tables[i].schema && list(path, ident) != up.path {
				up.under(path)
				up.refuseUnless("there is no schema "+path[0]+", or you may not use it (GRANT USAGE); nothing was made", "SELECT coalesce(current_schema() = "+literal(path[0])+", false)")
			}
			up.under(path)
			up.add("%s", text)
		}
		indexes, constraints = append(indexes, at.locate(i, source.Indexes)...), append(constraints, at.locate(i, source.Constraints)...)
		made := tables[i].full()
		if _, bare := split(source.Name); bare != tables[i].name {
			names = append(names, renamed{tables[i].schema, bare, fmt.Sprintf("strangler_renamed_%d", i), tables[i].name})
		}
		if heir != "" {
			then = append(then, "ALTER TABLE "+made+" OWNER TO "+ident(heir))
			for _, part := range tables[i].made {
				then = append(then, "ALTER TABLE "+part.full()+" OWNER TO "+ident(heir))
			}
		}
		down.add("DROP TABLE %s CASCADE", made)
		more, err := d.companions(ctx, at, i)
		if err != nil {
			return nil, err
		}
		for _, c := range more {
			if !slices.Contains(beside, c) {
				beside = append(beside, c)
			}
		}
	}
	for i, c := range beside {
		if give := c.give(heir); heir != "" && give != "" {
			then = append(then, give)
		}
		down.add("%s", beside[len(beside)-1-i].drop())
	}
	for _, text := range append(names.forth(), then...) {
		up.add("%s", text)
	}
	if up.b.Len() == 0 {
		up.add("SELECT 1")
		down.add("SELECT 1")
	}
	tablesPair := d.pair(migrations.StageFirst, "tables", what, up, down)

	if up, down, err = d.install(ctx, tables, migrations.FenceClosed); err != nil {
		return nil, err
	}
	for _, t := range tables {
		up.refuseUnless("the service's table "+t.bound+" already has rows", "SELECT NOT EXISTS (SELECT 1 FROM "+t.full()+")")
	}
	down.add("%s", emptied(tables))
	d.forgetRows(down)
	fence := d.pair(migrations.StageCapture, "fence", "The fence of "+d.b.Capability+", closed: only copied rows come in.", up, down, fulls(tables)...)

	scripts := []migrations.Script{tablesPair, fence}
	if len(indexes) > 0 {
		up, down = d.behindScript(indexes, names)
		scripts = append(scripts, d.pair(migrations.StageIndexed, "indexes", "The keys of the tables, which have their rows by now, and their indexes.", up, down))
	}
	if len(constraints) > 0 {
		up, down = d.behindScript(constraints, names)
		scripts = append(scripts, d.pair(migrations.StageWhole, "constraints", "What holds between rows; run while no row comes.", up, down))
	}

	if up, down, err = d.captureScript(ctx, tables, migrations.FenceClosed); err != nil {
		return nil, err
	}
	armed := d.pair(migrations.StageArmed, "capture", "Records which rows change once the service owns them; run before a cutover.", up, down, fulls(tables)...)

	up = &script{mode: forDrops}
	up.refuseUnless("the service does not own "+d.b.Capability, d.stateIsSurely(migrations.FenceOpen))
	for _, t := range tables {
		d.dropCapture(up, t)
	}
	up.add("DROP FUNCTION %s() CASCADE", d.ours(d.fenceTrigger().function))
	d.forgetRows(up)
	complete := d.pair(migrations.StageComplete, "complete", "The service's tables are its own from here on: fence and capture go.", up, never("complete cannot be taken back: the monolith's tables are gone"), fulls(tables)...)
	return append(scripts, armed, complete), nil
}

// emptied takes all rows away. Where a table of the service's own refers to one of these, the server refuses TRUNCATE, even if that
// table is empty; then they are deleted in one statement, which is refused where there is a row that refers to one of them.
func emptied(tables []*table) string {
	all := list(tables, func(t *table) string { return literal(t.full()) + "::regclass" })
	var with []string
	last := tables[len(tables)-1]
	for i, t := range tables[:len(tables)-1] {
		with = append(with, fmt.Sprintf("of_%d AS (DELETE FROM %s)", i, t.full()))
	}
	each := "DELETE FROM " + last.full()
	if with != nil {
		each = "WITH " + strings.Join(with, ", ") + " " + each
	}
	return fmt.Sprintf(`DO $emptied$
BEGIN
  IF EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND confrelid IN (%[1]s) AND conrelid NOT IN (%[1]s)) THEN
    %[2]s;
  ELSE
    TRUNCATE %[3]s;
  END IF;
END $emptied$`, all, each, list(tables, func(t *table) string { return t.full() }))
}

// likeness is a table that the first script will make, as far as later scripts have to know it.
func (d *Database) likeness(at *places, i int, source migrations.Table) *table {
	_, name := split(d.b.Tables[i])
	schema := at.tables[i]
	t := &table{bound: d.b.Tables[i], schema: schema, name: name, path: at.path(i), kind: "r", loose: len(source.Indexes) > 0, made: attached(source.DDL, schema)}
	for _, c := range source.Columns {
		if !c.Generated {
			t.columns = append(t.columns, column{Column: c, typed: c.Type})
		}
	}
	for _, k := range source.Key {
		for at, c := range t.columns {
			if c.Name == k {
				t.keyAt = append(t.keyAt, at)
			}
		}
	}
	return t
}

// heir is the role that owns this database, where Strangler may act for it: the tables it makes are the
// service's. Empty: they stay Strangler's own, which the database's owner then has to grant rights on.
func (d *Database) heir(ctx context.Context) (role string, err error) {
	err = d.pool.QueryRow(ctx, `SELECT r.rolname::text FROM pg_database AS b JOIN pg_roles AS r ON r.oid = b.datdba
		WHERE b.datname = current_database() AND r.rolname <> session_user AND NOT r.rolsuper AND pg_has_role(session_user, r.oid, 'MEMBER')`).Scan(&role)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return role, err
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
	err = d.pool.QueryRow(ctx, "SELECT version, dirty FROM "+d.ours(d.versionTable())+" LIMIT 1").Scan(&v, &dirty)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return uint(max(v, 0)), dirty, err
}

func (d *Database) exists(ctx context.Context, table string) (there bool, err error) {
	err = d.pool.QueryRow(ctx, "SELECT to_regclass($1::text) IS NOT NULL", d.ours(table)).Scan(&there)
	return there, err
}

// Sweep drops the version table, and the shared tables once no capability has rows in any of them.
func (d *Database) Sweep(ctx context.Context) error {
	return d.write(ctx, func(t *tx) error {
		drop := []string{d.versionTable()}
		left := false
		for _, s := range sharedTables {
			there := false
			if err := t.QueryRow(ctx, "SELECT to_regclass($1::text) IS NOT NULL", d.ours(s.name)).Scan(&there); err != nil {
				return err
			}
			if !there {
				continue
			}
			drop = append(drop, s.name)
			used := false
			if _, err := t.Exec(ctx, "LOCK TABLE "+d.ours(s.name)+" IN ACCESS EXCLUSIVE MODE"); err != nil {
				return err
			}
			if err := t.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+d.ours(s.name)+")").Scan(&used); err != nil {
				return err
			}
			left = left || used
		}
		if left {
			drop = drop[:1]
		}
		for _, name := range drop {
			if _, err := t.Exec(ctx, "DROP TABLE IF EXISTS "+d.ours(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Scripts opens golang-migrate's driver on a connection of its own: closing it closes that connection.
func (d *Database) Scripts(ctx context.Context) (database.Driver, error) {
	db := stdlib.OpenDB(*d.pool.Config().ConnConfig, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		return errors.Join(settle(ctx, c), d.lines.know(ctx, c))
	}))
	driver, err := newRunner(ctx, db, d)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return driver, nil
}

package mysql

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

// A script cannot be undone half-way: the server commits at each CREATE, ALTER and DROP. So each can run again from its
// start, wherever it was ended: what it refuses comes first, what is there is passed over, and what tells that it has run
// comes last.

const ourOptions = "ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

// sharedTables are one set for all capabilities of a database. Sweep drops them once they are empty.
var sharedTables = []struct{ name, columns string }{
	{"strangler_fence", "capability VARCHAR(64) NOT NULL PRIMARY KEY, control_id VARCHAR(64) NOT NULL, epoch BIGINT NOT NULL, state VARCHAR(8) NOT NULL, term BIGINT NOT NULL, server VARCHAR(128) NOT NULL"},
	{"strangler_position", "capability VARCHAR(64) NOT NULL PRIMARY KEY, applied VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, forgotten BIGINT NOT NULL, durable BIGINT NOT NULL, base VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin"},
	{"strangler_mark", "capability VARCHAR(64) NOT NULL, tbl INT NOT NULL, part INT NOT NULL, `after` LONGBLOB, upto LONGBLOB, done LONGBLOB, flight LONGBLOB, in_flight BOOLEAN NOT NULL, attempt BIGINT NOT NULL, finished BOOLEAN NOT NULL, copied BIGINT NOT NULL, `columns` LONGTEXT NOT NULL, PRIMARY KEY (capability, tbl, part)"},
	{"strangler_key", "capability VARCHAR(64) NOT NULL, kind VARCHAR(32) NOT NULL, tbl INT NOT NULL, hash BINARY(32) NOT NULL, `key` LONGBLOB NOT NULL, PRIMARY KEY (capability, kind, tbl, hash)"},
	{"strangler_writer", "capability VARCHAR(64) NOT NULL, `user` VARCHAR(400) NOT NULL, writes BIGINT NOT NULL, last DATETIME NOT NULL, PRIMARY KEY (capability, `user`)"},
	{"strangler_cut", "capability VARCHAR(64) NOT NULL, child VARCHAR(64) NOT NULL, parent VARCHAR(64) NOT NULL, along LONGTEXT, PRIMARY KEY (capability, child, parent)"},
}

func (d *Database) versionTable() string { return short("strangler_" + d.b.Capability + "_scripts") }

// script collects statements, one a line.
type script struct {
	b strings.Builder
	d *Database
}

func (d *Database) script() *script { return &script{d: d} }

func (s *script) add(format string, args ...any) { fmt.Fprintf(&s.b, format+";\n", args...) }

// refuseUnless ends the script, with nothing done, unless condition selects true (or no row at all).
func (s *script) refuseUnless(why, condition string) {
	refuse := fmt.Sprintf("IF (%s) IS FALSE THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = %s; END IF", condition, literal("strangler: "+why))
	if s.d.mariadb {
		s.add("BEGIN NOT ATOMIC %s; END", refuse)
		return
	}
	s.add("DROP PROCEDURE IF EXISTS strangler_refuse")
	s.add("CREATE PROCEDURE strangler_refuse() BEGIN %s; END", refuse)
	s.add("CALL strangler_refuse()")
	s.add("DROP PROCEDURE strangler_refuse")
}

func (d *Database) stateIs(state migrations.FenceState) string {
	return fmt.Sprintf("SELECT state = %s FROM strangler_fence WHERE capability = %s", literal(string(state)), literal(d.b.Capability))
}

// stateIsOrGone is true also behind the script's own end: the row is gone, and with it every one of the tables.
func (d *Database) stateIsOrGone(state migrations.FenceState, tables []string) string {
	return fmt.Sprintf("SELECT COALESCE((%s), NOT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN (%s)))", d.stateIs(state), list(tables, literal))
}

// head is the comment that every script begins with.
func (d *Database) head(what string) string {
	return fmt.Sprintf("-- %s\n-- Strangler runs it by: strangler migrate up %s. With any golang-migrate, in this folder:\n-- migrate -source file://. -database 'mysql://%s:PASSWORD@tcp(HOST:PORT)/DATABASE?multiStatements=true&x-migrations-table=%s' up\n",
		what, d.b.Capability, d.role, d.versionTable())
}

// limits keep a statement that changes a table from having others queue behind it for long.
const limits = "SET SESSION lock_wait_timeout = 1;\n"

func (d *Database) pair(stage migrations.Stage, name, what string, up, down *script) migrations.Script {
	return migrations.Script{Stage: stage, Name: name, Up: d.head(what) + limits + up.b.String(), Down: d.head("Takes back: "+what) + limits + down.b.String()}
}

// install makes the shared tables, this capability's rows and its fence; uninstall takes them back.
func (d *Database) install(tables []*table, state migrations.FenceState) (up, down *script) {
	up, down = d.script(), d.script()
	c := literal(d.b.Capability)
	for _, t := range sharedTables {
		up.add("CREATE TABLE IF NOT EXISTS %s (%s) %s", t.name, t.columns, ourOptions)
	}
	up.add("INSERT IGNORE INTO strangler_fence (capability, control_id, epoch, state, term, server) VALUES (%s, %s, 0, %s, 0, %s)", c, literal(d.b.ControlID), literal(string(state)), server)
	up.add("INSERT IGNORE INTO strangler_position (capability, applied, forgotten, durable) VALUES (%s, '0', 0, 0)", c)
	down.refuseUnless(fmt.Sprintf("the fence of %s is not %s here, so its rows may be the only copy", d.b.Capability, state), d.stateIs(state))
	for i, t := range tables {
		whole := b2i(state == migrations.FenceOpen) // the monolith's tables have all their rows, the service's are to be copied
		up.add("INSERT IGNORE INTO strangler_mark (capability, tbl, part, in_flight, attempt, finished, copied, `columns`) VALUES (%s, %d, 0, 0, 0, %d, 0, %s)", c, i, whole, literal(t.planned()))
		for _, g := range d.fenceTriggers(t) {
			up.add("%s", g.makeAnew)
		}
	}
	return up, down
}

func (d *Database) dropFence(s *script, tables []*table) {
	for _, t := range tables {
		for _, g := range d.fenceTriggers(t) {
			s.add("%s", g.drop)
		}
	}
}

// forgetRows deletes this capability's rows from the shared tables, that of the fence last.
func (d *Database) forgetRows(s *script) {
	for _, t := range slices.Backward(sharedTables) {
		s.add("DELETE FROM %s WHERE capability = %s", t.name, literal(d.b.Capability))
	}
}

func (d *Database) captureScript(tables []*table, state migrations.FenceState, logical bool) (up, down *script) {
	up, down = d.script(), d.script()
	down.refuseUnless(fmt.Sprintf("the fence of %s is not %s here: changes are still recorded for the other side", d.b.Capability, state), d.stateIs(state))
	for _, t := range tables {
		up.add("%s", t.logDDL())
		up.refuseUnless("there is a table "+logTable(t.name)+" that is another one than Strangler's", d.shaped(logTable(t.name), "id", "nonce", "writer", strings.Split(oldKeys(t), ", "), strings.Split(newKeys(t), ", ")))
	}
	for _, t := range tables {
		for _, g := range d.captures(t, tables, logical) {
			up.add("%s", g.makeAnew)
		}
	}
	if logical {
		up.add("UPDATE strangler_position SET base = COALESCE(base, %s) WHERE capability = %s", literal(string(notMade)), literal(d.b.Capability))
		down.add("UPDATE strangler_position SET base = NULL WHERE capability = %s", literal(d.b.Capability))
	}
	d.dropCapture(down, tables)
	return up, down
}

func (d *Database) dropCapture(s *script, tables []*table) {
	for _, t := range tables {
		for _, g := range d.captureTriggers(t, tables) {
			s.add("%s", g.drop)
		}
	}
	for _, t := range tables {
		s.add("DROP TABLE IF EXISTS %s", ident(logTable(t.name)))
	}
}

// shaped selects whether a table has just the columns, names or lists of them.
func (d *Database) shaped(table string, columns ...any) string {
	var all []string
	for _, c := range columns {
		switch c := c.(type) {
		case string:
			all = append(all, c)
		case []string:
			all = append(all, c...)
		}
	}
	return fmt.Sprintf("SELECT COUNT(*) = %d AND COALESCE(SUM(COLUMN_NAME IN (%s)), 0) = %[1]d FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %[3]s", len(all), list(all, literal), literal(table))
}

func (d *Database) never(what string) *script {
	s := d.script()
	s.refuseUnless(what, "SELECT FALSE")
	return s
}

// OwnerScripts are legacy's: fence, capture, the cut of crossing keys, the end.
func (d *Database) OwnerScripts(ctx context.Context, _ migrations.Schema) ([]migrations.Script, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	up, down := d.install(tables, migrations.FenceOpen)
	d.dropFence(down, tables)
	d.forgetRows(down)
	fence := d.pair(migrations.StageFirst, "fence", "The fence of "+d.b.Capability+", open: the monolith owns its tables.", up, down)

	c, err := d.choose(ctx, tables)
	if err != nil {
		return nil, err
	}
	records := "Records which rows of " + d.b.Capability + " change."
	if c.Log {
		records = "Notes that the changes of " + d.b.Capability + " are read from the server's binary log."
	}
	up, down = d.captureScript(tables, migrations.FenceOpen, c.Log)
	capture := d.pair(migrations.StageCapture, "capture", records, up, down)

	keys, err := d.crossing(ctx)
	if err != nil {
		return nil, err
	}
	up, down = d.cutScript(keys)
	cut := d.pair(migrations.StageArmed, "cut_foreign_keys", "Drops the foreign keys that cross the cut; run before a cutover.", up, down)

	up = d.script()
	whole, part, ends := shares(tables)
	up.refuseUnless("the service does not own "+d.b.Capability+"; its tables here are the only copy", d.stateIsOrGone(migrations.FenceClosed, ends))
	for _, g := range d.restrictTriggers(keys) {
		up.add("%s", g.drop)
	}
	d.dropFence(up, part)
	d.dropCapture(up, part)
	up.add("SET SESSION foreign_key_checks = 0")
	for _, t := range whole {
		up.add("DROP TABLE IF EXISTS %s", ident(t.name))
	}
	up.add("SET SESSION foreign_key_checks = 1")
	for _, t := range whole {
		up.add("DROP TABLE IF EXISTS %s", ident(logTable(t.name)))
	}
	d.forgetRows(up)
	complete := d.pair(migrations.StageComplete, "complete", "The point of no return: drops the tables of "+d.b.Capability+", each with its fence.", up, d.never("complete cannot be taken back: the tables are gone from here"))
	return []migrations.Script{fence, capture, cut, complete}, nil
}

// cutScript drops the crossing foreign keys. Down, they come back without a look at the old rows, which would copy the
// table and keep writers out for as long; orphans are reported.
func (d *Database) cutScript(keys []foreignKey) (up, down *script) {
	up, down = d.script(), d.script()
	if len(keys) == 0 {
		up.add("SELECT 1")
		down.add("SELECT 1")
		return up, down
	}
	d.noteCut(up, keys)
	down.refuseUnless("the monolith does not own "+d.b.Capability+": its foreign keys would refuse what the service writes", d.stateIs(migrations.FenceOpen))
	for _, g := range d.restrictTriggers(keys) {
		up.add("%s", g.makeAnew)
		down.add("%s", g.drop)
	}
	down.add("SET SESSION foreign_key_checks = 0")
	ifThere, ifNot := "", ""
	if d.mariadb {
		ifThere, ifNot = "IF EXISTS ", "IF NOT EXISTS "
	}
	for _, f := range keys {
		up.add("ALTER TABLE %s DROP FOREIGN KEY %s%s", ident(f.child), ifThere, ident(f.name))
		down.add("ALTER TABLE %s ADD %s", ident(f.child), strings.Replace(f.definition(), "FOREIGN KEY (", "FOREIGN KEY "+ifNot+"(", 1))
	}
	down.add("SET SESSION foreign_key_checks = 1")
	down.add("DELETE FROM strangler_cut WHERE capability = %s", literal(d.b.Capability))
	return up, down
}

// FollowerScripts are the service's: tables, fence, its own capture, the end.
func (d *Database) FollowerScripts(ctx context.Context, from migrations.Schema) ([]migrations.Script, error) {
	foreign := from
	if d.b.Common {
		var err error
		if from, err = d.adopted(from); err != nil {
			return nil, err
		}
	}
	up, down := d.script(), d.script()
	what := "The tables of " + d.b.Capability + " are there already, made by the service; nothing to make."
	var tables []*table
	up.add("SET SESSION foreign_key_checks = 0")
	down.add("SET SESSION foreign_key_checks = 0")
	for i, name := range d.b.Tables {
		made := d.likeness(from, i)
		t, err := d.describe(ctx, d.pool, name)
		if err != nil {
			return nil, err
		}
		if t != nil {
			if d.b.Common {
				err = unfit(t.name, migrations.FitsKinds(foreign.Tables[i], d.portable(t)))
			} else {
				err = fits(made, t)
			}
			if err != nil {
				return nil, err
			}
			tables = append(tables, t)
			continue
		}
		what = "The tables of " + d.b.Capability + ", like the monolith's but for foreign keys to tables that stay."
		up.add("%s", made.ddl)
		var names []string
		for _, c := range made.columns {
			names = append(names, c.Name)
		}
		up.refuseUnless("the service's database has another table named "+name, d.shapedAtLeast(name, names))
		down.add("DROP TABLE IF EXISTS %s", ident(name))
		tables = append(tables, made)
	}
	up.add("SET SESSION foreign_key_checks = 1")
	down.add("SET SESSION foreign_key_checks = 1")
	first := d.pair(migrations.StageFirst, "tables", what, up, down)

	up, down = d.script(), d.script()
	for _, name := range d.b.Tables {
		up.refuseUnless("the service's table "+name+" already has rows", "SELECT NOT EXISTS (SELECT 1 FROM "+ident(name)+")")
	}
	install, uninstall := d.install(tables, migrations.FenceClosed)
	up.b.WriteString(install.b.String())
	down.b.WriteString(uninstall.b.String())
	down.add("SET SESSION foreign_key_checks = 0")
	for _, name := range d.b.Tables { // the fence stands meanwhile, and does not see it
		down.add("TRUNCATE TABLE %s", ident(name))
	}
	down.add("SET SESSION foreign_key_checks = 1")
	d.dropFence(down, tables)
	d.forgetRows(down)
	fence := d.pair(migrations.StageCapture, "fence", "The fence of "+d.b.Capability+", closed: only copied rows come in.", up, down)

	up, down = d.captureScript(tables, migrations.FenceClosed, false)
	armed := d.pair(migrations.StageArmed, "capture", "Records which rows change once the service owns them; run before a cutover.", up, down)

	up = d.script()
	logs := make([]string, len(tables))
	for i, t := range tables {
		logs[i] = logTable(t.name)
	}
	up.refuseUnless("the service does not own "+d.b.Capability, d.stateIsOrGone(migrations.FenceOpen, logs))
	d.dropFence(up, tables)
	d.dropCapture(up, tables)
	d.forgetRows(up)
	complete := d.pair(migrations.StageComplete, "complete", "The service's tables are its own from here on: fence and capture go.", up, d.never("complete cannot be taken back: the monolith's tables are gone"))
	return []migrations.Script{first, fence, armed, complete}, nil
}

// shapedAtLeast selects whether a table has the columns, generated ones aside.
func (d *Database) shapedAtLeast(table string, columns []string) string {
	return fmt.Sprintf("SELECT COALESCE(SUM(COLUMN_NAME IN (%s)), 0) = %d FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s", list(columns, literal), len(columns), literal(table))
}

// likeness is the table that the plan makes of the monolith's.
func (d *Database) likeness(from migrations.Schema, i int) *table {
	source := from.Tables[i]
	renamed := func(name string) string {
		for j, t := range from.Tables {
			if t.Name == name {
				return d.b.Tables[j]
			}
		}
		return name
	}
	t := &table{name: d.b.Tables[i], kind: "BASE TABLE"}
	t.ddl = edited(source.DDL[0], source.Name, func(foreignKey) bool { return false }, renamed)
	for _, c := range source.Columns {
		t.columns = append(t.columns, column{Column: c})
	}
	for _, name := range source.Key {
		t.keyAt = append(t.keyAt, slices.IndexFunc(t.columns, func(c column) bool { return c.Name == name }))
	}
	return t
}

// fits refuses a table of the service into which the monolith's rows do not go unchanged.
func fits(source, t *table) error {
	var wrong []string
	has := map[string]column{}
	for _, c := range t.columns {
		has[c.Name] = c
	}
	keyNames := func(t *table) string { return list(t.key(), func(c column) string { return c.Name }) }
	for i, c := range source.columns {
		h, ok := has[c.Name]
		switch {
		case !ok:
			wrong = append(wrong, "it has no column "+c.Name)
		case h.Type != c.Type:
			wrong = append(wrong, fmt.Sprintf("column %s is %s there and %s in the monolith", c.Name, h.Type, c.Type))
		case h.NotNull && !c.NotNull && !slices.Contains(source.keyAt, i):
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
	return unfit(t.name, wrong)
}

// unfit is the refusal of a table of the service.
func unfit(table string, wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	return strangler.Refuse("fit", fmt.Sprintf("the service's table %s does not take the monolith's rows: %s", table, strings.Join(wrong, "; ")), "change it, or drop it and let the plan make it")
}

// Scripts opens golang-migrate's driver on a connection of its own: closing it closes that connection.
func (d *Database) Scripts(ctx context.Context) (database.Driver, error) { return newRunner(ctx, d) }

// Version reads the version table without making it.
func (d *Database) Version(ctx context.Context) (version uint, dirty bool, err error) {
	d.metaMu.Lock()
	d.stale = true // scripts make and change tables
	d.metaMu.Unlock()
	var v int64 // -1 while the first script goes down
	err = d.pool.QueryRowContext(ctx, "SELECT version, dirty FROM "+ident(d.versionTable())+" LIMIT 1").Scan(&v, &dirty)
	if errors.Is(err, sql.ErrNoRows) || number(err) == errNoTable {
		err = nil
	}
	return uint(max(v, 0)), dirty, err
}

// Sweep drops the version table, and the shared tables once no capability has rows in any of them; they are locked for
// that, so that nobody's first row comes in between. Where scripts have run since the ones that called for it, somebody has
// begun anew, and it drops nothing.
func (d *Database) Sweep(ctx context.Context) (err error) {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return err
	}
	t := &tx{d: d, conn: conn, leave: "UNLOCK TABLES"}
	defer func() { err = errors.Join(err, t.end(context.WithoutCancel(ctx))) }()
	var there []string
	for _, s := range sharedTables {
		if ok, err := d.exists(ctx, s.name); err != nil {
			return err
		} else if ok {
			there = append(there, s.name)
		}
	}
	all := there
	versions, err := d.exists(ctx, d.versionTable())
	if err != nil {
		return err
	}
	if versions {
		all = append(slices.Clone(there), d.versionTable())
	}
	if len(all) == 0 {
		return nil
	}
	if _, err := t.exec(ctx, "LOCK TABLES "+list(all, func(name string) string { return ident(name) + " WRITE" })); err != nil {
		return passing(err)
	}
	if versions {
		var begun int
		if err := conn.QueryRowContext(ctx, fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE version BETWEEN 1 AND %d", ident(d.versionTable()), migrations.StageComplete-1)).Scan(&begun); err != nil || begun > 0 {
			return err
		}
	}
	for _, name := range there {
		var n int
		if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+name).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			there, all = nil, slices.DeleteFunc(all, func(name string) bool { return name != d.versionTable() })
			break
		}
	}
	if len(all) == 0 {
		return nil
	}
	_, err = t.exec(ctx, "DROP TABLE IF EXISTS "+list(all, ident))
	return err
}

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// table is a table as it stands, with what the engine's statements need.
type table struct {
	name      string
	kind      string // table, virtual or view
	strict    bool
	rowid     string              // a name for the rowid, where there is one that is not the key; or empty
	columns   []migrations.Column // that move, by name, so that both sides have one order
	stays     []migrations.Column // that do not
	share     migrations.Share    // what of it moves
	numeric   []bool              // by column: text that looks like a number is stored as one
	stored    []string            // their names, in the order in which a row holds them
	key       []keyColumn
	primary   []string // the columns of the primary key, which may hold NULL and so not be the key
	uniques   []unique
	autoincr  bool
	aliased   bool // the key is the rowid
	ddl       string
	indexes   []string // CREATE INDEX statements
	triggers  []string // names of triggers that are not ours
	refs      []foreignKey
	keyAt     []int // where the key's columns are among columns
	defaults  map[string]string
	notNull   map[string]bool
	expressed string // a unique index on an expression, if there is one
	collation string // a collation that only the application knows, if there is one
}

type keyColumn struct {
	name, collation string
	explicit        bool // the key's index has another collation than the column
	alias           bool // of the rowid: OLD and NEW have the affinity of whole numbers here, and here alone
}

// of is the column of a row, compared and ordered as the key's index does.
func (k keyColumn) of(row string) string {
	if k.explicit {
		return row + "." + ident(k.name) + " COLLATE " + k.collation
	}
	return row + "." + ident(k.name)
}

type unique struct {
	name    string
	columns []keyColumn
	partial bool
}

type foreignKey struct {
	parent   string
	from, to []string
	onDelete string // CASCADE, SET NULL, SET DEFAULT, RESTRICT, NO ACTION
	onUpdate string
}

// tables describes the bound tables; it is kept once all of them are there.
func (d *Database) tables(ctx context.Context) ([]*table, error) {
	d.metaMu.Lock()
	defer d.metaMu.Unlock()
	if d.meta != nil && !d.stale {
		return d.meta, nil
	}
	var all []*table
	for _, name := range d.b.Tables {
		t, err := d.bound(ctx, d.pool, name)
		if err != nil {
			return nil, err
		}
		if t == nil {
			return nil, fmt.Errorf("%w: the %s database has no table %s: it was dropped or renamed, or the scripts have not made it. The owner goes on serving. Put it back, then: strangler split start %s. Or plan anew, while the monolith owns: strangler split cancel %s, then run the playbook",
				strangler.ErrStopped, d.b.Side, name, d.b.Capability, d.b.Capability)
		}
		if len(t.key) == 0 {
			return nil, fmt.Errorf("table %s has no usable key", name)
		}
		all = append(all, t)
	}
	d.meta, d.stale = all, false
	return all, nil
}

func (d *Database) table(ctx context.Context, i int) (*table, error) {
	all, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	return all[i], nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// bound describes one of the bound tables as it moves; nil when it is not there.
func (d *Database) bound(ctx context.Context, q querier, name string) (*table, error) {
	t, err := describe(ctx, q, name)
	if t != nil && t.kind != "view" {
		t.take(d.shareOf(name))
	}
	return t, err
}

// describe reads one table; nil when it is not there.
func describe(ctx context.Context, q querier, name string) (*table, error) {
	t := &table{name: name, defaults: map[string]string{}, notNull: map[string]bool{}}
	var withoutRowid bool
	err := q.QueryRowContext(ctx, `SELECT l.type, l.wr, l.strict, s.name, coalesce(s.sql, '') FROM sqlite_schema AS s JOIN pragma_table_list AS l ON l.schema = 'main' AND l.name = s.name
		WHERE s.name = ? COLLATE NOCASE AND s.type IN ('table', 'view')`, name).Scan(&t.kind, &withoutRowid, &t.strict, &t.name, &t.ddl)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case t.kind == "view":
		return t, nil
	}
	if err := t.readColumns(ctx, q); err != nil {
		return nil, err
	}
	if err := t.readIndexes(ctx, q); err != nil {
		return nil, err
	}
	if err := t.readReferences(ctx, q); err != nil {
		return nil, err
	}
	err = each(ctx, q, `SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND name NOT LIKE 'strangler\_%' ESCAPE '\'`, []any{t.name}, func(s func(...any) error) error {
		var n string
		err := s(&n)
		t.triggers = append(t.triggers, n)
		return err
	})
	t.placeKey()
	for i := range t.columns {
		t.columns[i].Auto = t.aliased && t.columns[i].Name == t.key[0].name
		t.columns[i].Default = t.columns[i].Auto || t.columns[i].Default
	}
	t.autoincr = hasKeyword(t.ddl, "AUTOINCREMENT")
	if len(t.key) > 0 && !withoutRowid && !t.aliased {
		for _, name := range []string{"rowid", "_rowid_", "oid"} {
			if _, taken := t.notNull[name]; !taken {
				t.rowid = name
				break
			}
		}
	}
	return t, err
}

// placeKey finds the key's columns among the columns.
func (t *table) placeKey() {
	t.keyAt = nil
	for _, k := range t.key {
		t.keyAt = append(t.keyAt, slices.IndexFunc(t.columns, func(c migrations.Column) bool { return c.Name == k.name }))
	}
}

func (t *table) readColumns(ctx context.Context, q querier) error {
	type pkColumn struct {
		at   int
		name string
	}
	var keys []pkColumn
	err := each(ctx, q, `SELECT cid, name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)`, []any{t.name}, func(s func(...any) error) error {
		var c migrations.Column
		var dflt sql.NullString
		var at, hidden int
		if err := s(&c.At, &c.Name, &c.Type, &c.NotNull, &dflt, &at, &hidden); err != nil {
			return err
		}
		if hidden == 1 { // a hidden column of a virtual table
			return nil
		}
		c.Generated = hidden == 2 || hidden == 3
		if at > 0 {
			keys = append(keys, pkColumn{at, c.Name})
		}
		if dflt.Valid {
			t.defaults[c.Name] = dflt.String
			c.Default = !strings.EqualFold(dflt.String, "NULL")
		}
		t.notNull[c.Name] = c.NotNull
		if !c.Generated {
			t.columns = append(t.columns, c)
			t.stored = append(t.stored, c.Name)
		}
		return nil
	})
	sort.Slice(t.columns, func(i, j int) bool { return t.columns[i].Name < t.columns[j].Name })
	sort.Slice(keys, func(i, j int) bool { return keys[i].at < keys[j].at })
	for _, k := range keys {
		t.primary = append(t.primary, k.name)
	}
	for i := range t.columns {
		t.numeric = append(t.numeric, describeKind(&t.columns[i]))
	}
	return err
}

// readIndexes finds the unique constraints, and chooses the key: the primary key where it cannot hold
// NULL, else a unique index whose columns cannot.
func (t *table) readIndexes(ctx context.Context, q querier) error {
	type index struct {
		name, origin string
		partial      bool
	}
	var found []index
	err := each(ctx, q, `SELECT name, origin, partial FROM pragma_index_list(?) WHERE "unique" ORDER BY name`, []any{t.name}, func(s func(...any) error) error {
		var x index
		err := s(&x.name, &x.origin, &x.partial)
		found = append(found, x)
		return err
	})
	if err != nil {
		return err
	}
	solid := func(cols []keyColumn) bool {
		for _, c := range cols {
			stored := slices.ContainsFunc(t.columns, func(x migrations.Column) bool { return x.Name == c.name })
			if !t.notNull[c.name] || !stored {
				return false
			}
		}
		return len(cols) > 0
	}
	if len(t.primary) == 1 && !slices.ContainsFunc(found, func(x index) bool { return x.origin == "pk" }) {
		t.aliased = true
		t.key = []keyColumn{{name: t.primary[0], collation: "BINARY", alias: true}} // an alias of the rowid has no index of its own, and is never NULL
	}
	for _, x := range found {
		u := unique{name: x.name, partial: x.partial}
		err := each(ctx, q, `SELECT coalesce(name, ''), coll, cid FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno`, []any{x.name}, func(s func(...any) error) error {
			var c keyColumn
			var cid int
			if err := s(&c.name, &c.collation, &cid); err != nil {
				return err
			}
			if cid < 0 {
				t.expressed = x.name
			}
			u.columns = append(u.columns, c)
			return nil
		})
		if err != nil {
			return err
		}
		if x.origin == "pk" && solid(u.columns) {
			t.key = u.columns
		}
		t.uniques = append(t.uniques, u)
	}
	for _, u := range t.uniques {
		if len(t.key) == 0 && solid(u.columns) && !u.partial {
			t.key = u.columns
		}
	}
	t.uniques = slices.DeleteFunc(t.uniques, func(u unique) bool { return slices.Equal(u.columns, t.key) })
	if err := t.readCollations(ctx, q); err != nil {
		return err
	}
	return each(ctx, q, `SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL ORDER BY name`, []any{t.name}, func(s func(...any) error) error {
		var text string
		err := s(&text)
		t.indexes = append(t.indexes, text)
		return err
	})
}

// readCollations finds collations that only the application has, and key columns whose own collation is
// not the one of the key's index.
func (t *table) readCollations(ctx context.Context, q querier) error {
	err := q.QueryRowContext(ctx, `SELECT coalesce(max(x.coll), '') FROM pragma_index_list(?) AS l, pragma_index_xinfo(l.name) AS x
		WHERE upper(x.coll) NOT IN ('BINARY', 'NOCASE', 'RTRIM')`, t.name).Scan(&t.collation)
	if err != nil || t.collation != "" || t.aliased {
		return err
	}
	for i, k := range t.key {
		// A column of a compound SELECT compares by the collation of its first part.
		var nocase, rtrim bool
		err := q.QueryRowContext(ctx, fmt.Sprintf("SELECT c = 'A', c = 'a ' FROM (SELECT %s AS c FROM %s WHERE 0 UNION SELECT 'a')", ident(k.name), ident(t.name))).Scan(&nocase, &rtrim)
		if err != nil {
			return fmt.Errorf("collation of %s.%s: %w", t.name, k.name, err)
		}
		own := "BINARY"
		switch {
		case nocase:
			own = "NOCASE"
		case rtrim:
			own = "RTRIM"
		}
		t.key[i].explicit = !strings.EqualFold(own, k.collation)
	}
	return nil
}

func (t *table) readReferences(ctx context.Context, q querier) error {
	last := -1
	return each(ctx, q, `SELECT id, "table", "from", coalesce("to", ''), on_delete, on_update FROM pragma_foreign_key_list(?) ORDER BY id, seq`, []any{t.name}, func(s func(...any) error) error {
		var id int
		var parent, from, to, onDelete, onUpdate string
		if err := s(&id, &parent, &from, &to, &onDelete, &onUpdate); err != nil {
			return err
		}
		if id != last {
			t.refs = append(t.refs, foreignKey{parent: parent, onDelete: onDelete, onUpdate: onUpdate})
			last = id
		}
		r := &t.refs[len(t.refs)-1]
		r.from, r.to = append(r.from, from), append(r.to, to)
		return nil
	})
}

func (t *table) columnNames() string {
	return list(t.columns, func(c migrations.Column) string { return ident(c.Name) })
}

// asPlanned describes the tables anew and stops where their columns are not those of the plan: rows go
// from side to side by the order of their columns' names, and what a new column holds would be lost.
func (d *Database) asPlanned(ctx context.Context, q querier) ([]*table, error) {
	var planned []string
	err := each(ctx, q, "SELECT columns FROM strangler_mark WHERE capability = ? AND part = 0 ORDER BY tbl", []any{d.b.Capability}, func(scan func(...any) error) error {
		var names string
		err := scan(&names)
		planned = append(planned, names)
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []*table
	for i, name := range d.b.Tables {
		t, err := d.bound(ctx, q, name)
		if err != nil {
			return nil, err
		}
		if t == nil || i >= len(planned) || t.columnNames() != planned[i] || len(t.key) == 0 {
			return nil, fmt.Errorf("%w: in the %s database the table %s is no longer as it was planned: columns were added, renamed or dropped; nothing was applied. The owner goes on serving. Change it back and run: strangler split start %s. Or plan anew: strangler split cancel %s, then run the playbook",
				strangler.ErrStopped, d.b.Side, name, d.b.Capability, d.b.Capability)
		}
		all = append(all, t)
	}
	return all, nil
}

// each calls f with the scanner of every row.
func each(ctx context.Context, q querier, query string, args []any, f func(scan func(...any) error) error) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

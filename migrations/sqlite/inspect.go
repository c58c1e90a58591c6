package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// Inspect describes the bound tables and what around them forbids a split.
func (d *Database) Inspect(ctx context.Context) (migrations.Schema, error) {
	s := migrations.Schema{Engine: "sqlite"}
	problem := func(check, next, format string, args ...any) {
		s.Problems = append(s.Problems, migrations.Problem{Check: check, What: fmt.Sprintf(format, args...), Next: next})
	}
	fence, err := d.Fence(ctx)
	if err != nil {
		return s, err
	}
	if fence.Installed && fence.ControlID != d.b.ControlID {
		problem("control", "use the control store that it belongs to, or: strangler split adopt "+d.b.Capability,
			"the %s database belongs to another control store (%s, ours is %s)", d.b.Side, fence.ControlID, d.b.ControlID)
	}
	for _, name := range d.b.Tables {
		t, err := d.bound(ctx, d.pool, name)
		switch {
		case err != nil:
			return s, err
		case t == nil && d.b.Side == strangler.Service:
			s.Tables = append(s.Tables, migrations.Table{Name: name})
			continue
		case t == nil:
			problem("table", "correct its name in strangler.yaml", "the %s database has no table %s", d.b.Side, name)
			continue
		}
		d.judge(ctx, t, fence, problem)
		mt := t.plain()
		switch {
		case len(t.key) == 0 || t.kind != "table":
		case d.b.Common:
			if err := d.constrain(ctx, t, &mt, &s); err != nil {
				return s, fmt.Errorf("table %s: %w", name, err)
			}
		default:
			text, err := withoutReferences(t.ddl, func(parent string, _ []string) bool { return !d.moves(parent) })
			if err != nil {
				return s, fmt.Errorf("table %s: %w", name, err)
			}
			mt.DDL = append([]string{text}, t.indexes...)
		}
		s.Tables = append(s.Tables, mt)
	}
	if s.Crossing, err = d.crossing(ctx); err != nil {
		return s, err
	}
	out, err := d.out(ctx)
	if err != nil {
		return s, err
	}
	for _, other := range out {
		problem("linked", "strangler split complete "+other+", or: strangler split rollback "+other,
			"foreign keys between the tables of %s and those of %s are cut, and %s is out; they leave one after the other", d.b.Capability, other, other)
	}
	return s, d.notes(ctx, &s)
}

func (d *Database) judge(ctx context.Context, t *table, fence migrations.Fence, problem func(check, next, format string, args ...any)) {
	if t.kind != "table" {
		problem("table", "leave it in the monolith", "%s is a %s, and only plain tables move", t.name, map[bool]string{true: "view", false: "virtual table"}[t.kind == "view"])
		return
	}
	if t.collation != "" {
		problem("collation", "use BINARY, NOCASE or RTRIM", "table %s has an index with the collation %s, which only the application knows", t.name, t.collation)
	}
	if len(t.key) == 0 {
		problem("key", "give it a primary key whose columns are NOT NULL", "table %s has no usable key", t.name)
	}
	if len(t.triggers) > 0 {
		problem("trigger", "move what they do into the application, or drop them", "table %s has triggers of its own (%s); SQLite cannot keep them from acting twice on applied rows", t.name, strings.Join(t.triggers, ", "))
	}
	if t.expressed != "" {
		problem("index", "replace it by an index on columns", "table %s has a unique index on an expression (%s), behind which REPLACE deletes rows that no trigger sees", t.name, t.expressed)
	}
	d.judgeShare(ctx, t, problem)
	if d.b.Side == strangler.Service && !fence.Installed {
		var one int
		if err := d.pool.QueryRowContext(ctx, "SELECT 1 FROM "+ident(t.name)+" LIMIT 1").Scan(&one); err == nil {
			problem("rows", "empty it, or name another table in strangler.yaml", "the service's table %s already has rows", t.name)
		}
	}
}

func (d *Database) moves(name string) bool {
	return slices.ContainsFunc(d.b.Tables, func(t string) bool { return strings.EqualFold(t, name) })
}

// crossing lists foreign keys between tables that move and tables that stay, in both directions.
func (d *Database) crossing(ctx context.Context) ([]migrations.ForeignKey, error) {
	all, err := d.crossingTables(ctx)
	if err != nil {
		return nil, err
	}
	return d.foreignKeys(ctx, d.pool, all)
}

// tableNames are the tables of the database but for SQLite's own.
func tableNames(ctx context.Context, q querier) (names []string, err error) {
	err = each(ctx, q, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`, nil, func(s func(...any) error) error {
		var n string
		err := s(&n)
		names = append(names, n)
		return err
	})
	return names, err
}

// crossingTables are the tables that hold a foreign key which crosses.
func (d *Database) crossingTables(ctx context.Context) ([]*table, error) {
	names, err := tableNames(ctx, d.pool)
	if err != nil {
		return nil, err
	}
	var out []*table
	for _, n := range names {
		t := &table{name: n}
		if err := t.readReferences(ctx, d.pool); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(t.refs, func(r foreignKey) bool { return d.crosses(n, r.parent, r.from) }) {
			continue
		}
		if t, err = describe(ctx, d.pool, n); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (d *Database) notes(ctx context.Context, s *migrations.Schema) error {
	var mode string
	if err := d.pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		s.Notes = append(s.Notes, migrations.Note{What: fmt.Sprintf("the %s database is in journal mode %s: while a chunk is read, writers wait", d.b.Side, mode), Next: "PRAGMA journal_mode=WAL avoids it"})
	}
	return each(ctx, d.pool, `SELECT name, sql FROM sqlite_schema WHERE type = 'view' ORDER BY name`, nil, func(scan func(...any) error) error {
		var name, text string
		if err := scan(&name, &text); err != nil {
			return err
		}
		for _, t := range d.b.Tables {
			if d.shareOf(t).Whole() && hasWord(text, t) {
				s.Notes = append(s.Notes, migrations.Note{What: fmt.Sprintf("the view %s reads %s: it keeps working until `complete` drops the table", name, t), Next: migrations.NextComplete})
			}
		}
		return nil
	})
}

// Orphans reports what PRAGMA foreign_key_check finds, on a new connection, since an old one may hold
// the schema as it was.
func (d *Database) Orphans(ctx context.Context, cut []migrations.ForeignKey) (out []string, err error) {
	db, err := sql.Open("sqlite", dsn(d.path))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = each(ctx, db, `SELECT "table", coalesce(rowid, 0), parent FROM pragma_foreign_key_check LIMIT 20`, nil, func(scan func(...any) error) error {
		var table, parent string
		var rowid int64
		if err := scan(&table, &rowid, &parent); err != nil {
			return err
		}
		if d.moves(table) || d.moves(parent) {
			out = append(out, fmt.Sprintf("%s row %d has no %s", table, rowid, parent))
		}
		return nil
	})
	for _, k := range cut {
		if err == nil && len(out) < maxOrphans {
			var more []string
			more, err = d.orphansOf(ctx, db, k, maxOrphans-len(out))
			out = append(out, more...)
		}
	}
	return out, err
}

const maxOrphans = 20

// orphansOf are up to n rows that a foreign key would forbid which is cut; none where it is in force, or a table is not there.
func (d *Database) orphansOf(ctx context.Context, q querier, k migrations.ForeignKey, n int) (out []string, err error) {
	child, err := describe(ctx, q, k.Table)
	if err != nil || child == nil {
		return nil, err
	}
	parent, err := describe(ctx, q, k.Parent)
	if err != nil || parent == nil || slices.ContainsFunc(child.refs, func(r foreignKey) bool { return slices.Equal(r.from, k.Columns) }) {
		return nil, err
	}
	var set, on, shown []string
	for i, to := range parent.targets(foreignKey{to: k.Targets}) {
		set, on = append(set, "c."+ident(k.Columns[i])+" IS NOT NULL"), append(on, fmt.Sprintf("p.%s = c.%s", ident(to), ident(k.Columns[i])))
		shown = append(shown, "c."+ident(k.Columns[i]))
	}
	err = each(ctx, q, fmt.Sprintf("SELECT %s FROM %s AS c WHERE %s AND NOT EXISTS (SELECT 1 FROM %s AS p WHERE %s) LIMIT %d",
		strings.Join(shown, " || ', ' || "), ident(child.name), strings.Join(set, " AND "), ident(parent.name), strings.Join(on, " AND "), n), nil, func(scan func(...any) error) error {
		var v string
		err := scan(&v)
		out = append(out, fmt.Sprintf("%s has rows with (%s) = (%s), and there is no such %s", child.name, strings.Join(k.Columns, ", "), v, parent.name))
		return err
	})
	return out, err
}

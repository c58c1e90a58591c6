package rehearse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler/migrations"
)

// writer writes at one side.
type writer struct {
	kind   kind
	db     *sql.DB
	tables []*target
}

// target is one table that is written. Its pen has the rows that are away, under keys that away lists.
type target struct {
	name     string // as people know it
	sql, pen string
	part     bool     // only a part of the monolith's table moves
	columns  []string // that can be written, quoted
	key      []string // quoted
	types    []string // of the key, in PostgreSQL's words
	free     []string // columns that are not the key's, quoted
	rows     [][]any  // keys of some rows
	away     [][]any
}

// knownRows is how many keys of a table the changes go about, mostAway how many of its rows are away at once.
const (
	knownRows = 2000
	mostAway  = 200
)

// newWriter readies a side's tables: each gets a pen. parts are the names of those of which only a part moves.
func newWriter(ctx context.Context, dsn string, d migrations.Database, names, parts []string) (w *writer, err error) {
	w = &writer{kind: kindOf(dsn)}
	s, err := d.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	if w.db, err = w.kind.open(ctx, dsn); err != nil {
		return nil, err
	}
	for i, t := range s.Tables {
		x := &target{name: names[i], part: slices.Contains(parts, names[i]), sql: w.kind.table(names[i]), pen: w.kind.ident(fmt.Sprintf("strangler_rehearsal_%d", i))}
		for _, c := range t.Columns {
			if c.Generated {
				continue
			}
			x.columns = append(x.columns, w.kind.ident(c.Name))
			if !slices.Contains(t.Key, c.Name) {
				x.free = append(x.free, w.kind.ident(c.Name))
			}
		}
		for _, name := range t.Key {
			at := slices.IndexFunc(t.Columns, func(c migrations.Column) bool { return c.Name == name })
			x.key, x.types = append(x.key, w.kind.ident(name)), append(x.types, t.Columns[at].Type)
		}
		if _, err := w.db.ExecContext(ctx, fmt.Sprintf("CREATE TABLE %s AS SELECT %s FROM %s WHERE 1 = 0", x.pen, strings.Join(x.columns, ", "), x.sql)); err != nil {
			return nil, errors.Join(fmt.Errorf("ready the changes of %s: %w", x.name, err), w.db.Close())
		}
		w.tables = append(w.tables, x)
	}
	if err := w.look(ctx); err != nil {
		return nil, errors.Join(err, w.db.Close())
	}
	return w, nil
}

// look learns the keys of some rows anew.
func (w *writer) look(ctx context.Context) error {
	for _, t := range w.tables {
		if err := w.lookAt(ctx, t); err != nil {
			return fmt.Errorf("keys of %s: %w", t.name, err)
		}
	}
	return nil
}

func (w *writer) lookAt(ctx context.Context, t *target) (err error) {
	as := t.key
	if w.kind == postgresKind {
		as = nil
		for _, k := range t.key {
			as = append(as, k+"::text")
		}
	}
	rows, err := w.db.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s LIMIT %d", strings.Join(as, ", "), t.sql, knownRows))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	t.rows = nil
	for rows.Next() {
		key, into := make([]any, len(t.key)), make([]any, len(t.key))
		for i := range key {
			into[i] = &key[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		t.rows = append(t.rows, key)
	}
	return rows.Err()
}

// home reports whether no row of a part of a table is away.
func (w *writer) home() bool { return w.awayFromPart() < 0 }

func (w *writer) awayFromPart() int {
	return slices.IndexFunc(w.tables, func(t *target) bool { return t.part && len(t.away) > 0 })
}

// change makes one, and says what; nothing: the tables have too few rows for it. With stay, rows of parts of tables come back and none
// goes away. Of a whole table one stays away once one has gone: what refers to it shows behind a rollback. With an error nothing was
// changed.
func (w *writer) change(ctx context.Context, stay bool) (what string, err error) {
	t := w.tables[rand.IntN(len(w.tables))]
	dice := rand.IntN(10)
	if i := w.awayFromPart(); stay && i >= 0 {
		t = w.tables[i]
	}
	if stay && t.part {
		dice = max(dice, 2)
	}
	switch {
	case len(t.away) > 0 && (stay && t.part || len(t.away) >= t.mayBeAway() || dice == 0 && (t.part || len(t.away) > 1)):
		return "INSERT into " + t.name, w.bringBack(ctx, t)
	case len(t.rows) < 2:
		return "", nil
	}
	at := rand.IntN(len(t.rows))
	a, b := t.rows[at], t.rows[rand.IntN(len(t.rows))]
	switch {
	case dice < 2:
		if err := w.takeAway(ctx, t, a); err != nil {
			return "DELETE from " + t.name, err
		}
		t.rows = slices.Delete(t.rows, at, at+1)
		t.away = append(t.away, a)
		return "DELETE from " + t.name, nil
	case dice == 2:
		return "exchange of two keys of " + t.name, w.exchangeKeys(ctx, t, a, b)
	case len(t.free) == 0:
		return "", nil
	case dice < 5:
		column := t.free[rand.IntN(len(t.free))]
		var p params
		return "UPDATE of " + t.name, w.do(ctx, fmt.Sprintf("UPDATE %s SET %s = %[2]s WHERE %s", t.sql, column, w.is(t, a, &p)), p)
	}
	column := t.free[rand.IntN(len(t.free))]
	return "UPDATE of " + t.name, w.exchange(ctx, t, column, a, b)
}

// mayBeAway is how many rows may be at once: a few of them, so that each is copied, or comes behind the copy before long.
func (t *target) mayBeAway() int { return min(mostAway, max(1, (len(t.rows)+len(t.away))/4)) }

// exchange gives two rows each other's value.
func (w *writer) exchange(ctx context.Context, t *target, column string, a, b []any) error {
	var p params
	of := func(k []any) string {
		return fmt.Sprintf("(SELECT %s FROM (SELECT %[1]s FROM %s WHERE %s) AS x)", column, t.sql, w.is(t, k, &p))
	}
	if w.kind == sqliteKind { // whose subqueries see the rows that the statement has changed already: both values are read first
		values := fmt.Sprintf("(SELECT 1 AS strangler_row, %s AS strangler_value UNION ALL SELECT 2, %s)", of(b), of(a))
		return w.do(ctx, fmt.Sprintf("UPDATE %s SET %s = x.strangler_value FROM %s AS x WHERE x.strangler_row = 1 AND %s OR x.strangler_row = 2 AND %s",
			t.sql, column, values, w.is(t, a, &p), w.is(t, b, &p)), p)
	}
	statement := fmt.Sprintf("UPDATE %s SET %s = CASE WHEN %s THEN %s ELSE %s END", t.sql, column, w.is(t, a, &p), of(b), of(a))
	return w.do(ctx, statement+fmt.Sprintf(" WHERE (%s) OR (%s)", w.is(t, a, &p), w.is(t, b, &p)), p)
}

func (w *writer) takeAway(ctx context.Context, t *target, a []any) error {
	return w.together(ctx, func(do func(string, params) error) error { return w.toPen(t, a, do) })
}

func (w *writer) toPen(t *target, a []any, do func(string, params) error) error {
	all := strings.Join(t.columns, ", ")
	var p, q params
	if err := do(fmt.Sprintf("INSERT INTO %s (%s) SELECT %[2]s FROM %s WHERE %s", t.pen, all, t.sql, w.is(t, a, &p)), p); err != nil {
		return err
	}
	return do(fmt.Sprintf("DELETE FROM %s WHERE %s", t.sql, w.is(t, a, &q)), q)
}

// fromPen brings the row with key a back, under key as.
func (w *writer) fromPen(t *target, a, as []any, do func(string, params) error) error {
	var p, q params
	values := slices.Clone(t.columns)
	for i, k := range t.key {
		values[slices.Index(values, k)] = w.value(t, i, as[i], &p)
	}
	system := ""
	if w.kind == postgresKind {
		system = " OVERRIDING SYSTEM VALUE"
	}
	if err := do(fmt.Sprintf("INSERT INTO %s (%s)%s SELECT %s FROM %s WHERE %s", t.sql, strings.Join(t.columns, ", "), system, strings.Join(values, ", "), t.pen, w.is(t, a, &p)), p); err != nil {
		return err
	}
	return do(fmt.Sprintf("DELETE FROM %s WHERE %s", t.pen, w.is(t, a, &q)), q)
}

func (w *writer) bringBack(ctx context.Context, t *target) error {
	a := t.away[0]
	t.away = t.away[1:]
	err := w.together(ctx, func(do func(string, params) error) error { return w.fromPen(t, a, a, do) })
	if err != nil {
		t.away = append(t.away, a) // it may go later
		return err
	}
	t.rows = append(t.rows, a)
	return nil
}

// exchangeKeys gives two rows each other's key: one goes away, the other gets its key, and the first one comes back under
// the other's.
func (w *writer) exchangeKeys(ctx context.Context, t *target, a, b []any) error {
	return w.together(ctx, func(do func(string, params) error) error {
		if err := w.toPen(t, a, do); err != nil {
			return err
		}
		var p params
		var set []string
		for i, k := range t.key {
			set = append(set, k+" = "+w.value(t, i, a[i], &p))
		}
		if err := do(fmt.Sprintf("UPDATE %s SET %s WHERE %s", t.sql, strings.Join(set, ", "), w.is(t, b, &p)), p); err != nil {
			return err
		}
		return w.fromPen(t, a, b, do)
	})
}

// params are a statement's.
type params []any

// value stands for one value of a key.
func (w *writer) value(t *target, i int, v any, p *params) string {
	*p = append(*p, v)
	if w.kind == postgresKind {
		return fmt.Sprintf("CAST($%d::text AS %s)", len(*p), t.types[i])
	}
	return "?"
}

// is stands for the row with a key.
func (w *writer) is(t *target, key []any, p *params) string {
	var all []string
	for i, k := range t.key {
		all = append(all, k+" = "+w.value(t, i, key[i], p))
	}
	return strings.Join(all, " AND ")
}

func (w *writer) do(ctx context.Context, statement string, p params) error {
	_, err := w.db.ExecContext(ctx, statement, p...)
	return err
}

// together runs statements in one transaction.
func (w *writer) together(ctx context.Context, f func(do func(string, params) error) error) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = f(func(statement string, p params) error {
		_, err := tx.ExecContext(ctx, statement, p...)
		return err
	})
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

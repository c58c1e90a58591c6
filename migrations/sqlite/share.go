package sqlite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// What is of shared tables alone: tables of which only some rows and columns move. SQLite's NEW and OLD have neither the
// affinity nor the collation of their columns, so a condition on them might answer otherwise than on the row. It is asked of
// the table itself: of the old row before a change, which is noted in a table beside it, and of the new one behind it.

// take keeps, of the columns, those that move.
func (t *table) take(share migrations.Share) {
	t.share = share
	if len(share.Stays) == 0 {
		return
	}
	var columns []migrations.Column
	var numeric []bool
	for i, c := range t.columns {
		isKey := slices.ContainsFunc(t.key, func(k keyColumn) bool { return k.name == c.Name })
		if slices.Contains(share.Stays, c.Name) && !isKey {
			t.stays = append(t.stays, c)
			continue
		}
		columns, numeric = append(columns, c), append(numeric, t.numeric[i])
	}
	t.columns, t.numeric = columns, numeric
	t.stored = slices.DeleteFunc(t.stored, t.leaves)
	t.placeKey()
}

// leaves reports whether a column stays.
func (t *table) leaves(column string) bool {
	return slices.ContainsFunc(t.stays, func(c migrations.Column) bool { return c.Name == column })
}

// where is the condition as part of a statement, with what a comment in it would swallow on a line of its own.
func (t *table) where() string {
	if t.share.Where == "" {
		return "1"
	}
	return "(\n" + t.share.Where + "\n)"
}

// from is what rows that move are selected from.
func (t *table) from() string {
	if t.share.Where == "" {
		return ident(t.name)
	}
	return fmt.Sprintf("(SELECT %s FROM %s WHERE %s)", t.columnNames(), ident(t.name), t.where())
}

// within is from with every column, and with the rowid where REPLACE may collide over it.
func (t *table) within() string {
	columns := "*"
	if t.rowid != "" {
		columns = fmt.Sprintf("%s AS %[1]s, *", t.rowid)
	}
	return fmt.Sprintf("(SELECT %s FROM %s WHERE %s)", columns, ident(t.name), t.where())
}

// besideTable holds, during a statement, the keys of rows that were of the share before it (lost 0), and of those that
// REPLACE may take away (lost 1). What a statement leaves there means nothing to the next.
func besideTable(t string) string { return "strangler_beside_" + t }

func (t *table) besideDDL() string {
	return fmt.Sprintf("CREATE TABLE %s (lost INTEGER NOT NULL, %s, PRIMARY KEY (lost, %s)) WITHOUT ROWID", ident(besideTable(t.name)),
		list(t.key, func(k keyColumn) string {
			if k.alias { // without it every note is read for one of them
				return ident(k.name) + " INTEGER"
			}
			return ident(k.name) + " COLLATE " + k.collation
		}), list(t.keyNames(), ident))
}

// clearBeside drops what statements have left there.
func (t *tx) clearBeside(ctx context.Context, tables []*table) error {
	for _, of := range tables {
		if of.share.Whole() {
			continue
		}
		if _, err := t.w.exec(ctx, "DELETE FROM "+ident(besideTable(of.name))); err != nil {
			return err
		}
	}
	return nil
}

// sharedTable describes a table where it is shared; nil where it is whole.
func (d *Database) sharedTable(ctx context.Context, q querier, i int) (*table, error) {
	if d.b.Share(i).Whole() {
		return nil, nil
	}
	t, err := d.bound(ctx, q, d.b.Tables[i])
	if err == nil && (t == nil || len(t.key) == 0) {
		err = fmt.Errorf("%w: the %s database has no table %s with a key; put it back", strangler.ErrStopped, d.b.Side, d.b.Tables[i])
	}
	return t, err
}

// at is the condition that a row has the key of another.
func (t *table) at(row, other string) string {
	all := make([]string, len(t.key))
	for i, k := range t.key {
		all[i] = k.of(row) + " = " + other + "." + ident(k.name)
	}
	return strings.Join(all, " AND ")
}

// was and is tell whether the row of a change was of the share before it, and is behind it.
func (t *table) was() string {
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s AS b WHERE b.lost = 0 AND %s)", ident(besideTable(t.name)), t.at("b", "OLD"))
}

func (t *table) is() string {
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s AS c WHERE %s)", t.within(), t.at("c", "NEW"))
}

// lost tells whether REPLACE has taken a row of the share away. An upsert meets such a row too, and leaves it.
func (t *table) lost() string {
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s AS b WHERE b.lost = 1 AND (%s OR NOT EXISTS (SELECT 1 FROM %s AS c WHERE %s)))",
		ident(besideTable(t.name)), t.at("b", "NEW"), ident(t.name), t.at("c", "b"))
}

// updated is the condition that an UPDATE changes the share.
func (t *table) updated() string {
	changed := make([]string, len(t.columns))
	for i, c := range t.columns { // whatever the collation, and a number's type is part of it
		changed[i] = fmt.Sprintf("typeof(OLD.%s) <> typeof(NEW.%[1]s) OR CASE typeof(NEW.%[1]s) WHEN 'text' THEN CAST(OLD.%[1]s AS BLOB) <> CAST(NEW.%[1]s AS BLOB) ELSE OLD.%[1]s IS NOT NEW.%[1]s END", ident(c.Name))
	}
	return fmt.Sprintf("(%s OR %s) AND (%[1]s <> %[2]s OR %s)", t.was(), t.is(), strings.Join(changed, " OR "))
}

// replaceable selects the rows c of the share that have a unique key of NEW.
func (t *table) replaceable() string {
	where := t.at("c", "NEW")
	if more := t.collisions(); more != "" {
		where += " OR " + more
	}
	return where
}

// shareFence refuses changes of the share while the fence is closed: behind them, when every value is the one that is stored.
func (d *Database) shareFence(t *table, message string) []trigger {
	beside, keys := ident(besideTable(t.name)), list(t.keyNames(), ident)
	of := func(row string) string {
		return list(t.key, func(k keyColumn) string { return row + "." + ident(k.name) })
	}
	note := func(op string, statements ...string) trigger {
		name := "strangler_fence_" + t.name + "_before_" + strings.ToLower(op)
		return trigger{name, fmt.Sprintf("CREATE TRIGGER %s BEFORE %s ON %s WHEN %s BEGIN %s; END", ident(name), op, ident(t.name), d.foreign(), strings.Join(statements, "; "))}
	}
	refuse := func(op, when string) trigger {
		name := "strangler_fence_" + t.name + "_" + strings.ToLower(op)
		return trigger{name, fmt.Sprintf("CREATE TRIGGER %s AFTER %s ON %s WHEN %s AND (%s) BEGIN SELECT RAISE(ABORT, %s); END",
			ident(name), op, ident(t.name), d.closed(), when, literal(message))}
	}
	unlose := "DELETE FROM " + beside + " WHERE lost = 1"
	replace := fmt.Sprintf("INSERT OR IGNORE INTO %s (lost, %s) SELECT 1, %s FROM %s AS c WHERE (%s)", beside, keys, of("c"), t.within(), t.replaceable())
	forget := fmt.Sprintf("DELETE FROM %s WHERE lost = 0 AND %s", beside, t.at(beside, "OLD"))
	old := fmt.Sprintf("INSERT INTO %s (lost, %s) SELECT 0, %s FROM %s AS c WHERE %s", beside, keys, of("OLD"), t.within(), t.at("c", "OLD"))
	return []trigger{
		refuse("INSERT", t.is()+" OR "+t.lost()),
		refuse("UPDATE", t.updated()+" OR "+t.lost()),
		refuse("DELETE", t.was()),
		note("INSERT", unlose, replace),
		note("UPDATE", unlose, replace+" AND NOT ("+t.at("c", "OLD")+")", forget, old),
		note("DELETE", forget, old),
	}
}

// shareDelete takes a row out of the share, by its key in those very bytes.
func (a *apply) shareDelete(ctx context.Context, t *table, k migrations.Key) error {
	where, args := t.exactly(t.byKey("", ident(t.name)), k)
	return a.giveUp(ctx, t, where+" AND "+t.where(), args)
}

// giveUp takes the rows out of the share that a condition selects, which is within it.
func (a *apply) giveUp(ctx context.Context, t *table, where string, args []any) error {
	if len(t.share.Stays) == 0 || t.share.Where == "" {
		_, err := a.w.exec(ctx, "DELETE FROM "+ident(t.name)+where, args...)
		return err
	}
	var set []string
	for _, c := range t.columns {
		if !slices.Contains(t.keyNames(), c.Name) {
			set = append(set, ident(c.Name)+" = "+t.given(c.Name))
		}
	}
	if len(set) > 0 {
		if _, err := a.w.exec(ctx, fmt.Sprintf("UPDATE OR ABORT %s SET %s%s", ident(t.name), strings.Join(set, ", "), where), args...); err != nil {
			return t.refusal(err)
		}
	}
	return a.demand(ctx, t, false, where, args)
}

// given is the value of a column that is given none.
func (t *table) given(column string) string {
	if dflt, ok := t.defaults[column]; ok {
		return "(" + defaultValue(dflt) + ")"
	}
	return "NULL"
}

// demand is ErrMisfit, and nothing of the transaction is committed, unless a condition selects a row or, not wanted, none.
func (a *apply) demand(ctx context.Context, t *table, wanted bool, where string, args []any) error {
	var found bool
	if err := a.w.conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+ident(t.name)+where+")", args...).Scan(&found); err != nil || found == wanted {
		return err
	}
	a.failed = fmt.Errorf("table %s: %w: what is written would be outside of the rows that move, %s", t.name, migrations.ErrMisfit, t.share.Where)
	if !wanted {
		a.failed = fmt.Errorf("table %s: %w: a row that is given up would still be one of the rows that move, %s", t.name, migrations.ErrMisfit, t.share.Where)
	}
	return a.failed
}

// shareInsert writes a row in place where columns stay, by its key in those very bytes, and sees that it is within.
func (a *apply) shareInsert(ctx context.Context, t *table, r migrations.Row, insert string, values []any) error {
	where, args := t.exactly(t.byKey("", ident(t.name)), t.keyOf(r))
	var stood int64
	if len(t.share.Stays) > 0 {
		set := list(t.columns, func(c migrations.Column) string { return ident(c.Name) + " = ?" })
		var err error
		if stood, err = a.w.exec(ctx, fmt.Sprintf("UPDATE OR ABORT %s SET %s%s", ident(t.name), set, where), append(slices.Clone(values), args...)...); err != nil {
			return t.refusal(err)
		}
	}
	if stood == 0 {
		if _, err := a.w.exec(ctx, insert, values...); err != nil {
			return t.refusal(err)
		}
	}
	if t.share.Where == "" {
		return nil
	}
	return a.demand(ctx, t, true, where+" AND "+t.where(), args)
}

// judgeShare evaluates a condition, and what it says of a row that the service gives up.
func (d *Database) judgeShare(ctx context.Context, t *table, problem func(check, next, format string, args ...any)) {
	if t.share.Where == "" || len(t.key) == 0 {
		return
	}
	if _, err := d.pool.ExecContext(ctx, "SELECT 1 FROM "+ident(t.name)+" WHERE "+t.where()+" LIMIT 0"); err != nil {
		problem("mapping", "correct it in strangler.yaml", "the condition %s of table %s: %v", t.share.Where, t.name, err)
		t.share.Where = "" // the rest is looked at without it
		return
	}
	if len(t.share.Stays) == 0 {
		return
	}
	all := slices.Sorted(maps.Keys(t.notNull)) // those that the database computes too
	given := list(all, func(name string) string {
		if t.leaves(name) {
			return "NULL"
		}
		return t.given(name)
	})
	var still bool
	// The table's own columns, of no row, bring their affinities and collations.
	err := d.pool.QueryRowContext(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM (SELECT %s FROM %s WHERE 0 UNION ALL SELECT %s) AS %[2]s WHERE %[4]s)",
		list(all, ident), ident(t.name), given, t.where())).Scan(&still)
	switch {
	case err != nil:
		problem("mapping", "correct it in strangler.yaml", "the condition %s of table %s, on a row that the service gives up: %v", t.share.Where, t.name, err)
	case still:
		problem("mapping", "correct it in strangler.yaml, or give the columns that move other defaults", "the condition %s of table %s holds for a row whose columns that move have their defaults: a row that the service gives up would still be one of its rows", t.share.Where, t.name)
	}
}

// shareOf is what moves of a table, by its name.
func (d *Database) shareOf(name string) migrations.Share {
	for i, n := range d.b.Tables {
		if strings.EqualFold(n, name) {
			return d.b.Share(i)
		}
	}
	return migrations.Share{}
}

// crosses reports whether a foreign key leads over the cut. A row that stays, whoever has what moves of it, is there for those
// that refer to it, and a column that stays is the monolith's; but a table that stays in part must not refer to one that will
// be gone.
func (d *Database) crosses(child, parent string, from []string) bool {
	of, to := d.shareOf(child), d.shareOf(parent)
	goes := d.moves(child) && slices.ContainsFunc(from, func(name string) bool { return !d.columnStays(child, name) })
	switch {
	case len(to.Stays) > 0 && to.Where != "":
		return false
	case goes && d.moves(parent):
		return !of.Whole() && to.Whole()
	}
	return goes != d.moves(parent)
}

// columnStays reports whether a column of a bound table is left to the monolith.
func (d *Database) columnStays(table, column string) bool {
	return slices.ContainsFunc(d.shareOf(table).Stays, func(s string) bool { return strings.EqualFold(s, column) })
}

package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler/migrations"
)

// shareOf is what moves of a table, by its name.
func (d *Database) shareOf(name string) migrations.Share {
	if i := slices.Index(d.b.Tables, name); i >= 0 {
		return d.b.Share(i)
	}
	return migrations.Share{}
}

// leaves reports whether one of some columns stays.
func (t *table) leaves(columns []string) bool {
	return slices.ContainsFunc(columns, func(name string) bool {
		return slices.ContainsFunc(t.stays, func(c column) bool { return c.Name == name })
	})
}

// is is the condition that a row is of the share, of an UPDATE's or a DELETE's table.
func (t *table) is() string {
	if t.share.Where == "" {
		return "TRUE"
	}
	return "(\n" + t.share.Where + "\n)"
}

// from is what rows of the share are selected from. The server sees through it.
func (t *table) from() string {
	if t.share.Whole() {
		return ident(t.name)
	}
	return fmt.Sprintf("(SELECT %s FROM %s WHERE %s)", list(t.columns, func(c column) string { return ident(c.Name) }), ident(t.name), t.is())
}

// asks are the columns that the condition may ask for.
func (t *table) asks() (out []column) {
	where := strings.ToLower(t.share.Where)
	for _, c := range slices.Concat(t.columns, t.stays) {
		if strings.Contains(where, strings.ToLower(c.Name)) {
			out = append(out, c)
		}
	}
	return out
}

// holds is the condition that a row given by expressions is of the share.
func (t *table) holds(value func(column) string) string {
	row := list(t.asks(), func(c column) string { return value(c) + " AS " + ident(c.Name) })
	if row == "" {
		row = "1 AS strangler_one"
	}
	return fmt.Sprintf("EXISTS (SELECT 1 FROM (SELECT %s) AS %s WHERE %s)", row, ident(t.name), t.is())
}

// concerned is passes, or that what a trigger sees is not a change of the share.
func (t *table) concerned(passes, event string) string {
	if t.share.Whole() {
		return passes
	}
	of := func(row string) string {
		if t.share.Where == "" {
			return "TRUE"
		}
		return t.holds(func(c column) string { return row + "." + ident(c.Name) })
	}
	var change string
	switch event {
	case "INSERT":
		change = of("NEW")
	case "DELETE":
		change = of("OLD")
	default:
		differ := make([]string, len(t.columns))
		for i, c := range t.columns {
			differ[i] = c.differs()
		}
		change = fmt.Sprintf("(%s OR %s) AND (%[1]s <> %[2]s OR %s)", of("OLD"), of("NEW"), strings.Join(differ, " OR "))
	}
	return fmt.Sprintf("(%s OR NOT (%s))", passes, change)
}

// differs is the condition that an UPDATE changes a column, and be it in a way that its collation does not tell.
func (c column) differs() string {
	name := ident(c.Name)
	if c.kind == kindText || c.kind == kindBytes {
		return fmt.Sprintf("NOT (CAST(OLD.%s AS BINARY) <=> CAST(NEW.%[1]s AS BINARY))", name)
	}
	return fmt.Sprintf("NOT (OLD.%s <=> NEW.%[1]s)", name)
}

// removal takes rows of the share away: a row of which columns stay, and that is of it by a condition, has the defaults
// where it moves.
func (t *table) removal(which string) string {
	if t.share.Whole() && which == "TRUE" {
		return "DELETE FROM " + ident(t.name)
	}
	if !t.share.Whole() {
		which += " AND " + t.is()
	}
	if len(t.share.Stays) == 0 || t.share.Where == "" {
		return "DELETE FROM " + ident(t.name) + " WHERE " + which
	}
	var set []string
	for i, c := range t.columns {
		if !slices.Contains(t.keyAt, i) {
			set = append(set, ident(c.Name)+" = DEFAULT")
		}
	}
	return fmt.Sprintf("UPDATE %s SET %s WHERE %s", ident(t.name), strings.Join(set, ", "), which)
}

// place writes a row in place, or makes it where there is none.
func (w *rowBuffer) place(ctx context.Context, r migrations.Row) error {
	var names, values, set []string
	for i, c := range w.t.columns {
		names, values = append(names, ident(c.Name)), append(values, c.literal(r[i]))
		set = append(set, names[i]+" = "+values[i])
	}
	k := []migrations.Key{w.t.keyOf(r)}
	n, err := w.x.exec(ctx, fmt.Sprintf("UPDATE %s SET %s WHERE %s", ident(w.t.name), strings.Join(set, ", "), w.t.anyOf(w.t.names(ident(w.t.name)), k)))
	if err == nil && n == 0 {
		_, err = w.x.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", ident(w.t.name), strings.Join(names, ", "), strings.Join(values, ", ")))
	}
	if err != nil || len(w.written) < keysAtOnce {
		return w.refused(err)
	}
	return w.inside(ctx)
}

// inside fails where a row that was written is not of the share.
func (w *rowBuffer) inside(ctx context.Context) error {
	if len(w.written) == 0 {
		return nil
	}
	which := w.t.anyOf(w.t.names(ident(w.t.name)), w.written)
	w.written = w.written[:0]
	return w.none(ctx, which+" AND NOT COALESCE("+w.t.is()+", FALSE)", "does not hold for a row that the service has")
}

// outside fails where a row that was taken away is still of the share.
func (w *rowBuffer) outside(ctx context.Context, which string) error {
	if len(w.t.share.Stays) == 0 || w.t.share.Where == "" {
		return nil
	}
	return w.none(ctx, which+" AND "+w.t.is(), "still holds for a row that the service has given up")
}

func (w *rowBuffer) none(ctx context.Context, which, what string) error {
	key := list(w.t.key(), func(c column) string { return ident(c.Name) })
	var found string
	err := each(ctx, w.x.conn, fmt.Sprintf("SELECT CONCAT_WS(', ', %s) FROM %s WHERE %s LIMIT 1", key, ident(w.t.name), which), nil, func(scan func(...any) error) error { return scan(&found) })
	if err == nil && found != "" {
		err = fmt.Errorf("%w: the condition %s of table %s %s (%s)", migrations.ErrMisfit, w.t.share.Where, w.t.name, what, found)
	}
	return passing(err)
}

// shares are the tables that move as a whole, and those that do not, and tables whose end is that of the capability.
func shares(tables []*table) (whole, part []*table, ends []string) {
	for _, t := range tables {
		if t.share.Whole() {
			whole, ends = append(whole, t), append(ends, t.name)
		} else {
			part, ends = append(part, t), append(ends, logTable(t.name))
		}
	}
	return whole, part, ends
}

// crosses reports whether a foreign key leads over the cut. A row that stays, whoever has what moves of it, is there for those
// that refer to it, and a column that stays is the monolith's; but a table that stays in part must not refer to one that will
// be gone.
func (d *Database) crosses(f foreignKey) bool {
	child, parent := d.shareOf(f.child), d.shareOf(f.parent)
	goes := d.moves(f.child) && !within(f.from, child.Stays)
	switch {
	case len(parent.Stays) > 0 && parent.Where != "":
		return false
	case goes && d.moves(f.parent):
		return !child.Whole() && parent.Whole()
	}
	return goes != d.moves(f.parent)
}

func within(columns, of []string) bool {
	return !slices.ContainsFunc(columns, func(name string) bool { return !slices.Contains(of, name) })
}

// unseen refuses actions of a foreign key that is not cut, by which the server changes rows and fires no trigger.
func (in *inspection) unseen(f foreignKey) {
	d := in.d
	if !acts(f.onDelete) && !acts(f.onUpdate) || d.shareOf(f.child).Whole() && d.shareOf(f.parent).Whole() {
		return
	}
	if within(f.from, d.shareOf(f.child).Stays) || !d.shareOf(f.parent).Whole() {
		in.problem("cascade", fmt.Sprintf("let the application do it, and make %s ON DELETE RESTRICT ON UPDATE RESTRICT", f.name),
			"the foreign key %s of %s changes its rows when %s changes (ON DELETE %s, ON UPDATE %s), of which not all moves, and the server fires no trigger for it", f.name, f.child, f.parent, f.onDelete, f.onUpdate)
	}
}

// shared tries the condition of a table, and what a row is that the service gives up.
func (in *inspection) shared(ctx context.Context, t *table) error {
	if t.share.Where == "" || t.kind != "BASE TABLE" {
		return nil
	}
	const next = "correct it in strangler.yaml"
	all := list(slices.Concat(t.columns, t.stays), func(c column) string { return ident(c.Name) })
	rows, err := in.d.pool.QueryContext(ctx, fmt.Sprintf("SELECT 1 FROM (SELECT %s FROM %s) AS %[2]s WHERE %s LIMIT 0", all, ident(t.name), t.is()))
	if err != nil {
		if number(err) == 0 {
			return err
		}
		in.problem("mapping", next, "the condition %s of table %s: %v", t.share.Where, t.name, err)
		return nil
	}
	if err := rows.Close(); err != nil || len(t.share.Stays) == 0 {
		return err
	}
	var still bool
	given := func(c column) string {
		if c.Default && !c.Auto && slices.ContainsFunc(t.columns, func(m column) bool { return m.Name == c.Name }) && !slices.ContainsFunc(t.key(), func(k column) bool { return k.Name == c.Name }) {
			return "DEFAULT(" + ident(t.name) + "." + ident(c.Name) + ")"
		}
		return "NULL"
	}
	row := list(t.asks(), func(c column) string { return given(c) + " AS " + ident(c.Name) })
	if row == "" {
		row = "1"
	}
	err = in.d.pool.QueryRowContext(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM (SELECT %s FROM (SELECT 1) AS strangler_one LEFT JOIN %s ON FALSE) AS %[2]s WHERE %s)", row, ident(t.name), t.is())).Scan(&still)
	if err == nil && still {
		in.problem("mapping", "name a condition by which it would not", "the condition %s of table %s holds for a row whose columns that move have their defaults: one that the service gives up would still be one of its own", t.share.Where, t.name)
	}
	return err
}

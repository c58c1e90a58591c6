package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// loose reports whether the key takes spellings for one that differ in their bytes.
func (t *table) loose() bool { return slices.ContainsFunc(t.key, keyColumn.loose) }

func (k keyColumn) loose() bool { return !strings.EqualFold(k.collation, "BINARY") }

// exactly narrows a condition on the key to those bytes: another kind of database tells more keys apart, and names each.
func (t *table) exactly(statement string, k migrations.Key) (string, []any) {
	args := slices.Clone([]any(k))
	for i, c := range t.key {
		if c.loose() {
			statement += " AND " + ident(c.name) + " = ? COLLATE BINARY"
			args = append(args, k[i])
		}
	}
	return statement, args
}

// keyColumns are the columns of the key, in its order.
func (t *table) keyColumns() []migrations.Column {
	out := make([]migrations.Column, len(t.keyAt))
	for i, at := range t.keyAt {
		out[i] = t.columns[at]
	}
	return out
}

func (t *table) keyNames() []string {
	out := make([]string, len(t.key))
	for i, k := range t.key {
		out[i] = k.name
	}
	return out
}

// plain is the table in words that all kinds of database share, without its constraints.
func (t *table) plain() migrations.Table {
	return migrations.Table{Name: t.name, Columns: t.columns, Stays: t.stays, Key: t.keyNames()}
}

// constrain adds the constraints that another kind of database can make too, and notes what it cannot.
func (d *Database) constrain(ctx context.Context, t *table, to *migrations.Table, s *migrations.Schema) error {
	left, err := t.leftOut(ctx, d.pool)
	if err != nil {
		return err
	}
	if d.b.Side == strangler.Legacy {
		if to.Columns, err = t.asDeclared(ctx, d.pool); err != nil {
			return err
		}
	}
	to.Uniques = t.carriedUniques()
	references, more, err := d.references(ctx, t)
	if err != nil {
		return err
	}
	to.References = references
	if left = append(left, more...); len(left) > 0 && d.b.Side == strangler.Legacy {
		s.Notes = append(s.Notes, migrations.Note{What: fmt.Sprintf("the service's table %s is made without %s", t.name, strings.Join(left, "; ")), Next: migrations.NextLeftOut})
	}
	return nil
}

// asDeclared are the columns with the lengths and digits that their types declare, where every row keeps to them: SQLite does
// not see to it, other databases do.
func (t *table) asDeclared(ctx context.Context, q querier) ([]migrations.Column, error) {
	out := slices.Clone(t.columns)
	var kept []string // whether all rows keep to a column's bounds
	var of []int
	for i, c := range out {
		_, arguments, _ := strings.Cut(c.Type, "(")
		size, scale := bounds(arguments, c.Kind)
		name := ident(c.Name)
		switch {
		case c.Size > 0 || size <= 0 || scale < 0 || scale > size:
			continue
		case c.Kind == migrations.KindText:
			kept = append(kept, fmt.Sprintf("coalesce(max(length(%s)), 0) <= %d", name, size))
		case c.Kind == migrations.KindDecimal:
			kept = append(kept, fmt.Sprintf("coalesce(min(%s = round(%[1]s, %d) AND abs(%[1]s) < 1e%[3]d), 1)", name, scale, size-scale))
		default:
			continue
		}
		out[i].Size, out[i].Scale = size, scale
		of = append(of, i)
	}
	if len(kept) == 0 {
		return out, nil
	}
	answers, dest := make([]bool, len(kept)), make([]any, len(kept))
	for i := range answers {
		dest[i] = &answers[i]
	}
	if err := q.QueryRowContext(ctx, "SELECT "+strings.Join(kept, ", ")+" FROM "+t.from()).Scan(dest...); err != nil {
		return nil, fmt.Errorf("look at what the columns of %s hold: %w", t.name, err)
	}
	for i, at := range of {
		if !answers[i] {
			out[at].Size, out[at].Scale = 0, 0
		}
	}
	return out, nil
}

// carried reports whether other kinds of database can keep such a constraint: it is over all rows and whole columns that
// travel.
func (t *table) carried(u unique) bool {
	return !u.partial && !slices.ContainsFunc(u.columns, func(c keyColumn) bool { return !slices.Contains(t.stored, c.name) })
}

// carriedUniques are the columns of each unique constraint beside the key.
func (t *table) carriedUniques() (out [][]string) {
	for _, u := range t.uniques {
		var columns []string
		for _, c := range u.columns {
			columns = append(columns, c.name)
		}
		if t.carried(u) && !identify(columns, t.keyNames(), out) {
			out = append(out, columns)
		}
	}
	return out
}

// identify reports whether columns are those of the key or of a unique constraint, in whatever order.
func identify(columns, key []string, uniques [][]string) bool {
	sorted := slices.Sorted(slices.Values(columns))
	return slices.ContainsFunc(append([][]string{key}, uniques...), func(u []string) bool { return slices.Equal(slices.Sorted(slices.Values(u)), sorted) })
}

// leftOut names what belongs to a table and is made in no other kind of database, one phrase for each sort.
func (t *table) leftOut(ctx context.Context, q querier) (out []string, err error) {
	say := func(what string, names []string) {
		if len(names) > 0 {
			slices.Sort(names)
			out = append(out, what+" "+strings.Join(slices.Compact(names), ", "))
		}
	}
	var indexes, collated, generated []string
	err = each(ctx, q, `SELECT name FROM pragma_index_list(?) WHERE NOT "unique"`, []any{t.name}, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		indexes = append(indexes, name)
		return err
	})
	compared := slices.Clone(t.key)
	for _, u := range t.uniques {
		if t.carried(u) {
			compared = append(compared, u.columns...)
		} else {
			indexes = append(indexes, u.name)
		}
	}
	for _, c := range compared {
		if c.loose() {
			collated = append(collated, c.name)
		}
	}
	for name := range t.notNull {
		if !slices.Contains(t.stored, name) && !t.leaves(name) {
			generated = append(generated, name)
		}
	}
	say("the index", indexes)
	say("the default of", slices.DeleteFunc(slices.Collect(maps.Keys(t.defaults)), t.leaves))
	say("the generated column", generated)
	say("the collation of", collated)
	if hasKeyword(t.ddl, "CHECK") {
		out = append(out, "its checks")
	}
	return out, err
}

// references are a table's foreign keys to tables that move; left names those that other tables cannot keep.
func (d *Database) references(ctx context.Context, t *table) (out []migrations.Reference, left []string, err error) {
	for _, r := range t.refs {
		at := slices.IndexFunc(d.b.Tables, func(name string) bool { return strings.EqualFold(name, r.parent) })
		if at < 0 { // it crosses the cut
			continue
		}
		if slices.ContainsFunc(r.from, t.leaves) {
			continue
		}
		parent, err := d.bound(ctx, d.pool, r.parent)
		if err != nil {
			return nil, nil, err
		}
		if parent == nil {
			continue
		}
		named, targets := "the foreign key of "+strings.Join(r.from, ", "), parent.targets(r)
		if !t.refers(r.from, parent, targets) {
			left = append(left, named)
			continue
		}
		if r.onDelete == "SET DEFAULT" || r.onUpdate == "SET DEFAULT" {
			left = append(left, "what "+named+" does on delete or update")
		}
		out = append(out, migrations.Reference{Name: fmt.Sprintf("%s_fkey%d", t.name, len(out)+1), Columns: r.from, Targets: targets, Parent: at,
			OnDelete: migrations.Action(r.onDelete), OnUpdate: migrations.Action(r.onUpdate)})
	}
	return out, left, nil
}

// targets are the columns of the parent that a foreign key names, as the parent writes them; named none, its primary key's.
func (t *table) targets(r foreignKey) []string {
	if r.to[0] == "" {
		return t.primary
	}
	out := slices.Clone(r.to)
	for i, to := range out {
		if at := slices.IndexFunc(t.stored, func(name string) bool { return strings.EqualFold(name, to) }); at >= 0 {
			out[i] = t.stored[at]
		}
	}
	return out
}

// refers reports whether any kind of database takes such a foreign key: its targets are unique, and of the same kinds.
// SQLite takes any, and fails when a row is written.
func (t *table) refers(from []string, parent *table, targets []string) bool {
	if len(from) != len(targets) || !identify(targets, parent.keyNames(), parent.carriedUniques()) {
		return false
	}
	for i := range from {
		if k := t.kindOf(from[i]); k == "" || k != parent.kindOf(targets[i]) {
			return false
		}
	}
	return true
}

// kindOf is empty where the column does not travel.
func (t *table) kindOf(column string) migrations.Kind {
	for _, c := range t.columns {
		if c.Name == column {
			return c.Kind
		}
	}
	return ""
}

// adopted is the schema of another kind of database as this one makes it. Its tables have their names here already.
func (d *Database) adopted(from migrations.Schema) migrations.Schema {
	out := migrations.Schema{Engine: "sqlite"}
	for i, name := range d.b.Tables {
		out.Tables = append(out.Tables, migrations.Table{Name: name, DDL: []string{d.tableLike(name, from.Tables[i], from.Tables)}})
	}
	return out
}

// tableLike makes a table with the columns, the key and the constraints of another; all are those that foreign keys lead
// to. SQLite generates a key of one whole number only, and takes one that is given. A foreign key to columns that are not
// unique would refuse every write.
func (d *Database) tableLike(name string, from migrations.Table, all []migrations.Table) string {
	var lines []string
	generated := false
	for _, c := range slices.SortedFunc(slices.Values(from.Columns), func(a, b migrations.Column) int { return cmp.Compare(a.At, b.At) }) {
		line := ident(c.Name) + " " + typed(c)
		switch {
		case c.Generated:
			continue
		case c.Auto && c.Kind == migrations.KindInteger && slices.Equal(from.Key, []string{c.Name}):
			line += " PRIMARY KEY AUTOINCREMENT"
			generated = true
		case c.NotNull || slices.Contains(from.Key, c.Name):
			line += " NOT NULL"
		}
		lines = append(lines, line)
	}
	if !generated {
		lines = append(lines, "PRIMARY KEY ("+list(from.Key, ident)+")")
	}
	for _, columns := range from.Uniques {
		lines = append(lines, "UNIQUE ("+list(columns, ident)+")")
	}
	for _, r := range from.References {
		if parent := all[r.Parent]; !identify(r.Targets, parent.Key, parent.Uniques) {
			continue
		}
		lines = append(lines, fmt.Sprintf("CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s)", ident(r.Name), list(r.Columns, ident), ident(d.b.Tables[r.Parent]), list(r.Targets, ident))+r.Acts())
	}
	return fmt.Sprintf("CREATE TABLE %s (\n    %s\n)", ident(name), strings.Join(lines, ",\n    "))
}

package mysql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// portable is what other kinds of database have to know of a table.
func (d *Database) portable(t *table) migrations.Table {
	out := migrations.Table{Name: t.name, Uniques: t.uniques}
	for _, c := range t.columns {
		c.NotNull = c.NotNull && !c.zero
		out.Columns = append(out.Columns, c.Column)
	}
	for _, c := range t.stays {
		out.Stays = append(out.Stays, c.Column)
	}
	for _, c := range t.key() {
		out.Key = append(out.Key, c.Name)
	}
	for _, f := range foreignKeys(t.name, t.ddl) {
		if parent := slices.Index(d.b.Tables, f.parent); parent >= 0 && f.elsewhere == "" && !t.leaves(f.from) && (f.parent != t.name || !t.leaves(f.to)) {
			out.References = append(out.References, migrations.Reference{Name: f.name, Columns: f.from, Targets: f.to, Parent: parent, OnDelete: migrations.Action(f.onDelete), OnUpdate: migrations.Action(f.onUpdate)})
		}
	}
	return out
}

// unlike finds values that no other kind of database takes, and notes what the service's table will not have.
func (in *inspection) unlike(ctx context.Context, t *table) error {
	for _, c := range t.columns {
		var odd, what, next string
		name := ident(c.Name)
		switch {
		case c.Type == "tinyint(1)":
			odd, what, next = name+" NOT IN (0, 1)", "is tinyint(1), which is a boolean elsewhere, and has rows with other values than 0 and 1", fmt.Sprintf("ALTER TABLE %s MODIFY %s TINYINT, with NOT NULL and DEFAULT as they are", ident(t.name), name)
		case c.data == "bigint" && c.Kind == migrations.KindInteger && strings.Contains(c.Type, "unsigned"):
			odd, what, next = name+" > 9223372036854775807", "has rows with numbers beyond 2⁶³ − 1, which whole numbers elsewhere do not hold", fmt.Sprintf("ALTER TABLE %s MODIFY %s DECIMAL(20), with NOT NULL and DEFAULT as they are", ident(t.name), name)
		case c.abroad && c.moment():
			odd, what, next = fmt.Sprintf("%s IS NOT NULL AND (YEAR(%[1]s) = 0 OR MONTH(%[1]s) = 0 OR DAY(%[1]s) = 0)", name), "is NOT NULL and has rows with a day of no calendar (0000-00-00 or the like)", "make them days, or give the column the default '0000-00-00', which is NULL at the service, or let it be NULL"
			if c.zero || !c.NotNull {
				if err := in.zeroDays(ctx, t, c, odd); err != nil {
					return err
				}
				continue
			}
		default:
			continue
		}
		var some bool
		if err := in.d.pool.QueryRowContext(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s AS t WHERE %s)", t.from(), odd)).Scan(&some); err != nil {
			return fmt.Errorf("look for odd values of %s in %s: %w", c.Name, t.name, err)
		}
		if some {
			in.problem("value", next, "column %s of %s %s", c.Name, t.name, what)
		}
	}
	left, err := t.leftOut(ctx, in.d.pool)
	if err == nil && len(left) > 0 {
		in.s.Notes = append(in.s.Notes, migrations.Note{What: fmt.Sprintf("the service's table %s is made without %s", t.name, strings.Join(left, "; ")), Next: migrations.NextLeftOut})
	}
	return err
}

// zeroDays reports the rows of which a day of no calendar is NULL at the service's.
func (in *inspection) zeroDays(ctx context.Context, t *table, c column, odd string) error {
	var n, partly int64
	query := fmt.Sprintf("SELECT COUNT(*), COALESCE(SUM(YEAR(%s) <> 0), 0) FROM %s AS t WHERE %s", ident(c.Name), t.from(), odd)
	if err := in.d.pool.QueryRowContext(ctx, query).Scan(&n, &partly); err != nil {
		return fmt.Errorf("look for days of no calendar of %s in %s: %w", c.Name, t.name, err)
	}
	back := "NULL"
	if c.zero {
		back = "0000-00-00"
	}
	if c.zero && n > 0 && partly == 0 {
		in.s.Notes = append(in.s.Notes, migrations.Note{What: fmt.Sprintf("%d rows of %s have no day in %s (0000-00-00): NULL at the service, and 0000-00-00 again on the way back", n, t.name, c.Name), Next: migrations.NextDays})
	} else if n > 0 {
		in.s.Notes = append(in.s.Notes, migrations.Note{What: fmt.Sprintf("%d rows of %s have a day of no calendar in %s (0000-00-00 or the like): NULL at the service; those that the service changes have %s on the way back", n, t.name, c.Name, back), Next: migrations.NextDays})
	}
	return nil
}

// leftOut names what belongs to a table and is made in no other kind of database, one phrase for each sort.
func (t *table) leftOut(ctx context.Context, q querier) (out []string, err error) {
	say := func(what, names string) {
		if names != "" {
			out = append(out, what+" "+names)
		}
	}
	for _, sort := range []struct{ what, query string }{
		{"the index", `SELECT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? GROUP BY INDEX_NAME
			HAVING MAX(NON_UNIQUE) = 1 OR MAX(SUB_PART) IS NOT NULL OR MAX(INDEX_TYPE <> 'BTREE') = 1 OR MAX(COLUMN_NAME IS NULL) = 1 ORDER BY INDEX_NAME`},
		{"the default of", "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND COALESCE(COLUMN_DEFAULT, 'NULL') <> 'NULL' ORDER BY COLUMN_NAME"},
		{"the generated column", "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND COALESCE(GENERATION_EXPRESSION, '') <> '' ORDER BY COLUMN_NAME"},
	} {
		var names []string
		err := each(ctx, q, sort.query, []any{t.name}, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			if !t.leaves([]string{name}) {
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		say(sort.what, strings.Join(names, ", "))
	}
	var collated []string
	for _, c := range t.columns {
		in := func(columns []string) bool { return slices.Contains(columns, c.Name) }
		unique := slices.ContainsFunc(t.key(), func(k column) bool { return k.Name == c.Name }) || slices.ContainsFunc(t.uniques, in)
		if unique && c.Kind == migrations.KindText && !strings.HasSuffix(c.Type, "_bin") {
			collated = append(collated, c.Name)
		}
	}
	say("the collation of", strings.Join(collated, ", "))
	if strings.Contains(jsonCheck.ReplaceAllString(t.ddl, ""), " CHECK (") {
		out = append(out, "its checks")
	}
	return out, nil
}

// adopted is the schema of another kind of database, in this one's words. The text of its tables has the lines of SHOW
// CREATE TABLE.
func (d *Database) adopted(from migrations.Schema) (migrations.Schema, error) {
	out := from
	out.Tables = nil
	for i, source := range from.Tables {
		t := migrations.Table{Name: d.b.Tables[i], Key: source.Key}
		for _, c := range source.Columns {
			indexed := slices.Contains(source.Key, c.Name) || slices.ContainsFunc(source.Uniques, func(u []string) bool { return slices.Contains(u, c.Name) })
			if c.Kind == migrations.KindDecimal && (c.Size > 65 || c.Scale > 30) {
				return out, strangler.Refuse("type", fmt.Sprintf("column %s of %s has more digits than a DECIMAL of 65, 30 of them behind the point, has", c.Name, source.Name), "make it numeric(65, 30) or less")
			}
			c.Type = d.typed(c, indexed)
			t.Columns = append(t.Columns, c)
		}
		var lines []string
		for _, c := range slices.SortedFunc(slices.Values(t.Columns), func(a, b migrations.Column) int { return cmp.Compare(a.At, b.At) }) {
			lines = append(lines, d.columnLine(c, source.Key))
		}
		lines = append(lines, "PRIMARY KEY ("+list(source.Key, ident)+")")
		for j, u := range source.Uniques {
			lines = append(lines, fmt.Sprintf("UNIQUE KEY %s (%s)", ident(short(fmt.Sprintf("%s_unique_%d", t.Name, j+1))), list(u, ident)))
		}
		for j, r := range source.References {
			f := foreignKey{name: short(fmt.Sprintf("%s_reference_%d", t.Name, j+1)), from: r.Columns, to: r.Targets, parent: d.b.Tables[r.Parent], onDelete: cmp.Or(r.OnDelete, "RESTRICT"), onUpdate: cmp.Or(r.OnUpdate, "RESTRICT")}
			lines = append(lines, f.definition())
		}
		t.DDL = []string{fmt.Sprintf("CREATE TABLE %s (\n  %s\n) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4", ident(t.Name), strings.Join(lines, ",\n  "))}
		out.Tables = append(out.Tables, t)
	}
	return out, nil
}

func (d *Database) columnLine(c migrations.Column, key []string) string {
	line := ident(c.Name) + " " + c.Type
	if c.Kind == migrations.KindJSON && d.mariadb {
		line = ident(c.Name) + " json"
	}
	switch {
	case c.Auto && len(key) > 0 && key[0] == c.Name && c.Kind == migrations.KindInteger:
		return line + " NOT NULL AUTO_INCREMENT"
	case c.NotNull || slices.Contains(key, c.Name):
		return line + " NOT NULL"
	}
	return line + " DEFAULT NULL"
}

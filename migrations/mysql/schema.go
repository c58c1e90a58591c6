package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler/migrations"
)

// table is a table as it stands, with what the engine's statements need.
type table struct {
	name     string
	kind     string // BASE TABLE, VIEW, SEQUENCE, SYSTEM VERSIONED…
	engine   string
	columns  []column // that travel: not generated; by name, so that both sides have one order
	keyAt    []int    // where the key's columns are among columns, in the order of the key; empty: no usable key
	unusable string   // why the primary key is not the key, where there is one
	auto     string   // the column with AUTO_INCREMENT, or empty
	ddl      string   // SHOW CREATE TABLE
	triggers []trigger
	strange  []column   // whose type is not known
	nextval  string     // a column whose default asks a sequence
	uniques  [][]string // the columns of unique keys that are not the key
	share    migrations.Share
	stays    []column // that the share leaves
}

// column is one column that travels.
type column struct {
	migrations.Column // Type is COLUMN_TYPE with its character set and collation
	kind              kind
	data              string // DATA_TYPE
	common            bool   // its values are read in the common form of its kind
	abroad            bool   // and go to another kind of database
	zero              bool   // it has days of no calendar in place of NULL, by its default; elsewhere they are NULL
}

// key is the key's columns, in its order.
func (t *table) key() []column {
	out := make([]column, len(t.keyAt))
	for i, at := range t.keyAt {
		out[i] = t.columns[at]
	}
	return out
}

// planned are the columns that travel, with their types, as the plan keeps them.
func (t *table) planned() string {
	return list(t.columns, func(c column) string { return c.Name + " " + c.Type })
}

// describe reads one table; nil when it is not there.
func (d *Database) describe(ctx context.Context, q querier, name string) (*table, error) {
	t := &table{share: d.shareOf(name)}
	var engine sql.NullString
	err := q.QueryRowContext(ctx, "SELECT TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?", name).Scan(&t.name, &t.kind, &engine)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("describe %s: %w", name, err)
	}
	if t.engine = engine.String; t.kind != "BASE TABLE" {
		return t, nil
	}
	var unused string
	if err := q.QueryRowContext(ctx, "SHOW CREATE TABLE "+ident(t.name)).Scan(&unused, &t.ddl); err != nil {
		return nil, fmt.Errorf("describe %s: %w", name, err)
	}
	if strings.Contains(t.ddl, "FOREIGN KEY") {
		keys, err := d.references(ctx, q, fmt.Sprintf("r.CONSTRAINT_SCHEMA = DATABASE() AND k.TABLE_SCHEMA = DATABASE() AND r.TABLE_NAME = %s AND k.TABLE_NAME = %[1]s", literal(t.name)))
		if err != nil {
			return nil, fmt.Errorf("foreign keys of %s: %w", name, err)
		}
		t.ddl = quoted(t.ddl, keys)
	}
	if err := d.readColumns(ctx, q, t); err != nil {
		return nil, fmt.Errorf("columns of %s: %w", name, err)
	}
	t.documents()
	if err := t.readKey(ctx, q); err != nil {
		return nil, fmt.Errorf("key of %s: %w", name, err)
	}
	t.triggers, err = readTriggers(ctx, q, t.name)
	return t, err
}

const columnsOf = `SELECT %d, COLUMN_NAME, CONCAT(COLUMN_TYPE, COALESCE(CONCAT(' CHARACTER SET ', CHARACTER_SET_NAME, ' COLLATE ', COLLATION_NAME), '')), DATA_TYPE, IS_NULLABLE = 'NO', EXTRA, COALESCE(COLUMN_DEFAULT, ''), COALESCE(COLUMN_DEFAULT, 'NULL') <> 'NULL', COLUMN_KEY = 'PRI', ORDINAL_POSITION, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION
	FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s`

// readColumns reads the columns of tables whose names are known.
func (d *Database) readColumns(ctx context.Context, q querier, tables ...*table) error {
	ask := united(len(tables), func(i int) string { return fmt.Sprintf(columnsOf, i, literal(tables[i].name)) })
	err := each(ctx, q, ask, nil, func(s func(...any) error) error {
		var i int
		var c column
		var extra, dflt string
		var primary bool
		var m measures
		if err := s(&i, &c.Name, &c.Type, &c.data, &c.NotNull, &extra, &dflt, &c.Default, &primary, &c.At, &m.characters, &m.precision, &m.scale, &m.fraction); err != nil {
			return err
		}
		t := tables[i]
		if strings.Contains(extra, "GENERATED") && !strings.Contains(extra, "DEFAULT_GENERATED") || extra == "VIRTUAL" || extra == "PERSISTENT" {
			return nil
		}
		if strings.Contains(strings.ToLower(dflt), "nextval(") {
			t.nextval = c.Name
		}
		if strings.Contains(extra, "auto_increment") {
			t.auto, c.Auto, c.Default = c.Name, true, true
		}
		c.settle(m)
		c.common, c.abroad = d.b.Common, d.b.Other != ""
		c.zero = c.abroad && c.NotNull && !primary && c.moment() && zeroDay.MatchString(strings.TrimPrefix(dflt, "'"))
		if !primary && slices.Contains(t.share.Stays, c.Name) {
			t.stays = append(t.stays, c)
			return nil
		}
		if c.kind = kinds[c.data]; c.kind == kindNone {
			t.strange = append(t.strange, c)
		}
		t.columns = append(t.columns, c)
		return nil
	})
	for _, t := range tables {
		slices.SortFunc(t.columns, func(a, b column) int { return cmp.Compare(a.Name, b.Name) })
	}
	return err
}

// keyless are types that a key cannot have: the server orders them by one thing and compares them by another, or not
// exactly.
var keyless = map[string]bool{"float": true, "bit": true, "enum": true, "set": true, "json": true, "geometry": true, "point": true}

// readKey chooses the key: the primary key, else the unique index with the fewest columns. Each of its columns is NOT NULL,
// whole, and travels.
func (t *table) readKey(ctx context.Context, q querier) error {
	type index struct {
		name string
		at   []int
		flaw string
		part bool // it does not hold whole columns of their own
	}
	var all []index
	err := each(ctx, q, `SELECT INDEX_NAME, COALESCE(COLUMN_NAME, ''), SUB_PART IS NOT NULL, INDEX_TYPE <> 'BTREE' FROM information_schema.STATISTICS
		WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX`, []any{t.name}, func(s func(...any) error) error {
		var name, col string
		var part, unordered bool
		if err := s(&name, &col, &part, &unordered); err != nil {
			return err
		}
		if len(all) == 0 || all[len(all)-1].name != name {
			all = append(all, index{name: name})
		}
		x := &all[len(all)-1]
		at := slices.IndexFunc(t.columns, func(c column) bool { return c.Name == col })
		x.at = append(x.at, at)
		x.part = x.part || at < 0 || part || unordered
		switch {
		case at < 0:
			x.flaw = "one of its columns is generated"
		case part:
			x.flaw = "it holds the beginning of a column only"
		case unordered:
			x.flaw = "it has no order"
		case !t.columns[at].NotNull:
			x.flaw = "one of its columns may be NULL"
		case keyless[t.columns[at].data]:
			x.flaw = "one of its columns is a " + t.columns[at].data + ", which does not compare as it is ordered"
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b index) int {
		if first := cmp.Compare(b2i(a.name != "PRIMARY"), b2i(b.name != "PRIMARY")); first != 0 {
			return first
		}
		return cmp.Compare(len(a.at), len(b.at))
	})
	for _, x := range all {
		if x.flaw == "" && t.keyAt == nil {
			t.keyAt, t.unusable = x.at, ""
			for _, at := range x.at {
				t.columns[at].zero = false
			}
			continue
		}
		if x.name == "PRIMARY" {
			t.unusable = x.flaw
		}
		if !x.part {
			var names []string
			for _, at := range x.at {
				names = append(names, t.columns[at].Name)
			}
			t.uniques = append(t.uniques, names)
		}
	}
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// foreignKey is one between two tables of the database.
type foreignKey struct {
	name          string
	child, parent string
	from, to      []string
	elsewhere     string // the database of the other table, where it is another one
	onDelete      string // CASCADE, SET NULL, SET DEFAULT, RESTRICT, NO ACTION
	onUpdate      string
}

func acts(rule string) bool { return rule == "CASCADE" || rule == "SET NULL" || rule == "SET DEFAULT" }

// ofDatabase are all foreign keys of and to tables of the database.
const ofDatabase = "(r.CONSTRAINT_SCHEMA = DATABASE() OR r.UNIQUE_CONSTRAINT_SCHEMA = DATABASE())"

// references are foreign keys, in a stable order.
func (d *Database) references(ctx context.Context, q querier, which string) (out []foreignKey, err error) {
	err = each(ctx, q, `SELECT r.CONSTRAINT_NAME, k.TABLE_SCHEMA, k.TABLE_NAME, k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.COLUMN_NAME, k.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE
		FROM information_schema.REFERENTIAL_CONSTRAINTS AS r JOIN information_schema.KEY_COLUMN_USAGE AS k ON k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME AND k.TABLE_NAME = r.TABLE_NAME
		WHERE `+which+` AND k.REFERENCED_TABLE_NAME IS NOT NULL
		ORDER BY k.TABLE_SCHEMA, k.TABLE_NAME, r.CONSTRAINT_NAME, k.ORDINAL_POSITION`, nil, func(s func(...any) error) error {
		var f foreignKey
		var childSchema, parentSchema, from, to string
		if err := s(&f.name, &childSchema, &f.child, &parentSchema, &f.parent, &from, &to, &f.onDelete, &f.onUpdate); err != nil {
			return err
		}
		if childSchema != d.name {
			f.elsewhere = childSchema
		} else if parentSchema != d.name {
			f.elsewhere = parentSchema
		}
		if n := len(out); n == 0 || out[n-1].name != f.name || out[n-1].child != f.child || out[n-1].elsewhere != f.elsewhere {
			out = append(out, f)
		}
		last := &out[len(out)-1]
		last.from, last.to = append(last.from, from), append(last.to, to)
		return nil
	})
	return out, err
}

func (d *Database) moves(name string) bool { return slices.Contains(d.b.Tables, name) }

// crossing are the foreign keys between tables that move and tables that stay.
func (d *Database) crossing(ctx context.Context) (out []foreignKey, err error) {
	all, err := d.references(ctx, d.pool, ofDatabase)
	for _, f := range all {
		if f.elsewhere == "" && d.crosses(f) {
			out = append(out, f)
		}
	}
	return out, err
}

// asPlanned describes the tables anew and stops where their columns are not those of the plan: rows go from side to side
// by the order of their columns' names, and what a new column holds would be lost.
func (d *Database) asPlanned(ctx context.Context, q querier, tables []*table) error {
	planned := map[int]string{}
	err := each(ctx, q, "SELECT tbl, `columns` FROM strangler_mark WHERE capability = ? AND part = 0", []any{d.b.Capability}, func(scan func(...any) error) error {
		var i int
		var names string
		err := scan(&i, &names)
		planned[i] = names
		return err
	})
	if err != nil {
		return err
	}
	now := make([]*table, len(tables))
	for i, t := range tables {
		now[i] = &table{name: t.name, share: t.share}
	}
	if err := d.readColumns(ctx, q, now...); err != nil {
		return err
	}
	for i, t := range now {
		if got := t.planned(); got != planned[i] {
			d.metaMu.Lock()
			d.stale = true
			d.metaMu.Unlock()
			return d.changed("the table %s has other columns than were planned: it has %s, and planned were %s", t.name, got, planned[i])
		}
	}
	return nil
}

func (d *Database) exists(ctx context.Context, table string) (bool, error) {
	var n int
	err := d.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?", table).Scan(&n)
	return n > 0, err
}

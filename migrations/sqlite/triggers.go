package sqlite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// trigger is one of ours: the script that makes it and the drift check read the same text.
type trigger struct {
	name string
	sql  string
}

func logTable(t string) string { return "strangler_log_" + t }

// closed is what every fence trigger asks: anything but an open fence or the applier's own
// transaction is refused, a missing fence row too.
func (d *Database) closed() string {
	return fmt.Sprintf("(SELECT state = 'open' OR applier = 1 FROM strangler_fence WHERE capability = %s) IS NOT 1", literal(d.b.Capability))
}

// insertFence is the one of them that an INSERT runs into.
func (d *Database) insertFence(table string, t *table) trigger { return d.fenceTriggers(table, t)[0] }

// foreign is what every capture trigger asks: the applier's own writes are not recorded.
func (d *Database) foreign() string {
	return fmt.Sprintf("(SELECT applier FROM strangler_fence WHERE capability = %s) IS NOT 1", literal(d.b.Capability))
}

// fenceTriggers refuse a table's writes while the fence is closed. What the table is like is asked where it is shared only.
func (d *Database) fenceTriggers(table string, t *table) []trigger {
	message := fmt.Sprintf("strangler: %s is owned by %s, and this database only follows it (or a cutover is under way); nothing was written. More: strangler split status %s",
		d.b.Capability, map[strangler.Side]string{strangler.Legacy: "its service", strangler.Service: "the monolith"}[d.b.Side], d.b.Capability)
	if !d.shareOf(table).Whole() {
		return d.shareFence(t, message)
	}
	var out []trigger
	for _, op := range []string{"INSERT", "UPDATE", "DELETE"} {
		name := "strangler_fence_" + table + "_" + strings.ToLower(op)
		out = append(out, trigger{name, fmt.Sprintf("CREATE TRIGGER %s BEFORE %s ON %s WHEN %s BEGIN SELECT RAISE(ABORT, %s); END",
			ident(name), op, ident(table), d.closed(), literal(message))})
	}
	return out
}

// captureTriggers record the old and the new key of every change. Before a REPLACE can delete rows
// behind a secondary unique key without firing a trigger, every row that collides is recorded too.
func (d *Database) captureTriggers(t *table) []trigger {
	olds := list(t.key, func(k keyColumn) string { return ident("old_" + k.name) })
	news := list(t.key, func(k keyColumn) string { return ident("new_" + k.name) })
	of := func(row string) string {
		return list(t.key, func(k keyColumn) string { return row + "." + ident(k.name) })
	}
	nulls := list(t.key, func(keyColumn) string { return "NULL" })
	record := func(event, suffix, when, body string) trigger {
		name := logTable(t.name) + "_" + suffix
		return trigger{name, fmt.Sprintf("CREATE TRIGGER %s %s ON %s WHEN %s%s BEGIN INSERT INTO %s (nonce, %s, %s) %s; END",
			ident(name), event, ident(t.name), d.foreign(), when, ident(logTable(t.name)), olds, news, body)}
	}
	where, rows := t.collisions(), ident(t.name)
	var inserted, updated, deleted, replacing string
	if !t.share.Whole() {
		inserted, updated, deleted = " AND "+t.is(), " AND "+t.updated(), " AND "+t.was()
		where, rows = t.replaceable(), t.within()
		// Behind a closed fence nothing of the share is replaced, and an upsert of what stays leaves no entry.
		replacing = " AND (" + d.stateIs(migrations.FenceOpen) + ") IS 1"
	}
	out := []trigger{
		record("AFTER INSERT", "insert", inserted, fmt.Sprintf("VALUES (random(), %s, %s)", nulls, of("NEW"))),
		record("AFTER UPDATE", "update", updated, fmt.Sprintf("VALUES (random(), %s, %s)", of("OLD"), of("NEW"))),
		record("AFTER DELETE", "delete", deleted, fmt.Sprintf("VALUES (random(), %s, %s)", of("OLD"), nulls)),
	}
	if where != "" {
		from := fmt.Sprintf("SELECT random(), %s, %s FROM %s AS c WHERE ", of("c"), nulls, rows)
		itself := make([]string, len(t.key)) // the row that changes is recorded behind the change
		for i, k := range t.key {
			itself[i] = k.of("c") + " IS OLD." + ident(k.name)
		}
		out = append(out,
			record("BEFORE INSERT", "insert_replace", replacing, from+where),
			record("BEFORE UPDATE", "update_replace", replacing, from+"NOT ("+strings.Join(itself, " AND ")+") AND ("+where+")"))
	}
	return out
}

// collisions selects the rows c that share a secondary unique key with NEW. A NULL in a NOT NULL
// column becomes the column's default under REPLACE, after BEFORE triggers have run.
func (t *table) collisions() string {
	var any []string
	for _, u := range t.uniques {
		var all []string
		for _, c := range u.columns {
			value := "NEW." + ident(c.name)
			if dflt, ok := t.defaults[c.name]; ok && t.notNull[c.name] {
				value = fmt.Sprintf("coalesce(%s, %s)", value, defaultValue(dflt))
			}
			all = append(all, fmt.Sprintf("c.%s = %s COLLATE %s", ident(c.name), value, c.collation))
		}
		any = append(any, "("+strings.Join(all, " AND ")+")")
	}
	if t.rowid != "" { // nobody's key, but REPLACE over a rowid that is given deletes a row all the same
		any = append(any, fmt.Sprintf("(c.%s = NEW.%s)", t.rowid, t.rowid))
	}
	return strings.Join(any, " OR ")
}

// defaultValue is a column's default as an expression. A bare or double-quoted word there is a text, but
// would be a column's name in a trigger.
func defaultValue(dflt string) string {
	ts, err := tokens(dflt)
	if err != nil || len(ts) != 1 || !ts[0].word || dflt[ts[0].start] == '\'' || dflt[0] >= '0' && dflt[0] <= '9' {
		return dflt
	}
	for _, keyword := range []string{"NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"} {
		if ts[0].is(keyword) {
			return dflt
		}
	}
	return literal(ts[0].text)
}

// logDDL makes the change log of a table: no constraint but its id, and the key's collations, so that
// keys compare as they do in the table.
func (t *table) logDDL() string {
	var cols []string
	for _, side := range []string{"old_", "new_"} {
		for _, k := range t.key {
			cols = append(cols, ident(side+k.name)+" COLLATE "+k.collation)
		}
	}
	return fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, nonce INTEGER, %s)", ident(logTable(t.name)), strings.Join(cols, ", "))
}

// missing are the triggers of want that do not stand in found (name to text) as they were made.
func missing(want []trigger, found map[string]string) []trigger {
	return slices.DeleteFunc(slices.Clone(want), func(t trigger) bool { return found[t.name] == t.sql })
}

package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
)

// trigger is one of ours: the script that makes it and the drift check read the same text.
type trigger struct {
	name, table    string
	timing, event  string
	body           string
	makeAnew, drop string
}

func logTable(t string) string { return short("strangler_log_" + t) }

// passes is true in a transaction of the applier: its user, and a variable of its session that nobody else sets. The
// transaction has locked the fence row and found its term there, so no term is compared at each row. Every row that is copied
// runs this: a query beside it in one condition, or the user's name taken apart, made the copy half as fast.
func (d *Database) passes() string {
	name := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(d.role)
	return fmt.Sprintf("(@strangler_applier IS NOT NULL AND USER() COLLATE utf8mb3_bin LIKE %s)", literal(name+"@%"))
}

// pass is what that variable holds.
func (d *Database) pass(term int64) string { return fmt.Sprintf("%s:%d", d.b.Capability, term) }

func (d *Database) trigger(name, table, timing, event, body string) trigger {
	g := trigger{name: short(name), table: table, timing: timing, event: event, body: body}
	head := "CREATE TRIGGER IF NOT EXISTS"
	if d.mariadb {
		head = "CREATE OR REPLACE TRIGGER"
	}
	g.makeAnew = fmt.Sprintf("%s %s %s %s ON %s FOR EACH ROW %s", head, ident(g.name), timing, event, ident(table), body)
	g.drop = "DROP TRIGGER IF EXISTS " + ident(g.name)
	return g
}

// fenceTriggers refuse a table's writes while the fence is closed, or its row is gone. They read that row under a lock that
// they keep until their transaction ends: whoever closes the fence waits for it, and whoever comes behind sees it closed,
// whatever its snapshot.
func (d *Database) fenceTriggers(t *table) (out []trigger) {
	message := fmt.Sprintf("strangler: %s is owned by %s or is changing hands; nothing was written. More: strangler split status %s",
		d.b.Capability, map[strangler.Side]string{strangler.Legacy: "its service", strangler.Service: "the monolith"}[d.b.Side], d.b.Capability)
	for _, event := range []string{"INSERT", "UPDATE", "DELETE"} {
		timing := "BEFORE"
		if event == "INSERT" && !t.share.Whole() {
			timing = "AFTER" // the row has its generated values
		}
		out = append(out, d.trigger("strangler_fence_"+t.name+"_"+strings.ToLower(event), t.name, timing, event, fmt.Sprintf(
			"IF NOT %s THEN IF COALESCE((SELECT state FROM strangler_fence WHERE capability = %s LOCK IN SHARE MODE), '') <> 'open' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = %s; END IF; END IF",
			t.concerned(d.passes(), event), literal(d.b.Capability), literal(message))))
	}
	return out
}

// newEntry are the id and the nonce of a new entry of a log. With AUTO_INCREMENT for the id, whoever deletes many rows and
// what goes along with them by one statement would keep everybody else from writing until that ends.
const newEntry = "UUID_SHORT(), FLOOR(RAND() * 9007199254740992)"

// captureTriggers record the old and the new key of every change, and the keys that a foreign key changes along: for its
// actions the server fires no trigger.
func (d *Database) captureTriggers(t *table, all []*table) []trigger {
	old := func(row string) string { return keyOf(t, row) }
	nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(t.keyAt)), ", ")
	record := func(timing, event, suffix, statements string) trigger {
		return d.trigger("strangler_log_"+t.name+"_"+suffix, t.name, timing, event, fmt.Sprintf("IF NOT %s THEN %s END IF", t.concerned(d.passes(), event), statements))
	}
	insert := func(keys string) string {
		return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s, USER(), %s);", ident(logTable(t.name)), logColumns(t), newEntry, keys)
	}
	return append([]trigger{
		record("AFTER", "INSERT", "insert", insert(nulls+", "+old("NEW"))),
		record("AFTER", "UPDATE", "update", insert(old("OLD")+", "+old("NEW"))),
		record("AFTER", "DELETE", "delete", insert(old("OLD")+", "+nulls)),
	}, d.alongTriggers(t, all)...)
}

// captures are the triggers of the capture: where the binary log is read, it has all but what goes along.
func (d *Database) captures(t *table, all []*table, logical bool) []trigger {
	if logical {
		return d.alongTriggers(t, all)
	}
	return d.captureTriggers(t, all)
}

// alongTriggers record the keys that a foreign key changes along.
func (d *Database) alongTriggers(t *table, all []*table) (out []trigger) {
	record := func(event, suffix, statements string) trigger {
		return d.trigger("strangler_log_"+t.name+"_"+suffix, t.name, "BEFORE", event, fmt.Sprintf("IF NOT %s THEN %s END IF", d.passes(), statements))
	}
	if s := d.deletesAlong(t, all); s != "" {
		out = append(out, record("DELETE", "delete_along", s))
	}
	if s := d.updatesAlong(t, all); s != "" {
		out = append(out, record("UPDATE", "update_along", s))
	}
	return out
}

func keyOf(t *table, row string) string {
	return list(t.key(), func(c column) string { return row + "." + ident(c.Name) })
}

// logColumns are those of a table's log that a trigger fills.
func logColumns(t *table) string { return "id, nonce, writer, " + oldKeys(t) + ", " + newKeys(t) }

func oldKeys(t *table) string { return numbered("o", len(t.keyAt)) }
func newKeys(t *table) string { return numbered("n", len(t.keyAt)) }

func numbered(letter string, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", letter, i)
	}
	return strings.Join(out, ", ")
}

// logDDL makes the change log of a table: no constraint but its id with its nonce, and columns of the key's own types, so that keys
// compare as they do in the table.
func (t *table) logDDL() string {
	var cols []string
	for _, letter := range []string{"o", "n"} {
		for i, c := range t.key() {
			cols = append(cols, fmt.Sprintf("%s%d %s NULL DEFAULT NULL", letter, i, c.Type))
		}
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (id BIGINT UNSIGNED NOT NULL, nonce BIGINT NOT NULL, writer VARCHAR(400) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, %s, PRIMARY KEY (id, nonce)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
		ident(logTable(t.name)), strings.Join(cols, ", "))
}

// kin are the foreign keys among tables that move whose parent is t.
func kin(t *table, all []*table) (out []foreignKey) {
	for _, child := range all {
		for _, f := range foreignKeys(child.name, child.ddl) {
			if f.parent == t.name && f.elsewhere == "" {
				out = append(out, f)
			}
		}
	}
	return out
}

func named(all []*table, name string) *table {
	for _, t := range all {
		if t.name == name {
			return t
		}
	}
	return nil
}

// deletesAlong records what goes, or loses its reference, with a row that is deleted: children, and theirs.
func (d *Database) deletesAlong(t *table, all []*table) string {
	var b strings.Builder
	var walk func(parent *table, from, where string, depth int)
	walk = func(parent *table, from, where string, depth int) {
		for _, f := range kin(parent, all) {
			if !acts(f.onDelete) || depth > len(all) {
				continue
			}
			child, alias := named(all, f.child), fmt.Sprintf("c%d", depth)
			next, cond := ident(child.name)+" AS "+alias, where
			var on []string
			for i, col := range f.from {
				if depth == 0 {
					on = append(on, fmt.Sprintf("%s.%s = OLD.%s", alias, ident(col), ident(f.to[i])))
				} else {
					on = append(on, fmt.Sprintf("%s.%s = c%d.%s", alias, ident(col), depth-1, ident(f.to[i])))
				}
			}
			if depth == 0 {
				cond = strings.Join(on, " AND ")
			} else {
				next = from + " JOIN " + next + " ON " + strings.Join(on, " AND ")
			}
			fmt.Fprintf(&b, "INSERT INTO %s (id, nonce, writer, %s) SELECT %s, USER(), %s FROM %s WHERE %s LOCK IN SHARE MODE; ", ident(logTable(child.name)), oldKeys(child), newEntry, keyOf(child, alias), next, cond)
			if f.onDelete == "CASCADE" {
				walk(child, next, cond, depth+1)
			}
		}
	}
	walk(t, "", "", 0)
	return strings.TrimSpace(b.String())
}

// updatesAlong records the children whose reference changes with a key. A chain of them is refused at plan.
func (d *Database) updatesAlong(t *table, all []*table) string {
	var b strings.Builder
	for _, f := range kin(t, all) {
		if !acts(f.onUpdate) {
			continue
		}
		child := named(all, f.child)
		var on, same []string
		becomes := map[string]string{}
		for i, col := range f.from {
			on = append(on, fmt.Sprintf("c0.%s = OLD.%s", ident(col), ident(f.to[i])))
			same = append(same, fmt.Sprintf("OLD.%s <=> NEW.%s", ident(f.to[i]), ident(f.to[i])))
			if f.onUpdate == "CASCADE" {
				becomes[col] = "NEW." + ident(f.to[i])
			}
		}
		after := list(child.key(), func(c column) string {
			if v, ok := becomes[c.Name]; ok {
				return v
			}
			return "c0." + ident(c.Name)
		})
		fmt.Fprintf(&b, "IF NOT (%s) THEN INSERT INTO %s (%s) SELECT %s, USER(), %s, %s FROM %s AS c0 WHERE %s LOCK IN SHARE MODE; END IF; ",
			strings.Join(same, " AND "), ident(logTable(child.name)), logColumns(child), newEntry, keyOf(child, "c0"), after, ident(child.name), strings.Join(on, " AND "))
	}
	return strings.TrimSpace(b.String())
}

// rings are actions of foreign keys that the triggers cannot follow: they go round, or from key to key.
func rings(all []*table) (out []string) {
	for _, t := range all {
		var walk func(at *table, seen map[string]bool) bool
		walk = func(at *table, seen map[string]bool) bool {
			for _, f := range kin(at, all) {
				if !acts(f.onDelete) {
					continue
				}
				if f.onDelete == "CASCADE" && (seen[f.child] || walk(named(all, f.child), with(seen, f.child))) {
					return true
				}
			}
			return false
		}
		if walk(t, map[string]bool{t.name: true}) {
			out = append(out, fmt.Sprintf("ON DELETE CASCADE of %s comes round to a table that it has been at", t.name))
		}
		for _, f := range kin(t, all) {
			if !acts(f.onUpdate) {
				continue
			}
			for _, g := range kin(named(all, f.child), all) {
				for _, to := range g.to {
					for _, from := range f.from {
						if acts(g.onUpdate) && to == from {
							out = append(out, fmt.Sprintf("ON UPDATE of %s goes on from %s to %s", t.name, f.child, g.child))
						}
					}
				}
			}
		}
	}
	return out
}

func with(seen map[string]bool, name string) map[string]bool {
	out := map[string]bool{name: true}
	for n := range seen {
		out[n] = true
	}
	return out
}

// readTriggers are all triggers of some tables. Each is asked for by its name: the server opens no others then.
func readTriggers(ctx context.Context, q querier, tables ...string) (out []trigger, err error) {
	ask := united(len(tables), func(i int) string {
		return "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = " + literal(tables[i])
	})
	err = each(ctx, q, ask, nil,
		func(scan func(...any) error) error {
			var g trigger
			err := scan(&g.name, &g.table, &g.timing, &g.event, &g.body)
			out = append(out, g)
			return err
		})
	return out, err
}

func (g trigger) ours() bool { return strings.HasPrefix(g.name, "strangler_") }

// missing are the triggers of want that do not stand in found as they were made.
func missing(want, found []trigger) (out []trigger) {
	for _, w := range want {
		there := false
		for _, f := range found {
			there = there || f.name == w.name && f.table == w.table && f.timing == w.timing && f.event == w.event && f.body == w.body
		}
		if !there {
			out = append(out, w)
		}
	}
	return out
}

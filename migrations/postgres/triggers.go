package postgres

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
)

// trigger is one of ours, as the catalog tells it: the scripts that make it and the check for drift read
// the same description.
type trigger struct {
	name     string
	function string // in d.schema, without arguments
	body     string // of the function
	kind     int16  // pg_trigger.tgtype
	event    string // as CREATE TRIGGER has it
	path     string // the search_path of the function; empty: the server's own schema only
}

// Bits of pg_trigger.tgtype (PostgreSQL, src/include/catalog/pg_trigger.h).
const (
	forRow = 1 << iota
	before
	onInsert
	onDelete
	onUpdate
	onTruncate
)

// pass is what the applier's own transaction has: Strangler's role, and the term that stands in the fence
// row. The setting alone could be made by anybody.
func (d *Database) pass() string {
	return fmt.Sprintf("session_user = %s AND current_setting('strangler.applier', true) = (SELECT f.term::text FROM %s AS f WHERE f.capability = %s)",
		literal(d.role), d.ours("strangler_fence"), literal(d.b.Capability))
}

// fenceTrigger refuses every statement but the applier's. It does not ask whether the fence is open: a
// transaction that began before the closing would read the old answer. An open fence is a disabled trigger.
func (d *Database) fenceTrigger() trigger {
	name := short("strangler_fence_" + d.b.Capability)
	return trigger{name: name, function: name, kind: before | onInsert | onDelete | onUpdate | onTruncate,
		event: "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT",
		body: fmt.Sprintf("\nBEGIN\n  IF %s THEN\n    RETURN NULL;\n  END IF;\n  RAISE EXCEPTION USING MESSAGE = %s, ERRCODE = 'object_not_in_prerequisite_state';\nEND\n",
			d.pass(), literal(d.refusal()))}
}

// refusal is what a writer is told whom a fence refuses.
func (d *Database) refusal() string {
	return fmt.Sprintf("strangler: %s is owned by %s, and this database only follows it (or a cutover is under way); nothing was written. More: strangler split status %s",
		d.b.Capability, map[strangler.Side]string{strangler.Legacy: "its service", strangler.Service: "the monolith"}[d.b.Side], d.b.Capability)
}

// logTable is a table's change log. One of a named schema has a hash of both names: a.b_c is not a_b.c, nor a_b_c.
func (d *Database) logTable(bound string) string {
	schema, name := split(bound)
	if schema == "" {
		return short("strangler_log_" + name)
	}
	return hashed("strangler_log_"+schema+"_"+name, d.named(bound))
}

// writer is who writes, for split writers: user, application and address, parted by tabs.
const writer = `concat_ws(E'\t', session_user, coalesce(current_setting('application_name', true), ''), coalesce(host(inet_client_addr()), ''))`

const nonce = "(random() * 9007199254740992)::bigint"

// captureTriggers record the old and the new key of every change, but the applier's. A TRUNCATE of the whole
// table is one entry; that of a partition records each key that goes with it.
func (d *Database) captureTriggers(t *table) []trigger {
	log, key := d.ours(d.logTable(t.bound)), t.key()
	olds, news := list(key, oldKey), list(key, newKey)
	of := func(row string) string { return list(key, func(c column) string { return row + "." + ident(c.Name) }) }
	insert := func(into, values string) string {
		return fmt.Sprintf("INSERT INTO %s (nonce, writer, %s) VALUES (%s, %s, %s)", log, into, nonce, writer, values)
	}
	function := d.logTable(t.bound)
	first, other, path := "", "", ""
	if t.shared() {
		first, other, path = rowVariables, t.unlessShared(), d.path
	}
	changes := first + fmt.Sprintf(`
BEGIN
  IF %s THEN
    RETURN NULL;
  END IF;
%s  IF TG_OP = 'INSERT' THEN
    %s;
  ELSIF TG_OP = 'DELETE' THEN
    %s;
  ELSE
    %s;
  END IF;
  RETURN NULL;
END
`, d.pass(), other, insert(news, of("NEW")), insert(olds, of("OLD")), insert(olds+", "+news, of("OLD")+", "+of("NEW")))
	truncate := fmt.Sprintf(`
BEGIN
  IF %s THEN
    RETURN NULL;
  END IF;
  IF (SELECT relispartition FROM pg_class WHERE oid = TG_RELID) THEN
    EXECUTE format(%s, TG_RELID::regclass);
  ELSE
    %s;
  END IF;
  RETURN NULL;
END
`, d.pass(), literal(fmt.Sprintf("INSERT INTO %s (nonce, writer, %s) SELECT %s, %s, %s FROM %%s AS r",
		strings.ReplaceAll(log, "%", "%%"), strings.ReplaceAll(olds, "%", "%%"), nonce, writer, strings.ReplaceAll(of("r"), "%", "%%"))), insert("truncated", "true"))
	return []trigger{
		{name: short("strangler_log_" + d.b.Capability), function: function, body: changes, kind: forRow | onInsert | onDelete | onUpdate, path: path,
			event: "AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW"},
		{name: short("strangler_truncate_" + d.b.Capability), function: short("strangler_truncate_" + strings.TrimPrefix(function, "strangler_log_")), body: truncate, kind: before | onTruncate,
			event: "BEFORE TRUNCATE ON %s FOR EACH STATEMENT"},
	}
}

func oldKey(c column) string { return ident(short("old_" + c.Name)) }
func newKey(c column) string { return ident(short("new_" + c.Name)) }

// logDDL makes a table's change log: no constraint but its id, and the key's own types and collations, so
// that keys compare as they do in the table.
func (d *Database) logDDL(t *table) string {
	var cols []string
	for _, name := range []func(column) string{oldKey, newKey} {
		for _, c := range t.key() {
			col := name(c) + " " + c.typed
			if c.collation != "" {
				col += " COLLATE " + c.collation
			}
			cols = append(cols, col)
		}
	}
	return fmt.Sprintf("CREATE TABLE %s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, nonce bigint NOT NULL, writer text NOT NULL, truncated boolean NOT NULL DEFAULT false, %s) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000)",
		d.ours(d.logTable(t.bound)), strings.Join(cols, ", "))
}

// searchPath is what the trigger's function runs under, with its owner's rights.
func (g trigger) searchPath() string { return cmp.Or(g.path, "pg_catalog, pg_temp") }

// functionDDL makes a trigger's function.
func (d *Database) functionDDL(g trigger) string {
	return fmt.Sprintf("CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = %s AS %s", d.ours(g.function), g.searchPath(), literal(g.body))
}

// triggerDDL makes a trigger at a relation, and puts it into a state: A fires always, D never.
func (d *Database) triggerDDL(g trigger, relation string, state byte) []string {
	word := map[byte]string{'A': "ENABLE ALWAYS", 'D': "DISABLE"}[state]
	return []string{
		fmt.Sprintf("CREATE TRIGGER %s "+g.event+" EXECUTE FUNCTION %s()", plain(g.name), relation, d.ours(g.function)),
		fmt.Sprintf("ALTER TABLE %s %s TRIGGER %s", relation, word, plain(g.name)),
	}
}

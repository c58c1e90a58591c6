package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// actions are what pg_constraint.confdeltype says.
var actions = map[string]string{"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}

// asForeignKey is a key that crosses in words that all engines share. The tables have the names of strangler.yaml: those in the
// current schema have no schema's.
func (d *Database) asForeignKey(x crossing) migrations.ForeignKey {
	shown := func(schema, name string) string {
		if schema == "" || schema == d.schema || ident(schema) == d.schema {
			return name
		}
		return schema + "." + name
	}
	k := migrations.ForeignKey{Table: shown(x.table.schema, x.table.name), Parent: shown(x.parent.schema, x.parent.name), Columns: x.columns, Targets: x.targets, OnDelete: actions[x.onDelete],
		FromMoved: x.fromMoved, ToMoved: x.toMoved, At: -1}
	if x.toMoved {
		k.At = slices.IndexFunc(d.b.Tables, func(bound string) bool { return shown(split(bound)) == k.Parent })
	}
	return k
}

// restricted are the keys whose parent's rows a trigger keeps.
func (d *Database) restricted(all []crossing) (out []crossing) {
	for _, x := range all {
		if d.b.Delete(d.asForeignKey(x)) == strangler.DeleteRestrict {
			out = append(out, x)
		}
	}
	return out
}

// restrictTriggers refuse to delete, or to give another key to, a row that stays and to which rows refer that have moved; and to
// truncate its table while there are any. Their error is a foreign key's.
func (d *Database) restrictTriggers(x crossing) []trigger {
	var same, kept, set []string
	for i, to := range x.targets {
		same = append(same, fmt.Sprintf("c.%s = OLD.%s", ident(x.columns[i]), ident(to)))
		kept = append(kept, fmt.Sprintf("OLD.%s IS NOT DISTINCT FROM NEW.%[1]s", ident(to)))
		set = append(set, fmt.Sprintf("c.%s IS NOT NULL", ident(x.columns[i])))
	}
	child := x.table.full()
	name := hashed("strangler_restrict_"+d.b.Capability, child+"("+list(x.columns, ident)+")")
	message := fmt.Sprintf("strangler: rows of %s that the service of %s owns refer to this one; nothing was written. More: strangler migrate orphans %s", x.table.name, d.b.Capability, d.b.Capability)
	body := fmt.Sprintf(`
DECLARE
  refers boolean;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    refers := EXISTS (SELECT FROM %[1]s AS c WHERE %[2]s);
  ELSIF TG_OP = 'UPDATE' THEN
    IF %[3]s THEN
      RETURN NULL;
    END IF;
    refers := EXISTS (SELECT FROM %[1]s AS c WHERE %[4]s);
  ELSE
    refers := EXISTS (SELECT FROM %[1]s AS c WHERE %[4]s);
  END IF;
  IF refers THEN
    RAISE EXCEPTION USING MESSAGE = %[5]s, ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END
`, child, strings.Join(set, " AND "), strings.Join(kept, " AND "), strings.Join(same, " AND "), literal(message))
	return []trigger{
		{name: name, function: name, body: body, kind: forRow | onDelete | onUpdate, path: d.path, event: "AFTER DELETE OR UPDATE ON %s FOR EACH ROW"},
		{name: hashed("strangler_restrict_truncate_"+d.b.Capability, name), function: name, body: body, kind: before | onTruncate, path: d.path, event: "BEFORE TRUNCATE ON %s FOR EACH STATEMENT"},
	}
}

// restrict adds to a script what makes the triggers of a key.
func (d *Database) restrict(up *script, x crossing) {
	for i, g := range d.restrictTriggers(x) {
		if i == 0 {
			up.add("%s", d.functionDDL(g))
		}
		up.add("%s", d.triggerDDL(g, x.parent.full(), 'A')[0])
	}
}

// letGo adds to a script what drops them.
func (d *Database) letGo(s *script, x crossing) {
	s.add("DROP FUNCTION IF EXISTS %s() CASCADE", d.ours(d.restrictTriggers(x)[0].function))
}

// readCascades are the keys whose action is the applier's to carry out.
func (d *Database) readCascades(ctx context.Context, q querier) (migrations.Cascades, error) {
	if d.b.Side != strangler.Legacy {
		return migrations.Cascades{}, nil
	}
	rows, err := q.Query(ctx, "SELECT along FROM "+d.ours("strangler_cut")+" WHERE capability = $1::text AND along IS NOT NULL", d.b.Capability)
	texts, err := collect(rows, err, func(r pgx.Rows) (text string, err error) {
		err = r.Scan(&text)
		return text, err
	})
	if err != nil {
		return migrations.Cascades{}, err
	}
	return migrations.ReadCascades(texts)
}

// carryOut does to rows that stay what their foreign keys say of those that are gone. It runs as any session's statement would,
// behind the applier's own writes: triggers fire, and what goes along further does.
func (a *apply) carryOut(ctx context.Context) error {
	ready := false
	return a.cascades.Each(bufferKeys, func(k migrations.ForeignKey, gone []migrations.Key) error {
		if !ready {
			if _, err := a.Exec(ctx, "SELECT set_config('session_replication_role', 'origin', true), set_config('strangler.applier', '', true)"); err != nil {
				return err
			}
			ready = true
		}
		t, child := a.tables[k.At], a.d.named(k.Table)
		var p parameters
		given := p.keyArrays(t.key(), gone)
		var same []string
		for i, to := range k.Targets {
			same = append(same, fmt.Sprintf("p.%s = c.%s", ident(to), ident(k.Columns[i])))
		}
		act := "DELETE FROM " + child + " AS c"
		if k.OnDelete == "SET NULL" {
			act = "UPDATE " + child + " AS c SET " + list(k.Columns, func(name string) string { return ident(name) + " = NULL" })
		}
		_, err := a.Exec(ctx, fmt.Sprintf("%s WHERE (%s) IN (%s) AND NOT EXISTS (SELECT FROM %s AS p WHERE %s)",
			act, list(k.Children(t.keyNames()), func(name string) string { return "c." + ident(name) }), given, t.full(), strings.Join(same, " AND ")), p...)
		return passing(err)
	})
}

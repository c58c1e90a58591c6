package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// asForeignKey is a key that crosses in words that all engines share.
func (d *Database) asForeignKey(f foreignKey) migrations.ForeignKey {
	k := migrations.ForeignKey{Table: f.child, Parent: f.parent, Columns: f.from, Targets: f.to, OnDelete: f.onDelete, FromMoved: d.moves(f.child)}
	for i, name := range d.b.Tables {
		if name == f.parent {
			k.ToMoved, k.At = true, i
		}
	}
	return k
}

// restrictTriggers refuse to delete, or to give another key to, a row that stays and to which rows refer that have moved. The
// look at those keeps them from changing until the transaction ends, as that of a foreign key does. The server fires no trigger
// for what a foreign key's action deletes.
func (d *Database) restrictTriggers(keys []foreignKey) (out []trigger) {
	for _, f := range keys {
		if d.b.Delete(d.asForeignKey(f)) != strangler.DeleteRestrict {
			continue
		}
		var same, kept []string
		for i, to := range f.to {
			same = append(same, fmt.Sprintf("c.%s = OLD.%s", ident(f.from[i]), ident(to)))
			kept = append(kept, fmt.Sprintf("OLD.%s <=> NEW.%[1]s", ident(to)))
		}
		// Errors have no more than 128 characters. This one is a foreign key's to the application.
		refuse := fmt.Sprintf("IF EXISTS (SELECT 1 FROM %s AS c WHERE %s LOCK IN SHARE MODE) THEN SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1451, MESSAGE_TEXT = %s; END IF",
			ident(f.child), strings.Join(same, " AND "), literal("strangler: rows that the service of "+d.b.Capability+" owns refer to this one; nothing was written"))
		name := "strangler_restrict_" + f.child + "_" + strings.Join(f.from, "_") + "_"
		out = append(out,
			d.trigger(name+"delete", f.parent, "BEFORE", "DELETE", refuse),
			d.trigger(name+"update", f.parent, "BEFORE", "UPDATE", fmt.Sprintf("IF NOT (%s) THEN %s; END IF", strings.Join(kept, " AND "), refuse)))
	}
	return out
}

// readCascades are the keys whose action is the applier's to carry out.
func (d *Database) readCascades(ctx context.Context, q querier) (migrations.Cascades, error) {
	if d.b.Side != strangler.Legacy {
		return migrations.Cascades{}, nil
	}
	var texts []string
	err := each(ctx, q, "SELECT along FROM strangler_cut WHERE capability = ? AND along IS NOT NULL", []any{d.b.Capability}, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		texts = append(texts, text)
		return err
	})
	if err != nil {
		return migrations.Cascades{}, passing(err)
	}
	return migrations.ReadCascades(texts)
}

// carryOut does to rows that stay what their foreign keys say of those that are gone. It runs as any session would, behind the
// applier's own writes: what goes along further does.
func (a *apply) carryOut(ctx context.Context) error {
	return a.cascades.Each(keysAtOnce, func(k migrations.ForeignKey, gone []migrations.Key) error {
		t, child := a.tables[k.At], ident(k.Table)
		var names, same []string
		for _, c := range k.Children(keyNames(t)) {
			names = append(names, child+"."+ident(c))
		}
		for i, to := range k.Targets {
			same = append(same, fmt.Sprintf("p.%s = %s.%s", ident(to), child, ident(k.Columns[i])))
		}
		act := "DELETE FROM " + child
		if k.OnDelete == "SET NULL" {
			act = "UPDATE " + child + " SET " + list(k.Columns, func(c string) string { return child + "." + ident(c) + " = NULL" })
		}
		_, err := a.exec(ctx, fmt.Sprintf("%s WHERE (%s) AND NOT EXISTS (SELECT 1 FROM %s AS p WHERE %s)", act, t.anyOf(names, gone), ident(t.name), strings.Join(same, " AND ")))
		return passing(err)
	})
}

func keyNames(t *table) []string {
	var out []string
	for _, c := range t.key() {
		out = append(out, c.Name)
	}
	return out
}

package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// foreignKeys are the keys that cross, in words that all engines share. Targets are named also where the key leaves them out.
func (d *Database) foreignKeys(ctx context.Context, q querier, tables []*table) (out []migrations.ForeignKey, err error) {
	for _, t := range tables {
		for _, r := range t.refs {
			if !d.crosses(t.name, r.parent, r.from) {
				continue
			}
			k := migrations.ForeignKey{Table: t.name, Parent: r.parent, Columns: r.from, Targets: r.to, OnDelete: r.onDelete, FromMoved: d.moves(t.name), At: -1}
			parent, err := describe(ctx, q, r.parent)
			if err != nil {
				return nil, err
			}
			if parent != nil {
				k.Targets = parent.targets(r)
			}
			if k.ToMoved = d.moves(r.parent); k.ToMoved {
				k.At = slices.IndexFunc(d.b.Tables, func(name string) bool { return strings.EqualFold(name, r.parent) })
			}
			out = append(out, k)
		}
	}
	return out, nil
}

// restrictTriggers refuse to delete, or to give another key to, a row that stays and to which rows refer that have moved. What
// REPLACE deletes fires none, unless recursive_triggers is on.
func (d *Database) restrictTriggers(keys []migrations.ForeignKey) (out []trigger) {
	for _, k := range keys {
		if d.b.Delete(k) != strangler.DeleteRestrict {
			continue
		}
		var same, changed []string
		for i, to := range k.Targets {
			same = append(same, fmt.Sprintf("OLD.%s = c.%s", ident(to), ident(k.Columns[i]))) // by the parent's collation
			changed = append(changed, fmt.Sprintf("OLD.%s IS NOT NEW.%[1]s", ident(to)))
		}
		refers := fmt.Sprintf("EXISTS (SELECT 1 FROM %s AS c WHERE %s)", ident(k.Table), strings.Join(same, " AND "))
		refuse := "BEGIN SELECT RAISE(ABORT, " + literal(fmt.Sprintf("strangler: rows of %s that the service of %s owns refer to this one (FOREIGN KEY constraint failed); nothing was written. More: strangler migrate orphans %s", k.Table, d.b.Capability, d.b.Capability)) + "); END"
		name := "strangler_restrict_" + k.Table + "_" + strings.Join(k.Columns, "_")
		out = append(out,
			trigger{name + "_delete", fmt.Sprintf("CREATE TRIGGER %s BEFORE DELETE ON %s WHEN %s %s", ident(name+"_delete"), ident(k.Parent), refers, refuse)},
			trigger{name + "_update", fmt.Sprintf("CREATE TRIGGER %s BEFORE UPDATE OF %s ON %s WHEN (%s) AND %s %s", ident(name+"_update"), list(k.Targets, ident), ident(k.Parent), strings.Join(changed, " OR "), refers, refuse)})
	}
	return out
}

// childless refuses to carry out the action of a key of a table to which others refer: in the applier's session no foreign key
// does anything, and that cannot be changed within a transaction.
func (d *Database) childless(ctx context.Context, keys []migrations.ForeignKey) error {
	for _, k := range keys {
		if d.b.Delete(k) != strangler.DeleteCascade || k.OnDelete != "CASCADE" {
			continue
		}
		names, err := tableNames(ctx, d.pool)
		if err != nil {
			return err
		}
		for _, name := range names {
			t := &table{name: name}
			if err := t.readReferences(ctx, d.pool); err != nil {
				return err
			}
			if slices.ContainsFunc(t.refs, func(r foreignKey) bool { return strings.EqualFold(r.parent, k.Table) }) {
				return strangler.Refuse("on_delete", fmt.Sprintf("%s cannot cascade: %s refers to %s, and what goes along further is not seen in SQLite", k, name, k.Table), "write ignore, and let the application do it")
			}
		}
	}
	return nil
}

// readCascades are the keys whose action is the applier's to carry out.
func (d *Database) readCascades(ctx context.Context, q querier) (migrations.Cascades, error) {
	if d.b.Side != strangler.Legacy {
		return migrations.Cascades{}, nil
	}
	var texts []string
	err := each(ctx, q, "SELECT along FROM strangler_cut WHERE capability = ? AND along <> ''", []any{d.b.Capability}, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		texts = append(texts, text)
		return err
	})
	if err != nil {
		return migrations.Cascades{}, err
	}
	return migrations.ReadCascades(texts)
}

// carryOut does to rows that stay what their foreign keys say of those that are gone.
func (a *apply) carryOut(ctx context.Context) error {
	return a.cascades.Each(1, func(k migrations.ForeignKey, gone []migrations.Key) error {
		t, child := a.tables[k.At], ident(k.Table)
		act := "DELETE FROM " + child
		if k.OnDelete == "SET NULL" {
			act = "UPDATE " + child + " SET " + list(k.Columns, func(c string) string { return ident(c) + " = NULL" })
		}
		var of, same []string
		for i, c := range k.Children(t.keyNames()) {
			of = append(of, fmt.Sprintf("%s.%s = ? COLLATE %s", child, ident(c), t.key[i].collation))
		}
		for i, to := range k.Targets {
			same = append(same, fmt.Sprintf("p.%s = %s.%s", ident(to), child, ident(k.Columns[i])))
		}
		_, err := a.w.exec(ctx, fmt.Sprintf("%s WHERE %s AND NOT EXISTS (SELECT 1 FROM %s AS p WHERE %s)", act, strings.Join(of, " AND "), ident(t.name), strings.Join(same, " AND ")), []any(gone[0])...)
		return err
	})
}

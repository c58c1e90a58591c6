package postgres

import (
	"context"
	"fmt"

	"github.com/strangler-fig/strangler/migrations"
)

// strangler_cut lists the foreign keys that are cut, while their capability is out or about to leave. Two capabilities
// that refer to each other leave one after the other: a key between them that one of them restored on its way back would
// bind the monolith's rows to rows that the other's service owns, and hold up the end of both.

// linked selects the capabilities for which a foreign key of the tables is cut.
func (d *Database) linked(tables []*table) string {
	mine := list(tables, func(t *table) string { return literal(t.full()) })
	return fmt.Sprintf("SELECT DISTINCT capability FROM %s WHERE capability <> %s AND (child IN (%s) OR parent IN (%s)) ORDER BY capability",
		d.ours("strangler_cut"), literal(d.b.Capability), mine, mine)
}

// noteCut adds the keys to those that are cut, unless the tables are linked to a capability that is out.
func (d *Database) noteCut(up *script, tables []*table, keys []crossing) {
	up.add("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", d.ours("strangler_cut"))
	up.refuseUnless("foreign keys between the tables of "+d.b.Capability+" and those of another capability are cut, and that one is out; complete it or take it back first, they leave one after the other",
		"SELECT NOT EXISTS ("+d.linked(tables)+")")
	of := map[[2]string][]migrations.ForeignKey{}
	pair := func(k crossing) [2]string { return [2]string{k.table.full(), k.parent.full()} }
	for _, k := range keys {
		of[pair(k)] = append(of[pair(k)], d.asForeignKey(k))
	}
	up.add("INSERT INTO %s (capability, child, parent, along) VALUES %s ON CONFLICT DO NOTHING", d.ours("strangler_cut"), list(keys, func(k crossing) string {
		return fmt.Sprintf("(%s, %s, %s, nullif(%s, ''))", literal(d.b.Capability), literal(k.table.full()), literal(k.parent.full()), literal(d.b.Cascading(of[pair(k)])))
	}))
}

// links notices capabilities that are out and refer to the tables, or are referred to by them.
func (in *inspection) links(ctx context.Context) error {
	var tables []*table
	for _, t := range in.tables {
		if t != nil {
			tables = append(tables, t)
		}
	}
	if there, err := in.d.exists(ctx, "strangler_cut"); err != nil || !there || len(tables) == 0 {
		return err
	}
	var out []string
	if err := in.d.pool.QueryRow(ctx, "SELECT coalesce(array_agg(c), '{}') FROM ("+in.d.linked(tables)+") AS x (c)").Scan(&out); err != nil {
		return err
	}
	for _, other := range out {
		in.problem("linked", "strangler split complete "+other+", or: strangler split rollback "+other,
			"foreign keys between the tables of %s and those of %s are cut, and %s is out; they leave one after the other", in.d.b.Capability, other, other)
	}
	return nil
}

package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler/migrations"
)

// strangler_cut lists the foreign keys that are cut, while their capability is out or about to leave. Two capabilities
// that refer to each other, or that are referred to by one table, leave one after the other: a key between them that one of
// them restored on its way back would bind the monolith's rows to rows that the other's service owns, and name a table
// that is gone once the other is complete; and each would put back a text of the table that the other has changed.

// linked selects the capabilities that have cut a foreign key of the bound tables, or one of the tables that are edited.
func (d *Database) linked(edited []*table) string {
	lower := func(name string) string { return literal(strings.ToLower(name)) }
	mine := list(d.b.Tables, lower)
	children := mine
	if len(edited) > 0 {
		children += ", " + list(edited, func(t *table) string { return lower(t.name) })
	}
	return fmt.Sprintf("SELECT DISTINCT capability FROM strangler_cut WHERE capability <> %s AND (child IN (%s) OR parent IN (%s)) ORDER BY capability",
		literal(d.b.Capability), children, mine)
}

// noteCut adds the keys to those that are cut, unless the tables are linked to a capability that is out.
func (d *Database) noteCut(up *script, edited []*table, keys []migrations.ForeignKey) {
	up.refuseUnless("foreign keys between the tables of "+d.b.Capability+" and those of another capability are cut, and that one is out; complete it or take it back first, they leave one after the other",
		"SELECT NOT EXISTS ("+d.linked(edited)+")")
	of := map[[2]string][]migrations.ForeignKey{}
	pair := func(k migrations.ForeignKey) [2]string {
		return [2]string{strings.ToLower(k.Table), strings.ToLower(k.Parent)}
	}
	for _, k := range keys {
		of[pair(k)] = append(of[pair(k)], k)
	}
	for _, k := range keys {
		up.add("INSERT OR IGNORE INTO strangler_cut (capability, child, parent, along) VALUES (%s, %s, %s, nullif(%s, ''))",
			literal(d.b.Capability), literal(pair(k)[0]), literal(pair(k)[1]), literal(d.b.Cascading(of[pair(k)])))
	}
}

// out are the capabilities that are out and refer to the bound tables, or are referred to by them.
func (d *Database) out(ctx context.Context) (names []string, err error) {
	if there, err := d.exists(ctx, "strangler_cut"); err != nil || !there {
		return nil, err
	}
	edited, err := d.crossingTables(ctx)
	if err != nil {
		return nil, err
	}
	err = each(ctx, d.pool, d.linked(edited), nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
}

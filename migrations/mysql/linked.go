package mysql

import (
	"context"
	"fmt"

	"github.com/strangler-fig/strangler/migrations"
)

// strangler_cut lists the foreign keys that are cut, while their capability is out or about to leave. Two capabilities
// that refer to each other leave one after the other: a key between them that one of them restored on its way back would
// bind the monolith's rows to rows that the other's service owns, and hold up the end of both.

// linked selects the capabilities for which a foreign key of the tables is cut.
func (d *Database) linked() string {
	mine := list(d.b.Tables, literal)
	return fmt.Sprintf("SELECT DISTINCT capability FROM strangler_cut WHERE capability <> %s AND (child IN (%s) OR parent IN (%s)) ORDER BY capability", literal(d.b.Capability), mine, mine)
}

// noteCut adds the keys to those that are cut, unless the tables are linked to a capability that is out. Each looks
// behind its own rows: of two that come at once at most one finds none of the other.
func (d *Database) noteCut(up *script, keys []foreignKey) {
	of := map[[2]string][]migrations.ForeignKey{}
	for _, f := range keys {
		pair := [2]string{f.child, f.parent}
		of[pair] = append(of[pair], d.asForeignKey(f))
	}
	up.add("INSERT IGNORE INTO strangler_cut (capability, child, parent, along) VALUES %s", list(keys, func(f foreignKey) string {
		return fmt.Sprintf("(%s, %s, %s, NULLIF(%s, ''))", literal(d.b.Capability), literal(f.child), literal(f.parent), literal(d.b.Cascading(of[[2]string{f.child, f.parent}])))
	}))
	refuse := "foreign keys between the tables of " + d.b.Capability + " and those of another capability are cut, and that one is out; they leave one after the other"
	up.add("SET @strangler_linked = EXISTS (%s)", d.linked())
	up.add("DELETE FROM strangler_cut WHERE capability = %s AND @strangler_linked", literal(d.b.Capability))
	up.refuseUnless(refuse, "SELECT NOT @strangler_linked")
}

// out are capabilities that are out and refer to the tables, or are referred to by them.
func (d *Database) out(ctx context.Context) (names []string, err error) {
	err = each(ctx, d.pool, d.linked(), nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		names = append(names, name)
		return err
	})
	if number(err) == errNoTable {
		err = nil
	}
	return names, err
}

package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler/migrations"
)

// Catalog lists all tables of the file and their foreign keys. It reads only.
func (d *Database) Catalog(ctx context.Context) (out migrations.Catalog, err error) {
	err = each(ctx, d.pool, `SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`, nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		if !migrations.Own(name) {
			out.Tables = append(out.Tables, name)
		}
		return err
	})
	if err != nil {
		return out, fmt.Errorf("tables of the %s database: %w", d.b.Side, err)
	}
	spelt := map[string]string{} // a key may name its parent in other capitals
	for _, name := range out.Tables {
		spelt[strings.ToLower(name)] = name
	}
	for _, name := range out.Tables {
		t := &table{name: name}
		if err := t.readReferences(ctx, d.pool); err != nil {
			return out, fmt.Errorf("foreign keys of the %s database: %w", d.b.Side, err)
		}
		for _, r := range t.refs {
			parent := r.parent
			if known, ok := spelt[strings.ToLower(parent)]; ok {
				parent = known
			}
			out.Keys = append(out.Keys, migrations.ForeignKey{Table: name, Columns: r.from, Parent: parent, Targets: r.to, OnDelete: r.onDelete})
		}
	}
	return out, nil
}

package mysql

import (
	"context"
	"fmt"

	"github.com/strangler-fig/strangler/migrations"
)

// Catalog lists all tables of the database and their foreign keys. It reads only. A table's own text has its keys even for a role that
// may but read it, from which MariaDB's information_schema hides them.
func (d *Database) Catalog(ctx context.Context) (out migrations.Catalog, err error) {
	err = each(ctx, d.pool, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type <> 'VIEW' AND table_type <> 'SEQUENCE' ORDER BY table_name", nil, func(scan func(...any) error) error {
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
	for _, table := range out.Tables {
		var ddl string
		err := d.pool.QueryRowContext(ctx, "SHOW CREATE TABLE "+ident(table)).Scan(new(string), &ddl)
		if number(err) == errNoRight {
			continue // nobody may look into it, so nothing moves that hangs together with it
		}
		if err != nil {
			return out, fmt.Errorf("foreign keys of %s in the %s database: %w", table, d.b.Side, err)
		}
		for _, f := range foreignKeys(table, ddl) {
			parent := f.parent
			if f.elsewhere != "" {
				parent = f.elsewhere + "." + parent
			}
			out.Keys = append(out.Keys, migrations.ForeignKey{Table: table, Columns: f.from, Parent: parent, Targets: f.to, OnDelete: f.onDelete})
		}
	}
	return out, nil
}

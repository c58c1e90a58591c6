package mysql

import (
	"context"
	"fmt"

	"github.com/strangler-fig/strangler/migrations"
)

// Catalog lists all tables of the database and their foreign keys. It reads only.
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
	const keys = `SELECT k.constraint_name, k.table_name, k.column_name, IF(k.referenced_table_schema = DATABASE(), '', CONCAT(k.referenced_table_schema, '.')), k.referenced_table_name,
			k.referenced_column_name, r.delete_rule
		FROM information_schema.key_column_usage AS k JOIN information_schema.referential_constraints AS r
			ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name
		WHERE k.table_schema = DATABASE() AND k.referenced_table_name IS NOT NULL ORDER BY k.table_name, k.constraint_name, k.ordinal_position`
	var last string
	err = each(ctx, d.pool, keys, nil, func(scan func(...any) error) error {
		var constraint, table, column, schema, parent, target, rule string
		if err := scan(&constraint, &table, &column, &schema, &parent, &target, &rule); err != nil {
			return err
		}
		if key := table + "\x00" + constraint; key != last {
			out.Keys = append(out.Keys, migrations.ForeignKey{Table: table, Parent: schema + parent, OnDelete: rule})
			last = key
		}
		k := &out.Keys[len(out.Keys)-1]
		k.Columns, k.Targets = append(k.Columns, column), append(k.Targets, target)
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("foreign keys of the %s database: %w", d.b.Side, err)
	}
	return out, nil
}

package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler/migrations"
)

// crossing is a foreign key between a table that moves and one that stays. Dropped by its name at table,
// it is put back by def.
type crossing struct {
	table       relation // that has it: it moves, or it stays
	parent      relation
	name        string
	def         string // what follows ADD CONSTRAINT name, good under any search_path, without NOT VALID
	validated   bool
	partitioned bool // table is partitioned: PostgreSQL does not add its foreign keys NOT VALID
	columns     []string
	targets     []string
	onDelete    string // pg_constraint.confdeltype
	fromMoved   bool   // table moves
	toMoved     bool   // parent moves
}

// crossing lists the foreign keys that cross the cut, by table and name.
func (d *Database) crossing(ctx context.Context) (out []crossing, err error) {
	err = d.reading(ctx, func(q querier) error {
		oids, err := d.moving(ctx, q)
		if err != nil {
			return err
		}
		out, err = crossings(ctx, q, oids)
		out = slices.DeleteFunc(out, func(x crossing) bool { return !d.crosses(x, oids) })
		for i, x := range out {
			out[i].fromMoved, out[i].toMoved = slices.Contains(oids, x.table.oid), slices.Contains(oids, x.parent.oid)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("foreign keys that cross the cut: %w", err)
	}
	return out, nil
}

// moving are the bound tables that are there, and their partitions.
func (d *Database) moving(ctx context.Context, q querier) (oids []uint32, err error) {
	for _, bound := range d.b.Tables {
		t, err := describe(ctx, q, bound)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		below, err := partitions(ctx, q, t.oid)
		if err != nil {
			return nil, err
		}
		oids = append(oids, t.oid)
		for _, p := range below {
			oids = append(oids, p.oid)
		}
	}
	return oids, nil
}

// crossings are the foreign keys of tables, and to them. It changes the search_path of q's transaction: only an empty
// one makes definitions that are good under any.
func crossings(ctx context.Context, q querier, oids []uint32) ([]crossing, error) {
	if _, err := q.Exec(ctx, "SET LOCAL search_path = ''"); err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, `SELECT c.oid, cn.nspname::text, c.relname::text, p.oid, pn.nspname::text, p.relname::text, k.conname::text, pg_get_constraintdef(k.oid), k.convalidated, c.relkind = 'p', k.confdeltype::text,
			(SELECT array_agg(a.attname::text ORDER BY x.at) FROM unnest(k.conkey) WITH ORDINALITY AS x (attnum, at) JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = x.attnum),
			(SELECT array_agg(a.attname::text ORDER BY x.at) FROM unnest(k.confkey) WITH ORDINALITY AS x (attnum, at) JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = x.attnum)
		FROM pg_constraint AS k
		JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
		JOIN pg_class AS p ON p.oid = k.confrelid JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
		WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY ($1::oid[]) OR k.confrelid = ANY ($1::oid[]))
		ORDER BY cn.nspname::text COLLATE "C", c.relname::text COLLATE "C", k.conname::text COLLATE "C"`, oids)
	return collect(rows, err, func(r pgx.Rows) (x crossing, err error) {
		err = r.Scan(&x.table.oid, &x.table.schema, &x.table.name, &x.parent.oid, &x.parent.schema, &x.parent.name, &x.name, &x.def, &x.validated, &x.partitioned, &x.onDelete, &x.columns, &x.targets)
		x.def = strings.TrimSuffix(x.def, " NOT VALID")
		return x, err
	})
}

// cut names the foreign keys that cross.
func (in *inspection) cut(ctx context.Context) error {
	found, err := in.d.crossing(ctx)
	for _, x := range found {
		in.s.Crossing = append(in.s.Crossing, in.d.asForeignKey(x))
	}
	return err
}

// reference is a foreign key as it is checked.
type reference struct {
	relation, parent         string // quoted; with ONLY where it has no partitions
	shown, shownParent       string
	columns, targets, equals []string
	full                     bool // MATCH FULL
}

// Orphans lists rows that violate foreign keys of the moved tables or to them, those that are not validated
// included; at most 20. It reads the tables whole, as validating would, but locks out nobody.
func (d *Database) Orphans(ctx context.Context, cut []migrations.ForeignKey) (out []string, err error) {
	err = d.reading(ctx, func(q querier) error {
		oids, err := d.moving(ctx, q)
		if err != nil {
			return err
		}
		refs, err := references(ctx, q, oids)
		if err != nil {
			return err
		}
		for _, k := range cut {
			inForce := slices.ContainsFunc(refs, func(r reference) bool {
				return r.shown == k.Table && slices.EqualFunc(r.columns, k.Columns, func(quoted, name string) bool { return quoted == name || quoted == ident(name) })
			})
			if !inForce {
				refs = append(refs, d.asReference(k))
			}
		}
		for _, r := range refs {
			if err == nil && len(out) < maxOrphans {
				var found []string
				found, err = r.orphans(ctx, q, maxOrphans-len(out))
				out = append(out, found...)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for rows without what they refer to, in the %s database of %s: %w", d.b.Side, d.b.Capability, err)
	}
	return out, nil
}

const maxOrphans = 20

// asReference is a foreign key that is cut, as it was checked.
func (d *Database) asReference(k migrations.ForeignKey) reference {
	r := reference{relation: d.named(k.Table), parent: d.named(k.Parent), shown: k.Table, shownParent: k.Parent}
	for i, c := range k.Columns {
		r.columns, r.targets, r.equals = append(r.columns, ident(c)), append(r.targets, ident(k.Targets[i])), append(r.equals, "=")
	}
	return r
}

// references are the foreign keys of tables, and to them.
func references(ctx context.Context, q querier, oids []uint32) ([]reference, error) {
	const name = `CASE %[1]s.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || quote_ident(%[1]sn.nspname) || '.' || quote_ident(%[1]s.relname), k.%[2]s::regclass::text`
	rows, err := q.Query(ctx, `SELECT `+fmt.Sprintf(name, "c", "conrelid")+`, `+fmt.Sprintf(name, "p", "confrelid")+`, k.confmatchtype = 'f',
			(SELECT array_agg(quote_ident(a.attname) ORDER BY x.at) FROM unnest(k.conkey) WITH ORDINALITY AS x (attnum, at) JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = x.attnum),
			(SELECT array_agg(quote_ident(a.attname) || CASE WHEN a.attcollation NOT IN (0, b.attcollation) THEN ' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(l.collname) ELSE '' END ORDER BY x.at)
				FROM unnest(k.confkey, k.conkey) WITH ORDINALITY AS x (attnum, other, at) JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = x.attnum JOIN pg_attribute AS b ON b.attrelid = k.conrelid AND b.attnum = x.other
				LEFT JOIN pg_collation AS l ON l.oid = a.attcollation LEFT JOIN pg_namespace AS n ON n.oid = l.collnamespace),
			(SELECT array_agg('OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')' ORDER BY x.at) FROM unnest(k.conpfeqop) WITH ORDINALITY AS x (op, at) JOIN pg_operator AS o ON o.oid = x.op JOIN pg_namespace AS n ON n.oid = o.oprnamespace)
		FROM pg_constraint AS k
		JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
		JOIN pg_class AS p ON p.oid = k.confrelid JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
		WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY ($1::oid[]) OR k.confrelid = ANY ($1::oid[]))
		ORDER BY cn.nspname::text COLLATE "C", c.relname::text COLLATE "C", k.conname::text COLLATE "C"`, oids)
	return collect(rows, err, func(r pgx.Rows) (x reference, err error) {
		err = r.Scan(&x.relation, &x.shown, &x.parent, &x.shownParent, &x.full, &x.columns, &x.targets, &x.equals)
		return x, err
	})
}

// orphans are up to n rows that the foreign key forbids.
func (r reference) orphans(ctx context.Context, q querier, n int) ([]string, error) {
	var same, set, unset []string // the operator takes the parent's column first
	for i, c := range r.columns {
		same = append(same, fmt.Sprintf("p.%s %s c.%s", r.targets[i], r.equals[i], c))
		set, unset = append(set, "c."+c+" IS NOT NULL"), append(unset, "c."+c+" IS NULL")
	}
	where := "(" + strings.Join(set, " AND ") + ") AND NOT EXISTS (SELECT FROM " + r.parent + " AS p WHERE " + strings.Join(same, " AND ") + ")"
	if r.full && len(r.columns) > 1 {
		where += " OR (" + strings.Join(set, " OR ") + ") AND (" + strings.Join(unset, " OR ") + ")"
	}
	values := list(r.columns, func(c string) string { return "coalesce(c." + c + "::text, 'NULL')" })
	rows, err := q.Query(ctx, fmt.Sprintf("SELECT concat_ws(', ', %s) FROM %s AS c WHERE %s LIMIT %d", values, r.relation, where, n))
	return collect(rows, err, func(rows pgx.Rows) (string, error) {
		var v string
		err := rows.Scan(&v)
		return fmt.Sprintf("%s (%s) = (%s) has no %s", r.shown, strings.Join(r.columns, ", "), v, r.shownParent), err
	})
}

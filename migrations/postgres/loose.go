package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// describe reads a bound table; nil when there is none. The key of one that is filled before its key is made is the one
// that the plan keeps for it. Values are read as the binding wants them, and its share is taken.
func (d *Database) describe(ctx context.Context, q querier, i int) (*table, error) {
	t, err := describe(ctx, q, d.b.Tables[i])
	if err != nil || t == nil {
		return nil, err
	}
	for at := range t.columns {
		c := &t.columns[at]
		c.common, c.ends = d.b.Common, d.b.Side == strangler.Legacy && d.b.Other == "mysql" && (c.Kind == migrations.KindDate || c.Kind == migrations.KindTimestamp)
	}
	if s := d.b.Share(i); !s.Whole() {
		t.leave(s)
	}
	if len(t.keyAt) > 0 || t.unusable != "" {
		return t, nil
	}
	var there bool
	if err := q.QueryRow(ctx, "SELECT to_regclass($1::text) IS NOT NULL", d.ours("strangler_mark")).Scan(&there); err != nil || !there {
		return t, err
	}
	var key []string
	err = q.QueryRow(ctx, "SELECT loose FROM "+d.ours("strangler_mark")+" WHERE capability = $1::text AND tbl = $2::integer AND part = 0", d.b.Capability, i).Scan(&key)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	t.setKey(key)
	return t, nil
}

// looseKey is a new table's key as its mark keeps it: NULL where the key is made with the table.
func looseKey(t *table) string {
	if !t.loose {
		return "NULL"
	}
	return "ARRAY[" + list(t.key(), func(c column) string { return literal(c.Name) }) + "]::text[]"
}

// behindScript makes what follows the rows, each in a transaction of its own, so that one that was cut off goes on where it
// was. Where tables got other names than the monolith's, all is one, in which they have their old names again.
func (d *Database) behindScript(all []located, names renaming) (up, down *script) {
	up, down = &script{}, &script{}
	back, again := names.back(), names.forth()
	for _, s := range []*script{up, down} {
		for _, text := range back {
			s.add("%s", text)
		}
	}
	for i, b := range all {
		if i > 0 && len(names) == 0 {
			up.add("COMMIT")
			up.b.WriteString(limits("", nil))
			up.path = ""
		}
		up.under(b.path)
		up.add("%s", b.Make)
		if last := all[len(all)-1-i]; last.Undo != "" {
			down.under(last.path)
			down.add("%s", last.Undo)
		}
	}
	for _, s := range []*script{up, down} {
		for _, text := range again {
			s.add("%s", text)
		}
	}
	return up, down
}

// renaming are tables that get another name: by way of a third, since two may change theirs.
type renaming []renamed

type renamed struct{ schema, from, between, to string }

func (r renamed) as(from, to string) string {
	return "ALTER TABLE " + relation{schema: r.schema, name: from}.full() + " RENAME TO " + ident(to)
}

func (r renaming) forth() (out []string) {
	for _, n := range r {
		out = append(out, n.as(n.from, n.between))
	}
	for _, n := range r {
		out = append(out, n.as(n.between, n.to))
	}
	return out
}

func (r renaming) back() (out []string) {
	for _, n := range r {
		out = append(out, n.as(n.to, n.between))
	}
	for _, n := range r {
		out = append(out, n.as(n.between, n.from))
	}
	return out
}

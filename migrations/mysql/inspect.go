package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// inspection collects what forbids a split.
type inspection struct {
	d *Database
	s migrations.Schema
}

func (in *inspection) problem(check, next, format string, args ...any) {
	in.s.Problems = append(in.s.Problems, migrations.Problem{Check: check, What: fmt.Sprintf(format, args...), Next: next})
}

// Inspect describes the bound tables and what around them forbids a split.
func (d *Database) Inspect(ctx context.Context) (migrations.Schema, error) {
	in := &inspection{d: d, s: migrations.Schema{Engine: "mysql"}}
	fence, err := d.Fence(ctx)
	if err != nil {
		return in.s, err
	}
	if fence.Installed && fence.ControlID != d.b.ControlID {
		in.problem("control", "use the control store that it belongs to, or: strangler split adopt "+d.b.Capability,
			"the %s database belongs to another control store (%s, ours is %s)", d.b.Side, fence.ControlID, d.b.ControlID)
	}
	var all []*table
	switch shared, err := d.pooled(ctx); {
	case err != nil:
		return in.s, fmt.Errorf("look for a pooler: %w", err)
	case shared: // what else it says may be of somebody else's session
		in.s.Problems = append(in.s.Problems, d.behindPooler())
		return in.s, nil
	}
	for _, name := range d.b.Tables {
		t, err := d.describe(ctx, d.pool, name)
		switch {
		case err != nil:
			return in.s, err
		case t == nil && d.b.Side == strangler.Service:
			in.s.Tables = append(in.s.Tables, migrations.Table{Name: name})
			continue
		case t == nil:
			in.problem("table", "correct its name in strangler.yaml", "the %s database has no table %s", d.b.Side, name)
			continue
		}
		if err := in.judge(ctx, t, fence); err != nil {
			return in.s, err
		}
		all = append(all, t)
		mt := d.portable(t)
		if err := in.shared(ctx, t); err != nil {
			return in.s, err
		}
		if d.b.Common && d.b.Side == strangler.Legacy && t.kind == "BASE TABLE" {
			if err := in.unlike(ctx, t); err != nil {
				return in.s, err
			}
		}
		if t.ddl != "" && !d.b.Common {
			mt.DDL = []string{edited(t.ddl, t.name, func(f foreignKey) bool { return f.elsewhere != "" || !d.moves(f.parent) }, func(name string) string { return name })}
		}
		in.s.Tables = append(in.s.Tables, mt)
	}
	for _, f := range []func(context.Context) error{in.server, in.keys, in.links, in.views} {
		if err := f(ctx); err != nil {
			return in.s, err
		}
	}
	for _, ring := range rings(all) {
		in.problem("cascade", "drop that action, and do in the application what it does", "%s, and the server fires no trigger for it", ring)
	}
	return in.s, in.capture(ctx, all)
}

func (in *inspection) judge(ctx context.Context, t *table, fence migrations.Fence) error {
	if t.kind != "BASE TABLE" {
		in.problem("table", "leave it in the monolith", "%s is a %s, and only plain tables move", t.name, strings.ToLower(t.kind))
		return nil
	}
	if t.engine != "InnoDB" {
		in.problem("engine", "ALTER TABLE "+ident(t.name)+" ENGINE=InnoDB", "table %s is stored by %s, which has no transactions", t.name, t.engine)
	}
	if len(t.keyAt) == 0 {
		why := "has no usable key"
		if t.unusable != "" {
			why = "has a primary key that is not usable: " + t.unusable
		}
		in.problem("key", "give it a primary key, or a unique index whose columns are NOT NULL", "table %s %s", t.name, why)
	}
	var others []string
	for _, g := range t.triggers {
		if !g.ours() {
			others = append(others, g.name)
		}
	}
	if len(others) > 0 {
		in.problem("trigger", "move what they do into the application, or drop them", "table %s has triggers of its own (%s); the server cannot keep them from acting twice on applied rows", t.name, strings.Join(others, ", "))
	}
	for _, c := range t.strange {
		in.problem("type", "change it, or leave the table in the monolith", "column %s of %s is of a type that is not known (%s)", c.Name, t.name, c.Type)
	}
	if t.nextval != "" {
		in.problem("default", "use AUTO_INCREMENT", "column %s of %s takes its default from a sequence", t.nextval, t.name)
	}
	if in.d.b.Side == strangler.Service && !fence.Installed {
		var some bool
		if err := in.d.pool.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+ident(t.name)+")").Scan(&some); err != nil {
			return err
		}
		if some {
			in.problem("rows", "empty it, or name another table in strangler.yaml", "the service's table %s already has rows", t.name)
		}
	}
	return nil
}

// server refuses what a fence by row locks cannot hold on.
func (in *inspection) server(ctx context.Context) error {
	if strings.Contains(in.d.role, "@") {
		in.problem("role", "give Strangler another user", "the user %s has an @ in its name, by which the fence could not tell it", in.d.role)
	}
	if l := in.d.b.Throttle; in.d.b.Side == strangler.Legacy && (l.Lag > 0 || l.LagBytes > 0) {
		in.problem("throttle", "leave lag and lag_bytes out of throttle", "the %s server does not know how far its replicas are behind, so that limit of the throttle could not be kept", in.d.b.Side)
	}
	var galera string
	err := in.d.pool.QueryRowContext(ctx, "SELECT COALESCE(MAX(VARIABLE_VALUE), 'OFF') FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'WSREP_ON'").Scan(&galera)
	if err == nil && galera == "ON" {
		in.problem("cluster", "take one node out of the cluster", "the %s server is a node of a Galera cluster, whose nodes do not see each other's locks: a fence would hold on one of them only", in.d.b.Side)
	}
	return nil // MySQL has no such table
}

// keys judges the foreign keys around the tables.
func (in *inspection) keys(ctx context.Context) error {
	all, err := in.d.references(ctx, in.d.pool, ofDatabase)
	if err != nil {
		return err
	}
	for _, f := range all {
		if !in.d.moves(f.child) && !in.d.moves(f.parent) {
			continue
		}
		if f.elsewhere != "" {
			in.problem("schema", "drop it", "the foreign key %s between %s and %s leads to another database (%s)", f.name, f.child, f.parent, f.elsewhere)
			continue
		}
		if !in.d.crosses(f) {
			in.unseen(f)
			continue
		}
		in.s.Crossing = append(in.s.Crossing, in.d.asForeignKey(f))
		if in.d.moves(f.child) && (acts(f.onDelete) || acts(f.onUpdate)) {
			in.problem("cascade", fmt.Sprintf("let the application do it, and make %s ON DELETE RESTRICT ON UPDATE RESTRICT", f.name),
				"the foreign key %s of %s changes its rows when %s changes (ON DELETE %s, ON UPDATE %s), and the server fires no trigger for it", f.name, f.child, f.parent, f.onDelete, f.onUpdate)
		}
	}
	return nil
}

func (in *inspection) links(ctx context.Context) error {
	out, err := in.d.out(ctx)
	for _, other := range out {
		in.problem("linked", "strangler split complete "+other+", or: strangler split rollback "+other,
			"foreign keys between the tables of %s and those of %s are cut, and %s is out; they leave one after the other", in.d.b.Capability, other, other)
	}
	return err
}

func (in *inspection) views(ctx context.Context) error {
	if in.d.b.Side != strangler.Legacy {
		return nil
	}
	return each(ctx, in.d.pool, "SELECT TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME", nil, func(scan func(...any) error) error {
		var name, text string
		if err := scan(&name, &text); err != nil {
			return err
		}
		for _, t := range in.d.b.Tables {
			if in.d.shareOf(t).Whole() && strings.Contains(text, "."+ident(t)) {
				in.s.Notes = append(in.s.Notes, migrations.Note{What: fmt.Sprintf("the view %s reads %s: it keeps working until `complete` drops the table", name, t), Next: migrations.NextComplete})
			}
		}
		return nil
	})
}

// Orphans lists rows that violate foreign keys of the moved tables or to them.
func (d *Database) Orphans(ctx context.Context, cut []migrations.ForeignKey) (out []string, err error) {
	all, err := d.references(ctx, d.pool, ofDatabase)
	if err != nil {
		return nil, err
	}
	for _, k := range cut {
		if !slices.ContainsFunc(all, func(f foreignKey) bool { return f.child == k.Table && slices.Equal(f.from, k.Columns) }) {
			all = append(all, foreignKey{child: k.Table, parent: k.Parent, from: k.Columns, to: k.Targets})
		}
	}
	const most = 20
	for _, f := range all {
		if f.elsewhere != "" || !d.moves(f.child) && !d.moves(f.parent) {
			continue
		}
		var on, set []string
		for i := range f.from {
			on = append(on, fmt.Sprintf("p.%s = c.%s", ident(f.to[i]), ident(f.from[i])))
			set = append(set, fmt.Sprintf("c.%s IS NOT NULL", ident(f.from[i])))
		}
		err := each(ctx, d.pool, fmt.Sprintf("SELECT CONCAT_WS(', ', %s) FROM %s AS c WHERE %s AND NOT EXISTS (SELECT 1 FROM %s AS p WHERE %s) LIMIT %d",
			list(f.from, func(name string) string { return "c." + ident(name) }), ident(f.child), strings.Join(set, " AND "), ident(f.parent), strings.Join(on, " AND "), most), nil, func(scan func(...any) error) error {
			var value string
			err := scan(&value)
			if len(out) < most {
				out = append(out, fmt.Sprintf("%s has rows with (%s) = (%s), and there is no such %s", f.child, strings.Join(f.from, ", "), value, f.parent))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

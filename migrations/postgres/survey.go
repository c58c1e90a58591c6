package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// survey is what the catalog says, at one instant, about the moved tables and what Strangler put there.
type survey struct {
	print     string // of the tables' columns: another one means that somebody has changed them
	relations []placed
}

// placed is a moved table or one of its partitions, with the triggers of ours that stand on it.
type placed struct {
	relation
	table    int // whose partition it is, or which it is
	triggers map[string]standing
}

// standing is a trigger as it stands.
type standing struct {
	kind               int16
	enabled            string // A always, D disabled, O origin, R replica
	plain              bool   // without a condition, a column list, arguments
	function           string // qualified
	body, config       string
	definer, fromAbove bool // the function has its owner's rights; the trigger was made by that of the partitioned table
}

// survey reads the catalog in the snapshot of q.
func (d *Database) survey(ctx context.Context, q querier, tables []*table) (survey, error) {
	var s survey
	oids := make([]uint32, len(tables))
	names := make([]string, len(tables))
	for i, t := range tables {
		oids[i], names[i] = t.oid, t.full()
	}
	// Casts of names to regclass would look at the present, not at the snapshot.
	rows, err := q.Query(ctx, `WITH RECURSIVE rel AS (
			SELECT o.oid, o.n - 1 AS tbl FROM unnest($1::oid[]) WITH ORDINALITY AS o (oid, n)
			UNION ALL SELECT i.inhrelid, r.tbl FROM rel AS r JOIN pg_inherits AS i ON i.inhparent = r.oid JOIN pg_class AS c ON c.oid = i.inhrelid AND c.relispartition)
		SELECT c.oid, n.nspname::text, c.relname::text, r.tbl,
			concat((SELECT md5(string_agg(concat_ws(' ', i.indexrelid, i.indisprimary, i.indisvalid, i.indimmediate, i.indkey), ',' ORDER BY i.indexrelid)) FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique), ' ',
			(SELECT md5(string_agg(concat_ws(' ', a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated, a.attcollation), ',' ORDER BY a.attnum)) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)),
			coalesce(t.tgname::text, ''), coalesce(t.tgtype, 0), coalesce(t.tgenabled::text, ''), coalesce(t.tgqual IS NULL AND t.tgattr::text = '' AND t.tgnargs = 0, false),
			coalesce(quote_ident(fn.nspname) || '.' || quote_ident(f.proname), ''), coalesce(f.prosrc, ''), coalesce(array_to_string(f.proconfig, ';'), ''), coalesce(f.prosecdef, false), coalesce(t.tgparentid <> 0, false)
		FROM rel AS r JOIN pg_class AS c ON c.oid = r.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
		LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = ANY ($2::text[])
		LEFT JOIN pg_proc AS f ON f.oid = t.tgfoid LEFT JOIN pg_namespace AS fn ON fn.oid = f.pronamespace
		ORDER BY r.tbl, c.oid`, oids, d.triggerNames())
	if err != nil {
		return s, err
	}
	defer rows.Close()
	for rows.Next() {
		var p placed
		var print, name string
		var g standing
		if err := rows.Scan(&p.oid, &p.schema, &p.name, &p.table, &print, &name, &g.kind, &g.enabled, &g.plain, &g.function, &g.body, &g.config, &g.definer, &g.fromAbove); err != nil {
			return s, err
		}
		if n := len(s.relations); n == 0 || s.relations[n-1].oid != p.oid {
			p.triggers = map[string]standing{}
			s.relations = append(s.relations, p)
			if t := tables[p.table]; p.full() == t.full() {
				s.print += t.full() + print + ";"
			}
		}
		if name != "" {
			s.relations[len(s.relations)-1].triggers[name] = g
		}
	}
	return s, rows.Err()
}

func (d *Database) triggerNames() []string {
	return []string{short("strangler_fence_" + d.b.Capability), short("strangler_log_" + d.b.Capability), short("strangler_truncate_" + d.b.Capability), d.shareName()}
}

// stands says whether a trigger is as it was made, and in a state.
func (d *Database) stands(p placed, g trigger, state byte) bool {
	f, ok := p.triggers[g.name]
	return ok && f.kind == g.kind && f.enabled == string(state) && f.plain && f.function == d.ours(g.function) && f.body == g.body && f.config == "search_path="+g.searchPath() && f.definer
}

// broken names the triggers of a relation that are gone, changed, or in another state.
func (d *Database) broken(t *table, p placed, fence byte, capture []trigger) (fences, captures []string) {
	for _, g := range d.fenceTriggers(t) {
		if !d.stands(p, g, fence) {
			fences = append(fences, g.name+" on "+p.full())
		}
	}
	for _, g := range capture {
		if !d.stands(p, g, 'A') {
			captures = append(captures, g.name+" on "+p.full())
		}
	}
	return fences, captures
}

func firing(state migrations.FenceState) byte {
	if state == migrations.FenceClosed {
		return 'A'
	}
	return 'D'
}

// asPlanned looks at the tables anew where their fingerprint is another than when they were last compared
// with the plan, and refuses to go on with other columns than were planned.
func (d *Database) asPlanned(ctx context.Context, q querier, tables []*table) (survey, []*table, error) {
	s, err := d.survey(ctx, q, tables)
	if err != nil {
		return s, nil, err
	}
	d.metaMu.Lock()
	same := d.print == s.print && d.print != "" && len(d.meta) > 0
	d.metaMu.Unlock()
	if same {
		return s, tables, nil
	}
	again, err := d.describeAll(ctx, q)
	if err != nil {
		return s, nil, d.changed(err)
	}
	rows, err := q.Query(ctx, "SELECT columns FROM "+d.ours("strangler_mark")+" WHERE capability = $1::text AND part = 0 ORDER BY tbl", d.b.Capability)
	planned, err := collect(rows, err, func(r pgx.Rows) (c string, err error) { return c, r.Scan(&c) })
	if err != nil {
		return s, nil, err
	}
	for i, t := range again {
		if i < len(planned) && t.planned() != planned[i] {
			return s, nil, d.changed(fmt.Errorf("%w: %s has %s, and planned were %s", errColumns, t.bound, t.planned(), planned[i]))
		}
		if list(t.key(), name) != list(tables[i].key(), name) {
			return s, nil, d.changed(fmt.Errorf("%w: %s has (%s), and it was (%s)", errKey, t.bound, list(t.key(), name), list(tables[i].key(), name)))
		}
	}
	if !slices.EqualFunc(again, tables, func(a, b *table) bool { return a.oid == b.oid }) {
		if s, err = d.survey(ctx, q, again); err != nil { // a table was made anew under its old name
			return s, nil, err
		}
	}
	d.metaMu.Lock()
	defer d.metaMu.Unlock()
	d.meta, d.stale, d.print = again, false, s.print
	return s, again, nil
}

var (
	errColumns = errors.New("table has other columns than were planned")
	errKey     = errors.New("table has another key than before")
)

// changed says of a table that somebody has changed in mid-move what to do; a lost connection is no reason to stop.
func (d *Database) changed(err error) error {
	for _, e := range []error{errMissing, errKeyless, errColumns, errKey} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: in the %s database a %w. The owner goes on serving and nothing was lost. Change it back, then: strangler split start %s. Or plan anew, while the monolith owns: strangler split cancel %s, then run the playbook",
				strangler.ErrStopped, d.b.Side, err, d.b.Capability, d.b.Capability)
		}
	}
	return err
}

func name(c column) string { return c.Name }

// planned are the columns that travel, with their types, as the plan keeps them.
func (t *table) planned() string {
	return list(t.columns, func(c column) string { return c.Name + " " + c.Type })
}

package e2e

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

// aside is a schema as a monolith may have it: tables of one name in two schemas, types and sequences that they share, foreign
// keys from schema to schema, all of them in both directions.
var aside = []string{
	"CREATE SCHEMA billing", `CREATE SCHEMA "Odd ""one"`, "CREATE SCHEMA kinds",
	"CREATE TYPE status AS ENUM ('new', 'old')", "CREATE TYPE billing.status AS ENUM ('open', 'paid', 'it''s void')",
	"CREATE DOMAIN kinds.cents AS bigint CHECK (VALUE >= 0)", `CREATE TYPE "Odd ""one".pair AS (a integer, s billing.status)`,
	"CREATE SEQUENCE billing.numbers START 1000",
	"CREATE TABLE customers (id serial PRIMARY KEY, name text)",
	"CREATE TABLE invoices (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state status NOT NULL DEFAULT 'new', number integer NOT NULL DEFAULT nextval('billing.numbers') UNIQUE)",
	`CREATE TABLE billing.invoices (id serial, state billing.status NOT NULL DEFAULT 'open', total kinds.cents, number integer NOT NULL DEFAULT nextval('billing.numbers'), old integer REFERENCES public.invoices, customer integer REFERENCES customers,
		PRIMARY KEY (id, state))`,
	"CREATE INDEX invoices_total ON billing.invoices (total) WHERE state <> 'paid'", "CREATE UNIQUE INDEX invoices_number ON billing.invoices (number)",
	`CREATE TABLE "Odd ""one"."Li.nes" (id bigserial PRIMARY KEY, invoice integer, state billing.status, p "Odd ""one".pair, n integer GENERATED ALWAYS AS IDENTITY, FOREIGN KEY (invoice, state) REFERENCES billing.invoices ON DELETE CASCADE)`,
	`ALTER TABLE invoices ADD COLUMN line bigint REFERENCES "Odd ""one"."Li.nes"`,
	"CREATE TABLE billing_invoices (id integer PRIMARY KEY, v text)", // whose log has the name that billing.invoices' had
	"COMMENT ON INDEX billing.invoices_total IS 'of what is not paid'",
	"INSERT INTO customers (name) SELECT 'c' || n FROM generate_series(1, 5) AS n",
	"INSERT INTO invoices (state) SELECT 'new' FROM generate_series(1, 300)",
	"INSERT INTO billing.invoices (total, old, customer) SELECT n * 10, n, 1 + n % 5 FROM generate_series(1, 300) AS n",
	`INSERT INTO "Odd ""one"."Li.nes" (invoice, state, p) SELECT n, 'open', ROW(n, 'paid')::"Odd ""one".pair FROM generate_series(1, 300) AS n`,
	"INSERT INTO billing_invoices SELECT n, 'v' FROM generate_series(1, 50) AS n",
}

// writes beside the proxy, one round; the tables have the names of a side.
func asideWrites(i int, billing, odd string) []string {
	return []string{
		fmt.Sprintf("INSERT INTO invoices (state) VALUES ('%s')", []string{"new", "old"}[i%2]),
		fmt.Sprintf("INSERT INTO %s (total, old, customer) VALUES (%d, NULL, NULL)", billing, i),
		fmt.Sprintf("INSERT INTO %s (p) VALUES ('(%d,open)')", odd, i),
		fmt.Sprintf("UPDATE %s SET state = 'paid', total = total + 1 WHERE id = (SELECT max(id) FROM %s WHERE old IS NULL)", billing, billing),
		fmt.Sprintf("UPDATE %s SET p = '(-%d,)' WHERE id = %d", odd, i, 1+i%300),
		fmt.Sprintf("DELETE FROM %s WHERE id = %d AND state = 'open'", billing, 1+i%300),
		fmt.Sprintf("UPDATE billing_invoices SET v = 'v%d' WHERE id = %d", i, 1+i%50),
	}
}

// everywhere is what stands in all schemas, with theirs.
const everywhere = `SELECT x FROM (
	SELECT concat_ws(' ', c.relkind, c.oid::regclass, pg_get_userbyid(c.relowner), c.relacl::text, obj_description(c.oid, 'pg_class'), CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END) AS x FROM pg_class AS c WHERE c.relnamespace >= 16384 OR c.relnamespace = 'public'::regnamespace
	UNION ALL SELECT concat_ws(' ', a.attrelid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid)) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE (c.relnamespace >= 16384 OR c.relnamespace = 'public'::regnamespace) AND c.relkind IN ('r', 'c') AND a.attnum > 0
	UNION ALL SELECT concat_ws(' ', coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text), conname, pg_get_constraintdef(oid), convalidated) FROM pg_constraint WHERE connamespace >= 16384 OR connamespace = 'public'::regnamespace
	UNION ALL SELECT concat_ws(' ', pg_get_triggerdef(t.oid), tgenabled) FROM pg_trigger AS t WHERE NOT tgisinternal
	UNION ALL SELECT concat_ws(' ', 'type', y.oid::regtype, y.typtype, pg_get_userbyid(y.typowner), (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = y.oid)) FROM pg_type AS y WHERE (y.typnamespace >= 16384 OR y.typnamespace = 'public'::regnamespace) AND y.typtype IN ('d', 'e', 'c')
	UNION ALL SELECT concat_ws(' ', 'function', p.oid::regprocedure, p.prosrc) FROM pg_proc AS p WHERE p.pronamespace >= 16384 OR p.pronamespace = 'public'::regnamespace
	UNION ALL SELECT concat_ws(' ', 'schema', nspname, pg_get_userbyid(nspowner), nspacl) FROM pg_namespace WHERE oid >= 16384
	UNION ALL SELECT concat_ws(' ', 'publication', pubname) FROM pg_publication) AS y ORDER BY x COLLATE "C"`

// TestTablesOfOtherSchemas moves tables of several schemas, two of them of one name, to schemas of which one has another
// name, between roles and databases whose search_path is another.
func TestTablesOfOtherSchemas(t *testing.T) {
	const billing, odd = "billing.invoices", `"Odd ""one"."Li.nes"`
	const billed = "invoicing.bills"
	for _, end := range []string{"cancel", "complete"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			m := move{
				legacy: aside, paths: [2]string{"public, billing", "delivery, public"},
				service: []string{"CREATE SCHEMA delivery", `CREATE SCHEMA "Odd ""one"`},
				later:   []string{"CREATE SCHEMA invoicing", "CREATE TABLE invoicing.staying (id integer PRIMARY KEY)"},
				next:    []string{`CREATE SCHEMA "invoicing"`},
				tables:  []strangler.Table{{From: odd}, {From: billing, To: billed}, {From: "invoices"}, {From: "billing_invoices"}},
				keys:    []string{"id", "id, state", "id", "id"},
				writes: func(i int, side strangler.Side) []string {
					if side == strangler.Legacy {
						return asideWrites(i, billing, odd)
					}
					return asideWrites(i, billed, odd)
				},
				words: strings.NewReplacer(" shop", " delivery", "public.", "delivery.", "kinds.", "delivery.", "billing.invoices_", "invoicing.invoices_", "billing.invoices", "invoicing.bills", "billing.", "invoicing."),
			}
			m.walk(t, end, postgres.capture())
		})
	}
}

// move is a capability of PostgreSQL's that moves under writes: there, back, there again.
type move struct {
	legacy, service []string // statements that make what is there before
	later           []string // what the service lacks at first, and the plan says so, by next
	next            []string
	paths           [2]string // the search_path of each database
	tables          []strangler.Table
	keys            []string                                      // of the tables, to order their rows by
	writes          func(round int, side strangler.Side) []string // beside the proxy, with the names of a side
	words           *strings.Replacer                             // of the monolith's catalog, into the service's
}

// walk takes it to an end: complete, or cancel.
func (m move) walk(t *testing.T, end string, capture strangler.Capture) {
	ctx, k := t.Context(), postgres
	p := k.pair(t)
	old, fresh := p.opened(t)
	for i, db := range []*sql.DB{old, fresh} {
		for _, q := range [][]string{m.legacy, m.service}[i] {
			run(t, db, q)
		}
		var database string
		must(t, db.QueryRow("SELECT current_database()").Scan(&database))
		run(t, db, "ALTER DATABASE "+database+" SET search_path = "+m.paths[i])
	}
	old, fresh = p.opened(t)
	c := p.capability("billing", m.tables...)
	c.Capture = capture
	splits := startSplits(t, p, c)
	if len(m.later) > 0 {
		var refused *strangler.Refusal
		if err := splits.Copy(ctx, c.Name); !errors.As(err, &refused) || !slices.Equal(refused.Next, m.next) {
			t.Fatalf("the plan: %v", err)
		}
		for _, q := range m.later {
			run(t, fresh, q)
		}
	}
	there, here := p.open(t, p.shopDSN+"&search_path=pg_catalog"), p.open(t, p.deliveryDSN+"&search_path=pg_catalog") // where all names come with their schemas
	before, untouched := queryRows(t, there, everywhere), queryRows(t, here, everywhere)

	round := 0
	beside := func(side strangler.Side) error {
		round++
		db := map[strangler.Side]*sql.DB{strangler.Legacy: old, strangler.Service: fresh}[side]
		for _, q := range m.writes(round, side) {
			if _, err := db.Exec(q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := beside(strangler.Legacy); err != nil {
				stopped <- err
				return
			}
		}
	}()
	err := splits.Copy(ctx, c.Name)
	if err == nil {
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	}
	close(stop)
	must(t, errors.Join(<-stopped, err))
	alike := func() {
		t.Helper()
		awaitCaughtUp(t, splits, c.Name)
		for i, x := range m.tables {
			from, to := m.rows(t, old, x.From, m.keys[i]), m.rows(t, fresh, cmp.Or(x.To, x.From), m.keys[i])
			if diff := gocmp.Diff(from, to); diff != "" || len(from) < 2 {
				t.Fatalf("%s (%d rows):\n%s", x.From, len(from), diff)
			}
		}
	}
	alike()
	cutover := func() {
		t.Helper()
		v, err := splits.Verify(ctx, c.Name)
		must(t, err)
		if v.Mismatches != 0 {
			t.Fatalf("%+v", v)
		}
		_, err = splits.Cutover(ctx, c.Name, "test", "schemas")
		must(t, err)
	}
	cutover()
	if err := beside(strangler.Legacy); err == nil || !strings.Contains(err.Error(), "owned by its service") {
		t.Fatalf("the monolith's tables are not fenced: %v", err)
	}
	for range 20 {
		must(t, beside(strangler.Service))
	}
	alike()
	like := func() {
		t.Helper()
		if diff := gocmp.Diff(asMade(before, m.words), asMade(queryRows(t, here, everywhere), strings.NewReplacer())); diff != "" {
			t.Errorf("- the monolith's, + the service's:\n%s", diff)
		}
	}
	like()
	if end == "complete" {
		must(t, splits.Complete(ctx, c.Name, "test"))
		like()
		if left := strings.Join(queryRows(t, there, everywhere), "\n"); strings.Contains(left, "strangler_") || strings.Contains(left, "Li.nes") {
			t.Errorf("complete left\n%s", left)
		}
		must(t, beside(strangler.Service))
		return
	}
	back := func() {
		t.Helper()
		_, err = splits.Rollback(ctx, c.Name, "test", "schemas")
		must(t, err)
		must(t, beside(strangler.Legacy))
		alike()
	}
	back()
	cutover()
	must(t, beside(strangler.Service))
	back()
	must(t, splits.Cancel(ctx, c.Name))
	if diff := gocmp.Diff(before, queryRows(t, there, everywhere)); diff != "" {
		t.Errorf("cancel left something behind in the monolith's database, or took it:\n%s", diff)
	}
	if diff := gocmp.Diff(untouched, queryRows(t, here, everywhere)); diff != "" {
		t.Errorf("cancel left something behind in the service's database, or took it:\n%s", diff)
	}
}

// rows are a table's, each column as its type writes it.
func (m move) rows(t *testing.T, db *sql.DB, table, key string) []string {
	t.Helper()
	return queryRows(t, db, "SELECT x::text FROM "+table+" AS x ORDER BY "+key)
}

// asMade is what the move makes, in other words.
func asMade(all []string, words *strings.Replacer) (out []string) {
	for _, line := range all {
		if strings.Contains(line, "strangler_") || strings.Contains(line, "customers") || strings.Contains(line, "staying") || strings.Contains(line, `"schema `) || strings.Contains(line, "pg_toast") {
			continue
		}
		out = append(out, words.Replace(line))
	}
	slices.Sort(out)
	return out
}

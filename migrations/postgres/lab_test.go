package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

func TestConformance(t *testing.T) { enginetest.Run(t, lab{}) }

func TestConformanceOfLogicalDecoding(t *testing.T) { enginetest.Run(t, decoding{}) }

// lab makes databases as a team has them: the application's role owns the database and the tables, Strangler has
// a role of its own with the rights that `check` asks for, and text compares by a language's rules.
type lab struct{}

func (lab) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	b.Capture = strangler.CaptureTriggers
	return postgres.Open(ctx, b)
}

// application and strangler are the roles; template is the database that fresh ones are copied from.
const (
	application = "app"
	role        = "strangler"
	decoder     = "strangler_decoder" // the same, that may read a replication slot
	template    = "lab"
)

var (
	prepareOnce sync.Once
	prepareErr  error
	copies      atomic.Int64
)

func (l lab) Fresh(t *testing.T) string {
	t.Helper()
	s := localdbtest.Shared(t)
	prepareOnce.Do(func() { prepareErr = prepare(s) })
	must(t, prepareErr)
	return l.fresh(t, s)
}

func (lab) fresh(t *testing.T, s *localdb.Server) string {
	t.Helper()
	name := fmt.Sprintf("lab_%d", copies.Add(1))
	must(t, run(s.DSN("postgres"), fmt.Sprintf("CREATE DATABASE %s OWNER %s TEMPLATE %s", name, application, template)))
	t.Cleanup(func() {
		if err := s.Drop(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return s.As(role, name)
}

// decoding is the lab where changes are read from a replication slot.
type decoding struct{ lab }

func (decoding) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	if b.Shares == nil { // shares are captured by triggers, whose choice is the engine's
		b.Capture = strangler.CaptureLogical
	}
	return postgres.Open(ctx, b)
}

func (l decoding) Fresh(t *testing.T) string {
	t.Helper()
	return decoders(t, localdbtest.Shared(t), l.lab.Fresh(t))
}

// decoders is the way of the role that decodes to a database.
func decoders(t *testing.T, s *localdb.Server, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	must(t, err)
	name := strings.TrimPrefix(u.Path, "/")
	return s.As(decoder, name)
}

// apart has the monolith on a server of its own.
type apart struct {
	decoding
	server *localdb.Server
	made   *bool
}

func (l apart) Fresh(t *testing.T) string {
	t.Helper()
	if *l.made {
		return l.decoding.Fresh(t)
	}
	*l.made = true
	return decoders(t, l.server, l.fresh(t, l.server))
}

// prepare makes the roles and the template. What Strangler's role is set to would spoil every value that it reads or
// writes, were its sessions not to set it themselves.
func prepare(s *localdb.Server) error {
	ctx := context.Background()
	err := errors.Join(s.Role(ctx, application), s.Role(ctx, role, "IN ROLE "+application), s.Role(ctx, decoder, "REPLICATION", "IN ROLE "+application))
	for _, q := range []string{
		"GRANT SET ON PARAMETER session_replication_role TO " + role + ", " + decoder,
		"ALTER ROLE " + decoder + " SET DateStyle = 'German'", "ALTER ROLE " + decoder + " SET bytea_output = 'escape'", "ALTER ROLE " + decoder + " SET extra_float_digits = -5", "ALTER ROLE " + decoder + " SET TimeZone = 'Asia/Kathmandu'",
		"ALTER ROLE " + role + " SET DateStyle = 'German'", "ALTER ROLE " + role + " SET IntervalStyle = 'sql_standard'", "ALTER ROLE " + role + " SET TimeZone = 'Asia/Kathmandu'",
		"ALTER ROLE " + role + " SET bytea_output = 'escape'", "ALTER ROLE " + role + " SET extra_float_digits = -5", "ALTER ROLE " + role + " SET xmloption = 'document'",
		"ALTER ROLE " + role + " SET standard_conforming_strings = off", "ALTER ROLE " + role + " SET backslash_quote = off", "ALTER ROLE " + role + " SET default_transaction_isolation = 'serializable'",
		"ALTER ROLE " + role + " SET synchronous_commit = off", "ALTER ROLE " + role + " SET array_nulls = off",
		"CREATE DATABASE " + template + " TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'",
	} {
		err = errors.Join(err, run(s.DSN("postgres"), q))
	}
	return errors.Join(err, run(s.DSN(template), // what only an administrator can make, and a refusal needs
		"CREATE FOREIGN DATA WRAPPER nowhere", "CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere", "GRANT USAGE ON FOREIGN SERVER nowhere TO "+application))
}

// run runs statements in a session of their own.
func run(dsn string, statements ...string) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	for _, q := range statements {
		if _, e := db.ExecContext(context.Background(), q); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", q, e))
		}
	}
	return errors.Join(err, db.Close())
}

func (lab) Connect(t *testing.T, dsn string) *sql.DB { return session(t, application, dsn) }

func (lab) Admin(t *testing.T, dsn string) *sql.DB { return session(t, "postgres", dsn) }

// session is one connection of a role to the database that a DSN names.
func session(t *testing.T, role, dsn string) *sql.DB {
	t.Helper()
	u, err := url.Parse(dsn)
	must(t, err)
	password, _ := u.User.Password() // the same for all roles of a private server
	u.User = url.UserPassword(role, password)
	db, err := sql.Open("pgx", u.String())
	must(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func (lab) Speech() enginetest.Speech {
	return enginetest.Speech{
		Quote:   quote,
		AutoKey: "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
		Schema:  schema,
		Image:   image,
		Edges:   edges,
		Keys:    keys,
		Refused: refused,
		Tampers: tampers,

		Obstacle: [2]string{"CREATE TABLE strangler_log_couriers (x INTEGER)", "DROP TABLE strangler_log_couriers"},
	}
}

// Speech leaves out what is not decoded, partitions, and has every row identified whose key is not the primary one.
func (l decoding) Speech() enginetest.Speech {
	s := l.lab.Speech()
	s.Streamed = true
	s.Older = "UPDATE strangler_position SET applied = (split_part(applied, '@', 1)::bigint - 1) || '@' || split_part(applied, '@', 2)"
	s.Obstacle = [2]string{"CREATE PUBLICATION strangler_delivery", "DROP PUBLICATION strangler_delivery"}
	s.Edges, s.Keys = identified(s.Edges), identified(s.Keys)
	s.Tampers = append([]enginetest.Tamper{
		tamper("publication dropped", false, "DROP PUBLICATION IF EXISTS strangler_delivery"),
		tamper("publication for fewer changes", false, "ALTER PUBLICATION strangler_delivery SET (publish = 'insert, update')"),
		tamper("table no longer published", false, "ALTER PUBLICATION strangler_delivery SET TABLE actions"),
		tamper("slot dropped", false, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database(); SELECT pg_sleep(0.2); SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"),
	}, s.Tampers...)
	s.Tampers = slices.DeleteFunc(s.Tampers, func(t enginetest.Tamper) bool {
		return !t.Fence && (strings.Contains(t.Name, "trigger") || strings.Contains(t.Name, "TRUNCATE") || strings.Contains(t.Name, "capture"))
	})
	return s
}

func identified(samples []enginetest.Sample) (out []enginetest.Sample) {
	for _, s := range samples {
		if create := strings.Join(s.Create, "\n"); !strings.Contains(create, "PARTITION") {
			if !strings.Contains(create, "PRIMARY KEY") {
				s.Create = append(slices.Clone(s.Create), "ALTER TABLE %s REPLICA IDENTITY FULL")
			}
			out = append(out, s)
		}
	}
	return out
}

// image reads every column by name, with its type and the text that its type's output function writes, which a
// cast to text would change: blanks at the end of a char(n).
func image(t *testing.T, db *sql.DB, table string) []string {
	t.Helper()
	var out []string
	for _, c := range query(t, db, "SELECT attname FROM pg_attribute WHERE attrelid = "+literal(quote(table))+"::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname COLLATE \"C\"") {
		out = append(out, fmt.Sprintf("%s || format_type((SELECT atttypid FROM pg_attribute WHERE attrelid = x.tableoid AND attname = %s), NULL) || ' ' || ROW(x.%s)::text", literal(c+" "), literal(c), quote(c)))
	}
	return query(t, db, "SELECT image FROM (SELECT array_to_string(ARRAY["+strings.Join(out, ", ")+"], ' | ') AS image FROM "+quote(table)+" AS x) AS y ORDER BY image COLLATE \"C\"")
}

// ours leaves out the schemas of the server itself.
const ours = " !~ '^(pg_|information_schema)'"

// catalog is each kind of object: a query of its name and its definition.
var catalog = []string{
	`SELECT 'schema ' || nspname, concat_ws(' ', pg_get_userbyid(nspowner), nspacl) FROM pg_namespace WHERE nspname` + ours,
	`SELECT 'extension ' || extname, extversion FROM pg_extension`,
	`SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type' ELSE c.relkind::text END || ' ' || c.oid::regclass,
		concat_ws(' ', 'owner', pg_get_userbyid(c.relowner), c.relpersistence, c.reloptions, c.relacl, 'identity', c.relreplident, 'security', c.relrowsecurity, c.relforcerowsecurity, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
			CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, obj_description(c.oid, 'pg_class')) FROM pg_class AS c WHERE c.relnamespace::regnamespace::text` + ours + ` AND c.relkind NOT IN ('i', 'I', 'S', 't')`,
	`SELECT 'column ' || a.attrelid::regclass || ' ' || row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END, a.attidentity, a.attgenerated,
			pg_get_expr(d.adbin, d.adrelid), a.attcollation::regcollation, a.attstorage, a.attcompression, a.attstattarget, a.attoptions, a.attacl, col_description(a.attrelid, a.attnum))
		FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE c.relnamespace::regnamespace::text` + ours + ` AND c.relkind NOT IN ('i', 'I', 'S', 't') AND a.attnum > 0 AND NOT a.attisdropped`,
	`SELECT 'constraint ' || coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text) || ' ' || conname, concat_ws(' ', pg_get_constraintdef(oid), convalidated, condeferrable, condeferred) FROM pg_constraint WHERE connamespace::regnamespace::text` + ours,
	`SELECT 'index ' || i.indexrelid::regclass, concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident, i.indisclustered, i.indimmediate) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relnamespace::regnamespace::text` + ours,
	`SELECT 'trigger ' || t.tgrelid::regclass || ' ' || CASE WHEN t.tgisinternal THEN (SELECT conname FROM pg_constraint WHERE oid = t.tgconstraint) || ' ' || t.tgfoid::regproc ELSE t.tgname END, concat_ws(' ', 'fires', t.tgenabled, CASE WHEN NOT t.tgisinternal THEN pg_get_triggerdef(t.oid) END)
		FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE c.relnamespace::regnamespace::text` + ours,
	`SELECT 'rule ' || ev_class::regclass || ' ' || rulename, concat_ws(' ', 'fires', ev_enabled, pg_get_ruledef(oid)) FROM pg_rewrite WHERE ev_class >= 16384 AND rulename <> '_RETURN'`,
	`SELECT 'policy ' || polrelid::regclass || ' ' || polname, concat_ws(' ', polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM pg_policy`,
	`SELECT 'sequence ' || s.seqrelid::regclass, concat_ws(' ', 'owner', pg_get_userbyid(c.relowner), s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, c.relacl, pg_get_serial_sequence(d.refobjid::regclass::text, a.attname))
		FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid LEFT JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.deptype IN ('a', 'i') LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid`,
	`SELECT 'function ' || p.oid::regprocedure, concat_ws(' ', 'owner', pg_get_userbyid(p.proowner), p.proacl, pg_get_functiondef(p.oid)) FROM pg_proc AS p WHERE p.pronamespace::regnamespace::text` + ours + ` AND p.prokind <> 'a' AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')`,
	`SELECT 'type ' || y.oid::regtype, concat_ws(' ', 'owner', pg_get_userbyid(y.typowner), y.typtype, nullif(y.typbasetype, 0)::regtype, y.typnotnull, y.typdefault, (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = y.oid),
			(SELECT rngsubtype::regtype FROM pg_range WHERE rngtypid = y.oid)) FROM pg_type AS y WHERE y.typnamespace::regnamespace::text` + ours + ` AND y.typtype IN ('d', 'e', 'r')`,
	`SELECT 'collation ' || oid::regcollation, concat_ws(' ', collprovider, collcollate, colliculocale, collisdeterministic) FROM pg_collation WHERE collnamespace::regnamespace::text` + ours,
	`SELECT 'publication ' || pubname, concat_ws(' ', puballtables, (SELECT array_agg(prrelid::regclass::text ORDER BY prrelid::regclass::text) FROM pg_publication_rel WHERE prpubid = p.oid)) FROM pg_publication AS p`,
	`SELECT 'event trigger ' || evtname, evtenabled::text FROM pg_event_trigger`,
	`SELECT 'privileges by default ' || pg_get_userbyid(defaclrole), defaclacl::text FROM pg_default_acl`,
}

func schema(t *testing.T, db *sql.DB) []string {
	t.Helper()
	return query(t, db, `SELECT o || ': ' || coalesce(d::text, '') FROM (`+strings.Join(catalog, " UNION ALL ")+`) AS x (o, d) ORDER BY (o || ': ' || coalesce(d::text, '')) COLLATE "C"`)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(s string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(s) + "'"
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// query returns each row of one column.
func query(t *testing.T, db *sql.DB, q string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		must(t, rows.Scan(&line))
		out = append(out, line)
	}
	must(t, rows.Err())
	return out
}

package rehearse

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is the reference shop in production, the service's own database, and two empty ones for the copies.
type world struct {
	t                     *testing.T
	kind                  kind
	shop, delivery        string // DSNs of those who own them
	capability            strangler.Capability
	scratchFor, scratchAt string // DSNs of the copies; empty in SQLite
	dir                   string // of the rehearsal's files
}

// kinds are those of the tests, each with its server.
var kinds = []kind{sqliteKind, postgresKind, mysqlKind}

func eachKind(t *testing.T, f func(t *testing.T, w *world)) {
	for _, k := range kinds {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			f(t, newWorld(t, k))
		})
	}
}

func (k kind) server(t testing.TB) *localdb.Server {
	if k == postgresKind {
		return localdbtest.Shared(t)
	}
	return localdbtest.SharedMariaDB(t)
}

func (k kind) fresh(t *testing.T) string {
	switch k {
	case postgresKind:
		return localdbtest.Fresh(t)
	case mysqlKind:
		return localdbtest.FreshMariaDB(t)
	}
	path := filepath.Join(t.TempDir(), "x.db")
	must(t, os.WriteFile(path, nil, 0o600))
	return "sqlite:" + path
}

func newWorld(t *testing.T, k kind) *world {
	t.Helper()
	w := &world{t: t, kind: k, dir: t.TempDir(), shop: k.fresh(t), delivery: k.fresh(t)}
	if k != sqliteKind {
		w.scratchFor, w.scratchAt = k.fresh(t), k.fresh(t)
	}
	shop := w.open(w.shop)
	if k == sqliteKind { // as both programs have it
		w.exec(shop, "PRAGMA journal_mode = wal")
		w.exec(w.open(w.delivery), "PRAGMA journal_mode = wal")
	}
	w.schema(shop, "legacy-monolith/internal/schema/"+string(k)+"/000001_shop.up.sql")
	w.schema(w.open(w.delivery), "extracted/delivery/schema/"+string(k)+"/000001_delivery.up.sql")
	w.seed(shop, 300)
	w.capability = strangler.Capability{
		Name: "delivery", Legacy: strangler.Upstream{Database: w.shop}, Service: strangler.Upstream{Database: w.delivery},
		Tables: []strangler.Table{{From: "couriers", To: "couriers"}, {From: "courier_actions", To: "courier_actions"}, {From: "courier_requests", To: "courier_requests"},
			{From: "orders", To: "deliveries", Columns: map[string]string{"id": "order_id", "assigned_courier_id": "courier_id"},
				Drop: []string{"version", "consumer_id", "restaurant_id", "order_state", "order_minimum_cents", "payment_token", "delivery_time", "delivery_street",
					"delivery_city", "delivery_zip", "ready_by", "accept_time", "preparing_time", "ready_for_pickup_time"}, Where: "assigned_courier_id IS NOT NULL"}},
		Playbook: strangler.PlaybookSettings{Rehearse: strangler.Rehearse{Legacy: w.scratchFor, Service: w.scratchAt}},
	}
	if k != sqliteKind {
		w.capability.Capture = strangler.CaptureTriggers
	}
	return w
}

func (w *world) open(dsn string) *sql.DB {
	w.t.Helper()
	db, err := kindOf(dsn).open(context.Background(), dsn)
	must(w.t, err)
	w.t.Cleanup(func() { must(w.t, db.Close()) })
	return db
}

func (w *world) schema(db *sql.DB, file string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	must(w.t, err)
	for _, statement := range strings.Split(strings.TrimSpace(string(text)), ";\n\n") {
		w.exec(db, statement)
	}
}

func (w *world) exec(db *sql.DB, statement string) {
	w.t.Helper()
	if _, err := db.Exec(statement); err != nil {
		w.t.Fatalf("%.200s: %v", statement, err)
	}
}

// seed makes n couriers, and orders of which two in three have one.
func (w *world) seed(db *sql.DB, n int) {
	w.t.Helper()
	tx, err := db.Begin()
	must(w.t, err)
	do := func(format string, args ...any) {
		if _, err := tx.Exec(fmt.Sprintf(format, args...)); err != nil {
			w.t.Fatal(err)
		}
	}
	do("INSERT INTO consumers VALUES (1, 'Con', 'Sumer')")
	do("INSERT INTO restaurants VALUES (1, 'R', 's', 'c', 'z', 0)")
	const at = "'2030-01-01T00:00:00.000000Z'"
	when := at
	if w.kind == mysqlKind {
		when = "'2030-01-01 00:00:00'"
	}
	for i := 1; i <= n; i++ {
		courier := "NULL"
		if i%3 != 0 {
			courier = fmt.Sprint(i)
		}
		do("INSERT INTO couriers VALUES (%d, 'First%d', 'Rider', 's', 'c', 'z', TRUE, %s)", i, i, when)
		do("INSERT INTO orders (id, version, consumer_id, restaurant_id, assigned_courier_id, order_state, order_minimum_cents, delivery_street, delivery_city, delivery_zip) "+
			"VALUES (%d, 1, 1, 1, %s, 'APPROVED', 0, 'street %d', 'c', 'z')", i, courier, i)
		do("INSERT INTO courier_actions VALUES (%d, %d, %d, %s, 'PICKUP')", i, i, i, when)
		do("INSERT INTO courier_requests VALUES ('key-%d', 'POST /couriers', 'hash %d', 201, '{}', %s)", i, i, when)
	}
	must(w.t, tx.Commit())
}

// image is everything in a database: what stands there, and every row.
func (w *world) image(dsn string) string {
	w.t.Helper()
	var b strings.Builder
	db := w.open(dsn)
	catalog := map[kind][]string{
		sqliteKind: {"SELECT type || name || coalesce(sql, '') FROM sqlite_schema ORDER BY 1"},
		postgresKind: {
			"SELECT concat_ws(' ', c.oid, c.relnamespace, c.relname, c.relkind, c.relacl, c.relfilenode, c.relhastriggers) FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1",
			"SELECT concat_ws(' ', t.oid, t.tgname, t.tgenabled) FROM pg_trigger AS t ORDER BY 1", "SELECT concat_ws(' ', oid, proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
			"SELECT slot_name FROM pg_replication_slots WHERE database = current_database()", "SELECT pubname FROM pg_publication", "SELECT nspname FROM pg_namespace ORDER BY 1",
			"SELECT concat_ws(' ', oid, conname, convalidated) FROM pg_constraint ORDER BY 1",
		},
		mysqlKind: {
			"SELECT CONCAT_WS(' ', table_name, create_time, auto_increment) FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
			"SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY 1",
			"SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY 1",
		},
	}[w.kind]
	for _, query := range catalog {
		lines, err := texts(w.t.Context(), db, query)
		must(w.t, err)
		fmt.Fprintln(&b, query, strings.Join(lines, "\n"))
	}
	names, err := w.kind.stands(w.t.Context(), db)
	must(w.t, err)
	for _, name := range names {
		name = strings.TrimPrefix(name, "public.")
		rows, err := db.Query("SELECT * FROM " + w.kind.ident(name))
		if err != nil {
			continue // an index
		}
		var lines []string
		columns, err := rows.Columns()
		must(w.t, err)
		for rows.Next() {
			vs, ps := make([]any, len(columns)), make([]any, len(columns))
			for i := range vs {
				ps[i] = &vs[i]
			}
			must(w.t, rows.Scan(ps...))
			lines = append(lines, fmt.Sprintf("%v", vs))
		}
		must(w.t, rows.Err())
		slices.Sort(lines)
		fmt.Fprintln(&b, name, strings.Join(lines, "\n"))
	}
	return b.String()
}

// nothingLeft asserts that the databases of the copies are as empty as they were, and no file is left.
func (w *world) nothingLeft() {
	w.t.Helper()
	for _, dsn := range []string{w.scratchFor, w.scratchAt} {
		if dsn == "" {
			continue
		}
		if a, b := w.image(dsn), w.image(w.kind.fresh(w.t)); strip(a) != strip(b) {
			w.t.Errorf("left in a copy: %s", a)
		}
	}
	if left, _ := os.ReadDir(w.dir); len(left) > 0 {
		w.t.Errorf("left behind: %v", left)
	}
}

// strip leaves the oids out: they are another database's.
func strip(image string) string { return numbers.ReplaceAllString(image, "N") }

var numbers = regexp.MustCompile(`\d+`)

// readers are the roles that reader has made.
var readers atomic.Int32

// reader is the DSN of a role that may only read the tables of a database.
func (w *world) reader(dsn string) string {
	w.t.Helper()
	u, err := url.Parse(dsn)
	must(w.t, err)
	role, database, server := fmt.Sprintf("reader_%d", readers.Add(1)), strings.TrimPrefix(u.Path, "/"), w.kind.server(w.t)
	if w.kind == mysqlKind {
		must(w.t, server.Role(w.t.Context(), role, "GRANT SELECT ON `"+database+"`.* TO "+role+"@'%'"))
		return server.As(role, database)
	}
	must(w.t, server.Role(w.t.Context(), role))
	db := w.open(dsn)
	w.exec(db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+role)
	w.t.Cleanup(func() {
		if _, err := db.Exec("DROP OWNED BY " + role); err != nil {
			w.t.Error(err)
		}
	})
	return server.As(role, database)
}

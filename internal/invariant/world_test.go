package invariant

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

// world is both databases of the reference system behind a cutover, and the log of the writes that
// made them: the service owns, legacy follows and is fenced.
type world struct {
	t       *testing.T
	at      place
	legacy  *sql.DB
	service *sql.DB
	log     *Log
	before  Baseline
	entries map[string]*Entry // by key
}

// place is a kind of database that a world may be in.
type place struct {
	dialect  Dialect
	database func(t *testing.T) string // makes an empty one and returns its DSN
	loosen   string                    // lets the breaches in that the schema itself would refuse
	fence    string                    // refuses updates of couriers
	lift     string                    // takes the fence away
}

var places = []place{
	{
		dialect: SQLite,
		database: func(t *testing.T) string {
			file := filepath.Join(t.TempDir(), "world.db")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return "sqlite:" + file
		},
		loosen: "PRAGMA synchronous = OFF", // foreign keys are off by themselves
		fence:  "CREATE TRIGGER strangler_fence_couriers BEFORE UPDATE ON couriers BEGIN SELECT RAISE(ABORT, 'strangler: delivery is owned by the other side'); END",
		lift:   "DROP TRIGGER IF EXISTS strangler_fence_couriers",
	},
	{
		dialect:  Postgres,
		database: freshSchema,
		loosen: `DO $$ DECLARE c record; BEGIN
			FOR c IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace LOOP
				EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.owner, c.conname);
			END LOOP; END $$;
			CREATE FUNCTION strangler_fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'strangler: delivery is owned by the other side'; END $$`,
		fence: "CREATE TRIGGER strangler_fence_couriers BEFORE UPDATE ON couriers FOR EACH STATEMENT EXECUTE FUNCTION strangler_fence()",
		lift:  "DROP TRIGGER IF EXISTS strangler_fence_couriers ON couriers",
	},
	{
		dialect:  MySQL,
		database: func(t *testing.T) string { return localdbtest.FreshMariaDB(t) },
		loosen:   "SET foreign_key_checks = 0",
		fence:    "CREATE TRIGGER strangler_fence_couriers BEFORE UPDATE ON couriers FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'strangler: delivery is owned by the other side'",
		lift:     "DROP TRIGGER IF EXISTS strangler_fence_couriers",
	},
}

var schemas atomic.Int64

// freshSchema makes a schema in a database that all tests share, which is far cheaper than a database.
func freshSchema(t *testing.T) string {
	t.Helper()
	dsn := localdbtest.Shared(t).DSN("postgres")
	db, _, err := Open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("world_%d", schemas.Add(1))
	if _, err := db.Exec("CREATE SCHEMA " + name); err != nil {
		t.Fatal(err)
	}
	return dsn + "&search_path=" + name
}

// eachPlace runs a test once for each kind of database.
func eachPlace(t *testing.T, test func(t *testing.T, at place)) {
	for _, at := range places {
		t.Run(string(at.dialect), func(t *testing.T) { test(t, at) })
	}
}

// open makes a database with the tables of a schema, DIALECT/NAME below the folder.
func (at place) open(t *testing.T, folder, name string) *sql.DB {
	t.Helper()
	db, dialect, err := Open(at.database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if dialect != at.dialect {
		t.Fatalf("dialect %q", dialect)
	}
	db.SetMaxOpenConns(1) // a pragma is the connection's
	text, err := os.ReadFile(filepath.Join("..", "..", folder, string(dialect), name))
	if err != nil {
		t.Fatal(err)
	}
	scripts := []string{string(text), at.loosen}
	if dialect == MySQL { // a statement at a time
		scripts = append(strings.Split(strings.TrimSpace(string(text)), ";\n\n"), at.loosen)
	}
	for _, script := range scripts {
		if _, err := db.Exec(script); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// newWorld has two couriers and one delivered order from before, and then writes of every kind and
// every outcome.
func newWorld(t *testing.T, at place) *world {
	t.Helper()
	w := &world{t: t, at: at, log: &Log{}, entries: map[string]*Entry{},
		legacy:  at.open(t, "legacy-monolith/internal/schema", "000001_shop.up.sql"),
		service: at.open(t, "extracted/delivery/schema", "000001_delivery.up.sql"),
	}
	w.onLegacy("INSERT INTO consumers VALUES (1, 'Con', 'Sumer')")
	w.onLegacy("INSERT INTO restaurants VALUES (1, 'R', 's', 'c', 'z', 0)")
	for id := 1; id <= 2; id++ {
		w.courier(id, fmt.Sprintf("Old%d", id), "TRUE")
	}
	w.order(1, "old street", "DELIVERED", "1")
	w.actions(1, 1, 1)
	before, err := Measure(t.Context(), w.legacy)
	if err != nil {
		t.Fatal(err)
	}
	w.before = before

	w.create("k-ada", "Ada").Acknowledge(11)
	w.courier(11, "Ada", "TRUE")
	w.key("k-ada")
	w.create("k-maybe", "Maybe")
	w.courier(12, "Maybe", "TRUE")
	w.key("k-maybe")
	w.create("k-never", "Never")
	w.create("k-no", "No").Refuse()

	w.status("k-off", 11, false).Acknowledge(11)
	w.status("k-on", 11, true).Acknowledge(11)
	w.status("k-old-off", 2, false).Acknowledge(2)
	w.status("k-old-maybe", 2, true)
	w.status("k-status-no", 2, true).Refuse()
	w.on("UPDATE couriers SET available = FALSE WHERE id = 2")
	w.key("k-off")
	w.key("k-on")
	w.key("k-old-off")

	w.place("k-place", "first street").Acknowledge(21)
	w.order(21, "first street", "PREPARING", "11")
	w.accept("k-accept", 21).Acknowledge(11)
	w.actions(31, 21, 11)
	w.place("k-waiting", "second street").Acknowledge(22)
	w.order(22, "second street", "APPROVED", "NULL")
	w.accept("k-half", 22)
	w.actions(33, 22, 2) // scheduled at the service, and the monolith never got to know
	w.place("k-refused", "third street").Acknowledge(23)
	w.order(23, "third street", "APPROVED", "NULL")
	w.accept("k-accept-no", 23).Refuse()
	w.place("k-place-maybe", "fourth street")
	w.order(24, "fourth street", "APPROVED", "NULL")
	w.place("k-ride", "seventh street").Acknowledge(27)
	w.order(27, "seventh street", "READY_FOR_PICKUP", "11")
	w.accept("k-accept-ride", 27).Acknowledge(11)
	w.actions(35, 27, 11)
	w.move("k-cook", 27, "PREPARING").Acknowledge(27)
	w.move("k-picked-up", 27, "PICKED_UP").Acknowledge(27)
	w.ride(27, "picked_up_time")
	w.move("k-delivered", 27, "DELIVERED")
	w.onService("INSERT INTO courier_requests VALUES ('k-delivered', 'POST /deliveries/27/delivered', '', 200, '{}', '2030-01-01T00:00:00.000000Z')")
	w.onLegacy("INSERT INTO courier_requests VALUES ('k-delivered', 'POST /deliveries/27/delivered', '', 200, '{}', '2030-01-01T00:00:00.000000Z')")
	w.place("k-place-never", "fifth street")
	for _, key := range []string{"k-ride", "k-accept-ride", "k-cook", "k-picked-up", "k-place", "k-accept", "k-waiting", "k-refused", "k-place-maybe"} {
		w.onLegacy("INSERT INTO order_requests VALUES ('" + key + "', 'POST /orders', '', 201, '{}', '2030-01-01T00:00:00.000000Z')")
	}
	w.onLegacy(w.at.fence)
	return w
}

func (w *world) exec(db *sql.DB, statement string) {
	w.t.Helper()
	if w.at.dialect == MySQL { // which reads no RFC 3339
		statement = rfc3339.ReplaceAllString(statement, "$1 $2")
	}
	if _, err := db.Exec(statement); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
}

func (w *world) onLegacy(statement string)  { w.t.Helper(); w.exec(w.legacy, statement) }
func (w *world) onService(statement string) { w.t.Helper(); w.exec(w.service, statement) }

var rfc3339 = regexp.MustCompile(`(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d+)?)Z`)

// on changes both sides, as the stream would.
func (w *world) on(statement string) {
	w.t.Helper()
	w.onLegacy(w.at.lift)
	w.onLegacy(statement)
	w.onService(statement)
	if w.entries["k-place-never"] != nil {
		w.onLegacy(w.at.fence)
	}
}

func (w *world) courier(id int, name, available string) {
	w.t.Helper()
	w.on(fmt.Sprintf("INSERT INTO couriers VALUES (%d, '%s', 'Rider', 's', 'c', 'z', %s, '2030-01-01T00:00:00.000000Z')", id, name, available))
}

func (w *world) key(key string) {
	w.t.Helper()
	w.on("INSERT INTO courier_requests VALUES ('" + key + "', 'POST /couriers', '', 201, '{}', '2030-01-01T00:00:00.000000Z')")
}

func (w *world) order(id int, street, state, courier string) {
	w.t.Helper()
	w.onLegacy(fmt.Sprintf("INSERT INTO orders (id, version, consumer_id, restaurant_id, assigned_courier_id, order_state, order_minimum_cents, delivery_street, delivery_city, delivery_zip) "+
		"VALUES (%d, 1, 1, 1, %s, '%s', 0, '%s', 'c', 'z')", id, courier, state, street))
	if courier != "NULL" {
		w.onService(fmt.Sprintf("INSERT INTO deliveries (order_id, courier_id) VALUES (%d, %s)", id, courier))
	}
}

// ride sets a time of a delivery.
func (w *world) ride(order int, column string) {
	w.t.Helper()
	w.onLegacy(fmt.Sprintf("UPDATE orders SET %s = '2030-01-01T00:00:00.000000Z' WHERE id = %d", column, order))
	w.onService(fmt.Sprintf("UPDATE deliveries SET %s = '2030-01-01T00:00:00.000000Z' WHERE order_id = %d", column, order))
}

// actions are two rows, with the ids first and first + 1.
func (w *world) actions(first, order, courier int) {
	w.t.Helper()
	w.on(fmt.Sprintf("INSERT INTO courier_actions VALUES (%d, %d, %d, '2030-01-01T00:00:00.000000Z', 'PICKUP'), (%d, %d, %d, '2030-01-01T00:00:00.000000Z', 'DROPOFF')",
		first, courier, order, first+1, courier, order))
}

func (w *world) begin(write Write) *Entry {
	e := w.log.Begin(write)
	w.entries[write.Key] = e
	return e
}

func (w *world) create(key, name string) *Entry {
	yes := true
	return w.begin(Write{Key: key, Kind: CreateCourier, Courier: Courier{FirstName: name, LastName: "Rider", Street: "s", City: "c", Zip: "z", Available: &yes}})
}

func (w *world) status(key string, courier int64, available bool) *Entry {
	return w.begin(Write{Key: key, Kind: SetAvailability, Courier: Courier{ID: courier, Available: &available}})
}

func (w *world) place(key, street string) *Entry {
	return w.begin(Write{Key: key, Kind: PlaceOrder, Order: Order{Consumer: 1, Restaurant: 1, Street: street, City: "c", Zip: "z"}})
}

func (w *world) accept(key string, order int64) *Entry {
	return w.begin(Write{Key: key, Kind: AcceptOrder, Order: Order{ID: order}})
}

func (w *world) move(key string, order int64, state string) *Entry {
	return w.begin(Write{Key: key, Kind: MoveOrder, Order: Order{ID: order, State: state}})
}

func (w *world) check() Report {
	w.t.Helper()
	r, err := Check(w.t.Context(), Config{Log: w.log, Legacy: w.legacy, Service: w.service, Owner: strangler.Service, Dialect: w.at.dialect, Before: &w.before})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

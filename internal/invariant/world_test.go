package invariant

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is both databases of the reference system behind a cutover, and the log of the writes that
// made them: the service owns, legacy follows and is fenced.
type world struct {
	t       *testing.T
	legacy  *sql.DB
	service *sql.DB
	log     *Log
	before  Baseline
	entries map[string]*Entry // by key
}

const fence = "CREATE TRIGGER strangler_fence_couriers BEFORE UPDATE ON couriers BEGIN SELECT RAISE(ABORT, 'strangler: delivery is owned by the other side'); END"

func database(t *testing.T, name, script string) *sql.DB {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db, dialect, err := Open("sqlite:" + file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if dialect != SQLite {
		t.Fatalf("dialect %q", dialect)
	}
	db.SetMaxOpenConns(1) // the pragma is the connection's
	if _, err := db.Exec("PRAGMA synchronous = OFF"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.FromSlash(script))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(text)); err != nil {
		t.Fatal(err)
	}
	return db
}

// newWorld has two couriers and one delivered order from before, and then writes of every kind and
// every outcome.
func newWorld(t *testing.T) *world {
	w := &world{t: t, log: &Log{}, entries: map[string]*Entry{},
		legacy:  database(t, "shop.db", "../../legacy-monolith/internal/schema/sqlite/000001_shop.up.sql"),
		service: database(t, "delivery.db", "../../extracted/delivery/schema/sqlite/000001_delivery.up.sql"),
	}
	w.onLegacy("INSERT INTO consumers VALUES (1, 'Con', 'Sumer')")
	w.onLegacy("INSERT INTO restaurants VALUES (1, 'R', 's', 'c', 'z', 0)")
	for id := 1; id <= 2; id++ {
		w.courier(id, fmt.Sprintf("Old%d", id), "1")
	}
	w.order(1, "old street", "DELIVERED", "1")
	w.actions(1, 1, 1)
	before, err := Measure(t.Context(), w.legacy)
	if err != nil {
		t.Fatal(err)
	}
	w.before = before

	w.create("k-ada", "Ada").Acknowledge(11)
	w.courier(11, "Ada", "1")
	w.key("k-ada")
	w.create("k-maybe", "Maybe")
	w.courier(12, "Maybe", "1")
	w.key("k-maybe")
	w.create("k-never", "Never")
	w.create("k-no", "No").Refuse()

	w.status("k-off", 11, false).Acknowledge(11)
	w.status("k-on", 11, true).Acknowledge(11)
	w.status("k-old-off", 2, false).Acknowledge(2)
	w.status("k-old-maybe", 2, true)
	w.status("k-status-no", 2, true).Refuse()
	w.on("UPDATE couriers SET available = 0 WHERE id = 2")
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
	w.place("k-place-never", "fifth street")
	for _, key := range []string{"k-place", "k-accept", "k-waiting", "k-refused", "k-place-maybe"} {
		w.onLegacy("INSERT INTO order_requests VALUES ('" + key + "', 'POST /orders', '', 201, '{}', '2030')")
	}
	w.onLegacy(fence)
	return w
}

func (w *world) exec(db *sql.DB, statement string) {
	w.t.Helper()
	if _, err := db.Exec(statement); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
}

func (w *world) onLegacy(statement string)  { w.t.Helper(); w.exec(w.legacy, statement) }
func (w *world) onService(statement string) { w.t.Helper(); w.exec(w.service, statement) }

// on changes both sides, as the stream would.
func (w *world) on(statement string) {
	w.t.Helper()
	w.onLegacy("DROP TRIGGER IF EXISTS strangler_fence_couriers")
	w.onLegacy(statement)
	w.onService(statement)
	if w.entries["k-place-never"] != nil {
		w.onLegacy(fence)
	}
}

func (w *world) courier(id int, name, available string) {
	w.t.Helper()
	w.on(fmt.Sprintf("INSERT INTO couriers VALUES (%d, '%s', 'Rider', 's', 'c', 'z', %s, '2030')", id, name, available))
}

func (w *world) key(key string) {
	w.t.Helper()
	w.on("INSERT INTO courier_requests VALUES ('" + key + "', 'POST /couriers', '', 201, '{}', '2030')")
}

func (w *world) order(id int, street, state, courier string) {
	w.t.Helper()
	w.onLegacy(fmt.Sprintf("INSERT INTO orders (id, version, consumer_id, restaurant_id, assigned_courier_id, order_state, order_minimum_cents, delivery_street, delivery_city, delivery_zip) "+
		"VALUES (%d, 1, 1, 1, %s, '%s', 0, '%s', 'c', 'z')", id, courier, state, street))
}

// actions are two rows, with the ids first and first + 1.
func (w *world) actions(first, order, courier int) {
	w.t.Helper()
	w.on(fmt.Sprintf("INSERT INTO courier_actions VALUES (%d, %d, %d, '2030', 'PICKUP'), (%d, %d, %d, '2030', 'DROPOFF')",
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

func (w *world) check() Report {
	w.t.Helper()
	r, err := Check(w.t.Context(), Config{Log: w.log, Legacy: w.legacy, Service: w.service, Owner: strangler.Service, Dialect: SQLite, Before: &w.before})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

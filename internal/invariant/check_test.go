package invariant

import (
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

func TestCleanWorldIsClean(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		w := newWorld(t, at)
		r := w.check()
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		if r.Acknowledged != 12 || r.Refused != 3 || r.Ambiguous != 7 {
			t.Errorf("%d acknowledged, %d refused, %d ambiguous", r.Acknowledged, r.Refused, r.Ambiguous)
		}
		if want := int64(4 + 8 + 6 + 3); r.Rows != want {
			t.Errorf("%d rows compared, want %d", r.Rows, want)
		}
	})
}

// Each way to break the data is found, counted as what it is, and told.
func TestEveryBreachIsFound(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		lost := func(r Report) int { return r.Lost }
		duplicated := func(r Report) int { return r.Duplicated }
		forked := func(r Report) int { return r.Forked }
		mismatches := func(r Report) int { return int(r.Mismatches) }
		for _, c := range []struct {
			name  string
			spoil func(w *world)
			count func(Report) int
			n     int
			says  string
		}{
			{"acknowledged courier gone", func(w *world) { w.on("DELETE FROM couriers WHERE id = 11") }, lost, 1, "acknowledged create courier 11 (key k-ada): no such row"},
			{"acknowledged courier under another id", func(w *world) { w.on("UPDATE couriers SET id = 13 WHERE id = 11") }, lost, 1, "it has the id 13"},
			{"acknowledged courier overwritten", func(w *world) { w.on("UPDATE couriers SET zip = 'y' WHERE id = 11") }, lost, 1, "courier 11 is Ada Rider of s, y c"},
			{"courier twice", func(w *world) { w.courier(13, "Ada", "TRUE") }, duplicated, 1, "there are 2 such couriers"},
			{"ambiguous courier twice", func(w *world) { w.courier(13, "Maybe", "TRUE") }, duplicated, 1, "ambiguous create courier (key k-maybe): there are 2"},
			{"ambiguous courier without its key", func(w *world) { w.courier(13, "Never", "TRUE") }, forked, 1, "half there: 1 rows, 0 recorded keys"},
			{"ambiguous courier's key without it", func(w *world) { w.key("k-never") }, forked, 1, "half there: 0 rows, 1 recorded keys"},
			{"refused courier there", func(w *world) { w.courier(13, "No", "TRUE") }, forked, 1, "refused create courier (key k-no): it is there"},
			{"refused key recorded", func(w *world) { w.key("k-no") }, forked, 1, "key k-no): its key is recorded"},
			{"courier of nobody", func(w *world) { w.courier(13, "Ghost", "TRUE") }, forked, 1, "courier 13 (Ghost Rider): no write of the log made it"},
			{"key of nobody", func(w *world) { w.key("k-ghost") }, forked, 1, "recorded key k-ghost"},
			{"key lost", func(w *world) { w.on("DELETE FROM courier_requests WHERE idempotency_key = 'k-off'") }, lost, 1, "its key is not recorded"},
			{"key recorded twice", func(w *world) {
				w.on("CREATE TABLE copy AS SELECT * FROM courier_requests")
				w.on("DROP TABLE courier_requests")
				w.on("ALTER TABLE copy RENAME TO courier_requests")
				w.key("k-ada")
			}, duplicated, 1, "its key is recorded 2 times"},
			{"id answered twice", func(w *world) {
				w.create("k-again", "Again").Acknowledge(11)
				w.key("k-again")
			}, forked, 1, "the same id was answered to"},
			{"id of an old courier answered", func(w *world) {
				w.create("k-again", "Again").Acknowledge(2)
				w.key("k-again")
			}, forked, 1, "the id was in use before"},
			{"availability undone", func(w *world) { w.on("UPDATE couriers SET available = FALSE WHERE id = 11") }, lost, 1, "courier 11 is not available"},
			{"availability emptied", func(w *world) { w.on("UPDATE couriers SET available = NULL WHERE id = 11") }, lost, 1, "neither available nor not"},
			{"availability of an ambiguous write that did not happen", func(w *world) { w.on("UPDATE couriers SET available = TRUE WHERE id = 2") }, lost, 1, "courier 2 is available"},
			{"availability of a new courier overwritten", func(w *world) { w.on("UPDATE couriers SET available = FALSE WHERE id = 12") }, lost, 1, "courier 12 is not available"},
			{"old courier gone", func(w *world) { w.on("DELETE FROM couriers WHERE id = 1") }, lost, 1, "couriers: 1 of the 2 rows"},
			{"old courier with a new availability gone", func(w *world) { w.on("DELETE FROM couriers WHERE id = 2") }, lost, 2, "there is no courier 2"},
			{"old action gone", func(w *world) { w.on("DELETE FROM courier_actions WHERE id = 1") }, lost, 1, "courier_actions: 1 of the 2 rows"},
			{"old order gone", func(w *world) { w.onLegacy("DELETE FROM orders WHERE id = 1") }, lost, 1, "orders: 1 of the 1 rows"},
			{"row among the old ones", func(w *world) {
				w.on("INSERT INTO courier_actions VALUES (-1, 1, 1, '2030-01-01T00:00:00.000000Z', 'DETOUR')")
			}, forked, 1, "courier_actions: 1 rows appeared"},
			{"placed order gone", func(w *world) { w.onLegacy("DELETE FROM orders WHERE id = 23") }, lost, 1, "acknowledged place order 23"},
			{"placed order changed", func(w *world) { w.onLegacy("UPDATE orders SET consumer_id = 7 WHERE id = 23") }, lost, 1, "consumer 7"},
			{"placed order twice", func(w *world) { w.order(25, "third street", "APPROVED", "NULL") }, duplicated, 1, "there are 2 such orders"},
			{"ambiguous order without its key", func(w *world) { w.order(25, "fifth street", "APPROVED", "NULL") }, forked, 1, "half there"},
			{"order of nobody", func(w *world) { w.order(25, "nowhere", "APPROVED", "NULL") }, forked, 1, "order 25: no write"},
			{"order id answered twice", func(w *world) {
				w.place("k-again", "sixth street").Acknowledge(23)
				w.onLegacy("INSERT INTO order_requests VALUES ('k-again', '', '', 201, '{}', '2030-01-01T00:00:00.000000Z')")
			}, forked, 1, "the same id was answered to"},
			{"acceptance undone", func(w *world) { w.onLegacy("UPDATE orders SET order_state = 'APPROVED' WHERE id = 21") }, lost, 1, "the order is APPROVED"},
			{"acceptance without an order", func(w *world) { w.onLegacy("DELETE FROM orders WHERE id = 21") }, lost, 2, "no such order"},
			{"acceptance with another courier", func(w *world) { w.onService("UPDATE deliveries SET courier_id = 2 WHERE order_id = 21") }, forked, 1, "the order has courier 2"},
			{"acceptance without a courier", func(w *world) { w.onService("DELETE FROM deliveries WHERE order_id = 21") }, lost, 1, "the order is PREPARING"},
			{"acceptance without one action", func(w *world) { w.on("DELETE FROM courier_actions WHERE id = 31") }, lost, 1, "1 of its two courier actions"},
			{"acceptance with three actions", func(w *world) {
				w.on("INSERT INTO courier_actions VALUES (41, 11, 21, '2030-01-01T00:00:00.000000Z', 'DETOUR')")
			}, duplicated, 1, "3 courier actions"},
			{"acceptance with another's action", func(w *world) { w.on("UPDATE courier_actions SET courier_id = 2 WHERE id = 31") }, forked, 1, "PICKUP of courier 2"},
			{"acceptance told twice", func(w *world) {
				w.accept("k-twice", 21).Acknowledge(11)
				w.onLegacy("INSERT INTO order_requests VALUES ('k-twice', '', '', 200, '{}', '2030-01-01T00:00:00.000000Z')")
			}, duplicated, 1, "acknowledged 2 times"},
			{"refused acceptance done", func(w *world) { w.onLegacy("UPDATE orders SET order_state = 'ACCEPTED' WHERE id = 23") }, forked, 1, "refused accept order 23"},
			{"refused acceptance on a plan", func(w *world) { w.actions(41, 23, 2) }, forked, 1, "APPROVED with 2 courier actions"},
			{"half acceptance halved", func(w *world) { w.on("DELETE FROM courier_actions WHERE id = 33") }, forked, 1, "a plan with 1 actions"},
			{"half acceptance with another courier", func(w *world) {
				w.onLegacy("UPDATE orders SET order_state = 'ACCEPTED', assigned_courier_id = 11 WHERE id = 22")
				w.onService("INSERT INTO deliveries (order_id, courier_id) VALUES (22, 11)")
			}, forked, 1, "its courier's plan does not have it"},
			{"move undone", func(w *world) { w.onService("UPDATE deliveries SET picked_up_time = NULL WHERE order_id = 27") }, lost, 1, `move order 27 (key k-picked-up): the order is "READY_FOR_PICKUP"`},
			{"move of nobody", func(w *world) { w.ride(27, "delivered_time") }, forked, 1, "the order is DELIVERED, and nobody moved it there"},
			{"move of a lost order", func(w *world) {
				w.onLegacy("DELETE FROM orders WHERE id = 27")
				w.onService("DELETE FROM deliveries WHERE order_id = 27")
			}, lost, 4, `the order is ""`},
			{"delivery missing at the follower", func(w *world) {
				w.onLegacy("UPDATE orders SET assigned_courier_id = NULL WHERE id = 27")
			}, mismatches, 1, "orders 27 is at the owner only"},
			{"a delivery's time differs", func(w *world) {
				w.onLegacy("UPDATE orders SET picked_up_time = NULL WHERE id = 27")
			}, mismatches, 1, "orders 27: picked_up_time is"},
			{"order on a plan that nobody accepted", func(w *world) { w.actions(41, 24, 2) }, forked, 1, "nobody accepted it"},
			{"action of nobody", func(w *world) { w.actions(41, 99, 2) }, forked, 2, "courier action 41"},
			{"row missing at the follower", func(w *world) {
				w.onLegacy("DELETE FROM courier_actions WHERE id = 32")
			}, mismatches, 1, "courier_actions 32 is at the owner only"},
			{"last rows missing at the follower", func(w *world) { w.onLegacy("DELETE FROM courier_requests") }, mismatches, 6, "courier_requests k-on is at the owner only"},
			{"row too many at the follower", func(w *world) {
				w.onLegacy("INSERT INTO courier_actions VALUES (90, 1, 1, '2030-01-01T00:00:00.000000Z', 'DETOUR')")
			}, mismatches, 1, "courier_actions 90 is at the follower only"},
			{"value differs", func(w *world) {
				w.onLegacy("UPDATE courier_actions SET time = '2031-01-01T00:00:00.000000Z' WHERE id = 2")
			}, mismatches, 1, `courier_actions 2: time is "2030-01-01T00:00:00.000000Z" at the owner and "2031-01-01T00:00:00.000000Z" at the follower`},
			{"follower takes writes", func(w *world) { w.onLegacy(w.at.lift) }, forked, 1, "legacy does not own, and takes writes"},
			{"owner refuses writes", func(w *world) { w.onService(w.at.fence) }, forked, 1, "service owns, and refuses writes"},
		} {
			t.Run(c.name, func(t *testing.T) {
				w := newWorld(t, at)
				c.spoil(w)
				r := w.check()
				if r.Clean() || r.Err() == nil {
					t.Fatal("nothing was found")
				}
				if got := c.count(r); got != c.n {
					t.Errorf("counted %d, want %d: %v", got, c.n, r.Err())
				}
				if text := r.Err().Error(); !strings.Contains(text, c.says) {
					t.Errorf("%s\ndoes not say %q", text, c.says)
				}
			})
		}
	})
}

// SQLite keeps values of any type in any column.
func TestTypesThatDifferAreFound(t *testing.T) {
	w := newWorld(t, places[0])
	w.onLegacy("UPDATE courier_actions SET time = x'32303330' WHERE id = 2")
	if r := w.check(); r.Mismatches != 1 || !strings.Contains(r.Err().Error(), "courier_actions 2: time") {
		t.Errorf("%d mismatches: %v", r.Mismatches, r.Err())
	}
}

// Either of two writes that were under way together may be the last one.
func TestOverlappingAvailabilities(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		for _, available := range []string{"FALSE", "TRUE"} {
			w := newWorld(t, at)
			on := w.status("k-overlap-on", 12, true)
			off := w.status("k-overlap-off", 12, false)
			on.Acknowledge(12)
			off.Acknowledge(12)
			w.key("k-overlap-on")
			w.key("k-overlap-off")
			w.on("UPDATE couriers SET available = " + available + " WHERE id = 12")
			if err := w.check().Err(); err != nil {
				t.Errorf("available %s: %v", available, err)
			}
		}
	})
}

// What is ambiguous and happened may be the last write though another was acknowledged later.
func TestAmbiguousAvailabilityThatHappened(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		w := newWorld(t, at)
		w.key("k-old-maybe")
		w.on("UPDATE couriers SET available = TRUE WHERE id = 2")
		if err := w.check().Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestManyFindingsAreCountedAndSomeTold(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		w := newWorld(t, at)
		for id := 100; id < 100+3*detailLimit; id++ {
			w.courier(id, "Ghost", "TRUE")
		}
		r := w.check()
		if r.Forked != 3*detailLimit || len(r.Details) != detailLimit {
			t.Errorf("%d counted, %d told", r.Forked, len(r.Details))
		}
	})
}

func TestOneSideAlone(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		w := newWorld(t, at)
		w.onLegacy(w.at.lift)
		r, err := Check(t.Context(), Config{Log: w.log, Legacy: w.legacy, Owner: strangler.Legacy, Dialect: at.dialect, OneSided: true})
		if err != nil || r.Err() != nil {
			t.Fatal(err, r.Err())
		}
		w.onLegacy("DELETE FROM couriers WHERE id = 11")
		r, err = Check(t.Context(), Config{Log: w.log, Legacy: w.legacy, Owner: strangler.Legacy, Dialect: at.dialect, OneSided: true})
		if err != nil || r.Lost != 1 {
			t.Errorf("%v, lost %d", err, r.Lost)
		}
	})
}

// TestWholeOrders is a world in which couriers move alone: what orders have of deliveries is the monolith's.
func TestWholeOrders(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		w := newWorld(t, at)
		w.onService("DELETE FROM deliveries")
		config := Config{Log: w.log, Legacy: w.legacy, Service: w.service, Owner: strangler.Service, Dialect: at.dialect, Before: &w.before, WholeOrders: true}
		r, err := Check(t.Context(), config)
		if err != nil || r.Err() != nil {
			t.Fatal(err, r.Err())
		}
		w.onLegacy("UPDATE orders SET assigned_courier_id = NULL, picked_up_time = NULL WHERE id = 27")
		if r, err = Check(t.Context(), config); err != nil || r.Lost != 2 {
			t.Errorf("%v, lost %d", err, r.Lost)
		}
	})
}

func TestUnusableLogsAndConfigs(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		w := newWorld(t, at)
		good := func() Config {
			return Config{Log: &Log{}, Legacy: w.legacy, Service: w.service, Owner: strangler.Service, Dialect: at.dialect}
		}
		for name, spoil := range map[string]func(c *Config){
			"no log":           func(c *Config) { c.Log = nil },
			"no owner":         func(c *Config) { c.Owner = "" },
			"no service":       func(c *Config) { c.Service = nil },
			"unknown kind":     func(c *Config) { c.Log.Begin(Write{Kind: "paint"}) },
			"unknown state":    func(c *Config) { c.Log.Begin(Write{Kind: MoveOrder, Order: Order{ID: 1, State: "EATEN"}}) },
			"no availability":  func(c *Config) { c.Log.Begin(Write{Kind: SetAvailability}) },
			"the same courier": func(c *Config) { c.Log.Begin(Write{Kind: CreateCourier}); c.Log.Begin(Write{Kind: CreateCourier}) },
			"the same order":   func(c *Config) { c.Log.Begin(Write{Kind: PlaceOrder}); c.Log.Begin(Write{Kind: PlaceOrder}) },
			"the same key": func(c *Config) {
				c.Log.Begin(Write{Key: "k", Kind: CreateCourier})
				c.Log.Begin(Write{Key: "k", Kind: PlaceOrder})
			},
		} {
			c := good()
			spoil(&c)
			if _, err := Check(t.Context(), c); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	})
}

func TestOpenWantsAnExistingDatabase(t *testing.T) {
	address := localdbtest.Shared(t).Addr()
	for _, dsn := range []string{
		"sqlite:" + t.TempDir() + "/nothing.db", "sqlite:", "mysql://h/d",
		"postgres://postgres:hunter2@" + address + "/postgres", "postgres://u:hunter2@127.0.0.1:1/d", "postgres://u:hunter2/@h/d",
		"postgres://u@h/d?password=hunter2&sslmode=maybe",
		"mysql://root:hunter2@" + localdbtest.SharedMariaDB(t).Addr() + "/mysql", "mysql://u:hunter2@127.0.0.1:1/d", "mysql://u:hunter2/@h/d", "mysql://u:hunter2%zz@h/d",
	} {
		db, _, err := Open(dsn)
		if err == nil {
			db.Close()
		}
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

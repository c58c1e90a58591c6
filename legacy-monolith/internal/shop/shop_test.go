package shop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/extracted/kit/contract"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/schema"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seam"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/shop"
)

const (
	acceptBody = `{"ready_by":"2999-01-01T12:00:00Z"}`
	orderBody  = `{"consumer_id":1,"restaurant_id":1,"line_items":[{"menu_item_id":1,"quantity":2}],"delivery_address":{"street":"5 Mill Street","city":"Northam","zip":"5"}}`
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

// eachDatabase runs a test on an empty database of each kind.
func eachDatabase(t *testing.T, test func(t *testing.T, fresh contract.Fresh)) {
	contract.EachDatabase(t, localdbtest.Fresh, localdbtest.FreshMariaDB, test)
}

// monolith is the shop on a database of its own, with one consumer and one restaurant.
type monolith struct {
	url string
	dsn string
	db  *kit.Database
}

// time is an RFC 3339 time in UTC as the monolith's database reads it.
func (m *monolith) time(at string) string {
	if m.db.Dialect() == kit.MySQL {
		return strings.NewReplacer("T", " ", "Z", "").Replace(at)
	}
	return at
}

// start starts a monolith; config has what the seam needs beyond the database.
func start(t *testing.T, fresh contract.Fresh, config seam.Config) *monolith {
	t.Helper()
	m := startEmpty(t, fresh, config)
	m.create(t, "/consumers", `{"first_name":"Mei","last_name":"Ito"}`)
	m.create(t, "/restaurants", `{"name":"Old Oven","address":{"street":"1 Mill Street","city":"Northam","zip":"1"},"order_minimum_cents":1000,"menu_items":[{"name":"Pie","price_cents":700},{"name":"Soup","price_cents":400}]}`)
	return m
}

func startEmpty(t *testing.T, fresh contract.Fresh, config seam.Config) *monolith {
	t.Helper()
	dsn := fresh(t)
	db, err := kit.Open(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(schema.Scripts, schema.VersionTable); err != nil {
		t.Fatal(err)
	}
	config.DB, config.Logger = db, slog.New(slog.DiscardHandler)
	cut, err := seam.New(config)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := shop.NewHandler(shop.Config{DB: db, Seam: cut, Logger: config.Logger})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		cut.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return &monolith{url: server.URL, dsn: dsn, db: db}
}

// answer is what came back from a request.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) decode(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
}

// problem is the code and the field of an error answer.
func (a answer) problem(t *testing.T) (code, field string) {
	t.Helper()
	var body struct {
		Error struct{ Code, Message, Field string }
	}
	a.decode(t, &body)
	if body.Error.Message == "" {
		t.Errorf("%d %s: the error has no message", a.status, a.body)
	}
	return body.Error.Code, body.Error.Field
}

// send sends a request; header has names and values in turn.
func (m *monolith) send(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequest(method, m.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(text)}
}

// create sends a POST that must answer 201, and returns the new id.
func (m *monolith) create(t *testing.T, path, body string) int64 {
	t.Helper()
	a := m.send(t, "POST", path, body)
	if a.status != http.StatusCreated {
		t.Fatalf("POST %s: %d %s", path, a.status, a.body)
	}
	var created struct{ ID int64 }
	a.decode(t, &created)
	return created.ID
}

func (m *monolith) courier(t *testing.T, available bool) int64 {
	t.Helper()
	return m.create(t, "/couriers", fmt.Sprintf(`{"first_name":"Ada","last_name":"Ito","address":{"street":"1 Mill Street","city":"Northam","zip":"1"},"available":%t}`, available))
}

func (m *monolith) accept(t *testing.T, order int64, header ...string) answer {
	t.Helper()
	return m.send(t, "POST", fmt.Sprintf("/orders/%d/accept", order), acceptBody, header...)
}

// order is what tests look at of GET /orders/{id}.
type order struct {
	State     string
	Version   int64
	CourierID *int64 `json:"courier_id"`
	Total     int64  `json:"total_cents"`
	LineItems []struct {
		MenuItemID int64 `json:"menu_item_id"`
		Quantity   int64
	} `json:"line_items"`
	Restaurant struct{ Name string }
	Courier    *struct {
		ID        int64
		FirstName string `json:"first_name"`
	}
	CourierActions []struct{ Type, Time string } `json:"courier_actions"`
}

func (m *monolith) order(t *testing.T, id int64, header ...string) (o order) {
	t.Helper()
	a := m.send(t, "GET", fmt.Sprintf("/orders/%d", id), "", header...)
	if a.status != http.StatusOK {
		t.Fatalf("GET order %d: %d %s", id, a.status, a.body)
	}
	a.decode(t, &o)
	return o
}

func (m *monolith) exec(t *testing.T, statement string) {
	t.Helper()
	if err := m.db.Write(t.Context(), func(tx *gorm.DB) error { return tx.Exec(statement).Error }); err != nil {
		t.Fatal(err)
	}
}

// count returns the number that a query gives.
func (m *monolith) count(t *testing.T, query string) (n int64) {
	t.Helper()
	if err := m.db.Read(t.Context(), func(tx *gorm.DB) error { return tx.Raw(query).Scan(&n).Error }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCourierContract(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := startEmpty(t, fresh, seam.Config{})
		contract.Tables(t, m.dsn)
		contract.Couriers(t, m.url)
		contract.Recorded(t, m.dsn)
	})
}

func TestHealth(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := startEmpty(t, fresh, seam.Config{})
		if a := m.send(t, "GET", "/healthz", ""); a.status != 200 || a.body != `{"status":"ok"}` {
			t.Errorf("healthz: %d %s", a.status, a.body)
		}
		if a := m.send(t, "GET", "/readyz", ""); a.status != 200 || a.body != `{"status":"ready"}` {
			t.Errorf("readyz: %d %s", a.status, a.body)
		}
		if err := m.db.Close(); err != nil {
			t.Fatal(err)
		}
		if a := m.send(t, "GET", "/readyz", ""); a.status != 503 || a.header.Get("Retry-After") != "1" {
			t.Errorf("readyz without a database: %d %s", a.status, a.body)
		}
	})
}

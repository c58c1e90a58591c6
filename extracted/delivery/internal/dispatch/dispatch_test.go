package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/delivery/internal/dispatch"
	"github.com/strangler-fig/strangler/extracted/delivery/schema"
	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/extracted/kit/contract"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// service is the delivery service on an empty database.
type service struct {
	url string
	dsn string
	db  *kit.Database
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

// eachDatabase runs a test on an empty database of each kind.
func eachDatabase(t *testing.T, test func(t *testing.T, fresh contract.Fresh)) {
	contract.EachDatabase(t, localdbtest.Fresh, localdbtest.FreshMariaDB, test)
}

func start(t *testing.T, fresh contract.Fresh) *service {
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
	handler, err := dispatch.NewHandler(dispatch.Config{DB: db, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return &service{url: server.URL, dsn: dsn, db: db}
}

// send sends a request; header has names and values in turn.
func (s *service) send(t *testing.T, method, path, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
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
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(answer)
}

func (s *service) want(t *testing.T, method, path, body string, status int, answer string) {
	t.Helper()
	if gotStatus, _, got := s.send(t, method, path, body); gotStatus != status || got != answer {
		t.Errorf("%s %s %s\n got %d %s\nwant %d %s", method, path, body, gotStatus, got, status, answer)
	}
}

func (s *service) courier(t *testing.T, available bool) {
	t.Helper()
	body := fmt.Sprintf(`{"first_name":"Ada","last_name":"Ito","address":{"street":"1 Mill Street","city":"Northam","zip":"1"},"available":%t}`, available)
	if status, _, answer := s.send(t, http.MethodPost, "/couriers", body); status != http.StatusCreated {
		t.Fatalf("create a courier: %d %s", status, answer)
	}
}

// count returns the number that a query gives.
func (s *service) count(t *testing.T, query string) (n int64) {
	t.Helper()
	if err := s.db.Read(t.Context(), func(tx *gorm.DB) error { return tx.Raw(query).Scan(&n).Error }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCourierContract(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		s := start(t, fresh)
		contract.Tables(t, s.dsn)
		contract.Couriers(t, s.url)
		contract.Recorded(t, s.dsn)
	})
}

func TestKeysUsedBeforeTheMoveReplayAfterIt(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		s := start(t, fresh)
		contract.Replays(t, s.dsn, s.url)
	})
}

func TestDelivery(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		s := start(t, fresh)
		const request = `{"order_id":7,"ready_by":"2030-01-01T12:00:00Z"}`
		const noCourier = `{"error":{"code":"no_courier","message":"no courier is available; send the request again later"}}`
		s.want(t, "POST", "/deliveries", request, 409, noCourier)
		s.courier(t, false)
		s.want(t, "POST", "/deliveries", request, 409, noCourier)
		s.courier(t, true)
		s.courier(t, true)
		const scheduled = `{"order_id":7,"state":"SCHEDULED","courier_id":2,"courier":{"first_name":"Ada","last_name":"Ito"},"picked_up_time":null,"delivered_time":null,"actions":[{"order_id":7,"type":"PICKUP","time":"2030-01-01T12:00:00.000000Z"},{"order_id":7,"type":"DROPOFF","time":"2030-01-01T12:30:00.000000Z"}]}`
		s.want(t, "POST", "/deliveries", request, 200, scheduled)
		s.want(t, "POST", "/deliveries", `{"order_id":7,"ready_by":"2031-01-01T12:00:00Z"}`, 200, scheduled)
		s.want(t, "GET", "/deliveries/7", "", 200, scheduled)
		s.want(t, "GET", "/couriers/2", "", 200, `{"id":2,"first_name":"Ada","last_name":"Ito","address":{"street":"1 Mill Street","city":"Northam","zip":"1"},"available":true,`+
			`"plan":[{"order_id":7,"type":"DROPOFF","time":"2030-01-01T12:30:00.000000Z"},{"order_id":7,"type":"PICKUP","time":"2030-01-01T12:00:00.000000Z"}]}`)
		s.want(t, "DELETE", "/deliveries/7", "", 204, "")
		s.want(t, "DELETE", "/deliveries/7", "", 204, "")
		s.want(t, "GET", "/deliveries/7", "", 404, `{"error":{"code":"not_found","message":"there is no delivery of order 7"}}`)
		s.want(t, "POST", "/deliveries", request, 200, strings.Replace(scheduled, `"courier_id":2`, `"courier_id":3`, 1))
	})
}

// TestADeliveryGoesOnStepByStep takes each step once, and gives its answer again to whoever has its key.
func TestADeliveryGoesOnStepByStep(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		s := start(t, fresh)
		s.courier(t, true)
		s.want(t, "POST", "/deliveries/7/pickedup", "", 404, `{"error":{"code":"not_found","message":"there is no delivery of order 7"}}`)
		s.send(t, "POST", "/deliveries", `{"order_id":7,"ready_by":"2030-01-01T12:00:00Z"}`)
		illegal := func(step, state, done string) {
			t.Helper()
			s.want(t, "POST", "/deliveries/7/"+step, "", 409,
				fmt.Sprintf(`{"error":{"code":"illegal_state","message":"the delivery of order 7 is %s, so it cannot be %s"}}`, state, done))
		}
		take := func(step, key string) (answer string) {
			t.Helper()
			status, _, answer := s.send(t, "POST", "/deliveries/7/"+step, "", "Idempotency-Key", key)
			if status != 200 {
				t.Fatalf("%s: %d %s", step, status, answer)
			}
			return answer
		}
		illegal("delivered", "SCHEDULED", "delivered")
		picked := take("pickedup", "a")
		if again := take("pickedup", "a"); again != picked {
			t.Errorf("with its key again: %s, want %s", again, picked)
		}
		illegal("pickedup", "PICKED_UP", "picked up")
		s.want(t, "GET", "/deliveries/7", "", 200, picked)
		brought := take("delivered", "b")
		illegal("delivered", "DELIVERED", "delivered")
		if s.want(t, "GET", "/deliveries/7", "", 200, brought); !strings.Contains(brought, `"state":"DELIVERED"`) || strings.Contains(brought, "null") {
			t.Errorf("delivered: %s", brought)
		}
	})
}

func TestDeliveryNamesTheFieldThatIsWrong(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		s := start(t, fresh)
		for body, field := range map[string]string{
			``: "order_id",
			`{"order_id":-1,"ready_by":"2030-01-01T12:00:00Z"}`:  "order_id",
			`{"order_id":1.5,"ready_by":"2030-01-01T12:00:00Z"}`: "order_id",
			`{"order_id":1}`:                                              "ready_by",
			`{"order_id":1,"ready_by":"tomorrow"}`:                        "ready_by",
			`{"order_id":1,"ready_by":5}`:                                 "ready_by",
			`{"order_id":1,"ready_by":"2030-01-01T12:00:00Z","to":"him"}`: "to",
		} {
			var answer struct {
				Error struct{ Field string }
			}
			status, _, text := s.send(t, "POST", "/deliveries", body)
			if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 400 || answer.Error.Field != field {
				t.Errorf("%s: got %d %s, want 400 for %s", body, status, text, field)
			}
		}
	})
}

func TestManyRequestsForOneOrderScheduleItOnce(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		s := start(t, fresh)
		for range 4 {
			s.courier(t, true)
		}
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				status, _, answer := s.send(t, "POST", "/deliveries", fmt.Sprintf(`{"order_id":%d,"ready_by":"2030-01-01T12:00:00Z"}`, 1+i%20))
				if status != 200 {
					t.Errorf("got %d %s", status, answer)
				}
			})
		}
		wg.Wait()
		if orders, actions := s.count(t, "SELECT count(DISTINCT order_id) FROM courier_actions"), s.count(t, "SELECT count(*) FROM courier_actions"); orders != 20 || actions != 40 {
			t.Errorf("%d orders with %d actions; want 20 with 40", orders, actions)
		}
	})
}

func TestCouriersTakeTurns(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		s := start(t, fresh)
		for range 3 {
			s.courier(t, true)
		}
		for order := 1; order <= 9; order++ {
			if status, _, answer := s.send(t, "POST", "/deliveries", fmt.Sprintf(`{"order_id":%d,"ready_by":"2030-01-01T12:00:00Z"}`, order)); status != 200 {
				t.Fatalf("got %d %s", status, answer)
			}
		}
		if n := s.count(t, "SELECT count(*) FROM (SELECT courier_id FROM courier_actions GROUP BY courier_id HAVING count(*) = 6) AS busy"); n != 3 {
			t.Errorf("%d couriers have 3 orders, want 3", n)
		}
	})
}

func TestFenceRefuses(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		s := start(t, fresh)
		s.courier(t, true)
		s.send(t, "POST", "/deliveries", `{"order_id":5,"ready_by":"2030-01-01T12:00:00Z"}`)
		contract.Fence(t, s.dsn, "legacy")
		for _, request := range [][2]string{
			{"/couriers", `{"first_name":"Ada","last_name":"Ito","address":{"street":"1 Mill Street","city":"Northam","zip":"1"}}`},
			{"/couriers/1/availability", `{"available":false}`},
			{"/deliveries", `{"order_id":7,"ready_by":"2030-01-01T12:00:00Z"}`},
			{"/deliveries/5/pickedup", ``},
		} {
			status, header, answer := s.send(t, "POST", request[0], request[1])
			if status != 503 || header.Get("Retry-After") != "1" || !strings.Contains(answer, `"code":"refused"`) {
				t.Errorf("%s: got %d, Retry-After %q, %s", request[0], status, header.Get("Retry-After"), answer)
			}
		}
		s.want(t, "GET", "/couriers/1", "", 200, `{"id":1,"first_name":"Ada","last_name":"Ito","address":{"street":"1 Mill Street","city":"Northam","zip":"1"},"available":true,`+
			`"plan":[{"order_id":5,"type":"DROPOFF","time":"2030-01-01T12:30:00.000000Z"},{"order_id":5,"type":"PICKUP","time":"2030-01-01T12:00:00.000000Z"}]}`)
	})
}

func TestHealth(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		s := start(t, fresh)
		s.want(t, "GET", "/healthz", "", 200, `{"status":"ok"}`)
		s.want(t, "GET", "/readyz", "", 200, `{"status":"ready"}`)
		if err := s.db.Close(); err != nil {
			t.Fatal(err)
		}
		s.want(t, "GET", "/healthz", "", 200, `{"status":"ok"}`)
		s.want(t, "GET", "/readyz", "", 503, `{"error":{"code":"not_ready","message":"the database does not answer"}}`)
	})
}

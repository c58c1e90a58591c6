package kit_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

var scripts = fstest.MapFS{
	"sqlite/000001_notes.up.sql": {Data: []byte(`
		CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, at TEXT NOT NULL);
		CREATE TABLE answers (idempotency_key TEXT PRIMARY KEY NOT NULL, request TEXT NOT NULL, body_hash TEXT NOT NULL,
			status INTEGER NOT NULL, answer TEXT NOT NULL, recorded_at TEXT NOT NULL);`)},
	"sqlite/000001_notes.down.sql": {Data: []byte("DROP TABLE notes; DROP TABLE answers;")},
}

type note struct {
	ID int64
	At kit.Timestamp
}

func open(t *testing.T) (db *kit.Database, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "odd name %41?#.db")
	db, err := kit.Open(context.Background(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 2 { // a second time there is nothing to do
		if err := db.Migrate(scripts, "notes_version"); err != nil {
			t.Fatal(err)
		}
	}
	return db, path
}

func count(t *testing.T, db *kit.Database) (n int64) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *gorm.DB) error { return tx.Table("notes").Count(&n).Error }); err != nil {
		t.Fatal(err)
	}
	return n
}

// serve serves one POST route.
func serve(t *testing.T, db *kit.Database, handler echo.HandlerFunc) string {
	t.Helper()
	router, err := kit.NewRouter(kit.RouterConfig{DB: db, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	router.POST("/notes", handler)
	server := httptest.NewServer(router)
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return server.URL + "/notes"
}

func post(t *testing.T, target, key, body string) (status int, header http.Header, answer string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

func TestOpenRefusesWhatItCannotOpen(t *testing.T) {
	for _, dsn := range []string{"", "sqlite:", "mysql://root@localhost/x", "notes.db", "sqlite:" + t.TempDir() + "/no/folder.db"} {
		if db, err := kit.Open(t.Context(), dsn); err == nil {
			t.Errorf("%q was opened", dsn)
			db.Close()
		}
	}
	if _, err := kit.Open(t.Context(), "postgres://user:hunter2@127.0.0.1:1/shop"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v, want one without the password", err)
	}
}

func TestReadsCannotWrite(t *testing.T) {
	db, _ := open(t)
	err := db.Read(t.Context(), func(tx *gorm.DB) error { return tx.Create(&note{At: kit.Now()}).Error })
	if err == nil || count(t, db) != 0 {
		t.Errorf("error %v, %d notes", err, count(t, db))
	}
}

func TestAScriptThatFailedHalfWayIsNamed(t *testing.T) {
	db, _ := open(t)
	if err := db.Write(t.Context(), func(tx *gorm.DB) error { return tx.Exec("UPDATE notes_version SET dirty = 1").Error }); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(scripts, "notes_version"); err == nil || !strings.Contains(err.Error(), "script 1 stopped half-way") {
		t.Errorf("error %v", err)
	}
}

func TestOneKeyUsedByManyAtOnceHasOneEffect(t *testing.T) {
	db, _ := open(t)
	once := kit.Once{DB: db, Table: "answers"}
	target := serve(t, db, func(c echo.Context) error {
		return once.Do(c, nil, func(tx *gorm.DB) (kit.Answer, error) {
			n := note{At: kit.Now()}
			if err := tx.Create(&n).Error; err != nil {
				return kit.Answer{}, err
			}
			return kit.JSON(http.StatusCreated, n)
		})
	})
	var mu sync.Mutex
	answers := map[string]int{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			status, _, answer := post(t, target, "k", "")
			mu.Lock()
			defer mu.Unlock()
			answers[answer]++
			if status != http.StatusCreated {
				t.Errorf("%d %s", status, answer)
			}
		})
	}
	wg.Wait()
	if n := count(t, db); n != 1 || len(answers) != 1 {
		t.Errorf("%d notes and the answers %v, want one of each", n, answers)
	}
}

func TestAnEffectThatFailsIsNotRecorded(t *testing.T) {
	db, _ := open(t)
	once := kit.Once{DB: db, Table: "answers"}
	fail := true
	target := serve(t, db, func(c echo.Context) error {
		return once.Do(c, nil, func(tx *gorm.DB) (kit.Answer, error) {
			if err := tx.Create(&note{At: kit.Now()}).Error; err != nil {
				return kit.Answer{}, err
			}
			if fail {
				return kit.Answer{}, kit.Conflict("not_now", "not now")
			}
			return kit.JSON(http.StatusOK, true)
		})
	})
	if status, _, _ := post(t, target, "k", ""); status != http.StatusConflict || count(t, db) != 0 {
		t.Errorf("status %d, %d notes", status, count(t, db))
	}
	fail = false
	if status, _, _ := post(t, target, "k", ""); status != http.StatusOK || count(t, db) != 1 {
		t.Errorf("status %d, %d notes", status, count(t, db))
	}
}

func TestErrorsAsClientsSeeThem(t *testing.T) {
	db, path := open(t)
	for _, c := range []struct {
		name   string
		fail   func(echo.Context) error
		status int
		code   string
	}{
		{"unknown error", func(echo.Context) error { return errors.New("secret detail") }, 500, "internal"},
		{"panic", func(echo.Context) error { panic("secret detail") }, 500, "internal"},
		{"out of time", func(echo.Context) error { return context.DeadlineExceeded }, 503, "timeout"},
		{"busy", func(echo.Context) error { return busy(t, db, path) }, 503, "busy"},
		{"too long", func(c echo.Context) error { _, err := kit.ReadJSON(c, &struct{}{}); return err }, 413, "too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, header, answer := post(t, serve(t, db, c.fail), "", strings.Repeat(" ", kit.MaxBody+1))
			if status != c.status || !strings.Contains(answer, `{"error":{"code":"`+c.code+`","message":"`) || strings.Contains(answer, "secret") {
				t.Errorf("got %d %s, want %d %s", status, answer, c.status, c.code)
			}
			if (header.Get("Retry-After") == "1") != (status == 503) {
				t.Errorf("Retry-After %q with status %d", header.Get("Retry-After"), status)
			}
		})
	}
}

// busy returns the error of a connection that does not wait for the lock which db holds.
func busy(t *testing.T, db *kit.Database, path string) error {
	impatient, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		t.Error(err)
	}
	defer impatient.Close()
	return db.Write(t.Context(), func(tx *gorm.DB) error {
		if err := tx.Create(&note{At: kit.Now()}).Error; err != nil {
			return err
		}
		_, err := impatient.Exec("DELETE FROM notes")
		return err
	})
}

func TestTimestampIsTheSameTextEverywhere(t *testing.T) {
	db, _ := open(t)
	in := note{At: kit.At(time.Date(2030, 1, 2, 3, 4, 5, 60_999, time.FixedZone("", 3600)))}
	var text string
	var out note
	err := db.Write(t.Context(), func(tx *gorm.DB) error {
		return errors.Join(tx.Create(&in).Error, tx.Raw("SELECT at FROM notes").Scan(&text).Error, tx.First(&out).Error)
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := kit.JSON(200, out.At)
	if err != nil {
		t.Fatal(err)
	}
	const want = "2030-01-02T02:04:05.000060Z"
	if diff := cmp.Diff([]string{want, want, `"` + want + `"`}, []string{text, out.At.String(), string(answer.Body)}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestServeLetsRequestsInFlightFinish(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	arrived, finish := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		io.WriteString(w, "done")
	})
	log := &addressLog{Handler: slog.DiscardHandler, address: make(chan string, 1), draining: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- kit.Serve(ctx, "127.0.0.1:0", handler, slog.New(log)) }()
	target := "http://" + <-log.address
	answered := make(chan string, 1)
	go func() {
		_, _, answer := post(t, target, "", "")
		answered <- answer
	}()
	<-arrived
	stop()
	<-log.draining
	close(finish)
	if got := <-answered; got != "done" {
		t.Errorf("the request in flight got %q", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// addressLog tells the address that Serve logs, and when it drains.
type addressLog struct {
	slog.Handler
	address  chan string
	draining chan struct{}
}

func (l *addressLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *addressLog) Handle(_ context.Context, r slog.Record) error {
	switch r.Message {
	case "listening":
		r.Attrs(func(a slog.Attr) bool {
			l.address <- a.Value.String()
			return true
		})
	case "draining":
		close(l.draining)
	}
	return nil
}

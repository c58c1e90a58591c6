package e2e

import (
	"cmp"
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/invariant"
	"github.com/strangler-fig/strangler/migrations"
)

// kind is a kind of database, as far as the tests have to tell one from another. Statements are written
// once, with "?" for an argument and names_like_this, and put into a kind's words by speak.
type kind struct {
	dialect invariant.Dialect
	chinook string // the script that makes the Chinook database
	autoKey string // the type of a key that is generated
	// make makes two empty databases, and a third one for the control store.
	make func(t testing.TB) *pair
	// open connects as the application does.
	open func(t testing.TB, dsn string) *sql.DB
	// load makes the Chinook tables and fills them.
	load func(t testing.TB, db *sql.DB, script string)
	// speak puts a statement into the kind's words.
	speak func(statement string) string
	// schema is everything that stands in a database, as text.
	schema func(t testing.TB, db *sql.DB) []string
	// image is every row of a table, in the order of its key, with the type of each value.
	image func(t testing.TB, db *sql.DB, table, key string) []string
	// loose are rows that violate a foreign key, and keys that nobody has checked.
	loose func(t testing.TB, db *sql.DB) []string
	// refused are writes to the Chinook's invoices that a fence has to stop.
	refused []string
	// past are the statements that bring one past the closed fence of the capability billing, in a transaction.
	past func(statement string) []string
	// passer is the session that gets past, where a user's own does not; nil: any does.
	passer func(t testing.TB, db *sql.DB) *sql.DB
	// writer is who a split says has written; the zero Writer where the databases know of nobody.
	writer strangler.Writer
}

// pair are two databases and who comes into them: Strangler's role, and the application's.
type pair struct {
	*kind
	dir                               string // for files
	legacyDSN, serviceDSN, controlDSN string // by Strangler's role
	shopDSN, deliveryDSN              string // by the applications' own
}

var kinds = []*kind{sqlite, postgres, mysql}

// eachKind runs a test once for each kind of database, the kinds beside each other: they wait for leases most
// of the time.
func eachKind(t *testing.T, test func(t *testing.T, k *kind)) {
	for _, k := range kinds {
		t.Run(string(k.dialect), func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

// capture is how the monolith's changes are recorded: on PostgreSQL and MariaDB as STRANGLER_CAPTURE says.
func (k *kind) capture() strangler.Capture {
	if k.dialect == invariant.SQLite {
		return strangler.CaptureTriggers
	}
	return asked()
}

func asked() strangler.Capture {
	return cmp.Or(strangler.Capture(os.Getenv("STRANGLER_CAPTURE")), strangler.CaptureTriggers)
}

// pair makes two empty databases for the length of a test.
func (k *kind) pair(t testing.TB) *pair {
	t.Helper()
	p := k.make(t)
	p.kind, p.dir = k, t.TempDir()
	return p
}

// opened are the applications' sessions at both sides.
func (p *pair) opened(t testing.TB) (legacy, service *sql.DB) {
	t.Helper()
	return p.open(t, p.shopDSN), p.open(t, p.deliveryDSN)
}

// capability is one whose tables move between the two databases.
func (p *pair) capability(name string, tables ...strangler.Table) strangler.Capability {
	return strangler.Capability{Name: name, Capture: p.kind.capture(), Legacy: strangler.Upstream{Database: p.legacyDSN}, Service: strangler.Upstream{Database: p.serviceDSN}, Tables: tables}
}

// run executes a statement in the kind's words.
func (k *kind) run(t testing.TB, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(k.speak(statement), args...); err != nil {
		t.Fatalf("%.200s: %v", statement, err)
	}
}

// behind changes the follower behind Strangler's back.
func (k *kind) behind(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if k.passer != nil {
		db = k.passer(t, db)
	}
	tx, err := db.Begin()
	must(t, err)
	defer tx.Rollback()
	for _, q := range k.past(statement) {
		if _, err := tx.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	must(t, tx.Commit())
}

// writersNamed asks who has written beside the proxy.
func (k *kind) writersNamed(t testing.TB, s *migrations.Splits, capability string) {
	t.Helper()
	writers, err := s.Writers(t.Context(), capability)
	if k.writer == (strangler.Writer{}) {
		if !errors.Is(err, strangler.ErrRefused) {
			t.Errorf("who writes is %+v, %v, where nobody can know", writers, err)
		}
		return
	}
	must(t, err)
	if len(writers) != 1 || writers[0].Writes < 50 || time.Since(writers[0].Last) > time.Hour {
		t.Fatalf("those who write are %+v", writers)
	}
	if who := (strangler.Writer{Application: writers[0].Application, User: writers[0].User, Address: writers[0].Address}); who != k.writer {
		t.Errorf("who writes is %+v, want %+v", who, k.writer)
	}
}

// number is the one number that a query selects.
func (k *kind) number(t testing.TB, db *sql.DB, query string, args ...any) (n int64) {
	t.Helper()
	must(t, db.QueryRow(k.speak(query), args...).Scan(&n))
	return n
}

// equalTables compares a table of two databases row by row, column by column, with the type of each value.
func (k *kind) equalTables(t testing.TB, a, b *sql.DB, table, key string) {
	t.Helper()
	x, y := k.image(t, a, k.speak(table), k.speak(key)), k.image(t, b, k.speak(table), k.speak(key))
	if len(x) == 0 || len(x) != len(y) {
		t.Errorf("%s: %d rows and %d rows", table, len(x), len(y))
	}
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			t.Fatalf("%s differs:\n%s\n%s", table, x[i], y[i])
		}
	}
}

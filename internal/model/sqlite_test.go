package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
	"pgregory.net/rapid"

	"github.com/strangler-fig/strangler"
)

var sqlite = &speech{
	legacy: []string{
		"PRAGMA journal_mode = WAL",
		"CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)",
		"CREATE TABLE invoice (id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER REFERENCES customer (id) ON DELETE CASCADE ON UPDATE CASCADE, total INTEGER NOT NULL, code TEXT UNIQUE)",
		"CREATE TABLE line (invoice INTEGER NOT NULL REFERENCES invoice (id) ON DELETE CASCADE ON UPDATE CASCADE, n INTEGER NOT NULL, slot INTEGER UNIQUE, text TEXT, PRIMARY KEY (invoice, n))",
		"CREATE TABLE payment (id INTEGER PRIMARY KEY, invoice INTEGER REFERENCES invoice (id) ON DELETE SET NULL ON UPDATE CASCADE)",
		fmt.Sprintf("INSERT INTO invoice (id, total) VALUES (%d, 0)", firstGenerated-1),
		"DELETE FROM invoice",
	},
	levels:    []level{{"immediate", []string{"BEGIN IMMEDIATE"}}},
	open:      []level{{"an old snapshot", []string{"BEGIN", "SELECT count(*) FROM invoice"}}},
	sessions:  1,
	oneWriter: true,
	judge:     judgeSQLite,
	extra: map[string]func(t *rapid.T) operation{
		"replace an invoice": func(t *rapid.T) operation {
			id, v, list := values(t)
			return operation{sql: "REPLACE INTO invoice (id, customer, total, code) VALUES " + list, effect: func(r rows, how circumstance) {
				for _, other := range append(r.withCode(v.Code), id) {
					r.removeInvoice(other, how.crossing)
				}
				r.Invoices[id] = v
			}}
		},
		"update or replace an invoice": func(t *rapid.T) operation {
			id, code := anID.Draw(t, "id"), aCode.Draw(t, "code")
			return operation{sql: fmt.Sprintf("UPDATE OR REPLACE invoice SET code = %s WHERE id = %d", codeLiteral(code), id), effect: func(r rows, how circumstance) {
				v, there := r.Invoices[id]
				if !there {
					return
				}
				for _, other := range r.withCode(code) {
					if other != id {
						r.removeInvoice(other, how.crossing)
					}
				}
				v.Code = code
				r.Invoices[id] = v
			}}
		},
		"replace a line": func(t *rapid.T) operation {
			k, v := lineKey{anID.Draw(t, "invoice"), anN.Draw(t, "n")}, line{aSlot.Draw(t, "slot"), aText.Draw(t, "text")}
			return operation{sql: fmt.Sprintf("INSERT OR REPLACE INTO {line} (invoice, n, slot, text) VALUES (%d, %d, %s, %s)", k.Invoice, k.N, orNull(v.Slot), text(v.Text)), effect: func(r rows, _ circumstance) {
				for other, o := range r.Lines {
					if v.Slot.Valid && o.Slot == v.Slot {
						delete(r.Lines, other)
					}
				}
				r.Lines[k] = v
			}}
		},
	},
}

func judgeSQLite(err error) verdict {
	var e *driver.Error
	switch {
	case strings.Contains(err.Error(), "strangler:"):
		return fenced
	case errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY:
		return busy
	case errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT:
		return constraint
	case strings.Contains(err.Error(), "no such table"):
		return gone
	}
	return broken
}

// atSQLite has its databases in files.
func atSQLite(t *testing.T) lodging {
	within := t.TempDir()
	return lodging{speech: sqlite, captures: []strangler.Capture{strangler.CaptureTriggers}, open: func(t *rapid.T, side strangler.Side, n int) (*application, string) {
		path := filepath.Join(within, fmt.Sprintf("%s_%d.db", side, n))
		t.Cleanup(func() {
			for _, end := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(path + end)
			}
		})
		a := openSQLite(t, side, path, lines[side])
		run(t, a.db, "PRAGMA journal_mode = WAL")
		return a, "sqlite:" + path
	}}
}

func openSQLite(t *rapid.T, side strangler.Side, path, line string) *application {
	open := func(wait int) *sql.DB {
		u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: fmt.Sprintf("_pragma=busy_timeout(%d)&_pragma=foreign_keys(1)&_pragma=synchronous(0)&_txlock=immediate", wait)}
		db, err := sql.Open("sqlite", u.String())
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		return db
	}
	db := open(200)
	return &application{side: side, db: db, probe: open(0), look: db, line: line, speech: sqlite}
}

func run(t *rapid.T, db *sql.DB, query string) {
	if _, err := db.ExecContext(context.Background(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func must(t interface {
	Helper()
	Fatal(...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

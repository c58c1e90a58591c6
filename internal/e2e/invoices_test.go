package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// invoiceWriter is a job beside the proxy: it inserts, updates and deletes invoices at one database all the
// time, and remembers what was acknowledged. Where a fence refuses it, it goes on trying.
type invoiceWriter struct {
	k    *kind
	db   *sql.DB
	base int64

	mu            sync.Mutex
	wrote         *sync.Cond
	invoices      map[int64]string // acknowledged total, "" when deleted
	lines         int64            // how often a line's quantity was raised by one
	done, refused int
	other         error // neither acknowledged nor refused by a fence: what happened is not known
	cancel        context.CancelFunc
	wg            sync.WaitGroup
}

func newInvoiceWriter(k *kind, db *sql.DB, base int64) *invoiceWriter {
	w := &invoiceWriter{k: k, db: db, base: base, invoices: map[int64]string{}}
	w.wrote = sync.NewCond(&w.mu)
	return w
}

func (w *invoiceWriter) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Go(func() {
		pace := time.NewTicker(4 * time.Millisecond) // leaves the machine to the stream
		defer pace.Stop()
		for i := int64(0); ctx.Err() == nil; i++ {
			<-pace.C
			id, total := w.base+i, fmt.Sprint(i)
			w.write(id, total, "INSERT INTO invoice (invoice_id, customer_id, invoice_date, total) VALUES (?, 1 + ? % 59, '2026-01-01 00:00:00', ?)", id, i, total)
			w.write(0, "", "UPDATE invoice_line SET quantity = quantity + 1 WHERE invoice_line_id = 1 + ? % 2000", i)
			if i%3 == 0 {
				w.write(w.base+i/2, total+".5", "UPDATE invoice SET total = ? WHERE invoice_id = ?", total+".5", w.base+i/2)
			}
			if i%7 == 6 {
				w.write(w.base+i/2, "", "DELETE FROM invoice WHERE invoice_id = ?", w.base+i/2)
			}
		}
	})
}

// write is not ended by the writer's stop, so that its outcome is known.
func (w *invoiceWriter) write(id int64, total, query string, args ...any) {
	res, err := w.db.Exec(w.k.speak(query), args...)
	var n int64
	if err == nil {
		n, err = res.RowsAffected()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.done++
		if id == 0 {
			w.lines += n
		} else if n == 1 {
			w.invoices[id] = total
		}
	case strings.Contains(err.Error(), "strangler:"):
		w.refused++
	default:
		w.other = errors.Join(w.other, err)
	}
	w.wrote.Broadcast()
}

// await returns when n more writes were acknowledged.
func (w *invoiceWriter) await(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for goal := w.done + n; w.done < goal && w.other == nil; {
		w.wrote.Wait()
	}
}

// awaitRefused returns when n more writes were refused.
func (w *invoiceWriter) awaitRefused(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for goal := w.refused + n; w.refused < goal && w.other == nil; {
		w.wrote.Wait()
	}
}

func (w *invoiceWriter) stop() { w.cancel(); w.wg.Wait() }

// check finds every acknowledged invoice.
func (w *invoiceWriter) check(t testing.TB, db *sql.DB) {
	t.Helper()
	if w.other != nil {
		t.Errorf("the writer beside the proxy was neither acknowledged nor refused by the fence: %v", w.other)
	}
	for id, total := range w.invoices {
		want, args := int64(1), []any{id, total}
		query := "SELECT count(*) FROM invoice WHERE invoice_id = ? AND total = ?"
		if total == "" {
			want, args, query = 0, args[:1], "SELECT count(*) FROM invoice WHERE invoice_id = ?"
		}
		if n := w.k.number(t, db, query, args...); n != want {
			t.Errorf("invoice %d: acknowledged %q, found %d of it", id, total, n)
		}
	}
}

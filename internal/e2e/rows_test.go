//go:build !race

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

// rowWriter writes at legacy, and where that refuses at the service, as a seam would.
type rowWriter struct {
	k      *kind
	sides  []*sql.DB
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	wrote  *sync.Cond
	acked  map[int64]int64 // total by id; -1 when deleted
	done   int
	lost   func(error) bool // tells an error behind which the write may be done all the same; nil: none is
}

func newRowWriter(k *kind, sides ...*sql.DB) *rowWriter {
	w := &rowWriter{k: k, sides: sides, acked: map[int64]int64{}}
	w.wrote = sync.NewCond(&w.mu)
	return w
}

func (w *rowWriter) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Go(func() {
		pace := time.NewTicker(3 * time.Millisecond) // SQLite's one lock is not handed out fairly
		defer pace.Stop()
		for i := int64(0); ctx.Err() == nil; i++ {
			<-pace.C
			id := 1000 + i
			w.do(id, i, "INSERT INTO invoice (id, customer, total, code) VALUES (?, 1, ?, ?)", id, i, fmt.Sprint("n", i))
			w.do(0, 0, "INSERT INTO line (invoice, n, text) VALUES (?, 1, ?)", id, fmt.Sprint("line ", i))
			w.do(id-1, i+5, "UPDATE invoice SET total = ? WHERE id = ?", i+5, id-1)
			w.do(0, 0, "UPDATE invoice SET code = ? WHERE id = 1", fmt.Sprint("c", 1+i%2*100000))
			if i%5 == 4 {
				w.do(0, 0, "DELETE FROM line WHERE invoice = ?", id-3)
				w.do(id-3, -1, "DELETE FROM invoice WHERE id = ?", id-3)
			}
		}
	})
}

func (w *rowWriter) do(id, total int64, query string, args ...any) {
	for _, db := range w.sides {
		res, err := db.Exec(w.k.speak(query), args...)
		if err != nil {
			if strings.Contains(err.Error(), "strangler:") || strings.Contains(err.Error(), "no such table") || strings.Contains(err.Error(), "does not exist") {
				continue
			}
			if w.lost != nil && w.lost(err) {
				w.mu.Lock()
				delete(w.acked, id)
				w.mu.Unlock()
			}
			return
		}
		w.mu.Lock()
		if n, err := res.RowsAffected(); err == nil && n == 1 {
			w.done++
			if id != 0 {
				w.acked[id] = total
			}
		}
		w.wrote.Broadcast()
		w.mu.Unlock()
		return
	}
}

func (w *rowWriter) await(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for goal := w.done + n; w.done < goal; {
		w.wrote.Wait()
	}
}

func (w *rowWriter) stop() { w.cancel(); w.wg.Wait() }

func (w *rowWriter) check(t *testing.T, db *sql.DB) {
	t.Helper()
	for id, total := range w.acked {
		var got int64
		err := db.QueryRow(w.k.speak("SELECT total FROM invoice WHERE id = ?"), id).Scan(&got)
		if total < 0 && errors.Is(err, sql.ErrNoRows) || err == nil && got == total {
			continue
		}
		t.Errorf("invoice %d: acknowledged %d, found %d (%v)", id, total, got, err)
	}
}

package bench

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// upstream is a program that owns the table: POST /accounts/{id} adds one to a balance.
func upstream(t testing.TB, db *sql.DB, update string) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /accounts/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err == nil {
			_, err = db.ExecContext(r.Context(), update, id)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// writers send writes through a proxy at a rate, whether earlier ones are answered or not.
type writers struct {
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	began   time.Time
	sent    atomic.Int64
	done    atomic.Int64 // answered 2xx
	refused atomic.Int64
	why     atomic.Value // the first refusal, as text
	longest atomic.Int64 // nanoseconds from when a write was due to its answer
}

func write(t testing.TB, proxy string, rate, accounts int) *writers {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &writers{cancel: cancel, began: time.Now()}
	const lanes = 256
	due := make(chan time.Time, 100_000)
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: lanes}, Timeout: time.Minute}
	for range lanes {
		w.wg.Go(func() {
			for at := range due {
				w.one(c, fmt.Sprintf("%s/accounts/%d", proxy, 1+w.sent.Add(1)*7919%int64(accounts)), at)
			}
		})
	}
	w.wg.Go(func() {
		defer close(due)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; {
			for at := w.began.Add(time.Duration(n) * time.Second / time.Duration(rate)); time.Now().After(at); at = w.began.Add(time.Duration(n) * time.Second / time.Duration(rate)) {
				due <- at
				n++
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *writers) one(c *http.Client, url string, due time.Time) {
	resp, err := c.Post(url, "", nil)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode/100 != 2 {
			err = fmt.Errorf("%s: %s", resp.Status, body)
		}
	}
	if err != nil {
		w.refused.Add(1)
		w.why.CompareAndSwap(nil, err.Error())
		return
	}
	took := int64(time.Since(due))
	for old := w.longest.Load(); took > old && !w.longest.CompareAndSwap(old, took); old = w.longest.Load() {
	}
	w.done.Add(1)
}

// stop waits for the last answer; twice is safe.
func (w *writers) stop() {
	w.cancel()
	w.wg.Wait()
}

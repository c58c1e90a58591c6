package outage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strangler-fig/strangler"
)

const (
	writePace = 15 * time.Millisecond
	writeTime = 5 * time.Second // after which a client gives up
)

// absent is the total of an invoice that is not there.
const absent int64 = -1

// errGone: an invoice that was acknowledged is not there to be changed.
var errGone = errors.New("no such row")

// errVague: the connection failed behind the transaction's beginning.
var errVague = errors.New("the answer does not tell")

// writer writes invoices with their lines, each write in one transaction, and remembers what each invoice may
// be by the answers. After an answer that does not tell it leaves that invoice alone.
type writer struct {
	t    testing.TB
	name string
	pick func(ctx context.Context) ([]strangler.Side, func(), error)
	apps map[strangler.Side]*pgxpool.Pool

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	wrote   *sync.Cond
	may     map[string][]int64 // by code: the totals that the invoice may have
	vague   map[string]bool    // an answer did not tell
	said    map[string]error   // its last error, for a test that fails
	done    int
	fenced  int
	trouble error // what must not happen
}

// through is a client of the proxy.
func (r *rig) through(name string) *writer {
	return r.writer(name, func(ctx context.Context) ([]strangler.Side, func(), error) {
		side, leave, err := r.gate.Load().enter(ctx)
		return []strangler.Side{side}, leave, err
	})
}

// beside is an application that writes straight at the databases, wherever it is let: at legacy alone until
// the service's tables are made and fenced.
func (r *rig) beside(name string) *writer {
	n := 0
	return r.writer(name, func(context.Context) ([]strangler.Side, func(), error) {
		if n++; n%2 == 0 && r.fenced.Load() {
			return []strangler.Side{strangler.Service, strangler.Legacy}, func() {}, nil
		}
		if !r.fenced.Load() {
			return sides[:1], func() {}, nil
		}
		return sides, func() {}, nil
	})
}

func (r *rig) writer(name string, pick func(context.Context) ([]strangler.Side, func(), error)) *writer {
	w := &writer{t: r.t, name: name, pick: pick, apps: r.apps, may: map[string][]int64{}, vague: map[string]bool{}, said: map[string]error{}}
	w.wrote = sync.NewCond(&w.mu)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	w.cancel = cancel
	w.wg.Go(func() {
		pace := time.NewTicker(writePace)
		defer pace.Stop()
		for i := int64(0); ; i++ {
			select {
			case <-pace.C:
			case <-ctx.Done():
				return
			}
			w.write(ctx, i, "insert", i)
			w.write(ctx, i-1, "update", i+1_000_000)
			if i%5 == 4 {
				w.write(ctx, i-3, "delete", absent)
			}
		}
	})
	r.t.Cleanup(w.stop)
	return w
}

func (w *writer) stop() { w.cancel(); w.wg.Wait() }

// write makes invoice i have a total.
func (w *writer) write(parent context.Context, i int64, what string, total int64) {
	code := fmt.Sprintf("%s %d", w.name, i)
	if i < 0 || w.vague[code] || what != "insert" && (len(w.may[code]) == 0 || w.may[code][0] == absent) {
		return
	}
	ctx, cancel := context.WithTimeout(parent, writeTime)
	defer cancel()
	at, leave, err := w.pick(parent)
	if err != nil {
		return
	}
	defer leave()
	for _, side := range at {
		if err = transact(ctx, w.apps[side], what, code, total); err == nil || !refusedByFence(err) {
			break
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote.Broadcast()
	if err != nil {
		w.said[code] = fmt.Errorf("%s: %w", what, err)
	}
	var told *pgconn.PgError
	switch {
	case err == nil:
		w.done++
		w.may[code] = []int64{total}
	case errors.Is(err, errGone):
		w.trouble = errors.Join(w.trouble, fmt.Errorf("%s: %s finds nothing, and may only be %v", code, what, w.may[code]))
		w.vague[code] = true
	case refusedByFence(err):
		w.fenced++
	case !errors.Is(err, errVague) && pgconn.SafeToRetry(err):
	case errors.As(err, &told) && !strings.HasPrefix(told.Code, "57") && !strings.HasPrefix(told.Code, "08"):
		if told.Code == "23505" {
			w.trouble = errors.Join(w.trouble, fmt.Errorf("%s: %s: a number was given out twice: %w", code, what, err))
		}
	default:
		w.vague[code] = true
		if len(w.may[code]) == 0 {
			w.may[code] = []int64{absent}
		}
		w.may[code] = append(w.may[code], total)
	}
}

// transact makes one write. Once it has begun, only the server's own words tell that it was not done.
func transact(ctx context.Context, p *pgxpool.Pool, what, code string, total int64) error {
	tx, err := p.Begin(ctx)
	if err != nil {
		return err
	}
	if err = change(ctx, tx, what, code, total); err == nil {
		err = tx.Commit(ctx)
	} else {
		_ = tx.Rollback(ctx) // the server does it where the connection has gone
	}
	var told *pgconn.PgError
	if err != nil && !errors.Is(err, errGone) && !errors.As(err, &told) {
		err = fmt.Errorf("%w: %w", errVague, err)
	}
	return err
}

func change(ctx context.Context, tx pgx.Tx, what, code string, total int64) error {
	var id int64
	switch what {
	case "insert":
		if err := tx.QueryRow(ctx, "INSERT INTO invoice (customer, total, code) VALUES (1, $1, $2) RETURNING id", total, code).Scan(&id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO line VALUES ($1, 1, $2)", id, fmt.Sprint(total))
		return err
	case "update":
		err := tx.QueryRow(ctx, "UPDATE invoice SET total = $1 WHERE code = $2 RETURNING id", total, code).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return errGone
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE line SET text = $1 WHERE invoice = $2 AND n = 1", fmt.Sprint(total), id)
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM line USING invoice AS i WHERE i.id = line.invoice AND i.code = $1", code); err != nil {
		return err
	}
	done, err := tx.Exec(ctx, "DELETE FROM invoice WHERE code = $1", code)
	if err == nil && done.RowsAffected() == 0 {
		err = errGone
	}
	return err
}

// refusedByFence tells the fence's refusal, and a table that is not made yet, from other errors.
func refusedByFence(err error) bool {
	var told *pgconn.PgError
	return errors.As(err, &told) && (strings.HasPrefix(told.Message, "strangler:") || told.Code == "42P01")
}

// refusals counts the writes that a fence refused and no other side took.
func (w *writer) refusals() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fenced
}

// await waits for n more acknowledged writes.
func (w *writer) await(n int) {
	w.t.Helper()
	w.mu.Lock()
	goal := w.done + n
	w.mu.Unlock()
	await(w.t, fmt.Sprintf("a write of %s", w.name), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.done >= goal
	})
}

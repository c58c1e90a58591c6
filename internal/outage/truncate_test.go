package outage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strangler-fig/strangler"
)

// notes are a table that one application empties and fills, wherever it is let, and what it has to hold.
type notes struct {
	r    *rig
	mu   sync.Mutex
	next int
	want []string
}

// answer is a database's, to a TRUNCATE.
type answer string

const (
	taken   answer = "taken"
	refused answer = "refused"
	busy    answer = "busy" // somebody holds the table
)

// truncate empties the table at a side and writes a few rows, each in a transaction of its own, where it is
// let.
func (n *notes) truncate(side strangler.Side) (answer, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ctx := context.Background()
	p := n.r.apps[side]
	err := pgx.BeginFunc(ctx, p, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '50ms'") // the worker may hold the table, and wait here
		if err == nil {
			_, err = tx.Exec(ctx, "TRUNCATE note")
		}
		return err
	})
	var told *pgconn.PgError
	switch {
	case err == nil:
		n.want = nil
		return taken, n.fill(ctx, p)
	case refusedByFence(err):
		return refused, nil
	case errors.As(err, &told) && told.Code == "55P03":
		return busy, nil
	}
	return "", err
}

func (n *notes) fill(ctx context.Context, p *pgxpool.Pool) error {
	for range 3 {
		n.next++
		text := fmt.Sprintf("note %d", n.next)
		if _, err := p.Exec(ctx, "INSERT INTO note VALUES ($1, $2)", n.next%7, text); err != nil {
			return err
		}
		n.want = append(n.want, text)
	}
	return nil
}

// check holds the owner's table against what was acknowledged.
func (n *notes) check() {
	n.r.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	rows, err := n.r.apps[n.r.owner()].Query(n.r.t.Context(), "SELECT text FROM note ORDER BY text")
	must(n.r.t, err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(n.r.t, err)
	slices.Sort(n.want)
	if d := cmp.Diff(n.want, got); d != "" {
		n.r.t.Errorf("after the TRUNCATEs, - is what was acknowledged:\n%s", d)
	}
}

// TestTruncateIsFollowedOrRefused empties a table in the copy, before, in every step of and after a cutover
// and a rollback, at both sides.
func TestTruncateIsFollowedOrRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := &notes{r: r}
	w := r.through("through")
	n.must(strangler.Legacy, taken)
	inCopy := n.everywhere(strangler.Legacy)
	r.again("the copy", r.copyOnce)
	r.fenced.Store(true)
	r.awaitPhase(strangler.PhaseSyncing)
	r.watch.always(nil)
	if len(inCopy()) == 0 {
		t.Error("no TRUNCATE was taken in the copy")
	}
	n.check()
	n.must(strangler.Legacy, taken)
	n.must(strangler.Service, refused)
	r.verified()
	n.check()
	for _, to := range []strangler.Side{strangler.Service, strangler.Legacy} {
		n.everywhere(sides...)
		r.handed(to)
		r.watch.always(nil)
		n.must(to, taken)
		n.must(to.Other(), refused)
		r.caughtUp()
		n.check()
	}
	w.await(1)
	r.check(w)
}

// everywhere empties the table at each side when the worker first comes by a point, until the watch ends. The
// answer tells who took it where.
func (n *notes) everywhere(at ...strangler.Side) (takers func() map[string]strangler.Side) {
	t := n.r.t
	seen, took := map[string]bool{}, map[string]strangler.Side{}
	var mu sync.Mutex
	n.r.watch.always(func(point string) {
		mu.Lock()
		defer mu.Unlock()
		if seen[point] {
			return
		}
		seen[point] = true
		for _, side := range at {
			what, err := n.truncate(side)
			if err != nil {
				t.Errorf("TRUNCATE at the %s side at %s: %v", side, point, err)
			}
			if what == taken && took[point] != "" {
				t.Errorf("at %s both sides took a TRUNCATE", point)
			}
			if what == taken {
				took[point] = side
			}
		}
	})
	return func() map[string]strangler.Side {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(took)
	}
}

// must asks a side until it is not busy.
func (n *notes) must(side strangler.Side, want answer) {
	n.r.t.Helper()
	await(n.r.t, "an answer to a TRUNCATE", func() bool {
		got, err := n.truncate(side)
		if err != nil || got != want && got != busy {
			n.r.t.Fatalf("TRUNCATE at the %s side: %s, and it had to be %s (%v)", side, got, want, err)
		}
		return got == want
	})
}

package outage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strangler-fig/strangler"
)

// TestWritesBesideTheProxyAreKeptOrRefused moves forward and back while applications write straight into both
// databases: all the time, and whenever the worker comes by a step.
func TestWritesBesideTheProxyAreKeptOrRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	through, beside := r.through("through"), r.beside("beside")
	r.copied()
	p := &prober{r: r, taken: map[string][]strangler.Side{}}
	r.watch.always(p.probe)
	for _, to := range []strangler.Side{strangler.Service, strangler.Legacy} {
		r.handed(to)
		through.await(5)
		beside.await(5)
	}
	r.watch.always(nil)
	if n := through.refusals(); n > 0 {
		t.Errorf("%d writes through the gate met a fence", n)
	}
	p.check()
	r.check(through, beside)
}

// prober writes into note at both sides, and remembers by point who took it.
type prober struct {
	r     *rig
	mu    sync.Mutex
	next  int
	taken map[string][]strangler.Side
	want  []string
}

// probe never finds two sides that take a write. The worker waits for it, so that both answer of the same
// moment; but where the lease is renewed, it does not.
func (p *prober) probe(point string) {
	if strings.Contains(point, "lease.") && !strings.HasPrefix(point, "release.") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.want)
	for _, side := range sides {
		p.next++
		text := fmt.Sprintf("%s %d", point, p.next)
		took, err := insertNote(p.r.apps[side], 100_000+p.next, text)
		switch {
		case err != nil:
			p.r.t.Errorf("a write at the %s side at %s: %v", side, point, err)
		case took:
			p.want = append(p.want, text)
			p.taken[point] = append(p.taken[point], side)
		default:
			p.taken[point] = append(p.taken[point], "")
		}
	}
	if len(p.want) > before+1 {
		p.r.t.Errorf("at %s both sides took a write", point)
	}
}

// insertNote says whether the side took it. One that is refused, or that meets a lock of the worker, who waits
// for the answer, is not there.
func insertNote(p *pgxpool.Pool, id int, text string) (took bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = pgx.BeginFunc(ctx, p, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '50ms'")
		if err == nil {
			_, err = tx.Exec(ctx, "INSERT INTO note VALUES ($1, $2)", id, text)
		}
		return err
	})
	var told *pgconn.PgError
	if refusedByFence(err) || errors.As(err, &told) && told.Code == "55P03" {
		return false, nil
	}
	return err == nil, err
}

// check holds what was taken against the owner's table, and the steps against what has to be known of them.
func (p *prober) check() {
	t := p.r.t
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	rows, err := p.r.apps[p.r.owner()].Query(t.Context(), "SELECT text FROM note WHERE id > 100000 ORDER BY text COLLATE \"C\"")
	must(t, err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	slices.Sort(p.want)
	if d := cmp.Diff(p.want, got); d != "" {
		t.Errorf("- was acknowledged, + is at the owner:\n%s", d)
	}
	for _, s := range steps {
		if len(p.taken[s.point]) == 0 {
			t.Errorf("no write was tried at %s", s.point)
		}
	}
	for _, point := range []string{"end.after", "sequences.before", "decide.before", "decide.after"} {
		if slices.ContainsFunc(p.taken[point], func(side strangler.Side) bool { return side != "" }) {
			t.Errorf("at %s both sides are closed, and these took a write: %v", point, p.taken[point])
		}
	}
	for _, point := range []string{"hold.after", "prepare.after", "gate.after", "release.before", "release.after", "save-split.after"} {
		for _, side := range sides {
			if !slices.Contains(p.taken[point], side) {
				t.Errorf("at %s the %s side never took a write", point, side)
			}
		}
	}
}

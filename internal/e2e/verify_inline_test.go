package e2e

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// TestAVerificationGoesOnWhereItWas cuts one off behind some ten thousand rows, and the daemon with it. The next
// one reads none of them again, knows the mismatch that was found among them, and counts every row once. Under
// another toggle, and to repair, it begins anew.
func TestAVerificationGoesOnWhereItWas(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		const rows, saved = 12_000, 97 * 100 // what startSplits takes for a chunk, and a multiple of how often progress is recorded
		ctx, p := t.Context(), k.pair(t)
		old, fresh := p.opened(t)
		k.run(t, old, "CREATE TABLE invoice (id INTEGER PRIMARY KEY, total INTEGER)")
		k.run(t, old, "INSERT INTO invoice WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) SELECT i, 0 FROM n")
		c := p.capability("billing", strangler.Table{From: "invoice"})
		reads := &reads{}
		splits := startSplitsOver(t, p, c, reads.open, nil)
		must(t, splits.Copy(ctx, c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		k.behind(t, fresh, "UPDATE invoice SET total = 7 WHERE id = 5")

		cut, cancel := context.WithCancel(ctx)
		reads.begin(func(after int64) {
			if after > saved+97 {
				cancel()
			}
		})
		if v, err := splits.Verify(cut, c.Name); !errors.Is(err, context.Canceled) {
			t.Fatalf("a verification that is cut off: %+v, %v", v, err)
		}
		if st, err := splits.Status(ctx, c.Name); err != nil || st.Verifying == nil || st.Verifying.Rows != saved || st.Verifying.Mismatches != 1 || len(st.Verifying.After) > 0 || st.Differing != 1 {
			t.Errorf("how far it has come: %+v, %v", st, err)
		}
		must(t, splits.Close())
		splits = startSplitsOver(t, p, c, reads.open, nil)
		awaitCaughtUp(t, splits, c.Name)
		reads.begin(nil)
		v, err := splits.Verify(ctx, c.Name)
		must(t, err)
		if v.Rows != rows || v.Mismatches != 1 || len(v.Differences) != 1 || v.Differences[0].Key != "5" {
			t.Errorf("the verification that went on: %+v", v)
		}
		if first := reads.first(); first != saved {
			t.Errorf("it went on behind row %d; want %d", first, saved)
		}
		if st, err := splits.Status(ctx, c.Name); err != nil || st.Verifying != nil {
			t.Errorf("behind its end: %+v, %v", st, err)
		}

		again := func(what string, between func(), verify func(context.Context, string) (strangler.Verification, error)) {
			t.Helper()
			cut, cancel := context.WithCancel(ctx)
			reads.begin(func(after int64) {
				if after > saved+97 {
					cancel()
				}
			})
			if _, err := splits.Verify(cut, c.Name); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			between()
			reads.begin(nil)
			if v, err := verify(ctx, c.Name); err != nil || v.Rows != rows || reads.first() != 0 {
				t.Errorf("%s: %+v, %v, from row %d on; want all", what, v, err, reads.first())
			}
		}
		again("under another toggle", func() { flip(t, p, c.Name) }, splits.Verify)
		again("to repair", func() {}, splits.Repair)
		if st, err := splits.Status(ctx, c.Name); err != nil || st.Differing != 0 || st.LastVerify.Mismatches != 0 {
			t.Errorf("behind the repair: %+v, %v", st, err)
		}
	})
}

// flip changes the capability's toggle and puts it back.
func flip(t *testing.T, p *pair, capability string) {
	t.Helper()
	store, err := control.Open(t.Context(), control.Config{DSN: p.controlDSN})
	must(t, err)
	defer store.Close()
	for _, m := range []strangler.Mode{strangler.ModeShadow, strangler.ModeLegacy} {
		_, err = store.Set(t.Context(), capability, strangler.ToggleChange{Mode: m, Who: "test", Why: "test"})
		must(t, err)
	}
}

// reads remembers behind which row of the monolith's a verification began, and tells of every range that it reads.
type reads struct {
	mu    sync.Mutex
	begun bool
	from  int64
	each  func(after int64)
}

func (r *reads) begin(each func(after int64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun, r.each = false, each
}

func (r *reads) first() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from
}

func (r *reads) open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	d, err := engines.Open(ctx, b)
	return reading{d, r, b.Side}, err
}

type reading struct {
	migrations.Database
	reads *reads
	side  strangler.Side
}

func (d reading) Range(ctx context.Context, table int, x migrations.Range, yield func(migrations.Row) error) error {
	if d.side == strangler.Legacy {
		var after int64
		if x.After != nil {
			after = x.After[0].(int64)
		}
		d.reads.mu.Lock()
		if !d.reads.begun {
			d.reads.begun, d.reads.from = true, after
		}
		each := d.reads.each
		d.reads.mu.Unlock()
		if each != nil {
			each(after)
		}
	}
	return d.Database.Range(ctx, table, x, yield)
}

// TestWhatIsAppliedIsCompared has the follower write another value than it was given. The batch's own comparison
// finds it: it is seen, a cutover is refused though the last verification found nothing, and a repair mends it.
func TestWhatIsAppliedIsCompared(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		ctx, p := t.Context(), k.pair(t)
		old, _ := p.opened(t)
		k.run(t, old, "CREATE TABLE invoice (id INTEGER PRIMARY KEY, total INTEGER)")
		k.run(t, old, "INSERT INTO invoice VALUES (1, 1), (2, 2), (3, 3)")
		c := p.capability("billing", strangler.Table{From: "invoice"})
		liar := &liar{}
		splits := startSplitsOver(t, p, c, liar.open, nil)
		must(t, splits.Copy(ctx, c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		if v, err := splits.Verify(ctx, c.Name); err != nil || v.Mismatches != 0 {
			t.Fatalf("before: %+v, %v", v, err)
		}
		differing := func(want int64) {
			t.Helper()
			await(t, "the comparison", func() bool {
				st, err := splits.Status(ctx, c.Name)
				must(t, err)
				return st.Differing == want
			})
		}
		liar.set(true)
		k.run(t, old, "UPDATE invoice SET total = total + 10")
		differing(1)
		liar.set(false)
		var told *strangler.Refusal
		if _, err := splits.Cutover(ctx, c.Name, "test", "too early"); !errors.As(err, &told) || told.Check != "differing" {
			t.Errorf("a cutover where a row differs: %v", err)
		}
		k.run(t, old, "UPDATE invoice SET total = total + 10 WHERE id = 2") // the owner's row is brought again
		differing(0)
		liar.set(true)
		k.run(t, old, "UPDATE invoice SET total = total + 10")
		differing(1)
		liar.set(false)
		if v, err := splits.Repair(ctx, c.Name); err != nil || v.Mismatches != 0 || v.Repaired != 1 {
			t.Errorf("the repair: %+v, %v", v, err)
		}
		differing(0)
		if _, err := splits.Cutover(ctx, c.Name, "test", "all is equal"); err != nil {
			t.Error(err)
		}
	})
}

// liar makes the service's side write 99 into the second row where another value was given.
type liar struct {
	mu sync.Mutex
	on bool
}

func (l *liar) set(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = on
}

func (l *liar) open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	d, err := engines.Open(ctx, b)
	if b.Side == strangler.Service && err == nil {
		d = lying{d, l}
	}
	return d, err
}

type lying struct {
	migrations.Database
	liar *liar
}

func (d lying) Begin(ctx context.Context, term int64) (migrations.Apply, error) {
	a, err := d.Database.Begin(ctx, term)
	if err != nil {
		return nil, err
	}
	return lyingApply{a, d.liar}, nil
}

type lyingApply struct {
	migrations.Apply
	liar *liar
}

func (a lyingApply) Insert(ctx context.Context, table int, r migrations.Row) error {
	a.liar.mu.Lock()
	on := a.liar.on
	a.liar.mu.Unlock()
	if on && r[0] == int64(2) {
		r = migrations.Row{r[0], int64(99)}
	}
	return a.Apply.Insert(ctx, table, r)
}

package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// TestVerifyIsNotMisledByARowThatComesAndGoes has one row change whenever the monolith's rows are read, and change
// back before they are read again: two looks at two sides never find it alike, and it is no mismatch. One that
// really differs is.
func TestVerifyIsNotMisledByARowThatComesAndGoes(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		ctx, p := t.Context(), k.pair(t)
		old, fresh := p.opened(t)
		for _, q := range []string{"CREATE TABLE invoice (id INTEGER PRIMARY KEY, total INTEGER)", "INSERT INTO invoice VALUES (1, 0), (2, 0), (3, 0)"} {
			k.run(t, old, q)
		}
		swing := &swing{t: t, old: old, fresh: fresh}
		c := p.capability("billing", strangler.Table{From: "invoice"})
		splits := startSplitsOver(t, p, c, swing.open, nil)
		must(t, splits.Copy(ctx, c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		swing.on.Store(true)
		for range 3 {
			v, err := splits.Verify(ctx, c.Name)
			must(t, err)
			if v.Mismatches != 0 || v.Rows != 3 {
				t.Fatalf("with a row that comes and goes: %+v", v)
			}
		}
		if swing.suspected.Load() == 0 {
			t.Error("the row was never found different, so nothing was shown")
		}
		swing.on.Store(false)
		awaitCaughtUp(t, splits, c.Name)
		k.behind(t, fresh, "UPDATE invoice SET total = 7 WHERE id = 2")
		v, err := splits.Verify(ctx, c.Name)
		must(t, err)
		if v.Mismatches != 1 {
			t.Errorf("with a row that differs: %+v", v)
		}
	})
}

// TestRepair has rows changed behind the fence of the side that follows, in every way. They are named by key and column,
// without a value, and a repair brings the owner's rows, unique values that were swapped too.
func TestRepair(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		ctx, p := t.Context(), k.pair(t)
		old, fresh := p.opened(t)
		for _, q := range []string{"CREATE TABLE invoice (id INTEGER PRIMARY KEY, code VARCHAR(20) UNIQUE, total INTEGER)", "INSERT INTO invoice VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4), (5, 'e', 5)"} {
			k.run(t, old, q)
		}
		c := p.capability("billing", strangler.Table{From: "invoice"})
		splits := startSplits(t, p, c)
		must(t, splits.Copy(ctx, c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		for _, q := range []string{"UPDATE invoice SET code = 'x' WHERE id = 1", "UPDATE invoice SET code = 'a' WHERE id = 2", "UPDATE invoice SET code = 'b' WHERE id = 1",
			"UPDATE invoice SET total = 77 WHERE id = 3", "DELETE FROM invoice WHERE id = 4", "INSERT INTO invoice VALUES (9, 'only here', 9)"} {
			k.behind(t, fresh, q)
		}
		want := []strangler.Difference{
			{Table: "invoice", Key: "1", Kind: strangler.DifferenceDiffers, Columns: []string{"code"}},
			{Table: "invoice", Key: "2", Kind: strangler.DifferenceDiffers, Columns: []string{"code"}},
			{Table: "invoice", Key: "3", Kind: strangler.DifferenceDiffers, Columns: []string{"total"}},
			{Table: "invoice", Key: "4", Kind: strangler.DifferenceMissing},
			{Table: "invoice", Key: "9", Kind: strangler.DifferenceExtra},
		}
		lower := cmp.Transformer("lower", strings.ToLower) // SQLite's schema has its own spelling
		v, err := splits.Verify(ctx, c.Name)
		must(t, err)
		if diff := cmp.Diff(want, v.Differences, lower); diff != "" || v.Mismatches != 5 || v.Repaired != 0 {
			t.Errorf("verified: %+v\n%s", v, diff)
		}
		v, err = splits.Repair(ctx, c.Name)
		must(t, err)
		for i := range want {
			want[i].Repaired = true
		}
		if diff := cmp.Diff(want, v.Differences, lower); diff != "" || v.Mismatches != 0 || v.Repaired != 5 {
			t.Errorf("repaired: %+v\n%s", v, diff)
		}
		if v, err = splits.Verify(ctx, c.Name); err != nil || v.Mismatches != 0 || v.Rows != 5 {
			t.Errorf("behind the repair: %+v, %v", v, err)
		}
	})
}

// swing sets a row to 1 before the monolith's rows are read, and to 2 behind that.
type swing struct {
	t          *testing.T
	old, fresh *sql.DB
	on         atomic.Bool
	suspected  atomic.Int64
}

func (s *swing) open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	d, err := engines.Open(ctx, b)
	return swinging{d, s, b.Side}, err
}

func (s *swing) set(total int) {
	if _, err := s.old.Exec(fmt.Sprintf("UPDATE invoice SET total = %d WHERE id = 1", total)); err != nil {
		s.t.Error(err)
	}
}

type swinging struct {
	migrations.Database
	swing *swing
	side  strangler.Side
}

func (d swinging) Range(ctx context.Context, table int, r migrations.Range, yield func(migrations.Row) error) error {
	if d.side == strangler.Legacy && d.swing.on.Load() {
		d.swing.set(1)
		defer d.swing.set(2)
	}
	return d.Database.Range(ctx, table, r, yield)
}

// Lookup at the service gives the stream some time to bring the 2.
func (d swinging) Lookup(ctx context.Context, table int, keys []migrations.Key, yield func(migrations.Row) error) error {
	if !d.swing.on.Load() {
		return d.Database.Lookup(ctx, table, keys, yield)
	}
	if d.side == strangler.Legacy {
		d.swing.set(1)
		defer d.swing.set(2)
		return d.Database.Lookup(ctx, table, keys, yield)
	}
	late := time.NewTimer(time.Second)
	defer late.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var total int
		if err := d.swing.fresh.QueryRowContext(ctx, "SELECT total FROM invoice WHERE id = 1").Scan(&total); err != nil || total == 2 {
			d.swing.suspected.Add(1)
			break
		}
		select {
		case <-tick.C:
			continue
		case <-late.C:
		}
		break
	}
	return d.Database.Lookup(ctx, table, keys, yield)
}

package enginetest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var repairRules = []rule{
	{"columns are named in the order of a row's values", repairColumns},
	{"a key that is logged again brings the owner's row", repairRelogs},
	{"each logging is an entry, and none is lost to a batch in flight", repairBetween},
	{"only the owner logs a key again", repairAtTheOwner},
	{"another control store logs nothing", repairForeign},
	{"keys that are hard to compare are logged again", repairHardKeys},
}

func repairColumns(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, "couriers", "actions→deeds")
	for _, d := range []migrations.Database{p.Legacy, p.Service} {
		for table, want := range [][]string{{"badge", "boss", "id", "name", "zone"}, {"at", "courier", "what"}} {
			got, err := d.Columns(t.Context(), table)
			p.must(err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("columns of table %d, - want, + got:\n%s", table, diff)
			}
		}
	}
}

// repairRelogs takes a row away at the follower, makes one that the owner lacks, and changes one.
func repairRelogs(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Armed(t, lab, Couriers, Moved...)
	p.must(p.Apply(func(a migrations.Apply) error {
		for _, k := range []int64{2, 3} {
			if err := a.Delete(ctx, 0, migrations.Key{k}); err != nil {
				return err
			}
		}
		if err := a.Insert(ctx, 0, migrations.Row{nil, nil, int64(3), "not Cyd", nil}); err != nil { // badge, boss, id, name, zone
			return err
		}
		if err := a.Insert(ctx, 0, migrations.Row{int64(20), nil, int64(9), "holds Bob's badge", nil}); err != nil {
			return err
		}
		return a.Delete(ctx, 1, migrations.Key{int64(1), int64(2)})
	}))
	p.Sync()
	p.must(p.Legacy.Relog(ctx, 0, []migrations.Key{{int64(2)}, {int64(3)}, {int64(9)}}))
	p.must(p.Legacy.Relog(ctx, 1, []migrations.Key{{int64(1), int64(2)}}))
	p.must(p.Legacy.Relog(ctx, 1, nil))
	if n := p.Pending(); n != 4 {
		t.Errorf("%d changes of 4 keys", n)
	}
	keysOf(t, p, 0, "2", "3", "9")
	keysOf(t, p, 1, "1 2")
	p.Sync()
	p.Alike()
	if n := p.Pending(); n != 0 {
		t.Errorf("%d changes are left", n)
	}
}

func repairBetween(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Armed(t, lab, Couriers, Moved...)
	again := []migrations.Key{{int64(1)}}
	p.must(p.Legacy.Relog(ctx, 0, again))
	p.must(p.Legacy.Relog(ctx, 0, again))
	if n := p.Pending(); n != 2 {
		t.Errorf("%d changes of a key that was logged twice", n)
	}
	applied, err := p.Service.Applied(ctx)
	p.must(err)
	b, err := p.Legacy.Read(ctx, applied)
	p.must(err)
	defer b.Close()
	p.must(p.Apply(func(a migrations.Apply) error { return p.replay(ctx, b, a, applied) }))
	p.must(b.Close())
	p.must(p.Legacy.Relog(ctx, 0, again))
	p.must(p.Legacy.Forget(ctx, b))
	if n := p.Pending(); n != 1 {
		t.Errorf("%d changes are left, want the one that came between", n)
	}
	p.Sync()
	p.Alike()
}

// repairAtTheOwner asks at both sides, and where both are closed.
func repairAtTheOwner(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Armed(t, lab, Couriers, Moved...)
	keys := []migrations.Key{{int64(1)}}
	refused := func(d migrations.Database) {
		t.Helper()
		p.Wants(d.Relog(ctx, 0, keys), strangler.ErrSuperseded)
		if n, err := d.Pending(ctx); err != nil || n != 0 {
			t.Errorf("%d changes where nothing may be logged, %v", n, err)
		}
	}
	refused(p.Service)
	p.Epoch++
	p.must(p.Legacy.SetFence(ctx, p.Epoch, migrations.FenceClosed))
	refused(p.Legacy)
	refused(p.Service)
	p.CutOver()
	refused(p.Legacy)
	p.must(p.Service.Relog(ctx, 0, keys))
	keysOf(t, p, 0, "1")
	p.Sync()
	p.Alike()
}

func repairForeign(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.planning("another store")
	p.Wants(p.Legacy.Relog(t.Context(), 0, []migrations.Key{{int64(1)}}), strangler.ErrSuperseded)
	if n := p.Pending(); n != 0 {
		t.Errorf("%d changes are logged", n)
	}
}

func repairHardKeys(t *testing.T, lab Lab) {
	samples := lab.Speech().Keys
	ddl, names := filled(lab, samples)
	p := Armed(t, lab, ddl, names...)
	p.each(samples, func(p *Pair, table int, s Sample) {
		ctx := p.t.Context()
		var keys []migrations.Key
		p.must(p.Legacy.Range(ctx, table, migrations.Range{}, func(r migrations.Row) error {
			keys = append(keys, p.Legacy.KeyOf(table, r))
			return nil
		}))
		p.must(p.Apply(func(a migrations.Apply) error { return a.Empty(ctx, table) }))
		for some := range slices.Chunk(keys, 3) {
			p.must(p.Legacy.Relog(ctx, table, some))
		}
		p.Sync()
		p.alike(table)
	})
}

package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var captureRules = []rule{
	{"inserts, updates and deletes are recorded", captureWrites},
	{"a key change records both keys", captureKeyChange},
	{"a cascade within the tables that move is recorded", captureCascade},
	{"nothing is deduplicated", captureEachChange},
	{"what is rolled back is not recorded", captureRolledBack},
	{"nothing of the applier's own is recorded", captureNotTheApplier},
	{"reading sees one snapshot", captureOneSnapshot},
	{"a change between reading and forgetting stays", captureBetween},
	{"forgetting twice drops nothing newer", captureForgetTwice},
	{"what a crash left is applied again, and after the next crash too", captureCrash},
	{"serials more than one apart stop", captureSerialsApart},
	{"the service's own changes stream back", captureReversed},
	{"keys that are hard to compare arrive", captureHardKeys},
	{"the end is the position that was given away", captureEnd},
}

func keysOf(t *testing.T, p *Pair, table int, want ...string) {
	t.Helper()
	set := map[string]bool{}
	for _, k := range want {
		set[k] = true
	}
	if diff := cmp.Diff(set, p.Keys(table)); diff != "" {
		t.Errorf("recorded keys of table %d, - want, + got:\n%s", table, diff)
	}
}

// show is a key as text, with the type of each value.
func show(k migrations.Key) string {
	out := make([]string, len(k))
	for i, v := range k {
		switch v := v.(type) {
		case string:
			out[i] = fmt.Sprintf("%q", v)
		case []byte:
			out[i] = fmt.Sprintf("x'%x'", v)
		case float64:
			out[i] = fmt.Sprintf("%e", v)
		default:
			out[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(out, " ")
}

func captureWrites(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.Exec(p.App, "INSERT INTO couriers (id, name) VALUES (7, 'Gus')")
	p.Exec(p.App, "UPDATE couriers SET name = 'Bea' WHERE id = 2")
	p.Exec(p.App, "DELETE FROM couriers WHERE id = 3")
	p.Exec(p.App, "UPDATE actions SET what = 'late' WHERE courier = 1 AND at = 2")
	p.Exec(p.App, "UPDATE orders SET courier = 7 WHERE id = 1")
	keysOf(t, p, 0, "7", "2", "3")
	keysOf(t, p, 1, "1 2")
	p.Sync()
	p.Alike()
	if n := p.Pending(); n != 0 {
		t.Errorf("%d changes are left", n)
	}
}

func captureKeyChange(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.Exec(p.App, "UPDATE couriers SET id = 33 WHERE id = 3")
	p.Exec(p.App, "UPDATE actions SET at = at + 100, courier = 1 WHERE courier = 2")
	keysOf(t, p, 0, "3", "33")
	keysOf(t, p, 1, "2 1", "1 101")
	p.Sync()
	p.Alike()
}

func captureCascade(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.Exec(p.App, "UPDATE couriers SET boss = NULL")
	p.Exec(p.App, "DELETE FROM couriers WHERE id = 1")
	keysOf(t, p, 0, "1", "2", "3")
	keysOf(t, p, 1, "1 1", "1 2")
	p.Sync()
	p.Alike()
}

func captureEachChange(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	for i := range 5 {
		p.Exec(p.App, fmt.Sprintf("UPDATE actions SET what = 'n%d' WHERE courier = 2", i))
		if n := p.Pending(); n != int64(i+1) {
			t.Errorf("%d changes after %d updates of one row", n, i+1)
		}
	}
	keysOf(t, p, 1, "2 1")
	p.Sync()
	p.Alike()
}

func captureRolledBack(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	tx, err := p.App.BeginTx(t.Context(), nil)
	p.must(err)
	for _, q := range writes {
		_, err := tx.ExecContext(t.Context(), q)
		p.must(err)
	}
	keysOf(t, p, 0)
	p.must(tx.Rollback())
	if n := p.Pending(); n != 0 {
		t.Errorf("%d changes of a transaction that was rolled back", n)
	}
}

func captureNotTheApplier(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	for _, q := range writes {
		p.Exec(p.App, q)
	}
	p.Sync()
	p.Alike()
	n, err := p.Service.Pending(t.Context())
	p.must(err)
	if n != 0 {
		t.Errorf("the service recorded %d writes of the applier", n)
	}
}

func captureOneSnapshot(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Armed(t, lab, Couriers, Moved...)
	p.Exec(p.App, "UPDATE actions SET what = 'seen' WHERE at = 2")
	applied, err := p.Service.Applied(ctx)
	p.must(err)
	b, err := p.Legacy.Read(ctx, applied)
	p.must(err)
	defer b.Close()
	beside := make(chan error, 1)
	go func() { // where readers block writers, it comes after the batch; that is right as well
		_, err := p.App.ExecContext(ctx, "UPDATE actions SET what = 'unseen'")
		beside <- err
	}()
	rows := 0
	p.must(b.Keys(ctx, 1, nil, func(k migrations.Key, _ int) error {
		if show(k) != "1 2" {
			t.Errorf("the batch sees the key %s, which changed behind it", show(k))
		}
		return nil
	}))
	p.must(b.Rows(ctx, 1, nil, func(r migrations.Row, _ int) error {
		rows++
		for _, v := range r {
			if v == "unseen" {
				t.Errorf("the batch sees a row from behind its snapshot: %v", r)
			}
		}
		return nil
	}))
	if rows != 1 || b.Changes() != 1 {
		t.Errorf("%d rows and %d changes in the batch", rows, b.Changes())
	}
	var found []string
	p.must(b.Lookup(ctx, 1, []migrations.Key{{int64(1), int64(1)}, {int64(1), int64(2)}, {int64(9), int64(9)}}, func(r migrations.Row) error {
		found = append(found, fmt.Sprint(r...))
		return nil
	}))
	slices.Sort(found)
	if diff := cmp.Diff([]string{"1 1pickup", "2 1seen"}, found); diff != "" { // at, courier, what
		t.Errorf("looked up in the snapshot:\n%s", diff)
	}
	p.must(b.Close())
	p.must(b.Close())
	p.must(<-beside)
	p.Sync()
	p.Alike()
}

func captureBetween(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.Exec(p.App, "UPDATE actions SET what = 'first' WHERE at = 2")
	ctx := t.Context()
	applied, err := p.Service.Applied(ctx)
	p.must(err)
	b, err := p.Legacy.Read(ctx, applied)
	p.must(err)
	defer b.Close()
	p.must(p.Apply(func(a migrations.Apply) error { return p.replay(ctx, b, a, applied) }))
	p.must(b.Close()) // a snapshot that blocks writers has to end before the application goes on
	p.Exec(p.App, "UPDATE actions SET what = 'second' WHERE at = 2")
	p.must(p.Legacy.Forget(ctx, b))
	if n := p.Pending(); n != 1 {
		t.Errorf("%d changes are left, want the one that came between", n)
	}
	p.Sync()
	p.Alike()
}

func captureForgetTwice(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	ctx := t.Context()
	p.Exec(p.App, "UPDATE couriers SET name = 'first' WHERE id = 1")
	applied, err := p.Service.Applied(ctx)
	p.must(err)
	b, err := p.Legacy.Read(ctx, applied)
	p.must(err)
	p.must(p.Apply(func(a migrations.Apply) error { return p.replay(ctx, b, a, applied) }))
	p.must(b.Close())
	p.must(p.Legacy.Forget(ctx, b))
	// The log is empty now; what comes next may take the ids that were given back.
	p.Exec(p.App, "UPDATE couriers SET name = 'second' WHERE id = 1")
	p.Exec(p.App, "UPDATE actions SET what = 'second'")
	want := p.Pending()
	p.must(p.Legacy.Forget(ctx, b))
	if n := p.Pending(); n != want {
		t.Errorf("forgetting an old batch again left %d of %d changes", n, want)
	}
	p.Sync()
	p.Alike()
}

var errCrash = errors.New("crash")

func captureCrash(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.Exec(p.App, "UPDATE couriers SET name = 'one' WHERE id = 1")
	p.Exec(p.App, "DELETE FROM actions WHERE courier = 2")
	for i := range 3 {
		if _, err := p.step(func() error { return errCrash }); !errors.Is(err, errCrash) {
			t.Fatalf("crash %d: %v", i, err)
		}
		p.Alike()
		p.Exec(p.App, fmt.Sprintf("UPDATE couriers SET name = 'again %d' WHERE id = 1", i))
		p.Exec(p.App, fmt.Sprintf("INSERT INTO actions (courier, at, what) VALUES (2, %d, 'back')", i+1))
	}
	p.Sync()
	p.Alike()
	if n := p.Pending(); n != 0 {
		t.Errorf("%d leftovers", n)
	}
}

// captureSerialsApart puts either side back to an older copy, as a restore does.
func captureSerialsApart(t *testing.T, lab Lab) {
	older := lab.Speech().Older
	if older == "" {
		older = "UPDATE strangler_position SET applied = CAST(applied AS DECIMAL) - 1"
	}
	for name, restored := range map[string]func(p *Pair){
		"the owner": func(p *Pair) {
			p.Exec(p.Admin(strangler.Legacy), "UPDATE strangler_position SET forgotten = forgotten - 2")
		},
		"follower": func(p *Pair) {
			p.Exec(p.Admin(strangler.Service), older)
		},
	} {
		if lab.Speech().Streamed && name == "the owner" {
			continue // its log has one position only, which a restore takes with it
		}
		t.Run(name, func(t *testing.T) {
			p := Armed(t, lab, Couriers, Moved...)
			for i := range 3 {
				p.Exec(p.App, fmt.Sprintf("UPDATE couriers SET name = 'n%d'", i))
				p.Sync()
			}
			restored(p)
			before := images(p, p.Served)
			p.Exec(p.App, "UPDATE couriers SET name = 'after'")
			_, err := p.Step()
			p.Wants(err, strangler.ErrStopped)
			if diff := cmp.Diff(before, images(p, p.Served)); diff != "" {
				t.Errorf("something was applied:\n%s", diff)
			}
		})
	}
}

func captureReversed(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.Exec(p.App, "UPDATE couriers SET name = 'last' WHERE id = 1")
	p.CutOver()
	for _, q := range writes {
		p.Exec(p.Served, q)
		p.Refused(p.App, q)
	}
	p.Sync()
	p.Alike()
	p.Exec(p.Served, "UPDATE couriers SET name = 'very last' WHERE id = 2")
	p.CutOver()
	p.Alike()
	p.Exec(p.App, "DELETE FROM actions")
	p.Refused(p.Served, writes[1])
	p.Sync()
	p.Alike()
}

func captureHardKeys(t *testing.T, lab Lab) {
	samples := lab.Speech().Keys
	ddl, names := tables(lab, samples)
	p := Armed(t, lab, ddl, names...)
	p.each(samples, func(p *Pair, table int, s Sample) {
		p.execAll(p.App, s.insert(lab))
		p.Sync()
		p.alike(table)
		p.Exec(p.App, s.touch(lab))
		p.Sync()
		p.alike(table)
	})
	p.CutOver()
	p.each(samples, func(p *Pair, table int, s Sample) {
		p.Exec(p.Served, "DELETE FROM "+lab.Speech().Quote(s.Name))
		p.Sync()
		p.alike(table)
		p.execAll(p.Served, s.insert(lab))
		p.Sync()
		p.alike(table)
	})
}

func captureEnd(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	for i := range 3 {
		applied, err := p.Service.Applied(t.Context())
		p.must(err)
		end, err := p.Legacy.End(t.Context())
		p.must(err)
		if applied != end && !lab.Speech().Streamed {
			t.Errorf("round %d: applied up to %q, given away up to %q", i, applied, end)
		}
		p.Exec(p.App, fmt.Sprintf("UPDATE couriers SET name = 'n%d'", i))
		p.Sync()
	}
}

package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/migrations"
)

var applyRules = []rule{
	{"unique values that swap in one batch", applySwaps},
	{"rows that refer to each other, in any order", applyAnyOrder},
	{"hard values arrive as they are", applyHardValues},
	{"rows that nobody looks into arrive as they are", applyUnread},
	{"a unique conflict is an error, never skipped", applyDuplicate},
	{"a row that the table does not take is an error, never skipped", applyMisfit},
	{"a rollback leaves nothing", applyRollback},
	{"rows are read back inside the transaction", applyGet},
	{"emptying deletes every row of one table", applyEmpty},
	{"a delete does not cascade at the follower", applyNoCascade},
	{"renamed tables", applyRenamed},
}

func applySwaps(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	for _, q := range []string{
		"UPDATE couriers SET badge = NULL WHERE id = 1", "UPDATE couriers SET badge = 10 WHERE id = 2", "UPDATE couriers SET badge = 20 WHERE id = 1",
		"UPDATE couriers SET id = 100 WHERE id = 3", "INSERT INTO couriers (id, name, badge) VALUES (3, 'new', 30)",
	} {
		p.Exec(p.App, q)
	}
	p.Sync()
	p.Alike()
}

func applyAnyOrder(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, "actions", "couriers") // children first
	p.Exec(p.App, "INSERT INTO couriers (id, name) VALUES (90, 'later boss')")
	p.Exec(p.App, "INSERT INTO couriers (id, name, boss) VALUES (50, 'early', 90), (40, 'earlier', 50)")
	p.Exec(p.App, "INSERT INTO actions (courier, at, what) VALUES (40, 1, 'x'), (90, 1, 'y')")
	p.Exec(p.App, "UPDATE couriers SET boss = 40 WHERE id = 90") // a ring
	p.Sync()
	p.Alike()
	if orphans, err := p.Service.Orphans(t.Context(), nil); err != nil || len(orphans) > 0 {
		t.Errorf("orphans %v, %v", orphans, err)
	}
}

// applyHardValues carries each sample over by the copy, and by the stream, there and back.
func applyHardValues(t *testing.T, lab Lab) {
	samples := lab.Speech().Edges
	ddl, names := filled(lab, samples)
	copied := Armed(t, lab, ddl, names...)
	ddl, _ = tables(lab, samples)
	p := Armed(t, lab, ddl, names...)
	p.each(samples, func(p *Pair, table int, s Sample) {
		copied := *copied
		copied.t = p.t
		copied.alike(table)
		p.execAll(p.App, s.insert(lab))
		p.Sync()
		p.alike(table)
		image := lab.Speech().Image
		if diff := cmp.Diff(image(p.t, copied.Served, s.Name), image(p.t, p.Served, s.Name)); diff != "" {
			p.t.Errorf("copied and streamed rows differ:\n%s", diff)
		}
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

// applyUnread carries each sample over as the copy does where both sides write rows in one form. Rows without
// such a form go one by one.
func applyUnread(t *testing.T, lab Lab) {
	ctx := t.Context()
	samples := lab.Speech().Edges
	ddl, names := filled(lab, samples)
	p := Planned(t, lab, migrations.StageArmed, ddl, names...)
	p.each(samples, func(p *Pair, table int, s Sample) {
		form, err := p.Legacy.Form(ctx, table)
		p.must(err)
		there, err := p.Service.Form(ctx, table)
		p.must(err)
		if form != there {
			p.t.Errorf("%s is written as %q and read as %q", s.Name, form, there)
		}
		if form == "" {
			return // rows go one by one, and Send is not asked
		}
		var rows bytes.Buffer
		err = p.Legacy.Send(ctx, table, migrations.Range{}, &rows)
		again := bytes.NewReader(rows.Bytes())
		var received int64
		errReceive := p.Apply(func(a migrations.Apply) (err error) {
			received, err = a.Receive(ctx, table, &rows)
			return err
		})
		p.must(errors.Join(err, errReceive))
		if n, err := p.Service.Count(ctx, table); err != nil || n != received {
			p.t.Errorf("%s: %d rows were received, and %d are there: %v", s.Name, received, n, err)
		}
		p.alike(table)
		p.Wants(p.Apply(func(a migrations.Apply) error {
			_, err := a.Receive(ctx, table, again)
			return err
		}), migrations.ErrDuplicate)
		p.alike(table)
	})
}

func applyDuplicate(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	before := images(p, p.Served)
	var row migrations.Row
	p.must(p.Legacy.Lookup(t.Context(), 0, []migrations.Key{{int64(1)}}, func(r migrations.Row) error {
		row = r
		return nil
	}))
	for name, change := range map[string]map[int]migrations.Value{
		"the same key":    {},
		"the same badge":  {2: int64(77)},
		"both of another": {2: int64(2)},
	} {
		r := append(migrations.Row{}, row...)
		for at, v := range change { // by name: badge, boss, id, name, zone
			r[at] = v
		}
		err := p.Apply(func(a migrations.Apply) error {
			if err := a.Delete(t.Context(), 1, migrations.Key{int64(1), int64(1)}); err != nil {
				return err
			}
			return a.Insert(t.Context(), 0, r)
		})
		p.Wants(err, migrations.ErrDuplicate)
		if diff := cmp.Diff(before, images(p, p.Served)); diff != "" {
			t.Errorf("%s: the failed transaction left something:\n%s", name, diff)
		}
	}
}

func applyRollback(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Armed(t, lab, Couriers, Moved...)
	before := images(p, p.Served)
	a, err := p.Begin(p.Service, p.Term)
	p.must(err)
	p.must(a.Empty(ctx, 0))
	p.must(a.Delete(ctx, 1, migrations.Key{int64(1), int64(1)}))
	p.must(a.Advance(ctx, "0", "1"))
	p.must(a.Keep(ctx, migrations.Unverified, 0, migrations.Key{int64(1)}))
	p.must(a.Rollback())
	if diff := cmp.Diff(before, images(p, p.Served)); diff != "" {
		t.Errorf("rows:\n%s", diff)
	}
	if at, err := p.Service.Applied(ctx); err != nil || at != "0" {
		t.Errorf("position %q, %v", at, err)
	}
	if keys, err := p.Service.Kept(ctx, migrations.Unverified, 0, 10); err != nil || len(keys) != 0 {
		t.Errorf("kept %v, %v", keys, err)
	}
}

func applyGet(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Armed(t, lab, Couriers, Moved...)
	keys := []migrations.Key{{int64(1), int64(2)}, {int64(9), int64(9)}, {int64(2), int64(1)}, {int64(1), int64(2)}}
	p.must(p.Apply(func(a migrations.Apply) error {
		if err := a.Delete(ctx, 1, keys[2]); err != nil {
			return err
		}
		var got []string
		err := a.Get(ctx, 1, keys, func(r migrations.Row) error {
			got = append(got, show(p.Service.KeyOf(1, r)))
			return nil
		})
		if diff := cmp.Diff([]string{"1 2"}, got); diff != "" {
			t.Errorf("inside, each row once: %s", diff)
		}
		return err
	}))
	var got []string
	p.must(p.Legacy.Lookup(ctx, 1, keys, func(r migrations.Row) error {
		got = append(got, show(p.Legacy.KeyOf(1, r)))
		return nil
	}))
	if diff := cmp.Diff([]string{"1 2", "2 1"}, got); diff != "" {
		t.Errorf("looked up, each row once: %s", diff)
	}
}

func applyEmpty(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.must(p.Apply(func(a migrations.Apply) error { return a.Empty(t.Context(), 0) }))
	for i, want := range []int64{0, 3} {
		if n, err := p.Service.Count(t.Context(), i); err != nil || n != want {
			t.Errorf("table %d has %d rows, %v; want %d", i, n, err, want)
		}
	}
}

func applyNoCascade(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.must(p.Apply(func(a migrations.Apply) error { return a.Delete(t.Context(), 0, migrations.Key{int64(1)}) }))
	if n, err := p.Service.Count(t.Context(), 1); err != nil || n != 3 {
		t.Errorf("the children went with their parent: %d rows, %v", n, err)
	}
	p.Exec(p.App, "UPDATE couriers SET name = 'Ann again' WHERE id = 1")
	p.Sync()
	p.Alike()
}

func applyRenamed(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, "couriers→drivers", "actions→driver actions")
	p.Alike()
	p.CutOver()
	p.Exec(p.Served, "INSERT INTO drivers (id, name, boss) VALUES (60, 'Dee', 1)")
	actions := lab.Speech().Quote("driver actions")
	p.Exec(p.Served, fmt.Sprintf("INSERT INTO %s (courier, at, what) VALUES (60, 1, 'ride')", actions))
	if _, err := p.Served.ExecContext(context.Background(), fmt.Sprintf("INSERT INTO %s (courier, at, what) VALUES (61, 1, 'ride')", actions)); err == nil {
		t.Error("the foreign key between the renamed tables is gone")
	}
	p.Sync()
	p.Alike()
}

// applyMisfit has a service's own table with constraints that the monolith's has not.
func applyMisfit(t *testing.T, lab Lab) {
	p := NewPair(t, lab, []string{"CREATE TABLE x (id BIGINT NOT NULL PRIMARY KEY, n BIGINT)", "INSERT INTO x (id, n) VALUES (1, 1)"}, "x")
	p.Exec(p.Served, "CREATE TABLE x (id BIGINT NOT NULL PRIMARY KEY, n BIGINT CHECK (n > 0))")
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.Exec(p.App, "INSERT INTO x (id, n) VALUES (2, 2), (3, -3)")
	before := lab.Speech().Image(t, p.Served, "x")
	for range 2 {
		_, err := p.Step()
		p.Wants(err, migrations.ErrMisfit)
	}
	if diff := cmp.Diff(before, lab.Speech().Image(t, p.Served, "x")); diff != "" {
		t.Errorf("something was applied:\n%s", diff)
	}
	p.Exec(p.App, "UPDATE x SET n = 3 WHERE id = 3")
	p.Sync()
	p.Alike()
}

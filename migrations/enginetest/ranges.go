package enginetest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/migrations"
)

var rangeRules = []rule{
	{"every row is in one range, by the order of keys, and each batch finds it there", rangesOfHardKeys},
	{"an empty table is one range", rangesOfNothing},
	{"a table is cut between its keys, in their order", cutsOfHardKeys},
	{"rows that nobody looks into are those of the range", rangesUnread},
}

// walk reads a table in ranges of n rows.
func walk(p *Pair, table, n int) (ranges []migrations.Range, at map[string]int, order []string) {
	t := p.t
	t.Helper()
	ctx := t.Context()
	at = map[string]int{}
	var after migrations.Key
	for i := 0; ; i++ {
		if i > 1000 {
			t.Fatalf("the ranges go round: the last one ended at %v", after)
		}
		upto, err := p.Legacy.Bound(ctx, table, migrations.Range{After: after}, n)
		p.must(err)
		r := migrations.Range{After: after, Upto: upto}
		ranges = append(ranges, r)
		rows := 0
		p.must(p.Legacy.Range(ctx, table, r, func(row migrations.Row) error {
			rows++
			k := show(p.Legacy.KeyOf(table, row))
			if before, twice := at[k]; twice {
				t.Errorf("the row %s is in the ranges %d and %d", k, before, i)
			}
			at[k] = i
			order = append(order, k)
			return nil
		}))
		if upto == nil {
			if rows >= n {
				t.Errorf("the last range has %d rows of %d, so there is a bound", rows, n)
			}
			return ranges, at, order
		}
		if rows != n {
			t.Errorf("range %d has %d rows, want %d", i, rows, n)
		}
		after = upto
	}
}

// rangesOfHardKeys asks for ranges of every size, and looks for changed keys in them, then for keys whose rows
// are gone.
func rangesOfHardKeys(t *testing.T, lab Lab) {
	samples := lab.Speech().Keys
	ddl, names := filled(lab, samples)
	p := Planned(t, lab, migrations.StageCapture, ddl, names...)
	p.each(samples, func(p *Pair, table int, s Sample) {
		rangesPartition(p, table, len(lab.Speech().Image(p.t, p.App, s.Name)))
		p.Exec(p.App, s.touch(lab))
		rangesAgree(p, table)
		rangesOfTheDeleted(p, table, "DELETE FROM "+lab.Speech().Quote(s.Name))
	})
}

func rangesPartition(p *Pair, table, total int) {
	_, _, want := walk(p, table, 1)
	for n := 1; n <= total+1; n++ {
		_, _, order := walk(p, table, n)
		if len(order) != total {
			p.t.Errorf("in ranges of %d: %d of %d rows", n, len(order), total)
		}
		if diff := cmp.Diff(want, order); diff != "" {
			p.t.Errorf("in ranges of %d the order is another:\n%s", n, diff)
		}
	}
}

func rangesAgree(p *Pair, table int) {
	for n := 1; n <= 4; n++ {
		ranges, want, _ := walk(p, table, n)
		located(p, table, ranges, want)
		without := ranges[:len(ranges)-1] // what is behind every range is in none
		for k, i := range want {
			if i == len(ranges)-1 {
				want[k] = -1
			}
		}
		located(p, table, without, want)
	}
}

// located compares where the batch finds each key with where its row was read.
func located(p *Pair, table int, ranges []migrations.Range, want map[string]int) {
	p.t.Helper()
	keys, rows := lookedUp(p, table, ranges)
	if diff := cmp.Diff(want, keys); diff != "" {
		p.t.Errorf("keys in %v, - read, + located:\n%s", ranges, diff)
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		p.t.Errorf("rows in %v, - read, + located:\n%s", ranges, diff)
	}
}

// lookedUp is where a batch finds the changed keys, and the rows that stand under them.
func lookedUp(p *Pair, table int, ranges []migrations.Range) (keys, rows map[string]int) {
	p.t.Helper()
	b, err := p.Legacy.Read(p.t.Context(), "")
	p.must(err)
	defer b.Close()
	keys, rows = map[string]int{}, map[string]int{}
	p.must(b.Keys(p.t.Context(), table, ranges, func(k migrations.Key, at int) error {
		keys[show(k)] = at
		return nil
	}))
	p.must(b.Rows(p.t.Context(), table, ranges, func(r migrations.Row, at int) error {
		rows[show(p.Legacy.KeyOf(table, r))] = at
		return nil
	}))
	return keys, rows
}

func rangesOfTheDeleted(p *Pair, table int, deletes string) {
	ranges, want, _ := walk(p, table, 2)
	p.Exec(p.App, deletes)
	keys, rows := lookedUp(p, table, ranges)
	if diff := cmp.Diff(want, keys); diff != "" {
		p.t.Errorf("- where the row was, + where its key is:\n%s", diff)
	}
	if len(rows) > 0 {
		p.t.Errorf("rows of deleted keys: %v", rows)
	}
}

func rangesOfNothing(t *testing.T, lab Lab) {
	p := NewPair(t, lab, append(Couriers, "DELETE FROM actions"), "actions")
	for _, n := range []int{1, 100} {
		if ranges, at, _ := walk(p, 0, n); len(ranges) != 1 || len(at) != 0 {
			t.Errorf("ranges %v, rows %v", ranges, at)
		}
	}
}

// cutsOfHardKeys cuts tables into ever more parts. An engine with one lane need not.
func cutsOfHardKeys(t *testing.T, lab Lab) {
	samples := lab.Speech().Keys
	ddl, names := filled(lab, samples)
	p := Planned(t, lab, migrations.StageCapture, ddl, names...)
	p.each(samples, func(p *Pair, table int, s Sample) {
		_, _, order := walk(p, table, 1)
		for n := 1; n <= len(order)+2; n++ {
			keys, err := p.Legacy.Cut(p.t.Context(), table, n, 1)
			p.must(err)
			if want := min(n-1, len(order)); p.Legacy.Lanes() > 1 && len(keys) != want {
				p.t.Errorf("of %d rows, %d parts end at %d keys", len(order), n, len(keys))
			}
			last := -1
			for _, k := range keys {
				at := slices.Index(order, show(k))
				if at <= last {
					p.t.Errorf("the keys %v cut nothing in the order of %v", keys, order)
				}
				last = at
			}
		}
		if keys, err := p.Legacy.Cut(p.t.Context(), table, 4, 1<<40); err != nil || len(keys) != 0 {
			p.t.Errorf("a small table is cut at %v, %v", keys, err)
		}
	})
}

// rangesUnread sends tables range by range, and asks for the same rows.
func rangesUnread(t *testing.T, lab Lab) {
	samples := lab.Speech().Keys
	ddl, names := filled(lab, samples)
	p := Planned(t, lab, migrations.StageCapture, ddl, names...)
	p.each(samples, func(p *Pair, table int, _ Sample) {
		ctx := p.t.Context()
		if form, err := p.Legacy.Form(ctx, table); form == "" {
			p.must(err)
			return
		}
		ranges, at, _ := walk(p, table, 2)
		p.must(p.Apply(func(a migrations.Apply) error {
			total := int64(0)
			for _, r := range ranges {
				var rows bytes.Buffer
				if err := p.Legacy.Send(ctx, table, r, &rows); err != nil {
					return err
				}
				n, err := a.Receive(ctx, table, &rows)
				if err != nil {
					return err
				}
				total += n
			}
			if total != int64(len(at)) {
				p.t.Errorf("%d of %d rows were received", total, len(at))
			}
			return nil
		}))
		p.alike(table)
	})
}

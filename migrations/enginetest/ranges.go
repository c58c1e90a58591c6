package enginetest

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/migrations"
)

var rangeRules = []rule{
	{"every row is in exactly one range, in the order of the keys", rangesPartition},
	{"a batch finds each key in the range that holds its row", rangesAgree},
	{"keys that are gone have a range too", rangesOfTheDeleted},
	{"an empty table is one range", rangesOfNothing},
}

// walk reads a table in ranges of n rows.
func walk(t *testing.T, p *Pair, n int) (ranges []migrations.Range, at map[string]int, order []string) {
	t.Helper()
	ctx := t.Context()
	at = map[string]int{}
	var after migrations.Key
	for i := 0; ; i++ {
		if i > 1000 {
			t.Fatalf("the ranges go round: the last one ended at %v", after)
		}
		upto, err := p.Legacy.Bound(ctx, 0, after, n)
		p.must(err)
		r := migrations.Range{After: after, Upto: upto}
		ranges = append(ranges, r)
		rows := 0
		p.must(p.Legacy.Range(ctx, 0, r, func(row migrations.Row) error {
			rows++
			k := show(p.Legacy.KeyOf(0, row))
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

func rangesPartition(t *testing.T, lab Lab) {
	for _, s := range lab.Speech().Keys {
		t.Run(s.Name, func(t *testing.T) {
			p := NewPair(t, lab, append(s.create(lab, "hard"), s.insert(lab, "hard")...), "hard")
			total := len(lab.Speech().Image(t, p.App, "hard"))
			_, _, want := walk(t, p, 1)
			for n := 1; n <= total+1; n++ {
				_, _, order := walk(t, p, n)
				if len(order) != total {
					t.Errorf("in ranges of %d: %d of %d rows", n, len(order), total)
				}
				if diff := cmp.Diff(want, order); diff != "" {
					t.Errorf("in ranges of %d the order is another:\n%s", n, diff)
				}
			}
		})
	}
}

func rangesAgree(t *testing.T, lab Lab) {
	for _, s := range lab.Speech().Keys {
		t.Run(s.Name, func(t *testing.T) {
			p := Planned(t, lab, migrations.StageCapture, append(s.create(lab, "hard"), s.insert(lab, "hard")...), "hard")
			p.Exec(p.App, fmt.Sprintf(s.Touch, lab.Speech().Quote("hard")))
			for n := 1; n <= 4; n++ {
				ranges, want, _ := walk(t, p, n)
				located(t, p, ranges, want)
				without := ranges[:len(ranges)-1] // what is behind every range is in none
				for k, i := range want {
					if i == len(ranges)-1 {
						want[k] = -1
					}
				}
				located(t, p, without, want)
			}
		})
	}
}

func located(t *testing.T, p *Pair, ranges []migrations.Range, want map[string]int) {
	t.Helper()
	b, err := p.Legacy.Read(t.Context(), "")
	p.must(err)
	defer b.Close()
	keys, rows := map[string]int{}, map[string]int{}
	p.must(b.Keys(t.Context(), 0, ranges, func(k migrations.Key, at int) error {
		keys[show(k)] = at
		return nil
	}))
	p.must(b.Rows(t.Context(), 0, ranges, func(r migrations.Row, at int) error {
		rows[show(p.Legacy.KeyOf(0, r))] = at
		return nil
	}))
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("keys in %v, - read, + located:\n%s", ranges, diff)
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows in %v, - read, + located:\n%s", ranges, diff)
	}
}

func rangesOfTheDeleted(t *testing.T, lab Lab) {
	for _, s := range lab.Speech().Keys {
		t.Run(s.Name, func(t *testing.T) {
			p := Planned(t, lab, migrations.StageCapture, append(s.create(lab, "hard"), s.insert(lab, "hard")...), "hard")
			ranges, want, _ := walk(t, p, 2)
			p.Exec(p.App, "DELETE FROM "+lab.Speech().Quote("hard"))
			b, err := p.Legacy.Read(t.Context(), "")
			p.must(err)
			defer b.Close()
			got := map[string]int{}
			p.must(b.Keys(t.Context(), 0, ranges, func(k migrations.Key, at int) error {
				got[show(k)] = at
				return nil
			}))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("- where the row was, + where its key is:\n%s", diff)
			}
			p.must(b.Rows(t.Context(), 0, ranges, func(r migrations.Row, _ int) error {
				t.Errorf("a row of a deleted key: %v", r)
				return nil
			}))
		})
	}
}

func rangesOfNothing(t *testing.T, lab Lab) {
	p := NewPair(t, lab, append(Couriers, "DELETE FROM actions"), "actions")
	for _, n := range []int{1, 100} {
		if ranges, at, _ := walk(t, p, n); len(ranges) != 1 || len(at) != 0 {
			t.Errorf("ranges %v, rows %v", ranges, at)
		}
	}
}

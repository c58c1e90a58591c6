package migrations

import (
	"context"
	"slices"
	"testing"
)

// TestWhereAKeyStands goes through every shape of a table's marks, and asks where a key before, inside and behind
// each range stands. A key that is looked up by mistake in the wrong range is lost.
func TestWhereAKeyStands(t *testing.T) {
	key := func(n int64) Key { return Key{n} }
	done, flight := key(10), key(20)
	first, second, third := Range{Upto: key(30)}, Range{After: key(30), Upto: key(60)}, Range{After: key(60)}
	type in = map[int64]standing
	for name, c := range map[string]struct {
		marks  []Mark
		want   in
		ranges int
	}{
		"nothing has begun":                    {[]Mark{{}}, in{5: rangeToCome, 10: rangeToCome, 15: rangeToCome, 25: rangeToCome}, 0},
		"the first range is in flight":         {[]Mark{{InFlight: true, Flight: flight}}, in{5: rangeInFlight, 20: rangeInFlight, 21: rangeToCome}, 1},
		"the only range is in flight":          {[]Mark{{InFlight: true}}, in{5: rangeInFlight, 25: rangeInFlight}, 1},
		"a range is done, the next not marked": {[]Mark{{Done: done}}, in{5: rangeDone, 10: rangeDone, 11: rangeToCome}, 1},
		"a range is done, the next in flight":  {[]Mark{{Done: done, InFlight: true, Flight: flight}}, in{5: rangeDone, 10: rangeDone, 11: rangeInFlight, 20: rangeInFlight, 21: rangeToCome}, 2},
		"a range is done, the last in flight":  {[]Mark{{Done: done, InFlight: true}}, in{10: rangeDone, 11: rangeInFlight, 1 << 40: rangeInFlight}, 2},
		"a flight that is not one":             {[]Mark{{Done: done, Flight: flight}}, in{10: rangeDone, 11: rangeToCome}, 1},
		"finished":                             {[]Mark{{Finished: true}}, in{5: rangeDone, 25: rangeDone}, 0},
		"finished behind bounds":               {[]Mark{{Finished: true, Done: done, InFlight: true, Flight: flight}}, in{5: rangeDone, 15: rangeDone, 25: rangeDone}, 0},
		"no marks":                             {nil, in{5: rangeToCome}, 0},
		"only another table's":                 {[]Mark{{Table: 1, Finished: true}}, in{5: rangeToCome}, 0},
		"parts, none begun":                    {[]Mark{{Bounds: first}, {Part: 1, Bounds: second}, {Part: 2, Bounds: third}}, in{5: rangeToCome, 40: rangeToCome, 70: rangeToCome}, 0},
		"parts in flight to their ends": {[]Mark{{Bounds: first, InFlight: true}, {Part: 1, Bounds: second, InFlight: true}, {Part: 2, Bounds: third}},
			in{30: rangeInFlight, 31: rangeInFlight, 60: rangeInFlight, 61: rangeToCome}, 2},
		"parts in every state": {[]Mark{{Bounds: first, Done: done, InFlight: true, Flight: flight}, {Part: 1, Bounds: second, Finished: true, Done: key(50)}, {Part: 2, Bounds: third, Done: key(70)}},
			in{10: rangeDone, 11: rangeInFlight, 21: rangeToCome, 30: rangeToCome, 31: rangeDone, 55: rangeDone, 61: rangeDone, 70: rangeDone, 71: rangeToCome}, 3},
		"what is done without a gap is one range": {[]Mark{{Bounds: first, Finished: true}, {Part: 1, Bounds: second, Finished: true}, {Part: 2, Bounds: third, Done: key(70), InFlight: true}},
			in{5: rangeDone, 31: rangeDone, 70: rangeDone, 71: rangeInFlight}, 2},
		"a part with a gap ends a range": {[]Mark{{Bounds: first, Done: done}, {Part: 1, Bounds: second, Finished: true}, {Part: 2, Bounds: third}},
			in{10: rangeDone, 11: rangeToCome, 31: rangeDone, 61: rangeToCome}, 2},
		"all parts finished": {[]Mark{{Bounds: first, Finished: true}, {Part: 1, Bounds: second, Finished: true}, {Part: 2, Bounds: third, Finished: true}}, in{5: rangeDone, 61: rangeDone}, 0},
	} {
		s := standings(0, c.marks)
		if len(s.ranges) != c.ranges {
			t.Errorf("%s: %d ranges, want %d", name, len(s.ranges), c.ranges)
		}
		for k, want := range c.want {
			at := -1
			for i, r := range s.ranges {
				behind := r.After == nil || k > r.After[0].(int64)
				upto := r.Upto == nil || k <= r.Upto[0].(int64)
				if behind && upto {
					if at >= 0 {
						t.Errorf("%s: %d is in two ranges", name, k)
					}
					at = i
				}
			}
			got, part := s.of(at)
			if got != want {
				t.Errorf("%s: %d stands %d, want %d", name, k, got, want)
			}
			if in := partOf(k); got == rangeInFlight && len(c.marks) == 3 && part != in {
				t.Errorf("%s: %d is in flight in part %d, want %d", name, k, part, in)
			}
		}
	}
}

// partOf is the part of the test's that has a key.
func partOf(k int64) int {
	switch {
	case k <= 30:
		return 0
	case k <= 60:
		return 1
	}
	return 2
}

// queue is an Apply that has keys queued, by part.
type queue struct {
	Apply
	kept map[KeyKind][]Key
}

func (q queue) Empty(context.Context, int) error           { return nil }
func (q queue) SetMark(context.Context, int64, Mark) error { return nil }

func (q queue) Kept(_ context.Context, kind KeyKind, _, n int) ([]Key, error) {
	return slices.Clone(q.kept[kind][:min(n, len(q.kept[kind]))]), nil
}

func (q queue) Drop(_ context.Context, kind KeyKind, _ int, k Key) error {
	q.kept[kind] = slices.DeleteFunc(q.kept[kind], func(o Key) bool { return slices.Equal(o, k) })
	return nil
}

// TestATruncateForgetsWhatWasQueued: a key that was queued for a range before the TRUNCATE belongs to a range to come
// behind it. Drained with another range, its row would be there before its own chunk, which would meet it as a
// duplicate for ever.
func TestATruncateForgetsWhatWasQueued(t *testing.T) {
	q := queue{kept: map[KeyKind][]Key{Queued(0): {{int64(15)}}, Queued(1): {{int64(40)}, {int64(41)}}}}
	marks := []Mark{{Bounds: Range{Upto: Key{int64(30)}}, InFlight: true, Attempt: 3}, {Part: 1, Bounds: Range{After: Key{int64(30)}}, InFlight: true, Attempt: 5}}
	if err := empty(t.Context(), q, 0, marks); err != nil {
		t.Fatal(err)
	}
	for kind, keys := range q.kept {
		if len(keys) > 0 {
			t.Errorf("%s: %v", kind, keys)
		}
	}
	for i, want := range []int64{4, 6} {
		if m := marks[i]; m.InFlight || m.Done != nil || m.Attempt != want || m.Part != i {
			t.Errorf("mark %d is %+v", i, m)
		}
	}
}

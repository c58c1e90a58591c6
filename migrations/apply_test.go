package migrations

import "testing"

// TestWhereAKeyStands goes through every shape of a mark, and asks where a key before, inside and behind
// the range in flight stands. A key that is looked up by mistake in the wrong range is lost.
func TestWhereAKeyStands(t *testing.T) {
	done, flight := Key{int64(10)}, Key{int64(20)}
	for name, c := range map[string]struct {
		m    Mark
		want map[int64]standing
	}{
		"nothing has begun":                    {Mark{}, map[int64]standing{5: rangeToCome, 10: rangeToCome, 15: rangeToCome, 25: rangeToCome}},
		"the first range is in flight":         {Mark{InFlight: true, Flight: flight}, map[int64]standing{5: rangeInFlight, 20: rangeInFlight, 21: rangeToCome}},
		"the only range is in flight":          {Mark{InFlight: true}, map[int64]standing{5: rangeInFlight, 25: rangeInFlight}},
		"a range is done, the next not marked": {Mark{Done: done}, map[int64]standing{5: rangeDone, 10: rangeDone, 11: rangeToCome}},
		"a range is done, the next in flight":  {Mark{Done: done, InFlight: true, Flight: flight}, map[int64]standing{5: rangeDone, 10: rangeDone, 11: rangeInFlight, 20: rangeInFlight, 21: rangeToCome}},
		"a range is done, the last in flight":  {Mark{Done: done, InFlight: true}, map[int64]standing{10: rangeDone, 11: rangeInFlight, 1 << 40: rangeInFlight}},
		"a flight that is not one":             {Mark{Done: done, Flight: flight}, map[int64]standing{10: rangeDone, 11: rangeToCome}},
		"finished":                             {Mark{Finished: true}, map[int64]standing{5: rangeDone, 25: rangeDone}},
		"finished behind bounds":               {Mark{Finished: true, Done: done, InFlight: true, Flight: flight}, map[int64]standing{5: rangeDone, 15: rangeDone, 25: rangeDone}},
	} {
		for k, want := range c.want {
			at := -1
			for i, r := range c.m.ranges() {
				behind := r.After == nil || k > r.After[0].(int64)
				upto := r.Upto == nil || k <= r.Upto[0].(int64)
				if behind && upto {
					if at >= 0 {
						t.Errorf("%s: %d is in two ranges", name, k)
					}
					at = i
				}
			}
			if got := c.m.standing(at); got != want {
				t.Errorf("%s: %d stands %d, want %d", name, k, got, want)
			}
		}
	}
}

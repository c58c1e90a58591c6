package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		bar   *bar
		value float64
		want  string
	}{
		{atLeast(1), 1, "met"},
		{atLeast(1), 0.75, "missed by 25 %"},
		{atLeast(0.9), 0.899, "missed by 1 %"}, // never "by 0 %"
		{atMost(100), 100, "met"},
		{atMost(100), 150, "missed by 50 %"},
		{atMost(0), 3, "missed by 3"},
	} {
		if got := c.bar.verdict(c.value); got != c.want {
			t.Errorf("%s, %v: %q, want %q", c.bar, c.value, got, c.want)
		}
	}
}

func TestNumbersAreShort(t *testing.T) {
	for v, want := range map[float64]string{0.1234: "0.12", 12.345: "12.3", 3: "3", 123.4: "123", 1234.5: "1,235", 1_234_567: "1,234,567", -1234: "-1,234", -123_456: "-123,456"} {
		if got := short(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

// What stands around the marks stays, and a second table takes the place of the first.
func TestTableStandsBetweenItsMarks(t *testing.T) {
	r := record{Figures: []figure{{Name: "one | two", Measured: measured("", "ms", 3, 1, 2), Value: 2, Unit: "ms", Bar: atMost(1), Verdict: "missed by 100 %"}}}
	first, err := inscribed("head\n"+begins+"old\n"+ends+"tail\n", r)
	must(t, err)
	again, err := inscribed(first, r)
	must(t, err)
	if first != again || !strings.HasPrefix(first, "head\n"+begins) || !strings.HasSuffix(first, ends+"tail\n") || strings.Contains(first, "old") {
		t.Errorf("the document is\n%s\nand then\n%s", first, again)
	}
	if want := `| one \| two | 2 ms (1–3) |  | 2 ms | ≤ 1 ms | missed by 100 % |`; !strings.Contains(first, want) {
		t.Errorf("the table is\n%s\nwant %s", first, want)
	}
	if _, err := inscribed("no marks", r); err == nil {
		t.Error("a document without marks was written")
	}
}

// A run replaces the figures that it has measured, where they stand, and leaves the others.
func TestRunReplacesItsFigures(t *testing.T) {
	old := record{Machine: machine{PostgreSQL: "15"}, Figures: []figure{{Name: "a", Value: 1}, {Name: "b", Value: 1}}, Plot: []point{{Rows: 1}}}
	got := old.with(record{Figures: []figure{{Name: "c", Value: 2}, {Name: "a", Value: 2}}})
	want := record{Machine: machine{PostgreSQL: "15"}, Figures: []figure{{Name: "a", Value: 2}, {Name: "b", Value: 1}, {Name: "c", Value: 2}}, Plot: []point{{Rows: 1}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// pgbench's log is read while it is written: half a line is left for later, and what failed is no transaction.
func TestWindowOfALog(t *testing.T) {
	at := time.Unix(100, 0)
	all := parseLog("0 1 3000 0 100 500000 1000\n1 1 failed 0 100 600000 0\n0 2 5000 0 101 0 3000\n0 3 9000 0 103 0 0\n0 4 9000 0 101 5 1")
	got := windowOf(all, at, at.Add(2*time.Second))
	want := window{tps: 1, average: 4 * time.Millisecond, p95: 5 * time.Millisecond, lag: 2 * time.Millisecond}
	if got != want || len(all) != 3 {
		t.Errorf("%d transactions, %+v, want %+v", len(all), got, want)
	}
}

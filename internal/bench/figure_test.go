package bench

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// figure is one line of the table.
type figure struct {
	Name     string    `json:"figure"`
	Sizes    string    `json:"sizes,omitempty"`
	Measured *sample   `json:"measured,omitempty"` // absent where Note says why
	Peer     *sample   `json:"peer,omitempty"`     // what it is held against, measured beside it
	Value    float64   `json:"value"`              // in Unit; a ratio where that is empty
	Unit     string    `json:"unit,omitempty"`
	Bar      *bar      `json:"bar,omitempty"` // absent: it stands here for comparison
	Verdict  string    `json:"verdict,omitempty"`
	Note     string    `json:"note,omitempty"`
	Date     time.Time `json:"date"`
	Load     string    `json:"load_before"` // the machine's load average as the figure's measuring began
}

// sample is what several rounds have measured.
type sample struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit,omitempty"`
	Median float64   `json:"median"`
	Low    float64   `json:"low"`
	High   float64   `json:"high"`
	Values []float64 `json:"values"` // in the order of the rounds
}

func measured(name, unit string, values ...float64) *sample {
	s := slices.Sorted(slices.Values(values))
	return &sample{Name: name, Unit: unit, Median: middle(s), Low: s[0], High: s[len(s)-1], Values: values}
}

// middle is the median of a sorted slice.
func middle(s []float64) float64 { return (s[(len(s)-1)/2] + s[len(s)/2]) / 2 }

func (s *sample) String() string {
	if s == nil {
		return ""
	}
	text := strings.TrimSpace(s.Name + " " + amount(s.Median, s.Unit))
	if len(s.Values) > 1 {
		text += fmt.Sprintf(" (%s–%s)", short(s.Low), short(s.High))
	}
	return text
}

// bar is what a value has to reach.
type bar struct {
	AtLeast bool    `json:"at_least"` // false: at most
	Value   float64 `json:"value"`
}

func atLeast(v float64) *bar { return &bar{true, v} }
func atMost(v float64) *bar  { return &bar{false, v} }

func (b *bar) String() string {
	switch {
	case b == nil:
		return ""
	case b.AtLeast:
		return "≥ " + short(b.Value)
	}
	return "≤ " + short(b.Value)
}

// verdict says whether a value reaches the bar, or by how much of the bar it misses it.
func (b *bar) verdict(v float64) string {
	over := v - b.Value
	if b.AtLeast {
		over = -over
	}
	switch {
	case over <= 0:
		return "met"
	case b.Value == 0:
		return "missed by " + short(over)
	}
	return fmt.Sprintf("missed by %.0f %%", math.Max(1, 100*over/b.Value))
}

func amount(v float64, unit string) string { return strings.TrimSpace(short(v) + " " + unit) }

// short writes a number with three digits that count, and thousands apart.
func short(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		text := strconv.FormatInt(int64(math.Round(v)), 10)
		for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case a >= 100 || v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// found are the figures of this run.
var found struct {
	sync.Mutex
	figures []figure
	machine machine
	plot    []point
}

// report adds a figure to the table.
func report(t testing.TB, f figure) {
	t.Helper()
	if f.Bar != nil && f.Measured != nil {
		f.Verdict = f.Bar.verdict(f.Value)
	}
	f.Date = time.Now().UTC().Truncate(time.Second)
	t.Logf("%s: %s | %s | %s | %s | %s %s", f.Name, f.Measured, f.Peer, amount(f.Value, f.Unit), f.Bar, f.Verdict, f.Note)
	found.Lock()
	defer found.Unlock()
	found.figures = append(found.figures, f)
}

// load is the machine's load average: others' work shows in it.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

package migrations

import (
	"math"
	"testing"
	"time"
)

// TestPaceOfASteadyCopy has two lanes commit a chunk a second each, and asks at half-way.
func TestPaceOfASteadyCopy(t *testing.T) {
	var p pace
	now := time.Unix(0, 0)
	p.add(now, 0)
	if r := p.rate(now.Add(time.Second)); r != 0 {
		t.Errorf("before anything was copied: %v", r)
	}
	for range 30 {
		now = now.Add(300 * time.Millisecond)
		p.add(now, 1000)
		now = now.Add(700 * time.Millisecond)
		p.add(now, 1000)
	}
	if r := p.rate(now.Add(500 * time.Millisecond)); math.Abs(r-2000) > 400 {
		t.Errorf("%v rows a second, want 2000", r)
	}
	if r := p.rate(now.Add(time.Hour)); r > 10 {
		t.Errorf("a copy that stands still has a pace of %v", r)
	}
}

// TestPaceOfABeginningIsUnknown asks before enough is known.
func TestPaceOfABeginningIsUnknown(t *testing.T) {
	var p pace
	now := time.Unix(0, 0)
	p.add(now, 0)
	p.add(now.Add(time.Millisecond), 50_000)
	if r := p.rate(now.Add(time.Second)); r != 0 {
		t.Errorf("%v rows a second are told of one chunk", r)
	}
	now = now.Add(time.Hour)
	p.restart()
	p.add(now, 0)
	p.add(now.Add(time.Second), 1000)
	p.add(now.Add(4*time.Second), 3000)
	if r := p.rate(now.Add(4 * time.Second)); r != 1000 {
		t.Errorf("a copy that goes on after an hour has %v rows a second, want 1000", r)
	}
}

package enginetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var progressRules = []rule{
	{"the position advances by compare-and-swap", positionAdvances},
	{"a position is kept as the owner's engine writes it", positionOfAnotherEngine},
	{"marks change by compare-and-swap and come back as they were", marksRoundTrip},
	{"a table is divided once, and each part has its mark", partsDivide},
	{"keys are kept by kind, once, and dropped", keysKept},
	{"sequences are put ahead, never back", sequencesAhead},
	{"counts are those of the table", countsRows},
}

func positionAdvances(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Armed(t, lab, Couriers, Moved...)
	at, err := p.Service.Applied(ctx)
	p.must(err)
	p.Exec(p.App, writes[1])
	b, err := p.Legacy.Read(ctx, at)
	p.must(err)
	p.must(b.Close())
	p.must(p.Apply(func(a migrations.Apply) error { return a.Advance(ctx, at, b.Next()) }))
	p.Wants(p.Apply(func(a migrations.Apply) error { return a.Advance(ctx, at, b.Next()) }), strangler.ErrSuperseded)
	if now, err := p.Service.Applied(ctx); err != nil || now != b.Next() || now == at {
		t.Errorf("the position is %q, %v; want %q", now, err, b.Next())
	}
}

// positionOfAnotherEngine keeps what the engines write: a number, and behind it a place in a log of the server's.
func positionOfAnotherEngine(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Armed(t, lab, Couriers, Moved...)
	at, err := p.Service.Applied(ctx)
	p.must(err)
	for _, next := range []migrations.Position{"1", "2@23456789012", "3@1:27843:1796038714"} {
		p.must(p.Apply(func(a migrations.Apply) error { return a.Advance(ctx, at, next) }))
		if at, err = p.Service.Applied(ctx); err != nil || at != next {
			t.Fatalf("the position is %q, %v; want %q", at, err, next)
		}
	}
}

func marksRoundTrip(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	marks, err := p.Service.Marks(ctx)
	p.must(err)
	loose := len(marks) > 0 && marks[0].Loose // as the engine makes a table's key
	if diff := cmp.Diff([]migrations.Mark{{Table: 0, Loose: loose}, {Table: 1, Loose: loose}}, marks); diff != "" {
		t.Errorf("before the copy:\n%s", diff)
	}
	want := migrations.Mark{Table: 1, Done: migrations.Key{int64(1), "x"}, Flight: migrations.Key{nil, []byte{}}, InFlight: true, Attempt: 1, Rows: 42, Loose: loose}
	p.must(p.Apply(func(a migrations.Apply) error { return a.SetMark(ctx, 0, want) }))
	p.Wants(p.Apply(func(a migrations.Apply) error { return a.SetMark(ctx, 0, migrations.Mark{Table: 1, Attempt: 9}) }), strangler.ErrSuperseded)
	p.must(p.Apply(func(a migrations.Apply) error {
		locked, err := a.Locked(ctx)
		if diff := cmp.Diff([]migrations.Mark{{Table: 0, Loose: loose}, want}, locked); diff != "" {
			t.Errorf("locked:\n%s", diff)
		}
		return err
	}))
	marks, err = p.Service.Marks(ctx)
	p.must(err)
	if diff := cmp.Diff(want, marks[1]); diff != "" {
		t.Errorf("read back:\n%s", diff)
	}
	want.Attempt, want.Loose = 2, false
	p.must(p.Apply(func(a migrations.Apply) error { return a.SetMark(ctx, 1, want) }))
	marks, err = p.Service.Marks(ctx)
	p.must(err)
	if diff := cmp.Diff(want, marks[1]); diff != "" {
		t.Errorf("behind its key:\n%s", diff)
	}
	marks, err = p.Legacy.Marks(ctx)
	p.must(err)
	if !marks[0].Finished || !marks[1].Finished {
		t.Errorf("the monolith has all its rows from the start, its marks say %+v", marks)
	}
}

func partsDivide(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	one, two := migrations.Key{int64(1), int64(1)}, migrations.Key{int64(1), int64(2)}
	divide := func(attempt int64) error {
		return p.Apply(func(a migrations.Apply) error { return a.Divide(ctx, attempt, 1, []migrations.Key{one, two}) })
	}
	before, err := p.Service.Marks(ctx)
	p.must(err)
	loose := before[0].Loose
	p.Wants(divide(1), strangler.ErrSuperseded)
	p.must(divide(0))
	p.Wants(divide(0), strangler.ErrSuperseded)
	want := []migrations.Mark{{Table: 0, Loose: loose}, {Table: 1, Bounds: migrations.Range{Upto: one}, Attempt: 1, Loose: loose},
		{Table: 1, Part: 1, Bounds: migrations.Range{After: one, Upto: two}, Loose: loose}, {Table: 1, Part: 2, Bounds: migrations.Range{After: two}, Loose: loose}}
	marked := func() {
		t.Helper()
		marks, err := p.Service.Marks(ctx)
		p.must(err)
		if diff := cmp.Diff(want, marks); diff != "" {
			t.Errorf("the marks:\n%s", diff)
		}
	}
	marked()
	want[2] = migrations.Mark{Table: 1, Part: 1, Bounds: want[2].Bounds, Done: two, Attempt: 3, Finished: true, Rows: 1}
	p.must(p.Apply(func(a migrations.Apply) error { return a.SetMark(ctx, 0, want[2]) }))
	p.Wants(p.Apply(func(a migrations.Apply) error {
		return a.SetMark(ctx, 0, migrations.Mark{Table: 1, Part: 1, Attempt: 9})
	}), strangler.ErrSuperseded)
	marked()
	p.must(p.Apply(func(a migrations.Apply) error {
		locked, err := a.Locked(ctx)
		if diff := cmp.Diff(want, locked); diff != "" {
			t.Errorf("locked:\n%s", diff)
		}
		return err
	}))
}

func keysKept(t *testing.T, lab Lab) {
	ctx := t.Context()
	p := Armed(t, lab, Couriers, Moved...)
	one, two := migrations.Key{int64(1)}, migrations.Key{"1"}
	p.must(p.Apply(func(a migrations.Apply) error {
		for _, k := range []migrations.Key{one, two, one} {
			for _, kind := range []migrations.KeyKind{migrations.Queued(0), migrations.Unverified} {
				if err := a.Keep(ctx, kind, 0, k); err != nil {
					return err
				}
			}
		}
		queued, err := a.Kept(ctx, migrations.Queued(0), 0, 10)
		if len(queued) != 2 || err != nil {
			t.Errorf("kept inside: %v, %v", queued, err)
		}
		return a.Drop(ctx, migrations.Queued(0), 0, two)
	}))
	p.must(p.Apply(func(a migrations.Apply) error {
		queued, err := a.Kept(ctx, migrations.Queued(0), 0, 10)
		if diff := cmp.Diff([]migrations.Key{one}, queued); diff != "" {
			t.Errorf("queued:\n%s", diff)
		}
		return err
	}))
	for n, want := range map[int]int{1: 1, 10: 2} {
		if keys, err := p.Service.Kept(ctx, migrations.Unverified, 0, n); err != nil || len(keys) != want {
			t.Errorf("dirty, at most %d: %v, %v", n, keys, err)
		}
	}
	if keys, err := p.Service.Kept(ctx, migrations.Unverified, 1, 10); err != nil || len(keys) != 0 {
		t.Errorf("of the other table: %v, %v", keys, err)
	}
}

func sequencesAhead(t *testing.T, lab Lab) {
	ctx := t.Context()
	auto := []string{
		"CREATE TABLE minted (id " + lab.Speech().AutoKey + ", v INTEGER)",
		"CREATE TABLE given (id INTEGER NOT NULL PRIMARY KEY, v INTEGER)",
		"INSERT INTO minted (v) VALUES (1), (2), (3)", "DELETE FROM minted WHERE v = 3",
	}
	p := Armed(t, lab, auto, "minted", "given")
	next, err := p.Legacy.Sequences(ctx)
	p.must(err)
	if len(next) != 2 || next[0] < 3 || next[1] != 0 {
		t.Fatalf("sequences are %v", next)
	}
	next[0] += 100
	p.must(p.Apply(func(a migrations.Apply) error { return a.SetSequences(ctx, next) }))
	p.must(p.Apply(func(a migrations.Apply) error { return a.SetSequences(ctx, []int64{1, 0}) }))
	p.CutOver()
	p.Exec(p.Served, "INSERT INTO minted (v) VALUES (4)")
	var id int64
	p.must(p.Served.QueryRowContext(ctx, "SELECT id FROM minted WHERE v = 4").Scan(&id))
	if id < next[0] {
		t.Errorf("the service handed out %d, the monolith may have handed out up to %d", id, next[0])
	}
	p.Sync()
	p.Alike()
}

func countsRows(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	for i := range Moved {
		for _, d := range []migrations.Database{p.Legacy, p.Service} {
			if n, err := d.Count(t.Context(), i); err != nil || n != 3 {
				t.Errorf("%s: %d rows, %v", Moved[i], n, err)
			}
		}
	}
}

package enginetest

import (
	"context"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var termRules = []rule{
	{"a batch of another term is not given away", termForgets},
	{"a batch from before a cancel is not given away behind it", termForgetsAnew},
	{"an older term is refused and writes nothing", termOlderIsRefused},
	{"raising waits for the one in flight", termRaisingWaits},
	{"raising twice is done, lowering is superseded", termRaisedTwice},
	{"an open fence refuses the applier", termOpenFenceRefuses},
	{"the pass is nobody else's and ends with the transaction", passIsPrivate},
}

func termOlderIsRefused(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.Exec(p.App, writes[0])
	before := images(p, p.Served)
	old := p.Term
	p.Raise()
	p.Term = old
	_, err := p.Step()
	p.Wants(err, strangler.ErrSuperseded)
	p.Term = old + 2 // a term that was never raised here is no better
	_, err = p.Step()
	p.Wants(err, strangler.ErrSuperseded)
	if after := images(p, p.Served); len(after) != len(before) {
		t.Errorf("an applier of another term wrote: %v", after)
	}
	p.Term = old + 1
	p.Sync()
	p.Alike()
}

func termRaisingWaits(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	a, err := p.Begin(p.Service, p.Term)
	p.must(err)
	p.must(a.Delete(t.Context(), 1, migrations.Key{int64(2), int64(1)}))
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Service.RaiseTerm(short, p.Term+1); err == nil {
		t.Fatal("the term was raised over a transaction in flight")
	}
	raised := make(chan error, 1)
	go func() { raised <- p.Service.RaiseTerm(t.Context(), p.Term+1) }()
	committed := a.Commit()
	p.must(<-raised)
	want := 2
	if committed != nil {
		want = 3
	}
	if got := len(lab.Speech().Image(t, p.Served, "actions")); got != want {
		t.Errorf("commit: %v, and %d rows behind the raised term, want %d", committed, got, want)
	}
	_, err = p.Begin(p.Service, p.Term)
	p.Wants(err, strangler.ErrSuperseded)
}

func termRaisedTwice(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	p.must(p.Service.RaiseTerm(t.Context(), 7))
	p.must(p.Service.RaiseTerm(t.Context(), 7))
	p.Wants(p.Service.RaiseTerm(t.Context(), 6), strangler.ErrSuperseded)
	if f, err := p.Service.Fence(t.Context()); err != nil || f.Term != 7 {
		t.Errorf("got %+v, %v", f, err)
	}
}

func termOpenFenceRefuses(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	_, err := p.Begin(p.Legacy, p.Term)
	p.Wants(err, strangler.ErrSuperseded)
	p.must(p.Service.SetFence(t.Context(), 1, migrations.FenceOpen))
	_, err = p.Begin(p.Service, p.Term)
	p.Wants(err, strangler.ErrSuperseded)
}

func passIsPrivate(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	other := lab.Connect(t, p.ServiceDSN)
	for _, end := range []func(migrations.Apply) error{migrations.Apply.Commit, migrations.Apply.Rollback} {
		a, err := p.Begin(p.Service, p.Term)
		p.must(err)
		p.must(a.Delete(t.Context(), 1, migrations.Key{int64(99), int64(1)}))
		beside := make(chan error, 1)
		go func() {
			_, err := other.ExecContext(t.Context(), writes[1])
			beside <- err
		}()
		p.must(end(a))
		p.must(a.Rollback()) // does nothing any more
		if err := <-beside; err == nil {
			t.Error("a write beside the applier passed")
		}
		for _, q := range writes {
			p.Refused(p.Served, q)
		}
	}
	p.Alike()
}

// late is a batch that was applied, by a worker that falls asleep before it gives it away.
func late(p *Pair) migrations.Batch {
	p.t.Helper()
	ctx := p.t.Context()
	p.Exec(p.App, "UPDATE couriers SET name = 'late' WHERE id = 1")
	applied, err := p.Service.Applied(ctx)
	p.must(err)
	b, err := p.Legacy.Read(ctx, applied)
	p.must(err)
	p.must(p.Apply(func(a migrations.Apply) error { return p.replay(ctx, b, a, applied) }))
	p.must(b.Close())
	return b
}

func termForgets(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	b := late(p)
	p.Raise()
	p.must(p.Legacy.Forget(t.Context(), b))
	p.Sync()
	p.Exec(p.App, "UPDATE couriers SET name = 'later' WHERE id = 1")
	p.Sync()
	p.Alike()
	p.CutOver()
}

func termForgetsAnew(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	b := late(p)
	p.To(migrations.StageNone)
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.must(p.Legacy.Forget(t.Context(), b))
	p.Exec(p.App, "UPDATE couriers SET name = 'anew' WHERE id = 1")
	p.Sync()
	p.Alike()
	p.CutOver()
}

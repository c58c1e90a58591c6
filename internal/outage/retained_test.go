package outage

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

func (d pointed) Retained(ctx context.Context) (migrations.Retained, error) {
	return d.Database.(migrations.Retainer).Retained(ctx)
}

func (d pointed) LetGo(ctx context.Context) error {
	return d.Database.(migrations.Retainer).LetGo(ctx)
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// capped reads changes from a slot that may keep so much of the log.
func capped(bytes int64, log *lines) option {
	return func(r *rig) {
		r.settle = func(c *strangler.Capability) { c.Capture, c.RetainedWAL = strangler.CaptureLogical, bytes }
		r.log = slog.New(slog.NewTextHandler(log, nil))
	}
}

// fill has the monolith's server write eight megabytes to its log that are no business of the split.
func (r *rig) fill() {
	r.t.Helper()
	r.superuser(strangler.Legacy, "SELECT count(pg_logical_emit_message(false, 'filler', repeat('x', 1 << 20))) FROM generate_series(1, 8)")
}

func (r *rig) slots() (n int) {
	r.t.Helper()
	must(r.t, r.root(strangler.Legacy).QueryRow(r.t.Context(), "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()").Scan(&n))
	return n
}

// closed lets nobody connect to a side, until the answer is called.
func (r *rig) closed(side strangler.Side) (opened func()) {
	r.t.Helper()
	at, err := connect(r.t.Context(), server(r.t, side).DSN("postgres"))
	must(r.t, err)
	r.t.Cleanup(func() { must(r.t, at.Close(context.Background())) })
	do := func(statement string) {
		r.t.Helper()
		_, err := at.Exec(r.t.Context(), statement)
		must(r.t, err)
	}
	do("ALTER DATABASE " + r.names[side] + " ALLOW_CONNECTIONS false")
	do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + r.names[side] + "'")
	return func() { r.t.Helper(); do("ALTER DATABASE " + r.names[side] + " ALLOW_CONNECTIONS true") }
}

// TestTheLogThatIsKeptHasACap fills the monolith's log while the split cannot go on: in the copy, following, with the
// other side out of reach, and stopped already. Past the cap the slot goes, the split says why, the customers notice
// nothing, and with another copy it has everything.
func TestTheLogThatIsKeptHasACap(t *testing.T) { // alone: what others write to the server's log counts
	const most = 64 << 20
	stopped := func(r *rig) func() {
		r.superuser(strangler.Service, "ALTER TABLE note RENAME TO memo")
		r.awaitPhase(strangler.PhaseStopped)
		return func() { r.superuser(strangler.Service, "ALTER TABLE memo RENAME TO note") }
	}
	for name, c := range map[string]struct {
		following bool
		block     func(r *rig) (open func())
	}{
		"copying":      {false, func(r *rig) func() { return r.full(strangler.Service, "strangler_position") }},
		"following":    {true, func(r *rig) func() { return r.full(strangler.Service, "strangler_position") }},
		"out of reach": {true, func(r *rig) func() { return r.closed(strangler.Service) }},
		"stopped":      {true, stopped},
	} {
		t.Run(name, func(t *testing.T) {
			var log lines
			r := newRig(t, capped(most, &log))
			w := r.through("through")
			var open func()
			if c.following {
				r.copied()
				open = c.block(r)
			} else {
				must(t, r.splits.Expand(t.Context(), capability))
				open = c.block(r)
				must(t, r.copyOnce(t.Context()))
			}
			shown := int64(0)
			await(t, "a split that has let go", func() bool {
				r.fill()
				st := r.status()
				shown = max(shown, st.RetainedWAL)
				return st.Phase == strangler.PhaseStopped && strings.Contains(st.Error, "retained_wal is 64 MiB")
			})
			if shown < 8<<20 {
				t.Errorf("the status has shown %d bytes at most", shown)
			}
			await(t, "an end of the slot", func() bool { return r.slots() == 0 })
			w.await(10)
			st := r.status()
			for _, says := range []string{"What filled it: ", "Nothing was lost, and the legacy side goes on serving", "strangler split cancel billing, then run the playbook"} {
				if !strings.Contains(st.Error, says) {
					t.Errorf("it does not say %q: %s", says, st.Error)
				}
			}
			if st.RetainedWAL != 0 || st.Owner != strangler.Legacy {
				t.Errorf("without a slot %d bytes are kept, and the %s side owns", st.RetainedWAL, st.Owner)
			}
			if n := log.count("keeps more than half"); n != 1 {
				t.Errorf("it was warned of %d times", n)
			}
			open()
			r.again("the end of the split", func(ctx context.Context) error { return r.splits.Cancel(ctx, capability) })
			r.copied()
			if r.slots() != 1 {
				t.Error("the next copy has no slot")
			}
			r.check(w)
		})
	}
}

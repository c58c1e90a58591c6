package mysql_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/mysql"
)

// limited opens the legacy side of a pair with limits.
func limited(t *testing.T, p *enginetest.Pair, limits strangler.Throttle) *mysql.Database {
	t.Helper()
	d, err := mysql.Open(t.Context(), migrations.Binding{Capability: "delivery", Side: strangler.Legacy, DSN: p.LegacyDSN, Tables: enginetest.Moved, ControlID: "x", Throttle: limits})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d.(*mysql.Database)
}

func armedPair(t *testing.T) *enginetest.Pair {
	t.Helper()
	return enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
}

// Sessions that run a statement are counted.
func TestLoadCountsSessions(t *testing.T) {
	p := armedPair(t)
	d := limited(t, p, strangler.Throttle{Sessions: 1})
	ctx, cancel := context.WithCancel(t.Context())
	var asleep sync.WaitGroup
	conns := 3
	for range conns {
		c := lab{}.Connect(t, p.LegacyDSN)
		asleep.Go(func() { _, _ = c.ExecContext(ctx, "SELECT SLEEP(3600)") })
	}
	defer asleep.Wait()
	defer cancel()
	for n := 0; n < conns; { // others use the server too
		l, err := d.Load(t.Context())
		must(t, err)
		n = l.Sessions
	}
}

// TestLatencyOfALockedTable: a read that does not come back is a latency beyond the limit.
func TestLatencyOfALockedTable(t *testing.T) {
	p := armedPair(t)
	limits := strangler.Throttle{Latency: 5 * time.Second}
	d := limited(t, p, limits)
	if l, err := d.Load(t.Context()); err != nil || l.Latency <= 0 || l.Latency > limits.Latency {
		t.Fatalf("%+v, %v", l, err)
	}
	admin := p.Admin(strangler.Legacy)
	p.Exec(admin, "LOCK TABLES "+strings.Join(enginetest.Moved, " WRITE, ")+" WRITE")
	if l, err := d.Load(t.Context()); err != nil || l.Latency <= limits.Latency {
		t.Errorf("with the tables locked: %+v, %v", l, err)
	}
	p.Exec(admin, "UNLOCK TABLES")
	if l, err := d.Load(t.Context()); err != nil || l.Latency > limits.Latency {
		t.Errorf("behind the lock: %+v, %v", l, err)
	}
}

// A limit that the server cannot tell is refused at plan.
func TestLagIsRefused(t *testing.T) {
	p := enginetest.NewPair(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	s, err := limited(t, p, strangler.Throttle{Lag: time.Second}).Inspect(t.Context())
	must(t, err)
	for _, x := range s.Problems {
		if x.Check == "throttle" && strings.Contains(x.Next, "leave lag and lag_bytes out") {
			return
		}
	}
	t.Errorf("the problems are %+v", s.Problems)
}

//go:build !race

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/internal/invariant"
)

// TestSleeper stops a worker outside of a write transaction, lets a second one take over, cut over and
// roll back, then wakes the first: it does no harm, and its proxy follows.
func TestSleeper(t *testing.T) { eachKind(t, sleeper) }

func sleeper(t *testing.T, k *kind) {
	s := newSystem(t, k, 1000)
	first, second := s.daemon, s.newDaemon(s.node("second.yaml"))
	s.start(first)
	w := s.traffic(first, 1)
	s.until(first, "verify")
	w.awaitWrites(5)

	s.sleep(first)
	s.start(second)
	other := s.traffic(second, 1)
	c := s.client(second)
	defer c.Close()
	retry := func(what string, f func() error) {
		t.Helper()
		s.awaitWith(what, func() bool { return f() == nil }, second)
	}
	retry("verify", func() error { _, err := c.Verify(t.Context(), capability, order); return err })
	retry("cutover", func() error { _, err := c.Cutover(t.Context(), capability, order); return err })
	other.awaitWrites(10)
	retry("rollback", func() error { _, err := c.Rollback(t.Context(), capability, order); return err })
	other.awaitWrites(10)

	s.signal(first, syscall.SIGCONT)
	w.awaitWrites(10)
	other.awaitWrites(10)
	retry("cutover", func() error { _, err := c.Cutover(t.Context(), capability, order); return err })
	w.awaitWrites(10)
	w.stop()
	other.stop()
	s.caughtUp(second)
	s.check(strangler.Service, false)
}

// until runs the playbook to a step.
func (s *system) until(p *program, step string) {
	s.t.Helper()
	s.drive(p, "the run until "+step, func(c *client.Client) error {
		o := order
		o.Until = step
		_, err := c.Run(s.t.Context(), capability, o)
		return err
	}, func(r strangler.Run) bool { return r.State == strangler.RunDone })
}

// sleep stops a program. On SQLite it does so where the program holds no write lock of any of the three
// databases, which nobody could take from it.
func (s *system) sleep(p *program) {
	s.t.Helper()
	if s.dialect != invariant.SQLite {
		s.signal(p, syscall.SIGSTOP)
		return
	}
	control := s.open(s.t, s.controlDSN)
	await(s.t, "a moment without a write transaction", func() bool {
		s.signal(p, syscall.SIGSTOP)
		ctx, cancel := context.WithTimeout(s.t.Context(), 500*time.Millisecond)
		defer cancel()
		for _, db := range []*sql.DB{control, s.legacyDB, s.serviceDB} {
			if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS awake (x); DROP TABLE awake"); err != nil {
				s.signal(p, syscall.SIGCONT)
				return false
			}
		}
		return true
	})
}

// TestUpstreamsDie kills the monolith and the service in traffic, before, in and after the cutover:
// requests may fail, acknowledged writes may not be lost.
func TestUpstreamsDie(t *testing.T) { eachKind(t, upstreamsDie) }

func upstreamsDie(t *testing.T, k *kind) {
	s := newSystem(t, k, 1000)
	s.start(s.daemon)
	w := s.traffic(s.daemon, 3)
	w.awaitWrites(10)
	s.again(s.monolith)
	w.awaitWrites(10)
	s.until(s.daemon, "canary")
	s.again(s.service)
	s.again(s.monolith)

	c := s.client(s.daemon)
	defer c.Close()
	hand := func(what string, f func() error) {
		t.Helper()
		s.awaitWith(what, func() bool {
			s.kill(s.monolith)
			ended := make(chan error, 1)
			go func() { ended <- f() }()
			s.start(s.monolith)
			err := <-ended
			if err != nil && !errors.Is(err, strangler.ErrRefused) {
				t.Logf("%s: %v", what, err)
			}
			return err == nil
		}, s.daemon)
	}
	hand("cutover", func() error { _, err := c.Cutover(t.Context(), capability, order); return err })
	w.awaitWrites(10)
	s.again(s.service)
	w.awaitWrites(10)
	hand("rollback", func() error { _, err := c.Rollback(t.Context(), capability, order); return err })
	w.awaitWrites(10)
	w.stop()
	s.caughtUp(s.daemon)
	s.check(strangler.Legacy, false)
}

// again kills a program and starts it anew.
func (s *system) again(p *program) {
	s.t.Helper()
	s.kill(p)
	s.start(p)
}

package control

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// terminated ends the sessions of all stores.
const terminated = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'control'"

// The session ends between the last statement and the commit: nothing is stored, which the caller cannot
// know. The pool then gets over it.
func TestWritesWhoseSessionIsTerminatedAtTheCommit(t *testing.T) {
	for _, name := range FaultPoints() {
		p := point(name)
		if p == pointOpen {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dsn := arranged(t, postgresPlace, p)
			admin := administrator(t, dsn)
			count := 0
			s := openStore(t, Config{DSN: dsn, Fault: func(at string) error {
				if at != name+".before" || count > 0 {
					return nil
				}
				count++
				_, err := admin.Exec(terminated)
				return err
			}})
			before := dump(t, s)
			wants(t, writes[p].call(t.Context(), s), strangler.ErrUnknown)
			if diff := cmp.Diff(before, dump(t, openStore(t, Config{DSN: dsn}))); diff != "" || count != 1 {
				t.Errorf("terminated %d times; stored: %s", count, diff)
			}
			noError(t, writes[p].call(t.Context(), s))
		})
	}
}

// Whatever a database or role is set to, what was acknowledged is there after a crash of the server; and
// a decision that a crash has cut off is settled.
func TestACrashOfTheServer(t *testing.T) {
	ctx := t.Context()
	// With these settings a commit is on its way to the disk for ten seconds.
	server := must(localdb.Postgres(ctx, localdb.Config{Settings: map[string]string{"synchronous_commit": "off", "wal_writer_delay": "10s"}}))(t)
	t.Cleanup(func() { noError(t, server.Close()) })
	noError(t, server.Role(ctx, "control"))
	noError(t, server.Create(ctx, "control", "control"))
	var crash string
	s := openStore(t, Config{DSN: server.As("control", "control"), Fault: func(at string) error {
		if at != crash {
			return nil
		}
		crash = ""
		return server.Kill()
	}})
	ensure(t, s)
	cutover := must(s.Prepare(ctx, "delivery", strangler.Service, 0, "ann", "it is time"))(t)
	crash = "decide.before"
	_, err := s.Decide(ctx, cutover.ID, strangler.Committed, "serial 17", "")
	wants(t, err, strangler.ErrUnknown)
	_, err = s.CutoverByID(ctx, cutover.ID)
	if err == nil {
		t.Fatal("a server that is down answers")
	}
	noError(t, server.Restart(ctx))

	if row := must(s.CutoverByID(ctx, cutover.ID))(t); row.State != strangler.Preparing {
		t.Fatalf("killed before its commit: %+v", row)
	}
	decided := must(s.Decide(ctx, cutover.ID, strangler.Aborted, "", "the server went down"))(t)
	noError(t, server.Kill())
	noError(t, server.Restart(ctx))
	if row := must(s.CutoverByID(ctx, cutover.ID))(t); row != decided {
		t.Errorf("acknowledged before the crash: %+v; stored: %+v", decided, row)
	}
	crash = "release.after"
	noError(t, s.Release(ctx, cutover.ID))
	noError(t, server.Restart(ctx))
	if row := must(s.CutoverByID(ctx, cutover.ID))(t); !row.Released {
		t.Errorf("released before the crash: %+v", row)
	}
	checkAudit(t, s, "delivery")
}

// A process that sleeps in the middle of a write does not keep the others from theirs, and what it was
// about to commit is gone.
func TestASleeperInAWriteIsPutAside(t *testing.T) {
	ctx := t.Context()
	dsn := postgresPlace.dsn(t)
	awake := openStore(t, Config{DSN: dsn})
	ensure(t, awake)
	asleep, wake := make(chan struct{}), make(chan struct{})
	sleeper := openStore(t, Config{DSN: dsn, Fault: func(at string) error {
		if at == "set.before" {
			close(asleep)
			<-wake
		}
		return nil
	}})
	sleeper.dialect.settings = settings(50*time.Millisecond, lockTimeout)
	var late error
	var done sync.WaitGroup
	done.Go(func() { _, late = set(ctx, sleeper, "delivery", strangler.ModeCanary, strangler.Hundred) })
	<-asleep
	toggle, err := set(ctx, awake, "delivery", strangler.ModeShadow, 0)
	close(wake)
	done.Wait()
	noError(t, err)
	wants(t, late, strangler.ErrUnknown)
	if stored := must(awake.Toggle(ctx, "delivery"))(t); stored != toggle {
		t.Errorf("stored %+v; want %+v", stored, toggle)
	}
	checkAudit(t, awake, "delivery")
}

// Somebody else's session, which the settings of ours do not end, holds the row: the wait is bounded, and
// the error says how to find it.
func TestTheWaitForARowIsBounded(t *testing.T) {
	dsn := postgresPlace.dsn(t)
	s := openStore(t, Config{DSN: dsn})
	ensure(t, s)
	tx := must(administrator(t, dsn).Begin())(t)
	must(tx.Exec("SELECT 1 FROM control_toggles FOR UPDATE"))(t)
	s.dialect.settings = settings(idleLimit, 50*time.Millisecond)
	before := dump(t, s)
	_, err := set(t.Context(), s, "delivery", strangler.ModeShadow, 0)
	if err == nil || errors.Is(err, strangler.ErrUnknown) || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "pg_stat_activity") {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(before, dump(t, s)); diff != "" {
		t.Error(diff)
	}
	noError(t, tx.Rollback())
	must(set(t.Context(), s, "delivery", strangler.ModeShadow, 0))(t)
}

// One daemon does not take the server's connections from the others.
func TestConnectionsAreBounded(t *testing.T) {
	dsn := postgresPlace.dsn(t) + "&application_name=bounded"
	s := openStore(t, Config{DSN: dsn})
	ensure(t, s)
	var most int64
	admin := administrator(t, dsn)
	s.fault = func(at string) error {
		if at != "next-epoch.before" { // then this write has the one row that all others wait for
			return nil
		}
		var n int64
		err := admin.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bounded'").Scan(&n)
		most = max(most, n)
		return err
	}
	var done sync.WaitGroup
	for range 5 * sessions {
		done.Go(func() {
			if _, err := s.NextEpoch(t.Context(), "delivery", "worker", "w"); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if most < 1 || most > sessions {
		t.Errorf("%d connections at once; want 1 to %d", most, sessions)
	}
}

// A role that owns nothing is told what it lacks, and the store is as it was.
func TestARoleWithoutRights(t *testing.T) {
	server := localdbtest.Shared(t)
	noError(t, server.Role(t.Context(), "visitor"))
	_, err := Open(t.Context(), Config{DSN: server.As("visitor", localdbtest.Database(t, ""))})
	if err == nil || !strings.Contains(err.Error(), "GRANT USAGE, CREATE") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("error %v", err)
	}
}

func TestErrorsOfAServerShowNoPassword(t *testing.T) {
	right := must(url.Parse(postgresPlace.dsn(t)))(t)
	address, database := right.Host, right.Path
	gone := context.Background()
	for _, dsn := range []string{
		fmt.Sprintf("postgres://control:hunter2@%s%s", address, database),
		fmt.Sprintf("postgres://nobody:hunter2@%s%s", address, database),
		fmt.Sprintf("postgres://control@%s%s?password=hunter2", address, database),
		fmt.Sprintf("postgres://control:hunter2@%s/nowhere", address),
		"postgres://control:hunter2@127.0.0.1:1/control",
		"postgres://control:hunter2@127.0.0.1:port/control",
		"postgres://control:hunter2%zz@127.0.0.1/control",
		"postgres://control:hunter2/@127.0.0.1/control",
		"postgres://control:hunter2@127.0.0.1/control?sslmode=maybe",
		"postgres://control@127.0.0.1/control?password=hunter2&sslmode=maybe",
		"postgresql://control:hunter2@[::1/control",
	} {
		s, err := Open(gone, Config{DSN: dsn})
		if err == nil {
			noError(t, s.Close())
			t.Errorf("%s was opened", dsn)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error of %s shows the password: %v", dsn, err)
		}
	}
}

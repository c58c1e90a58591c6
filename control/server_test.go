package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// server is a place on a server of which the tests are in command.
type server struct {
	place
	shared    func(testing.TB) *localdb.Server
	make      func(context.Context, localdb.Config) (*localdb.Server, error)
	lazy      map[string]string // settings with which a commit is on its way to the disk for long
	sessions  string            // the ids of all stores' sessions
	kill      string            // ends one, by %d
	settings  func(idle, lock time.Duration) string
	shortest  time.Duration // of the settings
	remedy    string        // how whoever holds a row is found
	rights    string        // how a role gets what it lacks
	wrongDSNs []string      // of the server at ADDRESS, with the password hunter2
}

var onPostgres = server{
	place: postgresPlace, shared: localdbtest.Shared, make: localdb.Postgres,
	lazy:     map[string]string{"synchronous_commit": "off", "wal_writer_delay": "10s"},
	sessions: "SELECT pid FROM pg_stat_activity WHERE usename = 'control'", kill: "SELECT pg_terminate_backend(%d)",
	settings: settings, shortest: 50 * time.Millisecond, remedy: "pg_stat_activity", rights: "GRANT USAGE, CREATE",
	wrongDSNs: []string{
		"postgres://control:hunter2@ADDRESS/control",
		"postgres://nobody:hunter2@ADDRESS/control",
		"postgres://control@ADDRESS/control?password=hunter2",
		"postgres://control:hunter2@ADDRESS/nowhere",
		"postgres://control:hunter2@127.0.0.1:1/control",
		"postgres://control:hunter2@127.0.0.1:port/control",
		"postgres://control:hunter2%zz@127.0.0.1/control",
		"postgres://control:hunter2/@127.0.0.1/control",
		"postgres://control:hunter2@127.0.0.1/control?sslmode=maybe",
		"postgres://control@127.0.0.1/control?password=hunter2&sslmode=maybe",
		"postgresql://control:hunter2@[::1/control",
	},
}

var onMariaDB = server{
	place: mariadbPlace, shared: localdbtest.SharedMariaDB, make: localdb.MariaDB,
	sessions: "SELECT id FROM information_schema.processlist WHERE user = 'control'", kill: "KILL CONNECTION %d",
	settings: mysqlSettings, shortest: time.Second, remedy: "innodb_trx", rights: "GRANT ALL PRIVILEGES",
	wrongDSNs: []string{
		"mysql://control:hunter2@ADDRESS/control",
		"mysql://nobody:hunter2@ADDRESS/control",
		"mysql://control:hunter2@127.0.0.1:1/control",
		"mysql://control:hunter2@127.0.0.1:port/control",
		"mysql://control:hunter2%zz@127.0.0.1/control",
		"mysql://control:hunter2/@127.0.0.1/control",
		"mysql://control:hunter2@127.0.0.1/control?tls=hunter2",
		"mysql://control@127.0.0.1/control?password=hunter2",
		"mysql://control:hunter2#@127.0.0.1/control",
		"mysql://control:hunter2@[::1/control",
	},
}

// eachServer runs a test once for each kind of server.
func eachServer(t *testing.T, test func(t *testing.T, on server)) {
	for _, on := range []server{onPostgres, onMariaDB} {
		t.Run(on.name, func(t *testing.T) { test(t, on) })
	}
}

// administrator is a superuser's session beside the store of a DSN.
func (on server) administrator(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	u := must(url.Parse(dsn))(t)
	db := must(on.shared(t).Pool("", strings.TrimPrefix(u.Path, "/")))(t)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { noError(t, db.Close()) })
	if path := u.Query().Get("search_path"); path != "" {
		must(db.Exec("SET search_path = " + path))(t)
	}
	return db
}

// terminate ends the sessions of all stores.
func (on server) terminate(admin *sql.DB) error {
	ids, err := column[int64](admin, on.sessions)
	for _, id := range ids {
		_, e := admin.Exec(fmt.Sprintf(on.kill, id))
		if answer := (*mysql.MySQLError)(nil); errors.As(e, &answer) && answer.Number == noSuchThread {
			e = nil // it has ended by itself, and the list had it still
		}
		err = errors.Join(err, e)
	}
	return err
}

// noSuchThread is MariaDB's answer to the killing of a session that is gone.
const noSuchThread = 1094

// column reads the only column of a query.
func column[T any](db *sql.DB, query string) (values []T, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		err = errors.Join(err, rows.Scan(&v))
		values = append(values, v)
	}
	return values, errors.Join(err, rows.Err())
}

// The session ends between the last statement and the commit: nothing is stored, which the caller cannot
// know. The pool then gets over it.
func TestWritesWhoseSessionIsTerminatedAtTheCommit(t *testing.T) {
	eachServer(t, writesTerminated)
}

func writesTerminated(t *testing.T, on server) {
	for _, name := range FaultPoints() {
		p := point(name)
		if p == pointOpen {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dsn := arranged(t, on.place, p)
			admin := on.administrator(t, dsn)
			count := 0
			s := openStore(t, Config{DSN: dsn, Fault: func(at string) error {
				if at != name+".before" || count > 0 {
					return nil
				}
				count++
				return on.terminate(admin)
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
func TestACrashOfTheServer(t *testing.T) { eachServer(t, crashOfTheServer) }

func crashOfTheServer(t *testing.T, on server) {
	ctx := t.Context()
	server := must(on.make(ctx, localdb.Config{Settings: on.lazy}))(t)
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
func TestASleeperInAWriteIsPutAside(t *testing.T) { eachServer(t, sleeperInAWrite) }

func sleeperInAWrite(t *testing.T, on server) {
	ctx := t.Context()
	dsn := on.dsn(t)
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
	sleeper.dialect.settings = on.settings(on.shortest, lockTimeout)
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
func TestTheWaitForARowIsBounded(t *testing.T) { eachServer(t, waitForARow) }

func waitForARow(t *testing.T, on server) {
	dsn := on.dsn(t)
	s := openStore(t, Config{DSN: dsn})
	ensure(t, s)
	tx := must(on.administrator(t, dsn).Begin())(t)
	must(tx.Exec("SELECT 1 FROM control_toggles FOR UPDATE"))(t)
	s.dialect.settings = on.settings(idleLimit, on.shortest)
	before := dump(t, s)
	_, err := set(t.Context(), s, "delivery", strangler.ModeShadow, 0)
	if err == nil || errors.Is(err, strangler.ErrUnknown) || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), on.remedy) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(before, dump(t, s)); diff != "" {
		t.Error(diff)
	}
	noError(t, tx.Rollback())
	must(set(t.Context(), s, "delivery", strangler.ModeShadow, 0))(t)
}

// One daemon does not take the server's connections from the others.
func TestConnectionsAreBounded(t *testing.T) { eachServer(t, connectionsAreBounded) }

func connectionsAreBounded(t *testing.T, on server) {
	dsn := on.dsn(t)
	s := openStore(t, Config{DSN: dsn})
	ensure(t, s)
	var most int
	admin := on.administrator(t, dsn)
	s.fault = func(at string) error {
		if at != "next-epoch.before" { // then this write has the one row that all others wait for
			return nil
		}
		ids, err := column[int64](admin, on.sessions)
		most = max(most, len(ids))
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
func TestARoleWithoutRights(t *testing.T) { eachServer(t, roleWithoutRights) }

func roleWithoutRights(t *testing.T, on server) {
	server := on.shared(t)
	noError(t, server.Role(t.Context(), "visitor"))
	_, err := Open(t.Context(), Config{DSN: server.As("visitor", strings.TrimPrefix(must(url.Parse(on.dsn(t)))(t).Path, "/"))})
	if err == nil || !strings.Contains(err.Error(), on.rights) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("error %v", err)
	}
}

func TestErrorsOfAServerShowNoPassword(t *testing.T) { eachServer(t, errorsShowNoPassword) }

func errorsShowNoPassword(t *testing.T, on server) {
	address := on.shared(t).Addr()
	for _, form := range on.wrongDSNs {
		dsn := strings.Replace(form, "ADDRESS", address, 1)
		s, err := Open(context.Background(), Config{DSN: dsn})
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

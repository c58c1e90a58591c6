package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// writes are statements that reach a row by other ways than a plain INSERT, UPDATE or DELETE.
var writes = []string{
	"INSERT IGNORE INTO couriers (id, name) VALUES (70, 'ignored')",
	"INSERT IGNORE INTO couriers (id, name) VALUES (1, 'there already'), (71, 'new')",
	"REPLACE INTO couriers (id, name, badge) VALUES (72, 'takes the badge', 10)",
	"INSERT INTO couriers (id, name) VALUES (2, 'upsert') ON DUPLICATE KEY UPDATE name = 'upserted', badge = 99",
	"UPDATE IGNORE couriers SET badge = 99 WHERE id IN (1, 3)",
	"UPDATE couriers, actions SET couriers.name = 'joined', actions.what = 'joined' WHERE actions.courier = couriers.id",
	"DELETE actions FROM actions JOIN couriers ON couriers.id = actions.courier WHERE couriers.id = 2",
	"INSERT INTO actions (courier, at, what) SELECT id, 500, name FROM couriers",
	"UPDATE couriers SET id = id + 1000 ORDER BY id DESC",
}

func TestWaysToWriteARow(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	for _, q := range append([]string{"SET SESSION foreign_key_checks = 0"}, writes...) {
		p.Exec(p.App, q)
		p.Sync()
		p.Alike()
	}
	p = enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	must(t, p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	for _, q := range writes {
		p.Refused(p.App, q)
	}
	p.Refused(p.App, "DELETE IGNORE FROM couriers")
	p.Refused(p.App, "PREPARE s FROM 'DELETE FROM couriers'; EXECUTE s")
	p.Alike()
}

func TestLoadedRowsAreRecordedOrRefused(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	file := filepath.Join(t.TempDir(), "rows")
	must(t, os.WriteFile(file, []byte("80\tloaded\n81\tloaded too\n"), 0o600))
	client.RegisterLocalFile(file)
	defer client.DeregisterLocalFile(file)
	load := fmt.Sprintf("LOAD DATA LOCAL INFILE '%s' IGNORE INTO TABLE couriers (id, name)", file)
	p.Exec(p.App, load)
	p.Sync()
	p.Alike()
	must(t, p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	p.Exec(p.Admin(strangler.Legacy), "SET SESSION sql_mode = ''")
	_, err := p.App.ExecContext(t.Context(), strings.ReplaceAll(load, " IGNORE", ""))
	if err == nil || !strings.Contains(err.Error(), "strangler: delivery") {
		t.Errorf("loading behind the fence got %v", err)
	}
	p.Alike()
}

// TestOpenTransactionsDoNotSlipThroughAFence writes from snapshots older than the fence, at every isolation.
func TestOpenTransactionsDoNotSlipThroughAFence(t *testing.T) {
	for _, level := range []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
		t.Run(level.String(), func(t *testing.T) {
			p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
			old, err := p.App.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
			must(t, err)
			defer old.Rollback()
			var n int
			must(t, old.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM zones").Scan(&n)) // its snapshot
			must(t, p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
			if _, err := old.ExecContext(t.Context(), "UPDATE couriers SET name = 'late'"); err == nil || !strings.Contains(err.Error(), "strangler: delivery") {
				t.Errorf("got %v", err)
			}
			must(t, old.Rollback())
			p.Alike()
		})
	}
}

// TestPreparedTransactionsKeepAFenceOpen has a writer that no session holds.
func TestPreparedTransactionsKeepAFenceOpen(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	id := "'" + strings.ReplaceAll(t.Name(), "/", "_") + "'"
	for _, q := range []string{"XA START " + id, "UPDATE couriers SET name = 'prepared' WHERE id = 1", "XA END " + id, "XA PREPARE " + id} {
		p.Exec(p.App, q)
	}
	if err := p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed); err == nil {
		t.Fatal("the fence was closed over a prepared transaction")
	}
	if err := untilRefused(t, p.Legacy); !strings.Contains(err.Error(), "XA RECOVER") {
		t.Errorf("holding got %v", err)
	}
	p.Exec(p.App, "XA COMMIT "+id)
	must(t, p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	p.Sync()
	p.Alike()
}

// untilRefused holds until a transaction is long enough to be named.
func untilRefused(t *testing.T, d migrations.Database) error {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		release, err := d.Hold(ctx)
		release()
		cancel()
		if err == nil {
			continue
		}
		if !errors.Is(err, strangler.ErrRefused) {
			t.Fatal(err)
		}
		return err
	}
}

func TestALongTransactionIsNamed(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	release, err := p.Legacy.Hold(t.Context())
	must(t, err)
	release()
	tx, err := p.App.BeginTx(t.Context(), nil)
	must(t, err)
	defer tx.Rollback()
	_, err = tx.ExecContext(t.Context(), "UPDATE couriers SET name = 'long' WHERE id = 1")
	must(t, err)
	if err := untilRefused(t, p.Legacy); !strings.Contains(err.Error(), application) {
		t.Errorf("got %v", err)
	}
	must(t, tx.Rollback())
	release, err = p.Legacy.Hold(t.Context())
	must(t, err)
	release()
}

// TestThePassIsNotAnApplications has another user set what the applier sets.
func TestThePassIsNotAnApplications(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	p.Exec(p.Served, fmt.Sprintf("SET @strangler_applier = 'delivery:%d'", p.Term))
	p.Refused(p.Served, "UPDATE couriers SET name = 'mine'")
	p.Exec(p.App, fmt.Sprintf("SET @strangler_applier = 'delivery:%d'", p.Term))
	p.Exec(p.App, "UPDATE couriers SET name = 'recorded all the same'")
	p.Sync()
	p.Alike()
}

// TestASleepersSessionIsEnded has a worker that sleeps in a transaction of the applier, in another process.
func TestASleepersSessionIsEnded(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	other, err := lab{}.Open(t.Context(), migrations.Binding{Capability: "delivery", Side: strangler.Service, DSN: p.ServiceDSN, Tables: enginetest.Moved, ControlID: "store-1"})
	must(t, err)
	defer func() { must(t, other.Close()) }()
	a, err := other.Begin(t.Context(), p.Term)
	must(t, err)
	must(t, a.Delete(t.Context(), 0, migrations.Key{int64(1)}))
	must(t, p.Service.RaiseTerm(t.Context(), p.Term+1))
	if err := a.Commit(); err == nil {
		t.Error("the sleeper has committed under a term of yesterday")
	}
	p.Alike()
}

// TestClosingWaitsForEveryWriter holds each kind of write open at each isolation: the server locks by itself what some of
// them read, and not what others do.
func TestClosingWaitsForEveryWriter(t *testing.T) {
	for _, level := range []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead} {
		for name, q := range map[string]string{
			"insert": "INSERT INTO couriers (id, name) VALUES (9, 'Zed')", "update": "UPDATE couriers SET name = 'Eve' WHERE id = 1", "delete": "DELETE FROM actions WHERE courier = 2",
			"insert select": "INSERT INTO actions (courier, at, what) SELECT courier, at + 10, what FROM actions", "replace": "REPLACE INTO couriers (id, name) VALUES (3, 'Zoe')",
		} {
			t.Run(level.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
				tx, err := p.App.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
				must(t, err)
				defer tx.Rollback()
				_, err = tx.ExecContext(t.Context(), q)
				must(t, err)
				if err := p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed); err == nil {
					t.Fatal("the fence was closed over a write in flight")
				}
				must(t, tx.Commit())
				must(t, p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
				p.Sync()
				p.Alike()
			})
		}
	}
}

// TestClosingWaitsForAWriterThatHasRecordedNothingYet has one that the fence has let pass, and that waits for a gap that
// somebody has locked before it writes.
func TestClosingWaitsForAWriterThatHasRecordedNothingYet(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	holder, err := lab{}.Connect(t, p.LegacyDSN).BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	must(t, err)
	defer holder.Rollback()
	_, err = holder.ExecContext(t.Context(), "SELECT * FROM couriers WHERE id = 50 FOR UPDATE")
	must(t, err)
	written := make(chan error, 1)
	go func() {
		tx, err := p.App.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err == nil {
			_, err = tx.ExecContext(t.Context(), "UPDATE couriers SET id = 50 WHERE id = 3")
		}
		if err == nil {
			err = tx.Commit()
		}
		written <- err
	}()
	admin := p.Admin(strangler.Legacy)
	for tick := time.NewTicker(10 * time.Millisecond); query(t, admin, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_ROW_LOCK_CURRENT_WAITS'")[0] == "0"; {
		<-tick.C
	}
	if err := p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed); err == nil {
		t.Error("the fence was closed over a writer that it had let pass")
	}
	must(t, holder.Rollback())
	must(t, <-written)
	must(t, p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	p.Sync()
	p.Alike()
}

// TestAWriterOfManyRowsKeepsNobodyElse has one statement slowly delete rows, and others that go along by a foreign key, and
// another session write meanwhile without ever waiting.
func TestAWriterOfManyRowsKeepsNobodyElse(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	slow := lab{}.Connect(t, p.LegacyDSN)
	exec(t, slow, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
	exec(t, slow, "UPDATE couriers SET boss = NULL")
	exec(t, p.App, "SET SESSION innodb_lock_wait_timeout = 0")
	done := make(chan error, 1)
	go func() {
		_, err := slow.ExecContext(t.Context(), "DELETE FROM couriers WHERE id < 3 AND SLEEP(0.4) = 0")
		done <- err
	}()
	writes := 0
	for tick := time.NewTicker(5 * time.Millisecond); ; writes++ {
		select {
		case err := <-done:
			must(t, err)
			if writes == 0 {
				t.Error("nothing was written meanwhile")
			}
			p.Sync()
			p.Alike()
			return
		case <-tick.C:
			p.Exec(p.App, fmt.Sprintf("INSERT INTO actions (courier, at, what) VALUES (3, %d, 'quick')", writes))
		}
	}
}

func TestABatchIsForgottenBesideAnOpenWriter(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	for i := range 200 {
		p.Exec(p.App, fmt.Sprintf("INSERT INTO actions (courier, at, what) VALUES (3, %d, 'before')", i))
	}
	open := lab{}.Connect(t, p.LegacyDSN)
	exec(t, open, "START TRANSACTION")
	exec(t, open, "INSERT INTO actions (courier, at, what) VALUES (3, 200, 'open')")
	n, err := p.Step()
	must(t, err)
	if n != 200 {
		t.Errorf("the batch has %d changes, not the 200 that are committed", n)
	}
	exec(t, open, "COMMIT")
	p.Sync()
	p.Alike()
}

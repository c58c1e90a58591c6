package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/mysql"
)

// logging is the lab where changes are read from the binary log, on a server of its own.
type logging struct {
	lab
	server *localdb.Server
	force  strangler.Capture
}

func binaryLog(t *testing.T, more map[string]string) logging {
	t.Helper()
	settings := map[string]string{"log_bin": "log", "binlog_format": "ROW", "binlog_row_metadata": "FULL", "sync_binlog": "1", "server_id": "7", "log_bin_trust_function_creators": "1"}
	for name, value := range more {
		settings[name] = value
	}
	s, err := localdb.MariaDB(context.Background(), localdb.Config{Settings: settings})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	must(t, s.Role(t.Context(), application, "GRANT ALL ON `lab\\_%`.* TO app@'%'"))
	must(t, s.Role(t.Context(), role, "GRANT ALL ON `lab\\_%`.* TO strangler@'%'", "GRANT PROCESS, REPLICATION SLAVE ON *.* TO strangler@'%'"))
	return logging{server: s, force: strangler.CaptureLogical}
}

func (l logging) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	if b.Shares == nil { // shares are captured by triggers, whose choice is the engine's
		b.Capture = l.force
	}
	return mysql.Open(ctx, b)
}

func (l logging) Fresh(t *testing.T) string {
	t.Helper()
	return l.fresh(t, l.server)
}

func (l logging) Speech() enginetest.Speech {
	s := l.lab.Speech()
	s.Streamed, s.Older = true, "UPDATE strangler_position SET applied = CONCAT(SUBSTRING_INDEX(applied, '@', 1) - 1, '@', SUBSTRING_INDEX(applied, '@', -1))"
	s.Tampers = nil
	for _, x := range tampers {
		if !strings.HasPrefix(x.Name, "capture trigger") {
			s.Tampers = append(s.Tampers, x)
		}
	}
	s.Keys = nil
	for _, k := range keys {
		if !illegible[k.Name] {
			s.Keys = append(s.Keys, k)
		}
	}
	return s
}

// illegible are keys of types that are not read from the binary log.
var illegible = map[string]bool{"latin": true, "uuids": true, "dates": true, "stamps": true, "times": true}

// TestConformanceOfTheBinaryLog runs what is about capturing; all of it is TestTortureConformanceOfTheBinaryLog.
func TestConformanceOfTheBinaryLog(t *testing.T) {
	enginetest.Run(t, binaryLog(t, nil), "capture", "repair", "ranges")
}

// by is how a split that is under way captures.
func by(t *testing.T, p *enginetest.Pair) string {
	t.Helper()
	return query(t, p.Admin(strangler.Legacy), "SELECT CASE WHEN base IS NULL THEN 'triggers' ELSE 'logical' END FROM strangler_position")[0]
}

// said is what check says of something at the monolith's side.
func said(t *testing.T, p *enginetest.Pair, check string) (all []migrations.Finding) {
	t.Helper()
	found, err := p.Plan.Examine(t.Context())
	must(t, err)
	for _, f := range found {
		if f.Side == strangler.Legacy && f.Check == check {
			all = append(all, f)
		}
	}
	return all
}

// TestCaptureIsChosen: from the binary log where it can be, by triggers with the reasons where not, and by triggers where that was
// asked for.
func TestCaptureIsChosen(t *testing.T) {
	able := binaryLog(t, nil)
	set := func(l logging, statement string) {
		exec(t, l.Admin(t, l.server.DSN("mysql")), statement)
	}
	automatic, forced := able, able
	automatic.force, forced.force = "", strangler.CaptureTriggers
	dated := []string{"CREATE TABLE couriers (id DATETIME NOT NULL PRIMARY KEY, name TEXT)", "CREATE TABLE actions (id INTEGER NOT NULL PRIMARY KEY, what TEXT)", "INSERT INTO couriers VALUES ('2026-01-01', 'a')", "INSERT INTO actions VALUES (1, 'a')"}
	for _, c := range []struct {
		name    string
		lab     enginetest.Lab
		ddl     []string
		setting [2]string
		want    string
		says    string
	}{
		{"where it can be", automatic, enginetest.Couriers, [2]string{}, "logical", "allow it"},
		{"forced", forced, enginetest.Couriers, [2]string{}, "triggers", "strangler.yaml says so"},
		{"asked for", able, enginetest.Couriers, [2]string{}, "logical", "strangler.yaml says so"},
		{"by the key", automatic, dated, [2]string{}, "triggers", "the column id of the key of couriers is a datetime"},
		{"by the metadata", automatic, enginetest.Couriers, [2]string{"SET GLOBAL binlog_row_metadata = 'NO_LOG'", "SET GLOBAL binlog_row_metadata = 'FULL'"}, "triggers", "binlog_row_metadata is NO_LOG"},
		{"by durability", automatic, enginetest.Couriers, [2]string{"SET GLOBAL sync_binlog = 0", "SET GLOBAL sync_binlog = 1"}, "triggers", "sync_binlog is 0"},
		{"by the user", automatic, enginetest.Couriers, [2]string{"REVOKE REPLICATION SLAVE ON *.* FROM strangler@'%'", "GRANT REPLICATION SLAVE ON *.* TO strangler@'%'"}, "triggers", "the user may not read it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.setting[0] != "" {
				set(able, c.setting[0])
				defer set(able, c.setting[1])
			}
			p := enginetest.NewPair(t, c.lab, c.ddl, enginetest.Moved...)
			would := said(t, p, "capture")
			plan := p.Write()
			for _, says := range []string{would[0].What, plan.Capture} {
				if !strings.Contains(says, c.says) {
					t.Errorf("it says %q, and not %q", says, c.says)
				}
			}
			p.To(migrations.StageArmed)
			p.Raise()
			p.Copy()
			if got := by(t, p); got != c.want {
				t.Errorf("changes are captured by %s, want %s", got, c.want)
			}
			p.Exec(p.App, "UPDATE couriers SET name = 'changed'")
			p.Sync()
			p.Alike()
			if c.want == "logical" {
				_, err := p.Legacy.(migrations.Scribe).Writers(t.Context())
				p.Wants(err, strangler.ErrRefused)
				if !strings.Contains(fmt.Sprint(err), "capture: triggers") {
					t.Errorf("of who writes it says: %v", err)
				}
			}
			if is := said(t, p, "capture"); !strings.Contains(is[0].What, "so it was chosen") {
				t.Errorf("of a split under way it says %+v", is)
			}
		})
	}
	set(able, "SET GLOBAL sync_binlog = 0")
	p := enginetest.NewPair(t, able, enginetest.Couriers, enginetest.Moved...)
	if _, err := p.Plan.Make(t.Context()); err == nil || !strings.Contains(err.Error(), "sync_binlog is 0") {
		t.Errorf("asked for where it cannot be: %v", err)
	}
	if f := said(t, p, "capture"); len(f) != 1 || !f[0].Forbids {
		t.Errorf("check says %+v", f)
	}
	set(able, "SET GLOBAL sync_binlog = 1")
	for seconds, fine := range map[string]bool{"0": true, "3600": false, "864000": true} {
		set(able, "SET GLOBAL binlog_expire_logs_seconds = "+seconds)
		if f := said(t, p, "retained_binlog"); len(f) != 1 || f[0].Fine != fine {
			t.Errorf("with %s check says %+v", seconds, f)
		}
	}
}

// TestADatabaseThatTheBinaryLogLeavesOut is refused before a row is copied.
func TestADatabaseThatTheBinaryLogLeavesOut(t *testing.T) {
	l := binaryLog(t, map[string]string{"binlog_do_db": "other"})
	p := enginetest.NewPair(t, l, enginetest.Couriers, enginetest.Moved...)
	p.Write()
	must(t, p.Plan.To(t.Context(), migrations.StageCapture))
	p.Raise()
	err := p.Legacy.Ready(t.Context())
	p.Wants(err, strangler.ErrRefused)
	if !strings.Contains(fmt.Sprint(err), "binlog_do_db") {
		t.Errorf("it says: %v", err)
	}
}

// anew opens the monolith's side again, as the next worker does, which has nothing in memory.
func anew(t *testing.T, l logging, p *enginetest.Pair) {
	t.Helper()
	must(t, p.Legacy.Close())
	d, err := l.Open(t.Context(), migrations.Binding{Capability: "delivery", Side: strangler.Legacy, DSN: p.LegacyDSN, Tables: enginetest.Moved, ControlID: "store-1"})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	p.Legacy = d
}

// TestWhatOnlyTheBinaryLogTells: a table that is emptied as a whole; rows that are written by a session which leaves out what did
// not change; a table whose columns have other places meanwhile; rows that are compressed.
func TestWhatOnlyTheBinaryLogTells(t *testing.T) {
	l := binaryLog(t, map[string]string{"log_bin_compress": "ON", "log_bin_compress_min_len": "10"})
	admin := func(p *enginetest.Pair, statements ...string) {
		for _, q := range statements {
			p.Exec(p.Admin(strangler.Legacy), q)
		}
	}
	for name, change := range map[string]func(p *enginetest.Pair){
		"truncated": func(p *enginetest.Pair) {
			p.Exec(p.App, "UPDATE actions SET what = 'soon gone'")
			p.Exec(p.App, "TRUNCATE TABLE actions")
			p.Exec(p.App, "INSERT INTO actions (courier, at, what) VALUES (1, 1, 'again'), (2, 9, 'new')")
		},
		"truncated by its whole name": func(p *enginetest.Pair) {
			admin(p, "USE mysql", "/* from afar */ truncate "+database(p.LegacyDSN)+" . `actions`", "USE "+database(p.LegacyDSN))
		},
		"another table of that name": func(p *enginetest.Pair) {
			beside := strings.TrimSuffix(database(p.LegacyDSN), "`") + "_beside`"
			admin(p, "CREATE DATABASE "+beside, "CREATE TABLE "+beside+".actions (id INTEGER PRIMARY KEY)", "INSERT INTO "+beside+".actions VALUES (1)", "TRUNCATE "+beside+".actions", "DROP DATABASE "+beside)
			p.Exec(p.App, "DELETE FROM actions WHERE at = 2")
		},
		"only what changed": func(p *enginetest.Pair) {
			admin(p, "SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE couriers SET name = 'minimal'", "UPDATE couriers SET id = 77 WHERE id = 3", "INSERT INTO couriers (id, name) VALUES (5, 'five')", "DELETE FROM actions")
		},
		"columns in other places": func(p *enginetest.Pair) {
			admin(p, "ALTER TABLE actions ADD COLUMN first INTEGER FIRST", "UPDATE actions SET what = 'while it was so'", "INSERT INTO actions (courier, at, what) VALUES (3, 33, 'and this')", "ALTER TABLE actions DROP COLUMN first",
				"ALTER TABLE actions MODIFY COLUMN at INTEGER NOT NULL FIRST", "UPDATE actions SET what = 'and so'", "DELETE FROM actions WHERE courier = 1")
		},
		"goes along": func(p *enginetest.Pair) {
			p.Exec(p.App, "INSERT INTO couriers (id, name) VALUES (6, 'six')")
			p.Exec(p.App, "INSERT INTO actions (courier, at, what) VALUES (6, 1, 'x'), (6, 2, 'y')")
			p.Exec(p.App, "DELETE FROM couriers WHERE id = 6")
		},
		"compressed": func(p *enginetest.Pair) {
			p.Exec(p.App, "UPDATE couriers SET name = REPEAT('long', 10)")
			p.Exec(p.App, "DELETE FROM actions WHERE courier = 1")
		},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, restarted), func(t *testing.T) {
				t.Parallel()
				p := enginetest.Armed(t, l, enginetest.Couriers, enginetest.Moved...)
				change(p)
				if restarted {
					anew(t, l, p)
				}
				p.Sync()
				p.Alike()
				for _, table := range enginetest.Moved {
					if left := query(t, p.Admin(strangler.Legacy), "SELECT COUNT(*) FROM strangler_log_"+table); left[0] != "0" {
						t.Errorf("%s entries are left in the log of %s", left[0], table)
					}
				}
				p.CutOver()
				p.Exec(p.Served, "UPDATE couriers SET name = 'served'")
				p.Sync()
				p.CutOver()
				p.Exec(p.App, "UPDATE couriers SET name = 'back' WHERE id = 1")
				if restarted {
					anew(t, l, p)
				}
				p.Sync()
				p.Alike()
			})
		}
	}
}

const purge = "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY"

// TestWhatTheBinaryLogDoesNotTell stops the split, and so does a log that is no longer there.
func TestWhatTheBinaryLogDoesNotTell(t *testing.T) {
	l := binaryLog(t, nil)
	parted := []string{"CREATE TABLE couriers (id INTEGER NOT NULL PRIMARY KEY, name TEXT) PARTITION BY RANGE (id) (PARTITION low VALUES LESS THAN (10), PARTITION high VALUES LESS THAN MAXVALUE)",
		"CREATE TABLE actions (id INTEGER NOT NULL PRIMARY KEY, what TEXT)", "INSERT INTO couriers VALUES (1, 'a'), (11, 'b')"}
	for _, c := range []struct {
		name       string
		ddl        []string
		statements []string
		says       string
	}{
		{"statements", enginetest.Couriers, []string{"SET SESSION binlog_format = 'STATEMENT'", "UPDATE couriers SET name = 'unseen'"}, "binlog_format"},
		{"statements of others", enginetest.Couriers, []string{"CREATE TABLE other (id INTEGER)", "CREATE TRIGGER reach AFTER INSERT ON other FOR EACH ROW UPDATE couriers SET name = 'unseen'", "SET SESSION binlog_format = 'STATEMENT'", "INSERT INTO other VALUES (1)"}, "binlog_format"},
		{"by the server", enginetest.Couriers, []string{"SET GLOBAL binlog_format = 'MIXED'"}, "binlog_format is MIXED"},
		{"partitions", parted, []string{"ALTER TABLE couriers TRUNCATE PARTITION low"}, "partitions"},
		{"nameless", enginetest.Couriers, []string{"SET GLOBAL binlog_row_metadata = 'NO_LOG'", "UPDATE couriers SET name = 'nameless'", "SET GLOBAL binlog_row_metadata = 'FULL'"}, "binlog_row_metadata"},
		{"purged", enginetest.Couriers, []string{"UPDATE couriers SET name = 'gone'", "FLUSH BINARY LOGS", purge}, "no longer has"},
		{"begun anew", enginetest.Couriers, []string{"RESET MASTER", "UPDATE couriers SET name = 'begun anew'"}, "RESET MASTER"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := enginetest.Armed(t, l, c.ddl, enginetest.Moved...)
			p.Exec(p.App, "UPDATE couriers SET name = 'before'")
			p.Sync()
			must(t, p.Legacy.Close()) // a reader keeps what it reads
			for _, q := range c.statements {
				for q == purge && len(query(t, p.Admin(strangler.Legacy), "SHOW BINARY LOGS")) > 1 { // until who has read it is gone
					p.Exec(p.Admin(strangler.Legacy), q)
				}
				p.Exec(p.Admin(strangler.Legacy), q)
			}
			defer p.Exec(p.Admin(strangler.Legacy), "SET GLOBAL binlog_format = 'ROW'")
			anew(t, l, p)
			for range 2 {
				_, err := p.Step()
				p.Wants(err, strangler.ErrStopped)
				if !strings.Contains(fmt.Sprint(err), c.says) || !strings.Contains(err.Error(), "split ") {
					t.Errorf("it says: %v", err)
				}
			}
		})
	}
}

// TestPreparedTransactions: what is prepared is applied once it is committed, also by one who has come in between; no cutover goes
// through meanwhile; and no capture begins.
func TestPreparedTransactions(t *testing.T) {
	l := binaryLog(t, nil)
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", end, restarted), func(t *testing.T) {
				p := enginetest.Armed(t, l, enginetest.Couriers, enginetest.Moved...)
				id := fmt.Sprintf("'%s'", t.Name())
				for _, q := range []string{"XA START " + id, "UPDATE couriers SET name = 'prepared' WHERE id = 2", "XA END " + id, "XA PREPARE " + id} {
					p.Exec(p.App, q)
				}
				other := l.Connect(t, p.LegacyDSN)
				for i := range 3 {
					exec(t, other, fmt.Sprintf("UPDATE couriers SET name = 'beside %d' WHERE id = 1", i))
					_, err := p.Step()
					must(t, err)
				}
				if restarted {
					anew(t, l, p)
				}
				p.Epoch++
				must(t, p.Legacy.SetFence(t.Context(), p.Epoch, migrations.FenceClosed))
				if _, err := p.Step(); !errors.Is(err, migrations.ErrSlow) || !strings.Contains(err.Error(), "XA RECOVER") {
					t.Errorf("a cutover would go through: %v", err)
				}
				p.Exec(p.App, "XA "+end+" "+id)
				p.Sync()
				p.Alike()
				got := query(t, p.Served, "SELECT name FROM couriers WHERE id = 2")[0]
				if (got == "prepared") != (end == "COMMIT") {
					t.Errorf("the service has %q", got)
				}
			})
		}
	}
	t.Run("before the capture", func(t *testing.T) {
		p := enginetest.NewPair(t, l, enginetest.Couriers, enginetest.Moved...)
		p.Write()
		must(t, p.Plan.To(t.Context(), migrations.StageCapture))
		p.Raise()
		for _, q := range []string{"XA START 'early'", "UPDATE couriers SET name = 'prepared' WHERE id = 2", "XA END 'early'", "XA PREPARE 'early'"} {
			p.Exec(p.App, q)
		}
		p.Wants(p.Legacy.Ready(t.Context()), strangler.ErrRefused)
		p.Exec(p.App, "XA ROLLBACK 'early'")
		must(t, p.Legacy.Ready(t.Context()))
	})
}

// TestMoreChangesThanMemoryTakes writes transactions of which not all are held at once; each batch that is not whole says so by
// having no instant. Text keys that are equal and are written differently come in statements apart.
func TestMoreChangesThanMemoryTakes(t *testing.T) {
	l := binaryLog(t, nil)
	p := enginetest.Armed(t, l, []string{"CREATE TABLE many (id VARCHAR(20) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, v INTEGER NOT NULL)"}, "many")
	for i := range 4 {
		p.Exec(p.App, fmt.Sprintf("INSERT INTO many SELECT CONCAT('key ', seq), 0 FROM seq_%d_to_%d", i*70_000+1, (i+1)*70_000))
	}
	p.Exec(p.App, "UPDATE many SET v = 1, id = UPPER(id) WHERE RIGHT(id, 1) = '3'")
	p.Exec(p.App, "DELETE FROM many WHERE RIGHT(id, 1) = '5'")
	at, err := p.Service.Applied(t.Context())
	must(t, err)
	b, err := p.Legacy.Read(t.Context(), at)
	must(t, err)
	if !b.Started().IsZero() {
		t.Errorf("a batch of %d changes says that it is whole", b.Changes())
	}
	must(t, b.Close())
	p.Sync()
	p.Alike()
}

// TestABatchIsOneMoment moves sums from row to row while batches are read: what the service has always adds up.
func TestABatchIsOneMoment(t *testing.T) {
	const rows = 40
	l := binaryLog(t, nil)
	p := enginetest.Armed(t, l, []string{"CREATE TABLE purse (id INTEGER NOT NULL PRIMARY KEY, v INTEGER NOT NULL)", fmt.Sprintf("INSERT INTO purse SELECT seq, 100 FROM seq_1_to_%d", rows)}, "purse")
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			from, to := i*7%rows+1, i*13%rows+2
			if _, err := p.App.ExecContext(context.Background(), fmt.Sprintf("START TRANSACTION; UPDATE purse SET v = v - 1 WHERE id = %d; UPDATE purse SET v = v + 1 WHERE id = %d; COMMIT", from, min(to, rows))); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 150 {
		_, err := p.Step()
		must(t, err)
		if sum := query(t, p.Served, "SELECT SUM(v) FROM purse")[0]; sum != fmt.Sprint(rows*100) {
			t.Errorf("the service has %s in all, want %d", sum, rows*100)
			break
		}
	}
	close(stop)
	must(t, <-done)
	p.Sync()
	p.Alike()
}

package mysql_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// waiting returns when so many sessions of the server wait for a table.
func waiting(t *testing.T, p *enginetest.Pair) {
	t.Helper()
	admin := p.Admin(strangler.Legacy)
	for tick := time.NewTicker(10 * time.Millisecond); query(t, admin, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock%' AND DB = DATABASE()")[0] == "0"; {
		<-tick.C
	}
}

// TestReadsDoNotQueueForLong has an ALTER TABLE of the application's wait for a batch's snapshot. A chunk that is read
// behind it would wait for the ALTER, and with it whatever the batch waits for.
func TestReadsDoNotQueueForLong(t *testing.T) {
	ctx := t.Context()
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	p.Exec(p.App, "UPDATE couriers SET name = 'seen'")
	applied, err := p.Service.Applied(ctx)
	must(t, err)
	b, err := p.Legacy.Read(ctx, applied)
	must(t, err)
	altered := make(chan error, 1)
	go func() {
		_, err := p.App.ExecContext(context.Background(), "ALTER TABLE couriers ADD COLUMN more INTEGER")
		altered <- err
	}()
	waiting(t, p)
	for name, read := range map[string]func() error{
		"bound": func() error { _, err := p.Legacy.Bound(ctx, 0, migrations.Range{}, 2); return err },
		"range": func() error {
			return p.Legacy.Range(ctx, 0, migrations.Range{}, func(migrations.Row) error { return nil })
		},
		"lookup": func() error {
			return p.Legacy.Lookup(ctx, 0, []migrations.Key{{int64(1)}}, func(migrations.Row) error { return nil })
		},
		"send":  func() error { return p.Legacy.Send(ctx, 0, migrations.Range{}, &strings.Builder{}) },
		"count": func() error { _, err := p.Legacy.Count(ctx, 0); return err },
	} {
		if err := read(); !errors.Is(err, migrations.ErrSlow) {
			t.Errorf("%s got %v", name, err)
		}
	}
	must(t, b.Close())
	must(t, <-altered)
}

// TestColumnsThatChangeStopTheStream adds, renames, retypes and drops a column in mid-move.
func TestColumnsThatChangeStopTheStream(t *testing.T) {
	for name, change := range map[string][2]string{
		"added":   {"ADD COLUMN more INTEGER", "DROP COLUMN more"},
		"renamed": {"RENAME COLUMN name TO title", "RENAME COLUMN title TO name"},
		"retyped": {"MODIFY name VARCHAR(50) NOT NULL", "MODIFY name VARCHAR(40) NOT NULL"},
		"sorted":  {"MODIFY name VARCHAR(40) COLLATE utf8mb4_bin NOT NULL", "MODIFY name VARCHAR(40) COLLATE utf8mb4_general_ci NOT NULL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
			p.Exec(p.App, "UPDATE couriers SET badge = badge + 1 WHERE id = 1")
			p.Exec(p.App, "ALTER TABLE couriers "+change[0])
			for range 2 {
				_, err := p.Step()
				p.Wants(err, strangler.ErrStopped)
			}
			p.Exec(p.App, "ALTER TABLE couriers "+change[1])
			p.Exec(p.App, "UPDATE couriers SET badge = badge + 1 WHERE id = 2")
			p.Sync()
			p.Alike()
		})
	}
}

// TestATableThatIsGoneStopsTheStream drops it under its fence.
func TestATableThatIsGoneStopsTheStream(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	p.Exec(p.App, "DROP TABLE actions")
	_, err := p.Step()
	p.Wants(err, strangler.ErrStopped)
}

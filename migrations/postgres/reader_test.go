package postgres

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
)

// TestReadsDoNotQueueForLong has an application's TRUNCATE wait for a snapshot, as the stream's does. Whoever reads the
// table then would wait behind it, and the snapshot perhaps for him: he gives up soon, and can read once both are gone.
func TestReadsDoNotQueueForLong(t *testing.T) {
	ctx, dsn := t.Context(), localdbtest.Fresh(t)
	run(t, dsn, "CREATE TABLE x (id integer PRIMARY KEY)", "INSERT INTO x VALUES (1)")
	d := open(t, dsn, strangler.Legacy, "x")
	reads := map[string]func() error{
		"lookup": func() error {
			return d.Lookup(ctx, 0, []migrations.Key{{int64(1)}}, func(migrations.Row) error { return nil })
		},
		"range": func() error { return d.Range(ctx, 0, migrations.Range{}, func(migrations.Row) error { return nil }) },
		"bound": func() error { _, err := d.Bound(ctx, 0, migrations.Range{}, 1); return err },
		"send":  func() error { return d.Send(ctx, 0, migrations.Range{}, io.Discard) },
		"count": func() error { _, err := d.Count(ctx, 0); return err },
	}
	for name, read := range reads { // what they need to know of the table, they know
		if err := read(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	snapshot, err := connect(t, dsn).Begin(ctx)
	must(t, err)
	_, err = snapshot.Exec(ctx, "LOCK TABLE x IN ACCESS SHARE MODE")
	must(t, err)
	application := connect(t, dsn)
	truncated := make(chan error, 1)
	go func() { _, err := application.Exec(ctx, "TRUNCATE x"); truncated <- err }()
	watch := connect(t, dsn)
	for waiting := false; !waiting; {
		must(t, watch.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'x'::regclass AND NOT granted)").Scan(&waiting))
	}
	for name, read := range reads {
		ended := make(chan error, 1)
		go func() { ended <- read() }()
		select {
		case err := <-ended:
			if !errors.Is(err, migrations.ErrSlow) {
				t.Errorf("%s behind a TRUNCATE that waits: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s waits for as long as the TRUNCATE does", name)
		}
	}
	must(t, snapshot.Rollback(ctx))
	must(t, <-truncated)
	for name, read := range reads {
		if err := read(); err != nil {
			t.Errorf("%s, nobody being in the way: %v", name, err)
		}
	}
}

//go:build linux

package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/sqlite"
)

// TestAScriptWaitsForTheWriteLock has a writer that keeps the lock for longer than a statement waits, and then lets it go.
func TestAScriptWaitsForTheWriteLock(t *testing.T) {
	t.Parallel()
	p := enginetest.NewPair(t, lab{"wal"}, fencedTables, "x")
	p.Write()
	busy, err := p.App.Conn(t.Context())
	must(t, err)
	defer busy.Close()
	_, err = busy.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	must(t, err)
	ended := make(chan error, 1)
	time.AfterFunc(sqlite.BusyTimeout+time.Second, func() {
		_, err := busy.ExecContext(context.WithoutCancel(t.Context()), "COMMIT")
		ended <- err
	})
	p.To(migrations.StageCapture)
	must(t, <-ended)
}

// TestTheHolderOfTheWriteLockIsNamed has somebody stop inside a write transaction: whoever needs the lock
// gives up after BusyTimeout, names the process to end, and has written nothing.
func TestTheHolderOfTheWriteLockIsNamed(t *testing.T) {
	for _, journal := range []string{"wal", "delete"} {
		t.Run(journal, func(t *testing.T) {
			t.Parallel()
			p := enginetest.Planned(t, lab{journal}, migrations.StageCapture, fencedTables, "x")
			d, err := sqliteOpen(t, p, strangler.Legacy)
			must(t, err)
			stopped, err := p.App.Conn(t.Context())
			must(t, err)
			defer stopped.Close()
			for _, q := range []string{"BEGIN IMMEDIATE", "UPDATE x SET a = 9 WHERE k = 1"} {
				_, err := stopped.ExecContext(t.Context(), q)
				must(t, err)
			}
			err = d.SetFence(t.Context(), 1, migrations.FenceClosed)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d has held the write lock", os.Getpid())) {
				t.Fatalf("closing the fence: %v", err)
			}
			_, err = stopped.ExecContext(t.Context(), "COMMIT")
			must(t, err)
			must(t, d.SetFence(t.Context(), 1, migrations.FenceClosed))
		})
	}
}

//go:build linux

package sqlite_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

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

package postgres_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// TestACopyThatWaitsForRowsIsNotGivenUp lets the source pause in the middle for longer than a connection may be silent
// on which an answer is awaited: the server waits for us, not we for the server.
func TestACopyThatWaitsForRowsIsNotGivenUp(t *testing.T) {
	t.Parallel()
	p := enginetest.Planned(t, lab{}, migrations.StageArmed, enginetest.Couriers, "actions")
	var rows bytes.Buffer
	if err := p.Legacy.Send(t.Context(), 0, migrations.Range{}, &rows); err != nil {
		t.Fatal(err)
	}
	some, more, rest := rows.Bytes()[:20], rows.Bytes()[20:40], rows.Bytes()[40:]
	slow := io.MultiReader(bytes.NewReader(some), pausing(time.Second), bytes.NewReader(more), pausing(4*time.Second), bytes.NewReader(rest))
	if err := p.Apply(func(a migrations.Apply) error {
		_, err := a.Receive(t.Context(), 0, slow)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p.Alike()
}

// TestACopyThatBreaksOffLeavesNothing: the source's own error comes back, and the rows before it are gone.
func TestACopyThatBreaksOffLeavesNothing(t *testing.T) {
	t.Parallel()
	p := enginetest.Planned(t, lab{}, migrations.StageArmed, enginetest.Couriers, "actions")
	var rows bytes.Buffer
	if err := p.Legacy.Send(t.Context(), 0, migrations.Range{}, &rows); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the source is gone")
	in := io.MultiReader(bytes.NewReader(rows.Bytes()[:rows.Len()-10]), failing{broken})
	err := p.Apply(func(a migrations.Apply) error {
		_, err := a.Receive(t.Context(), 0, in)
		return err
	})
	if err == nil {
		t.Fatal("half a copy was taken for a whole one")
	}
	if n, err := p.Service.Count(t.Context(), 0); err != nil || n != 0 {
		t.Errorf("%d rows have stayed, %v", n, err)
	}
}

// pausing is a reader that has nothing, after a while.
type pausing time.Duration

func (p pausing) Read([]byte) (int, error) {
	<-time.After(time.Duration(p))
	return 0, io.EOF
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestAnIndexNameThatIsTaken: the service has an index of the name on a table of its own, and the plan's first script says so.
func TestAnIndexNameThatIsTaken(t *testing.T) {
	p := enginetest.NewPair(t, lab{}, []string{"CREATE TABLE a (id integer PRIMARY KEY, n integer)", "CREATE UNIQUE INDEX by_n ON a (n)"}, "a")
	p.Exec(p.Served, "CREATE TABLE own (n integer)")
	p.Exec(p.Served, "CREATE INDEX by_n ON own (n)")
	p.Write()
	if err := p.Plan.To(t.Context(), migrations.StageCapture); err == nil || !strings.Contains(err.Error(), "something named by_n already") {
		t.Fatalf("got %v, want a refusal that names the index", err)
	}
	p.Exec(p.Served, "DROP TABLE own")
	p.To(migrations.StageArmed)
}

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/internal/invariant"
	"github.com/strangler-fig/strangler/migrations"
)

// TestRowsComeBeforeTheirIndexes copies tables whose rows change all the while: rows that were copied, in which a unique
// value moves on to rows that were not, deletes, keys that change. The worker is ended behind the making of the
// keys, while what was queued is drained, and at the unique indexes. In the end both sides have the same rows, and the
// service's tables the monolith's indexes and foreign keys.
func TestRowsComeBeforeTheirIndexes(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		ctx, p := t.Context(), k.pair(t)
		old, fresh := p.opened(t)
		for _, q := range []string{
			"CREATE TABLE invoice (id INTEGER PRIMARY KEY, code VARCHAR(20) UNIQUE, total INTEGER)", "CREATE INDEX invoice_total ON invoice (total)", "CREATE UNIQUE INDEX invoice_both ON invoice (total, code)",
			"CREATE TABLE line (invoice INTEGER NOT NULL REFERENCES invoice (id), n INTEGER NOT NULL, follows INTEGER, PRIMARY KEY (invoice, n))",
		} {
			k.run(t, old, q)
		}
		for i := range 400 {
			k.run(t, old, fmt.Sprintf("INSERT INTO invoice VALUES (%d, 'c%d', %d)", i, i, i%7))
			k.run(t, old, fmt.Sprintf("INSERT INTO line VALUES (%d, 1, 0)", i))
		}
		c := p.capability("billing", strangler.Table{From: "line", To: "part"}, strangler.Table{From: "invoice"})
		var scripts atomic.Int64
		mover := &mover{t: t, k: k, old: old, fresh: fresh}
		fault := func(point string) error {
			if point == "script.after" && slices.Contains([]int64{5, 6}, scripts.Add(1)) { // the indexes, then the constraints
				return errors.New("connection lost")
			}
			return nil
		}
		splits := startSplitsOver(t, p, c, mover.open, fault)
		must(t, splits.Copy(ctx, c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		mover.stop()
		awaitCaughtUp(t, splits, c.Name)
		v, err := splits.Verify(ctx, c.Name)
		must(t, err)
		if v.Mismatches != 0 {
			t.Errorf("%+v", v)
		}
		k.equalTables(t, old, fresh, "invoice", "id")
		if mover.moved == 0 || mover.drained == 0 && k.dialect == invariant.Postgres {
			t.Errorf("%d moves in the copy, %d in the drain: nothing was shown", mover.moved, mover.drained)
		}
		if k.dialect != invariant.Postgres {
			return
		}
		if mover.keyed {
			t.Error("the service's table had an index before its rows")
		}
		const made = `SELECT coalesce(string_agg(d, '; ' ORDER BY d), '') FROM (
			SELECT replace(pg_get_indexdef(indexrelid), '.part ', '.line ') AS d FROM pg_index WHERE indrelid IN (to_regclass('invoice'), to_regclass('line'), to_regclass('part'))
			UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid IN (to_regclass('invoice'), to_regclass('line'), to_regclass('part'))) AS x`
		var want, got string
		must(t, old.QueryRow(made).Scan(&want))
		must(t, fresh.QueryRow(made).Scan(&got))
		if got != want || want == "" {
			t.Errorf("the service has\n%s\nthe monolith\n%s", got, want)
		}
	})
}

// mover changes the monolith's rows while they are copied.
type mover struct {
	t          *testing.T
	k          *kind
	old, fresh *sql.DB

	mu             sync.Mutex
	next           int
	moved, drained int
	keyed, stopped bool
}

func (m *mover) open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	d, err := engines.Open(ctx, b)
	if b.Side == strangler.Legacy {
		d = moving{d, m}
	}
	return d, err
}

func (m *mover) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
}

// move gives a row's code to another one, far away in the order of keys, deletes and inserts rows, and changes a key.
func (m *mover) move() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return
	}
	if m.k.dialect == invariant.Postgres {
		var n int
		if err := m.fresh.QueryRow("SELECT count(*) FROM pg_index WHERE indrelid = to_regclass('invoice') AND NOT EXISTS (SELECT FROM strangler_mark WHERE tbl = 1 AND finished)").Scan(&n); err == nil && n > 0 {
			m.keyed = true
		}
	}
	i := m.next % 100
	m.next++
	m.moved++
	for _, q := range []string{
		fmt.Sprintf("UPDATE invoice SET code = 'm%d' WHERE id = %d", m.next, 399-i),
		fmt.Sprintf("UPDATE invoice SET code = 'c%d' WHERE id = %d", 399-i, i),
		fmt.Sprintf("DELETE FROM line WHERE invoice = %d AND n = 1", i),
		fmt.Sprintf("UPDATE line SET n = 2, follows = 7 WHERE invoice = %d AND n = 1", 150+i),
		fmt.Sprintf("INSERT INTO line VALUES (%d, %d, 3)", 300+i, 10+m.next),
	} {
		m.run(q)
	}
}

func (m *mover) run(q string) {
	if _, err := m.old.Exec(m.k.speak(q)); err != nil {
		m.t.Error(err)
	}
}

type moving struct {
	migrations.Database
	mover *mover
}

func (d moving) Send(ctx context.Context, table int, r migrations.Range, w io.Writer) error {
	d.mover.move()
	defer d.mover.move()
	return d.Database.Send(ctx, table, r, w)
}

func (d moving) Range(ctx context.Context, table int, r migrations.Range, yield func(migrations.Row) error) error {
	d.mover.move()
	defer d.mover.move()
	return d.Database.Range(ctx, table, r, yield)
}

// Lookup is how what was queued is read: just before, the code of a row that is not read goes to one that is.
func (d moving) Lookup(ctx context.Context, table int, keys []migrations.Key, yield func(migrations.Row) error) error {
	d.mover.steal(table, keys)
	return d.Database.Lookup(ctx, table, keys, yield)
}

func (m *mover) steal(table int, keys []migrations.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped || table != 1 || len(keys) == 0 {
		return
	}
	m.drained++
	m.next++
	read := keys[0][0]
	m.run(fmt.Sprintf("UPDATE invoice SET code = 's%d' WHERE id = %d", m.next, 200+m.next%50))
	m.run(fmt.Sprintf("UPDATE invoice SET code = 'c%d' WHERE id = %v AND NOT EXISTS (SELECT 1 FROM invoice WHERE code = 'c%d')", 200+m.next%50, read, 200+m.next%50))
}

// TestStatusSaysWhatIsMadeBehindTheRows: all rows are there, and the copy has not ended.
func TestStatusSaysWhatIsMadeBehindTheRows(t *testing.T) {
	ctx, p := t.Context(), postgres.pair(t)
	old, _ := p.opened(t)
	run(t, old, "CREATE TABLE invoice (id INTEGER PRIMARY KEY, code VARCHAR(20) UNIQUE)")
	run(t, old, "INSERT INTO invoice VALUES (1, 'a'), (2, 'b')")
	c := p.capability("billing", strangler.Table{From: "invoice"})
	var splits atomic.Pointer[migrations.Splits]
	said := make(chan string, 100)
	splits.Store(startSplitsOver(t, p, c, engines.Open, func(point string) error {
		if s := splits.Load(); s != nil && point == "script.before" {
			st, err := s.Status(ctx, c.Name)
			if err != nil {
				return err
			}
			said <- st.Doing
		}
		return nil
	}))
	must(t, splits.Load().Copy(ctx, c.Name))
	awaitPhase(t, splits.Load(), c.Name, strangler.PhaseSyncing)
	st, err := splits.Load().Status(ctx, c.Name)
	must(t, err)
	said <- st.Doing
	close(said)
	var all []string
	for s := range said {
		all = append(all, s)
	}
	if want := []string{"", "", "", "", "making keys and indexes", "making unique indexes and foreign keys", ""}; !slices.Equal(all, want) {
		t.Errorf("said %q, want %q", all, want)
	}
}

// TestStatusSaysWhatIsTriedAgain: a script that fails each time is seen without the daemon's log.
func TestStatusSaysWhatIsTriedAgain(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		ctx, p := t.Context(), k.pair(t)
		old, _ := p.opened(t)
		k.run(t, old, "CREATE TABLE invoice (id INTEGER PRIMARY KEY)")
		c := p.capability("billing", strangler.Table{From: "invoice"})
		var broken atomic.Bool
		broken.Store(true)
		splits := startSplitsOver(t, p, c, engines.Open, func(point string) error {
			if point == "ready.before" && broken.Load() {
				return errors.New("no luck today")
			}
			return nil
		})
		must(t, splits.Copy(ctx, c.Name))
		await(t, "what went wrong", func() bool {
			st, err := splits.Status(ctx, c.Name)
			must(t, err)
			return strings.Contains(st.Retrying, "no luck today") && st.Phase == strangler.PhaseCopying
		})
		broken.Store(false)
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	})
}

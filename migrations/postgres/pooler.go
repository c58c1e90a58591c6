package postgres

import (
	"context"
	"fmt"

	"github.com/strangler-fig/strangler/migrations"
)

const protocolViolation = "08P01"

// poolerRounds is how often two connections are compared: a pooler may give both their own server session
// by chance.
const poolerRounds = 4

// pooled reports whether a pooler stands in between that gives one server session to several clients by
// turns, as PgBouncer does in transaction mode. A session's settings, locks and temporary state would then
// be anybody's. Two connections to the server itself have two processes, and each keeps its own.
func (d *Database) pooled(ctx context.Context) (bool, error) {
	const ask = "SELECT pg_backend_pid()"
	a, err := d.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer a.Release()
	b, err := d.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer b.Release()
	round := func() (shared bool, err error) {
		var before, beside, after int
		if err := a.QueryRow(ctx, ask).Scan(&before); err != nil {
			return false, err
		}
		tx, err := b.Begin(ctx)
		if code(err) == protocolViolation {
			return true, nil // statement mode: it lets nobody begin
		}
		if err != nil {
			return false, err
		}
		defer func() {
			if rolled := tx.Rollback(ctx); err == nil {
				err = rolled
			}
		}()
		// A pooler with a single session would let a wait for b, so b is asked first.
		if err := tx.QueryRow(ctx, ask).Scan(&beside); err != nil || beside == before {
			return beside == before, err
		}
		err = a.QueryRow(ctx, ask).Scan(&after)
		return after != before, err
	}
	for range poolerRounds {
		if shared, err := round(); err != nil || shared {
			return shared, err
		}
	}
	return false, nil
}

func (d *Database) behindPooler() migrations.Problem {
	return migrations.Problem{Check: "pooler",
		What: fmt.Sprintf("the address of the %s database leads to a pooler in transaction mode, which gives one session to several clients by turns", d.b.Side),
		Next: fmt.Sprintf("name the server's own address in the %s side's `database`, or a pool in session mode; applications keep theirs", d.b.Side)}
}

package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler/migrations"
)

// poolerRounds is how often two connections are compared: a pooler may give both their own server session by chance.
const poolerRounds = 4

// pooled reports whether a proxy stands in between that gives one server session to several clients by turns, or one client's
// statements to several, as ProxySQL and MaxScale do. A session's settings and locks would then be anybody's, and what is read might
// be a replica's. Two connections to the server itself have two sessions, and each keeps its own.
func (d *Database) pooled(ctx context.Context) (shared bool, err error) {
	const ask = "SELECT CONNECTION_ID() + 0" // ProxySQL answers for itself where it is asked for CONNECTION_ID() alone
	var name string
	if err := d.pool.QueryRowContext(ctx, "SELECT @@version_comment LIMIT 1").Scan(&name); err != nil {
		return false, err
	}
	if name = strings.ToLower(name); strings.Contains(name, "proxysql") || strings.Contains(name, "maxscale") {
		return true, nil
	}
	a, err := d.pool.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	b, err := d.pool.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	round := func() (shared bool, err error) {
		var before, beside, after int64
		if err := a.QueryRowContext(ctx, ask).Scan(&before); err != nil {
			return false, err
		}
		tx, err := b.BeginTx(ctx, nil)
		if err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, tx.Rollback()) }()
		// A pooler with a single session would let a wait for b, so b is asked first.
		if err := tx.QueryRowContext(ctx, ask).Scan(&beside); err != nil || beside == before {
			return beside == before, err
		}
		err = a.QueryRowContext(ctx, ask).Scan(&after)
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
		What: fmt.Sprintf("the address of the %s database leads to a proxy or pooler, which gives one session to several clients by turns, or one client's statements to several servers", d.b.Side),
		Next: fmt.Sprintf("name the server's own address in the %s side's `database`; applications keep theirs", d.b.Side)}
}

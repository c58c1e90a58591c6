package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/strangler-fig/strangler/migrations"
)

var _ migrations.Meter = (*Database)(nil)

// loadPatience is how long a measurement waits for an answer, beyond the limit for the latency.
const loadPatience = 2 * time.Second

// Load counts sessions by the server's list, and times a statement that reads a row and one that commits. How far replicas
// are behind the server does not know: such a limit is refused at plan.
func (d *Database) Load(ctx context.Context) (l migrations.Load, err error) {
	conn, err := d.pool.Conn(ctx) // a wait for it says nothing of the server
	if err != nil {
		return l, err
	}
	defer conn.Close()
	bounded, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	if d.b.Throttle.Sessions > 0 {
		err := conn.QueryRowContext(bounded, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND IN ('Query', 'Execute', 'Fetch') AND USER <> ?", d.role).Scan(&l.Sessions)
		if err != nil {
			return l, fmt.Errorf("count the sessions of the %s database's server: %w", d.b.Side, err)
		}
		var n int
		err = conn.QueryRowContext(bounded, "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE FALSE").Scan(&n)
		switch {
		case number(err) == errSpecificDenied:
			l.Unseen = "sessions of other users; GRANT PROCESS ON *.* TO '" + d.role + "'@'…'"
		case err != nil:
			return l, fmt.Errorf("count the sessions of the %s database's server: %w", d.b.Side, err)
		}
	}
	if d.b.Throttle.Latency > 0 {
		if l.Latency, err = d.latency(ctx, conn, d.b.Throttle.Latency+loadPatience); err != nil {
			return l, fmt.Errorf("measure the latency of the %s database: %w", d.b.Side, err)
		}
	}
	return l, nil
}

// latency is how long what applications do takes: a read of a row of a moved table, drawn by chance where its key is a number,
// and a durable commit, of the row that counts Strangler's own. Where no answer comes in time, it is the time waited; the
// session is closed then.
func (d *Database) latency(ctx context.Context, conn *sql.Conn, patience time.Duration) (time.Duration, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return 0, err
	}
	t := tables[rand.IntN(len(tables))]
	key := t.key()[0]
	name := ident(key.Name)
	row := fmt.Sprintf("SELECT COUNT(*) FROM (SELECT 1 FROM %s LIMIT 1) AS t", ident(t.name))
	if key.kind == kindInt {
		row = fmt.Sprintf("SELECT COUNT(*) FROM (SELECT 1 FROM %s WHERE %s >= (SELECT MIN(%[2]s) + FLOOR(RAND() * (CAST(MAX(%[2]s) AS DOUBLE) - MIN(%[2]s))) FROM %[1]s) ORDER BY %[2]s LIMIT 1) AS t", ident(t.name), name)
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	var n int
	if err = conn.QueryRowContext(bounded, row).Scan(&n); err == nil {
		_, err = conn.ExecContext(bounded, "UPDATE strangler_position SET durable = durable + 1 WHERE capability = ?", d.b.Capability)
	}
	took := time.Since(began)
	switch {
	case err == nil:
		return took, nil
	case number(err) == errLockWait: // the session waits for a second, whatever the limit
		return max(took, patience), nil
	case bounded.Err() != nil && ctx.Err() == nil:
		return took, nil
	}
	return took, err
}

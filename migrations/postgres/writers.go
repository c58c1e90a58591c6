package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var _ migrations.Scribe = (*Database)(nil)

// Writers counts changes by application name, user and address: those given away since the capture was
// installed, and those that still wait, whose time is now. The latest comes first. Connections through a
// socket of the system have no address. What the applier writes is in no log, and keys that a repair
// has logged are nobody's.
func (d *Database) Writers(ctx context.Context) ([]strangler.Writer, error) {
	sources := []string{fmt.Sprintf(`SELECT application, "user", address, writes, last FROM %s WHERE capability = $1::text`, d.ours("strangler_writer"))}
	for _, bound := range d.b.Tables {
		log := d.logTable(bound)
		there, err := d.exists(ctx, log)
		if err != nil {
			return nil, fmt.Errorf("who writes %s: %w", bound, err)
		}
		if !there {
			if base, err := d.base(ctx, d.pool); err == nil && base >= 0 {
				return nil, strangler.Refuse("writers", fmt.Sprintf("changes of %s are read from a replication slot, which does not tell who makes them", bound), "take the split back and take capture: triggers, which records it", "look at pg_stat_activity")
			}
			return nil, strangler.Refuse("writers", fmt.Sprintf("changes of %s are not recorded in the %s database, so nothing is known of who makes them", bound, d.b.Side), "strangler split start "+d.b.Capability)
		}
		sources = append(sources, fmt.Sprintf(`SELECT split_part(writer, E'\t', 2), split_part(writer, E'\t', 1), split_part(writer, E'\t', 3), 1, now() FROM %s WHERE writer <> ''`, d.ours(log)))
	}
	rows, err := d.pool.Query(ctx, fmt.Sprintf(`SELECT application, "user", address, sum(writes)::bigint, max(last) FROM (%s) AS w GROUP BY 1, 2, 3 ORDER BY 5 DESC, 4 DESC, 1, 2, 3`,
		strings.Join(sources, " UNION ALL ")), d.b.Capability)
	out, err := collect(rows, err, func(r pgx.Rows) (w strangler.Writer, err error) {
		err = r.Scan(&w.Application, &w.User, &w.Address, &w.Writes, &w.Last)
		w.Last = w.Last.UTC()
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("who writes the tables of %s: %w", d.b.Capability, err)
	}
	return out, nil
}

package invariant

import (
	"context"
	"database/sql"
	"fmt"
)

// Baseline is what the tables that move held before the first logged write.
type Baseline struct {
	Couriers span
	Actions  span
	Orders   span
}

// span is how many rows there were, with ids up to the last one.
type span struct {
	Rows int64
	Last int64
}

// Measure reads the baseline from the legacy database, before the first logged write.
func Measure(ctx context.Context, legacy *sql.DB) (Baseline, error) {
	var b Baseline
	for table, to := range map[string]*span{"couriers": &b.Couriers, "courier_actions": &b.Actions, "orders": &b.Orders} {
		row := legacy.QueryRowContext(ctx, "SELECT count(*), coalesce(max(id), 0) FROM "+table)
		if err := row.Scan(&to.Rows, &to.Last); err != nil {
			return Baseline{}, fmt.Errorf("counting %s before the first write: %w", table, err)
		}
	}
	return b, nil
}

// kept reports what is missing of the rows that were there before. Nobody deletes any of them.
func (b Baseline) kept(rows *rows, r *Report) {
	for _, t := range []struct {
		table string
		was   span
		old   int64
	}{{"couriers", b.Couriers, rows.oldCouriers}, {"courier_actions", b.Actions, rows.oldActions}, {"orders", b.Orders, rows.oldOrders}} {
		switch {
		case t.old < t.was.Rows:
			r.lost(int(t.was.Rows-t.old), "%s: %d of the %d rows that were there before the first write are gone", t.table, t.was.Rows-t.old, t.was.Rows)
		case t.old > t.was.Rows:
			r.forked("%s: %d rows appeared among the ids that were in use before the first write", t.table, t.old-t.was.Rows)
		}
	}
}

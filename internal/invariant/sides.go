package invariant

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

// moved are the tables that move, each with its key.
var moved = []pair{
	{name: "couriers", key: "id"},
	{name: "courier_actions", key: "id"},
	{name: "courier_requests", key: "idempotency_key", text: true},
}

// deliveries are what moves of the monolith's orders.
var deliveries = pair{name: "orders", key: "id", columns: []string{"assigned_courier_id", "picked_up_time", "delivered_time"}, where: " WHERE assigned_courier_id IS NOT NULL",
	service: "SELECT order_id, courier_id, picked_up_time, delivered_time FROM deliveries ORDER BY order_id"}

// pair is a table at both sides.
type pair struct {
	name    string
	key     string
	text    bool     // the key is a text
	columns []string // beside the key; nil: all that there are
	where   string   // which rows of the monolith's
	service string   // how they are read at the service; empty: as at the monolith
}

// compareSides compares the two sides of every table row by row, in the order of their keys.
func compareSides(ctx context.Context, cfg Config, r *Report) error {
	tables := moved
	if !cfg.WholeOrders {
		tables = append(slices.Clone(moved), deliveries)
	}
	for _, t := range tables {
		order := t.key
		if t.text {
			order = cfg.Dialect.bytewise(t.key)
		}
		if t.columns == nil {
			var err error
			if t.columns, err = columnsOf(ctx, cfg.Legacy, t.name); err != nil {
				return err
			}
		}
		query := fmt.Sprintf("SELECT %s, %s FROM %s%s ORDER BY %s", t.key, strings.Join(t.columns, ", "), t.name, t.where, order)
		queries := map[strangler.Side]string{strangler.Legacy: query, strangler.Service: cmp.Or(t.service, query)}
		if err := compareTable(ctx, cfg, t.name, queries, t.columns, r); err != nil {
			return fmt.Errorf("comparing both sides of %s: %w", t.name, err)
		}
	}
	return nil
}

func columnsOf(ctx context.Context, db *sql.DB, table string) ([]string, error) {
	result, err := db.QueryContext(ctx, "SELECT * FROM "+table+" WHERE 1 = 0")
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
	}
	defer result.Close()
	columns, err := result.Columns()
	return columns, errors.Join(err, result.Err())
}

func compareTable(ctx context.Context, cfg Config, table string, queries map[strangler.Side]string, columns []string, r *Report) error {
	owner, err := walk(ctx, cfg.owner(), queries[cfg.Owner], len(columns)+1)
	if err != nil {
		return err
	}
	defer owner.rows.Close()
	follower, err := walk(ctx, cfg.follower(), queries[cfg.Owner.Other()], len(columns)+1)
	if err != nil {
		return err
	}
	defer follower.rows.Close()
	for owner.has || follower.has {
		switch order := compareKeys(owner, follower); {
		case order < 0:
			r.mismatch("%s %v is at the owner only", table, owner.row[0])
			r.Rows++
			err = owner.next()
		case order > 0:
			r.mismatch("%s %v is at the follower only", table, follower.row[0])
			err = follower.next()
		default:
			if difference := differ(columns, owner.row[1:], follower.row[1:]); difference != "" {
				r.mismatch("%s %v: %s", table, owner.row[0], difference)
			}
			r.Rows++
			err = errors.Join(owner.next(), follower.next())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// walker goes through the rows of one side. The key is the first column.
type walker struct {
	rows *sql.Rows
	text []bool // columns of text, of which some drivers give the bytes
	row  []any
	has  bool
}

func walk(ctx context.Context, db *sql.DB, query string, columns int) (*walker, error) {
	result, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	types, err := result.ColumnTypes()
	if err != nil {
		return nil, errors.Join(err, result.Close())
	}
	w := &walker{rows: result, row: make([]any, columns), text: make([]bool, columns)}
	for i, t := range types {
		w.text[i] = strings.HasSuffix(t.DatabaseTypeName(), "CHAR") || strings.HasSuffix(t.DatabaseTypeName(), "TEXT")
	}
	if err := w.next(); err != nil {
		return nil, errors.Join(err, result.Close())
	}
	return w, nil
}

func (w *walker) next() error {
	if w.has = w.rows.Next(); !w.has {
		return w.rows.Err()
	}
	clear(w.row)
	to := make([]any, len(w.row))
	for i := range w.row {
		to[i] = &w.row[i]
	}
	if err := w.rows.Scan(to...); err != nil {
		return err
	}
	for i, text := range w.text {
		if b, ok := w.row[i].([]byte); ok && text {
			w.row[i] = string(b)
		}
	}
	return nil
}

// compareKeys is negative when the owner's row comes first. A side at its end comes last.
func compareKeys(owner, follower *walker) int {
	switch {
	case !follower.has:
		return -1
	case !owner.has:
		return 1
	}
	a, isNumber := owner.row[0].(int64)
	b, both := follower.row[0].(int64)
	if isNumber && both {
		switch {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	}
	return strings.Compare(fmt.Sprint(owner.row[0]), fmt.Sprint(follower.row[0]))
}

// differ names the first column in which two rows differ, in value or in type.
func differ(columns []string, owner, follower []any) string {
	for i, column := range columns {
		if !equal(owner[i], follower[i]) {
			return fmt.Sprintf("%s is %s at the owner and %s at the follower", column, shown(owner[i]), shown(follower[i]))
		}
	}
	return ""
}

// shown is a value with its type.
func shown(v any) string {
	if at, ok := v.(time.Time); ok {
		return strconv.Quote(at.UTC().Format("2006-01-02T15:04:05.000000Z"))
	}
	return fmt.Sprintf("%#v", v)
}

func equal(a, b any) bool {
	if x, ok := a.(time.Time); ok {
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	}
	return reflect.DeepEqual(a, b)
}

// tryFences tries a write on each side and takes it back: the owner takes it, the follower's fence
// refuses it.
func tryFences(ctx context.Context, cfg Config, r *Report) error {
	for side, db := range map[strangler.Side]*sql.DB{cfg.Owner: cfg.owner(), cfg.Owner.Other(): cfg.follower()} {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("trying the fence of %s: %w", side, err)
		}
		_, refused := tx.ExecContext(ctx, cfg.Dialect.touch())
		if err := tx.Rollback(); err != nil {
			return fmt.Errorf("trying the fence of %s: %w", side, err)
		}
		switch fenced := refused != nil && strings.Contains(refused.Error(), "strangler"); {
		case refused != nil && !fenced:
			return fmt.Errorf("trying the fence of %s: %w", side, refused)
		case side == cfg.Owner && fenced:
			r.forked("%s owns, and refuses writes: %v", side, refused)
		case side != cfg.Owner && !fenced:
			r.forked("%s does not own, and takes writes", side)
		}
	}
	return nil
}

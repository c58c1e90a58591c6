package invariant

import (
	"context"
	"database/sql"
	"fmt"
)

// rows is what the owner, and for orders the monolith, holds of what the log speaks of.
type rows struct {
	people   map[person][]courierRow
	couriers map[int64]courierRow // those that the log names by id
	targets  map[target][]orderRow
	orders   map[int64]orderRow
	actions  map[int64][]actionRow // by order: those of orders in the log
	keys     map[string]int        // recorded Idempotency-Keys: how often

	oldCouriers, oldActions, oldOrders int64    // within the baseline's ids
	strangers                          []string // behind the baseline's ids, and not in the log
}

type courierRow struct {
	id        int64
	person    person
	available sql.NullBool
}

type orderRow struct {
	id                   int64
	consumer, restaurant int64
	courier              sql.NullInt64
	state                string
	target               target
}

type actionRow struct {
	id, courier, order int64
	kind               string
}

func readRows(ctx context.Context, cfg Config, b *book) (*rows, error) {
	r := &rows{people: map[person][]courierRow{}, couriers: map[int64]courierRow{}, targets: map[target][]orderRow{}, orders: map[int64]orderRow{}, actions: map[int64][]actionRow{}, keys: map[string]int{}}
	var before Baseline
	if cfg.Before != nil {
		before = *cfg.Before
	}
	named, ordered := b.ids()
	for _, read := range []func() error{
		func() error { return r.readCouriers(ctx, cfg.owner(), b, named, before.Couriers.Last) },
		func() error { return r.readOrders(ctx, cfg, b, ordered, before.Orders.Last) },
		func() error { return r.readDeliveries(ctx, cfg) },
		func() error { return r.readActions(ctx, cfg.owner(), ordered, before.Actions.Last) },
		func() error { return r.readKeys(ctx, cfg.owner(), "courier_requests", b) },
		func() error { return r.readKeys(ctx, cfg.Legacy, "order_requests", b) },
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// ids are the couriers and the orders that the log names by id.
func (b *book) ids() (couriers, orders map[int64]bool) {
	couriers, orders = map[int64]bool{}, map[int64]bool{}
	for id := range b.statuses {
		couriers[id] = true
	}
	for _, e := range b.created {
		couriers[e.answer] = true
	}
	for id := range b.accepted {
		orders[id] = true
	}
	for id := range b.moved {
		orders[id] = true
	}
	for _, e := range b.placed {
		orders[e.answer] = true
	}
	return couriers, orders
}

func (r *rows) readCouriers(ctx context.Context, db *sql.DB, b *book, named map[int64]bool, last int64) error {
	const query = "SELECT id, first_name, last_name, street, city, zip, available FROM couriers"
	var c courierRow
	to := []any{&c.id, &c.person.firstName, &c.person.lastName, &c.person.street, &c.person.city, &c.person.zip, &c.available}
	return each(ctx, db, query, to, func() {
		_, logged := b.created[c.person]
		switch {
		case logged:
			r.people[c.person] = append(r.people[c.person], c)
		case c.id > last:
			r.strangers = append(r.strangers, fmt.Sprintf("courier %d (%s %s)", c.id, c.person.firstName, c.person.lastName))
		}
		if c.id <= last {
			r.oldCouriers++
		}
		if logged || named[c.id] {
			r.couriers[c.id] = c
		}
	})
}

func (r *rows) readOrders(ctx context.Context, cfg Config, b *book, ordered map[int64]bool, last int64) error {
	const query = "SELECT id, consumer_id, restaurant_id, assigned_courier_id, order_state, delivery_street, delivery_city, delivery_zip, " +
		"picked_up_time IS NOT NULL, delivered_time IS NOT NULL FROM orders"
	var o orderRow
	var pickedUp, delivered bool
	to := []any{&o.id, &o.consumer, &o.restaurant, &o.courier, &o.state, &o.target.street, &o.target.city, &o.target.zip, &pickedUp, &delivered}
	return each(ctx, cfg.Legacy, query, to, func() {
		if cfg.ordersSplit() {
			o.courier = sql.NullInt64{}
		} else {
			o.ride(pickedUp, delivered)
		}
		_, logged := b.placed[o.target]
		switch {
		case logged:
			r.targets[o.target] = append(r.targets[o.target], o)
			ordered[o.id] = true // an order whose id nobody was told may still have actions
		case o.id > last:
			r.strangers = append(r.strangers, fmt.Sprintf("order %d", o.id))
		}
		if o.id <= last {
			r.oldOrders++
		}
		if ordered[o.id] {
			r.orders[o.id] = o
		}
	})
}

// ride takes an order on to the state that the times of its delivery tell.
func (o *orderRow) ride(pickedUp, delivered bool) {
	switch {
	case delivered:
		o.state = "DELIVERED"
	case pickedUp:
		o.state = "PICKED_UP"
	}
}

// readDeliveries reads what the service keeps of orders, where it owns it. What the monolith has of it is looked at when the sides
// are compared.
func (r *rows) readDeliveries(ctx context.Context, cfg Config) error {
	if !cfg.ordersSplit() {
		return nil
	}
	var id int64
	var courier sql.NullInt64
	var pickedUp, delivered bool
	const query = "SELECT order_id, courier_id, picked_up_time IS NOT NULL, delivered_time IS NOT NULL FROM deliveries"
	return each(ctx, cfg.Service, query, []any{&id, &courier, &pickedUp, &delivered}, func() {
		if o, ok := r.orders[id]; ok {
			o.courier = courier
			o.ride(pickedUp, delivered)
			r.orders[id] = o
		}
	})
}

func (r *rows) readActions(ctx context.Context, db *sql.DB, ordered map[int64]bool, last int64) error {
	var a actionRow
	to := []any{&a.id, &a.courier, &a.order, &a.kind}
	return each(ctx, db, "SELECT id, courier_id, order_id, type FROM courier_actions", to, func() {
		switch {
		case ordered[a.order]:
			r.actions[a.order] = append(r.actions[a.order], a)
		case a.id > last:
			r.strangers = append(r.strangers, fmt.Sprintf("courier action %d (%s of order %d)", a.id, a.kind, a.order))
		}
		if a.id <= last {
			r.oldActions++
		}
	})
}

func (r *rows) readKeys(ctx context.Context, db *sql.DB, table string, b *book) error {
	var key string
	return each(ctx, db, "SELECT idempotency_key FROM "+table, []any{&key}, func() {
		e := b.byKey[key]
		if e != nil && e.write.Kind == MoveOrder && table == "courier_requests" {
			return // the service keeps the monolith's key, too, and may have done its part alone
		}
		r.keys[key]++
		if e == nil {
			r.strangers = append(r.strangers, "the recorded key "+key+" in "+table)
		}
	})
}

// unexplained are rows that nobody's write made.
func (r *rows) unexplained(report *Report) {
	for _, s := range r.strangers {
		report.forked("%s: no write of the log made it", s)
	}
}

// each runs a query and calls row after each row has been scanned into to.
func each(ctx context.Context, db *sql.DB, query string, to []any, row func()) error {
	result, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("checking with %q: %w", query, err)
	}
	defer result.Close()
	for result.Next() {
		if err := result.Scan(to...); err != nil {
			return fmt.Errorf("checking with %q: %w", query, err)
		}
		row()
	}
	if err := result.Err(); err != nil {
		return fmt.Errorf("checking with %q: %w", query, err)
	}
	return nil
}

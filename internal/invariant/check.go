package invariant

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/strangler-fig/strangler"
)

// Config is what is checked, and against which log. Everything is quiet while Check runs: no client
// writes, and the stream has caught up.
type Config struct {
	Log     *Log
	Legacy  *sql.DB // the monolith's database; its orders stay there, but for what deliveries have in them
	Service *sql.DB // nil: there is no other side yet
	Owner   strangler.Side
	Dialect Dialect
	Before  *Baseline // nil: rows that the log does not explain are not looked for

	// WholeOrders says that orders stay as they are: the courier and the times of a delivery do not move.
	WholeOrders bool

	// OneSided leaves out the comparison and the trial of the fences: the tables are not on both sides
	// (before a copy, after complete).
	OneSided bool
}

// Validate says what is missing.
func (c Config) Validate() error {
	switch {
	case c.Log == nil || c.Legacy == nil || c.Dialect == "":
		return errors.New("invariant: a log, the legacy database and a dialect are needed")
	case c.Owner != strangler.Legacy && c.Owner != strangler.Service:
		return fmt.Errorf("invariant: the owner is legacy or service, not %q", c.Owner)
	case c.Service == nil && (c.Owner == strangler.Service || !c.OneSided):
		return errors.New("invariant: the service's database is needed, unless legacy owns and OneSided is set")
	}
	return nil
}

// ordersSplit reports whether the service keeps what deliveries have of orders.
func (c Config) ordersSplit() bool { return c.Owner == strangler.Service && !c.WholeOrders }

func (c Config) owner() *sql.DB {
	if c.Owner == strangler.Service {
		return c.Service
	}
	return c.Legacy
}

func (c Config) follower() *sql.DB {
	if c.Owner == strangler.Service {
		return c.Legacy
	}
	return c.Service
}

// Check holds the databases against the log. An error means that the check could not be made; what it
// found wrong is in the Report, and Report.Err says it.
func Check(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	var r Report
	entries := cfg.Log.entriesNow()
	book, err := open(entries)
	if err != nil {
		return Report{}, err
	}
	rows, err := readRows(ctx, cfg, book)
	if err != nil {
		return Report{}, err
	}
	for i := range entries {
		r.count(entries[i].outcome)
	}
	book.checkKeys(rows, &r)
	book.checkCouriers(rows, &r)
	book.checkAvailability(rows, &r)
	book.checkPlaced(rows, &r)
	book.checkAccepted(rows, &r)
	book.checkMoved(rows, &r)
	if cfg.Before != nil {
		cfg.Before.kept(rows, &r)
		rows.unexplained(&r)
		book.checkNewIDs(*cfg.Before, &r)
	}
	if cfg.OneSided {
		return r, nil
	}
	if err := compareSides(ctx, cfg, &r); err != nil {
		return Report{}, err
	}
	return r, tryFences(ctx, cfg, &r)
}

func (r *Report) count(o Outcome) {
	switch o {
	case Acknowledged:
		r.Acknowledged++
	case Refused:
		r.Refused++
	default:
		r.Ambiguous++
	}
}

// book is the log, looked up by what the databases hold.
type book struct {
	created  map[person]*Entry
	placed   map[target]*Entry
	accepted map[int64][]*Entry // by order
	moved    map[int64][]*Entry // by order
	statuses map[int64][]*Entry // writes of availability, by courier
	byKey    map[string]*Entry
}

// person is by what a courier is found whose id nobody was told.
type person struct{ firstName, lastName, street, city, zip string }

// target is by what an order is found whose id nobody was told.
type target struct{ street, city, zip string }

func (c Courier) person() person { return person{c.FirstName, c.LastName, c.Street, c.City, c.Zip} }
func (o Order) target() target   { return target{o.Street, o.City, o.Zip} }

// open files the entries. A log that breaks its own rules cannot be checked.
func open(entries []Entry) (*book, error) {
	b := &book{created: map[person]*Entry{}, placed: map[target]*Entry{}, accepted: map[int64][]*Entry{}, moved: map[int64][]*Entry{}, statuses: map[int64][]*Entry{}, byKey: map[string]*Entry{}}
	for i := range entries {
		e := &entries[i]
		w := e.write
		twice := false
		switch w.Kind {
		case CreateCourier:
			_, twice = b.created[w.Courier.person()]
			b.created[w.Courier.person()] = e
		case PlaceOrder:
			_, twice = b.placed[w.Order.target()]
			b.placed[w.Order.target()] = e
		case AcceptOrder:
			b.accepted[w.Order.ID] = append(b.accepted[w.Order.ID], e)
		case MoveOrder:
			if !slices.Contains(settled, w.Order.State) {
				return nil, fmt.Errorf("invariant: the log moves an order to a state that there is not: %s", e.name())
			}
			b.moved[w.Order.ID] = append(b.moved[w.Order.ID], e)
		case SetAvailability:
			if w.Courier.Available == nil {
				return nil, fmt.Errorf("invariant: the log has a write of availability without a value: %s", e.name())
			}
			b.statuses[w.Courier.ID] = append(b.statuses[w.Courier.ID], e)
		default:
			return nil, fmt.Errorf("invariant: the log has a write of the unknown kind %q", w.Kind)
		}
		if twice {
			return nil, fmt.Errorf("invariant: the log has two writes with the same values, so they cannot be told apart: %s", e.name())
		}
		if w.Key != "" {
			if b.byKey[w.Key] != nil {
				return nil, fmt.Errorf("invariant: the log has the key %s twice; a write that is sent again is one entry", w.Key)
			}
			b.byKey[w.Key] = e
		}
	}
	return b, nil
}

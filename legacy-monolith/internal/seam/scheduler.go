package seam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
)

// Wanted is an order that is to be picked up and dropped off.
type Wanted struct {
	OrderID int64
	ReadyBy kit.Timestamp
}

// Delivery is what is known of an order's delivery; nil is what is not, or not yet.
type Delivery struct {
	CourierID     *int64
	PickedUpTime  *kit.Timestamp
	DeliveredTime *kit.Timestamp
	Here          bool // the monolith's table of orders keeps it; otherwise the service does, whose part of that table nobody here may write

	Courier struct { // shown only
		FirstName string `json:"first_name"`
		LastName  string `json:"last_name"`
	}
	Actions []struct {
		Type string        `json:"type"`
		Time kit.Timestamp `json:"time"`
	}
}

// Columns are what a change sets in orders, with what d brings where it is kept here.
func (d Delivery) Columns(set map[string]any) map[string]any {
	if !d.Here {
		return set
	}
	if d.CourierID != nil {
		set["assigned_courier_id"] = *d.CourierID
	}
	if d.PickedUpTime != nil {
		set["picked_up_time"] = *d.PickedUpTime
	}
	if d.DeliveredTime != nil {
		set["delivered_time"] = *d.DeliveredTime
	}
	return set
}

// Of is the order with its delivery as d has it, which may not have come back from the service yet.
func (d Delivery) Of(order model.Order) model.Order {
	order.AssignedCourierID = cmp.Or(d.CourierID, order.AssignedCourierID)
	order.PickedUpTime = cmp.Or(d.PickedUpTime, order.PickedUpTime)
	order.DeliveredTime = cmp.Or(d.DeliveredTime, order.DeliveredTime)
	return order
}

// Step is how a delivery goes on, as its route at the service says it.
type Step string

// The steps of a delivery.
const (
	PickedUp  Step = "pickedup"
	Delivered Step = "delivered"
)

// Scheduler puts an order on a courier's plan, and follows its delivery.
type Scheduler interface {
	// Schedule gives the delivery a courier and runs accept, which makes the order accepted, in one
	// transaction of the monolith's database. It returns nil only when both have happened. accept
	// must fail with a *NotApproved when the order is not approved any more; it may run again, in a
	// new transaction.
	//
	// Schedule may be repeated after any error: an order that is on a plan stays with its courier.
	// No courier being available is a *kit.Problem with status 409.
	Schedule(ctx context.Context, w Wanted, accept func(tx *gorm.DB, d Delivery) error) error

	// GoOn does a step of an order's delivery, for a request with that Idempotency-Key, or none, and runs record in a
	// transaction of the monolith's database. It returns nil only when both have happened. record must fail where the delivery
	// is Here and its order is not in the state for it; it may run again. A step that is not next is a *kit.Problem with
	// status 409.
	//
	// GoOn may be repeated with its key after any error.
	GoOn(ctx context.Context, orderID int64, step Step, key string, record func(tx *gorm.DB, d Delivery) error) error
}

// NotApproved is the error of an acceptance whose order had left the state APPROVED.
type NotApproved struct {
	Cancelled bool  // it will never be delivered
	Problem   error // the answer to the client
}

func (e *NotApproved) Error() string { return e.Problem.Error() }

func (e *NotApproved) Unwrap() error { return e.Problem }

// Config is what a Seam needs.
type Config struct {
	DB       *kit.Database
	Delivery string // base URL of the delivery service; empty when there is none
	Toggles  string // base URL of Strangler's admin API; empty when the monolith stands alone
	Token    string // bearer token for the admin API
	// WholeOrders says that the service takes couriers alone: what orders has of their deliveries stays, and is written here.
	WholeOrders bool
	// Left says that the service has deliveries for good: it is asked for all of them, whoever else would know who owns them.
	Left   bool
	Logger *slog.Logger
}

// Validate reports what is missing or unusable.
func (c Config) Validate() error {
	if c.DB == nil || c.Logger == nil {
		return errors.New("seam: a database and a logger are needed")
	}
	for flag, text := range map[string]string{"--delivery": c.Delivery, "--toggles": c.Toggles} {
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fmt.Errorf("%s must be a URL such as http://127.0.0.1:9001", flag)
		}
	}
	if c.Left && c.Delivery == "" {
		return errors.New("--delivery-left needs --delivery, the service that has deliveries now")
	}
	return nil
}

// Seam chooses who schedules.
type Seam struct {
	local     *local
	remote    *remote // nil: there is no service
	whole     bool
	left      bool
	log       *slog.Logger
	toggles   *toggles
	transport *http.Transport
}

// New returns the seam; Close it when no request uses it any more.
func New(cfg Config) (*Seam, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConnsPerHost = 64
	s := &Seam{local: &local{db: cfg.DB}, whole: cfg.WholeOrders, left: cfg.Left, log: cfg.Logger, transport: transport}
	if cfg.Delivery != "" {
		s.remote = newRemote(cfg.Delivery, cfg.DB, transport, cfg.Logger)
		s.remote.whole = cfg.WholeOrders
	}
	if cfg.Toggles != "" {
		s.toggles = newToggles(cfg.Toggles, cfg.Token, transport)
	}
	return s, nil
}

// Close gives back the connections to other programs.
func (s *Seam) Close() { s.transport.CloseIdleConnections() }

// Left reports whether the tables of deliveries are gone from the monolith's database, or are about to be.
func (s *Seam) Left() bool { return s.left }

// For returns who schedules deliveries for a request with these headers: the owner that the header
// names, or else the one that the admin API names. When neither tells, it is a 503.
//
// Only a monolith that stands alone, started with no --toggles, as it was before Strangler came,
// takes a request without the header for its own. With --toggles there is never a default.
func (s *Seam) For(ctx context.Context, header http.Header) (Scheduler, error) {
	if s.left {
		return s.remote, nil
	}
	values := header.Values(OwnerHeader)
	owner, known, err := parseOwner(values)
	if err == nil && !known {
		switch {
		case s.toggles != nil:
			owner, err = s.toggles.owner(ctx)
		case len(values) == 0:
			owner.Side = Legacy
		default:
			err = fmt.Errorf("header %s does not name %s", OwnerHeader, capability)
		}
	}
	if err == nil && owner.Side == Service && s.remote == nil {
		err = errors.New("the delivery service owns deliveries, but this program was started without --delivery")
	}
	if err != nil {
		return nil, kit.Unavailable("owner_unknown", "who schedules deliveries is not known now, and nothing was written; send the request again", err)
	}
	if owner.Side == Service {
		return s.remote, nil
	}
	return s.local, nil
}

// Delivery asks the service for an order's delivery, where it owns deliveries. It is nil where the monolith's own tables are to
// be shown: they tell, or nobody else does now, and then they show what came back from the service last.
func (s *Seam) Delivery(ctx context.Context, header http.Header, orderID int64) *Delivery {
	scheduler, err := s.For(ctx, header)
	r, elsewhere := scheduler.(*remote)
	if err != nil || !elsewhere || s.whole {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	d, err := r.get(ctx, orderID)
	if err != nil {
		s.log.Warn("the delivery service does not say how a delivery stands; what came back from it last is shown", "order_id", orderID, "err", err)
		return nil
	}
	return d
}

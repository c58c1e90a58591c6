package seam

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
)

// Delivery is an order that is to be picked up and dropped off.
type Delivery struct {
	OrderID int64
	ReadyBy kit.Timestamp
}

// Scheduler puts an order on a courier's plan.
type Scheduler interface {
	// Schedule gives the delivery a courier and runs accept, which makes the order accepted, in one
	// transaction of the monolith's database. It returns nil only when both have happened. accept
	// must fail with a *NotApproved when the order is not approved any more; it may run again, in a
	// new transaction.
	//
	// Schedule may be repeated after any error: an order that is on a plan stays with its courier.
	// No courier being available is a *kit.Problem with status 409.
	Schedule(ctx context.Context, d Delivery, accept func(tx *gorm.DB, courierID int64) error) error
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
	Logger   *slog.Logger
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
	return nil
}

// Seam chooses who schedules.
type Seam struct {
	local     Scheduler
	remote    Scheduler
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
	s := &Seam{local: &local{db: cfg.DB}, transport: transport}
	if cfg.Delivery != "" {
		s.remote = newRemote(cfg.Delivery, cfg.DB, transport, cfg.Logger)
	}
	if cfg.Toggles != "" {
		s.toggles = newToggles(cfg.Toggles, cfg.Token, transport)
	}
	return s, nil
}

// Close gives back the connections to other programs.
func (s *Seam) Close() { s.transport.CloseIdleConnections() }

// For returns who schedules deliveries for a request with these headers: the owner that the header
// names, or else the one that the admin API names. When neither tells, it is a 503.
//
// Only a monolith that stands alone, started with no --toggles, as it was before Strangler came,
// takes a request without the header for its own. With --toggles there is never a default.
func (s *Seam) For(ctx context.Context, header http.Header) (Scheduler, error) {
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

package dispatch

import (
	"log/slog"
	"net/http"

	"github.com/strangler-fig/strangler/extracted/kit"
)

// Config is what the service needs.
type Config struct {
	DB     *kit.Database // at the version of its schema
	Logger *slog.Logger
}

type server struct {
	db   *kit.Database
	once kit.Once
}

// NewHandler returns the service's routes, /healthz and /readyz among them.
func NewHandler(cfg Config) (http.Handler, error) {
	e, err := kit.NewRouter(kit.RouterConfig{DB: cfg.DB, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	s := &server{db: cfg.DB, once: kit.Once{DB: cfg.DB, Table: "courier_requests"}}
	e.POST("/couriers", s.createCourier)
	kit.Get(e, "/couriers/:id", s.getCourier)
	e.POST("/couriers/:id/availability", s.setAvailability)
	e.POST("/deliveries", s.schedule)
	kit.Get(e, "/deliveries/:order_id", s.getDelivery)
	for name, step := range steps {
		e.POST("/deliveries/:order_id/"+name, s.goOn(step))
	}
	e.DELETE("/deliveries/:order_id", s.unschedule)
	return e, nil
}

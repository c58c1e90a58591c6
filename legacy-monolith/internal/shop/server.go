package shop

import (
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seam"
)

// Config is what the monolith needs.
type Config struct {
	DB     *kit.Database // at the version of its schema
	Seam   *seam.Seam
	Logger *slog.Logger
}

type server struct {
	db       *kit.Database
	seam     *seam.Seam
	orders   kit.Once
	couriers kit.Once
}

// NewHandler returns the monolith's routes, /healthz and /readyz among them.
func NewHandler(cfg Config) (http.Handler, error) {
	e, err := kit.NewRouter(kit.RouterConfig{DB: cfg.DB, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	s := &server{
		db:   cfg.DB,
		seam: cfg.Seam,
		// Two tables, so that the keys of the courier routes can leave together with couriers.
		orders:   kit.Once{DB: cfg.DB, Table: "order_requests"},
		couriers: kit.Once{DB: cfg.DB, Table: "courier_requests"},
	}
	e.POST("/consumers", s.createConsumer)
	kit.Get(e, "/consumers/:id", s.getConsumer)
	e.POST("/restaurants", s.createRestaurant)
	kit.Get(e, "/restaurants/:id", s.getRestaurant)
	e.POST("/couriers", s.createCourier)
	kit.Get(e, "/couriers/:id", s.getCourier)
	e.POST("/couriers/:id/availability", s.setAvailability)
	e.POST("/orders", s.placeOrder)
	kit.Get(e, "/orders", s.listOrders)
	kit.Get(e, "/orders/:id", s.getOrder)
	e.POST("/orders/:id/revise", s.reviseOrder)
	e.POST("/orders/:id/accept", s.acceptOrder)
	for name, move := range moves {
		e.POST("/orders/:id/"+name, s.moveOrder(move))
	}
	for name, ride := range rides {
		e.POST("/orders/:id/"+name, s.rideOrder(ride))
	}
	return e, nil
}

func send(c echo.Context, status int, v any) error {
	answer, err := kit.JSON(status, v)
	if err != nil {
		return err
	}
	return answer.Send(c)
}

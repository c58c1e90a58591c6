package kit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
)

// requestTime bounds the work on one request. It is longer than the wait for a database lock, so
// that a busy database is told from a slow one.
const requestTime = 15 * time.Second

// RouterConfig is what NewRouter needs.
type RouterConfig struct {
	DB     *Database
	Logger *slog.Logger
}

// Validate reports what is missing.
func (c RouterConfig) Validate() error {
	if c.DB == nil || c.Logger == nil {
		return errors.New("kit: a router needs a database and a logger")
	}
	return nil
}

// NewRouter returns a router with the error shape of Problem, a deadline for each request, and
//
//   - GET /healthz: 200 as long as the process answers.
//   - GET /readyz: 200 when the database answers, otherwise 503.
func NewRouter(cfg RouterConfig) (*echo.Echo, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = errorHandler(cfg.Logger)
	e.Use(deadline, recovered)
	Get(e, "/healthz", func(c echo.Context) error { return status(c, "ok") })
	Get(e, "/readyz", func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), 2*time.Second)
		defer cancel()
		if err := cfg.DB.Ping(ctx); err != nil {
			return Unavailable("not_ready", "the database does not answer", err)
		}
		return status(c, "ready")
	})
	return e, nil
}

// Get registers a route for GET and for HEAD, as http.ServeMux understands `GET /path`.
func Get(e *echo.Echo, path string, h echo.HandlerFunc) {
	e.Match([]string{http.MethodGet, http.MethodHead}, path, h)
}

func status(c echo.Context, text string) error {
	answer, err := JSON(http.StatusOK, map[string]string{"status": text})
	if err != nil {
		return err
	}
	return answer.Send(c)
}

func deadline(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), requestTime)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// recovered makes a panic of one request that request's error, with the stack for the log.
func recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				panic(p)
			} else if p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return next(c)
	}
}

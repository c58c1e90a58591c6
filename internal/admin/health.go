package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// healthz answers while the process lives.
func (s *Server) healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// readyz answers 503 while the daemon is not able to serve. Why is told to those with the token.
func (s *Server) readyz(c echo.Context) error {
	ctx, done := s.reading(c)
	defer done()
	err := s.cfg.Health.Ready(ctx)
	if err == nil {
		return c.JSON(http.StatusOK, map[string]string{"status": "ready"})
	}
	answer := map[string]string{"status": "not ready"}
	if s.hasToken(c.Request()) {
		answer["why"] = err.Error()
	}
	return c.JSON(http.StatusServiceUnavailable, answer)
}

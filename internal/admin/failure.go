package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/strangler-fig/strangler"
)

// kinds are the root's sentinels with their code and status. A refusal comes first: it may wrap others.
var kinds = []struct {
	is     error
	code   Code
	status int
}{
	{strangler.ErrRefused, CodeRefused, http.StatusConflict},
	{strangler.ErrUnknown, CodeUnknown, http.StatusInternalServerError},
	{strangler.ErrConflict, CodeConflict, http.StatusConflict},
	{strangler.ErrSuperseded, CodeSuperseded, http.StatusConflict},
	{strangler.ErrStopped, CodeStopped, http.StatusServiceUnavailable},
	{strangler.ErrConfig, CodeConfiguration, http.StatusBadRequest},
	{strangler.ErrNotFound, CodeNotFound, http.StatusNotFound},
}

// Sentinel is the root's error for a code; nil for CodeFailed and for codes that it does not know.
func (c Code) Sentinel() error {
	for _, kind := range kinds {
		if kind.code == c {
			return kind.is
		}
	}
	return nil
}

// Detail says an error in the shape of the API, with the status that it deserves. For a Refusal the
// message is its reason alone: check and next stand beside it.
func Detail(err error) (FailureDetail, int) {
	d := FailureDetail{Code: CodeFailed, Message: err.Error(), Next: []string{}}
	if refusal := (*strangler.Refusal)(nil); errors.As(err, &refusal) {
		d.Code, d.Message, d.Check = CodeRefused, refusal.Why, refusal.Check
		d.Next = append(d.Next, refusal.Next...)
		return d, http.StatusConflict
	}
	for _, kind := range kinds {
		if errors.Is(err, kind.is) {
			d.Code = kind.code
			return d, kind.status
		}
	}
	if e := (*echo.HTTPError)(nil); errors.As(err, &e) {
		d.Code, d.Message = CodeConfiguration, fmt.Sprint(e.Message)
		switch {
		case e.Code == http.StatusNotFound:
			d.Code, d.Message = CodeNotFound, "there is no such endpoint, or not with this method; nothing was changed"
		case e.Code == http.StatusMethodNotAllowed:
			d.Message = "the endpoint does not take this method; nothing was changed"
		case e.Code >= http.StatusInternalServerError:
			d.Code = CodeFailed
		}
		return d, e.Code
	}
	return d, http.StatusInternalServerError
}

// fail is Echo's error handler.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if s.life.Err() != nil && errors.Is(err, context.Canceled) {
		err = fmt.Errorf("the daemon is shutting down, and this operation with it; it is taken up again when the daemon starts (%w): %w", err, strangler.ErrStopped)
	}
	detail, status := Detail(err)
	if writing := c.JSON(status, Failure{Error: detail}); writing != nil {
		s.log.Debug("admin answer not delivered", "path", c.Request().URL.Path, strangler.LogError, writing)
	}
}

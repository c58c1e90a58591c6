package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// Problem is an error as a client sees it: {"error":{"code","message","field"}}.
type Problem struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`            // stable, for programs
	Message string `json:"message"`         // what happened and what to do
	Field   string `json:"field,omitempty"` // the part of the request that is wrong
	Cause   error  `json:"-"`               // for the log, never for the client
}

func (p *Problem) Error() string {
	if p.Cause != nil {
		return p.Message + ": " + p.Cause.Error()
	}
	return p.Message
}

func (p *Problem) Unwrap() error { return p.Cause }

// Invalid is the answer to bad input: 400, with the field that is wrong.
func Invalid(field, message string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Code: "invalid", Field: field, Message: field + " " + message}
}

// NotFound is the answer to an id that nothing has: 404.
func NotFound(what string, id int64) *Problem {
	return &Problem{Status: http.StatusNotFound, Code: "not_found", Message: fmt.Sprintf("there is no %s %d", what, id)}
}

// Conflict is the answer to a request that the present state does not allow: 409.
func Conflict(code, message string) *Problem {
	return &Problem{Status: http.StatusConflict, Code: code, Message: message}
}

// Unavailable is the answer to a request that may be sent again later: 503 with Retry-After.
func Unavailable(code, message string, cause error) *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, Code: code, Message: message, Cause: cause}
}

// problemOf gives every error its status. A message must not promise more than is known: only
// where the database itself refused is it certain that nothing was written.
func problemOf(err error) *Problem {
	if p := (*Problem)(nil); errors.As(err, &p) {
		return p
	}
	if e := (*echo.HTTPError)(nil); errors.As(err, &e) {
		text := http.StatusText(e.Code)
		return &Problem{Status: e.Code, Code: strings.ReplaceAll(strings.ToLower(text), " ", "_"), Message: strings.ToLower(text), Cause: e.Internal}
	}
	switch {
	case isFenced(err):
		return Unavailable("refused", "this database does not take the write now, and nothing was written; send the request again", err)
	case isBusy(err):
		return Unavailable("busy", "the database is busy, and nothing was written; send the request again", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Unavailable("timeout", "the request took too long, and its outcome is unknown; read the state, or send the request again with the same Idempotency-Key", err)
	}
	return &Problem{Status: http.StatusInternalServerError, Code: "internal", Message: "something failed here; its outcome is unknown", Cause: err}
}

func errorHandler(log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			log.Error("request failed after its answer had begun", "method", c.Request().Method, "path", c.Path(), "err", err)
			return
		}
		p := problemOf(err)
		if p.Status >= http.StatusInternalServerError {
			log.Warn("request failed", "method", c.Request().Method, "path", c.Path(), "status", p.Status, "err", err)
		}
		if p.Status == http.StatusServiceUnavailable {
			c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(1))
		}
		body, err := json.Marshal(map[string]*Problem{"error": p})
		if err == nil {
			err = c.JSONBlob(p.Status, body)
		}
		if err != nil {
			log.Debug("the answer could not be sent", "err", err)
		}
	}
}

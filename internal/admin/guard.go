package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode"

	"github.com/labstack/echo/v4"

	"github.com/strangler-fig/strangler"
)

// logged writes one record for each request, with its error where it failed.
func (s *Server) logged(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		r := c.Request()
		level := slog.LevelDebug
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			level = slog.LevelInfo
		}
		record := []any{"method", r.Method, "path", r.URL.Path, "status", c.Response().Status, "took", time.Since(began), "remote", r.RemoteAddr}
		if err != nil {
			record = append(record, strangler.LogError, err)
			if c.Response().Status >= http.StatusInternalServerError {
				level = slog.LevelError
			}
		}
		s.log.Log(r.Context(), level, "admin request", record...)
		return nil
	}
}

// recovered turns a panic into a failure; the daemon goes on.
func (s *Server) recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.Error("admin request panicked", "path", c.Request().URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("a defect in Strangler stopped this request, and the log has its trace; it may have had its effect: %w", strangler.ErrUnknown)
		}()
		return next(c)
	}
}

// counted lets Close wait for every request.
func (s *Server) counted(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		leave, ok := s.enter()
		if !ok {
			return fmt.Errorf("the daemon is shutting down; nothing was changed; ask again when it has started: %w", strangler.ErrStopped)
		}
		defer leave()
		return next(c)
	}
}

var crossOrigin = http.NewCrossOriginProtection()

// sameSite keeps web pages out where no token does: a page of any site can send requests to a
// loopback address through its visitor's browser.
func (s *Server) sameSite(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if s.cfg.Token != "" {
			return next(c)
		}
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(strings.Trim(host, "[]")) {
			return echo.NewHTTPError(http.StatusForbidden, "without admin.token the admin API answers to a loopback address only, and the Host header names another")
		}
		if err := crossOrigin.Check(r); err != nil {
			return echo.NewHTTPError(http.StatusForbidden, "the request comes from a web page of another site; nothing was changed")
		}
		return next(c)
	}
}

// authorised asks for the bearer token.
func (s *Server) authorised(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !s.hasToken(c.Request()) {
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="strangler"`)
			return echo.NewHTTPError(http.StatusUnauthorized, "the token is missing or wrong; send \"Authorization: Bearer TOKEN\" with the daemon's admin.token; nothing was changed")
		}
		return next(c)
	}
}

// hasToken compares digests in constant time, so that neither content nor length shows in the time.
func (s *Server) hasToken(r *http.Request) bool {
	if s.cfg.Token == "" {
		return true
	}
	scheme, given, _ := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " ")
	want, got := sha256.Sum256([]byte(s.cfg.Token)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// bounded limits a body in size and in time. The time is for the body only: an operation may take long.
func (s *Server) bounded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		r := c.Request()
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxBody)
		return next(c)
	}
}

// read decodes a JSON body into v. Unknown fields are errors.
func (s *Server) read(c echo.Context, v any) error {
	r := c.Request()
	if media, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); err != nil || media != echo.MIMEApplicationJSON {
		return echo.NewHTTPError(http.StatusUnsupportedMediaType, "send a JSON object with Content-Type: application/json; nothing was changed")
	}
	control := http.NewResponseController(c.Response())
	if err := control.SetReadDeadline(time.Now().Add(bodyTime)); err != nil {
		return fmt.Errorf("bounding the time of a body: %w", err)
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something stands behind the object")
		}
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return echo.NewHTTPError(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes; nothing was changed", maxBody))
	}
	if err != nil {
		return echo.NewHTTPError(http.StatusBadRequest, fmt.Sprintf("the body is not the JSON object that this endpoint reads: %v; nothing was changed", err))
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("lifting the bound of a body: %w", err)
	}
	return nil
}

// order reads the body of a POST and says who asks.
func (s *Server) order(c echo.Context) (Order, error) {
	var o Order
	if err := s.read(c, &o); err != nil {
		return o, err
	}
	if strings.TrimSpace(o.Who) == "" {
		return o, echo.NewHTTPError(http.StatusBadRequest, "who is missing: say who asks, as in {\"who\":\"ann@laptop\"}; nothing was changed")
	}
	return o, storable("who", o.Who, "why", o.Why, "until", o.Until, "to", o.To, "step", o.Step, "confirm", o.Confirm)
}

// maxText bounds each text that an order carries: the ledger and the audit keep it, and it is shown in a line.
const maxText = 1 << 10

// storable refuses texts, each behind its name, that are too long or have characters which do not belong in a line.
func storable(fields ...string) error {
	for i := 0; i < len(fields); i += 2 {
		name, text := fields[i], fields[i+1]
		if len(text) > maxText {
			return fmt.Errorf("%w: %s has %d bytes, and %d at most are kept; nothing was changed", strangler.ErrConfig, name, len(text), maxText)
		}
		if strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("%w: %s is %q, with a character that is not shown, a line break for one; nothing was changed", strangler.ErrConfig, name, text)
		}
	}
	return nil
}

// capability finds the capability that a path names.
func (s *Server) capability(c echo.Context) (strangler.Capability, error) {
	name := c.Param("cap")
	if capability, ok := s.capabilities[name]; ok {
		return capability, nil
	}
	known := "the daemon's strangler.yaml has none"
	if len(s.names) > 0 {
		known = "the daemon knows " + strings.Join(s.names, ", ")
	}
	return strangler.Capability{}, fmt.Errorf("capability %q: %w; %s", name, strangler.ErrNotFound, known)
}

// dryRun reports whether only a preview is asked for.
func dryRun(c echo.Context) (bool, error) {
	switch v := c.QueryParam("dry_run"); v {
	case "":
		return false, nil
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	default:
		return false, echo.NewHTTPError(http.StatusBadRequest, fmt.Sprintf("dry_run=%q: it is true or false; nothing was changed", v))
	}
}

package strangler

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// Route is a method and a path pattern in the syntax of http.ServeMux. An empty method means every method.
type Route struct {
	Method  string
	Pattern string // begins with a slash
}

var methodName = regexp.MustCompile(`^[A-Z]+$`)

// ParseRoute reads "GET /couriers/{id}" or "/couriers/{id}".
func ParseRoute(s string) (r Route, err error) {
	method, pattern, found := strings.Cut(strings.TrimSpace(s), " ")
	if !found {
		method, pattern = "", method
	}
	pattern = strings.TrimSpace(pattern)
	if method != "" && !methodName.MatchString(method) {
		return Route{}, fmt.Errorf("route %q: the method %q is not in capital letters", s, method)
	}
	if !strings.HasPrefix(pattern, "/") {
		return Route{}, fmt.Errorf("route %q: the path has to begin with a slash, as in \"GET /couriers/{id}\"", s)
	}
	defer func() {
		if p := recover(); p != nil { // ServeMux reports a malformed pattern by panicking
			r, err = Route{}, fmt.Errorf("route %q: %v", s, p)
		}
	}()
	r = Route{Method: method, Pattern: pattern}
	http.NewServeMux().Handle(r.String(), http.NotFoundHandler())
	return r, nil
}

// String is the form that ParseRoute reads and http.ServeMux takes.
func (r Route) String() string {
	if r.Method == "" {
		return r.Pattern
	}
	return r.Method + " " + r.Pattern
}

// Routes are routes that can stand beside each other: of two that match the same request one is the more specific, as
// http.ServeMux has it. The zero value has none yet.
type Routes struct{ mux http.ServeMux }

// Add takes in a route that ParseRoute has read, unless it cannot stand beside one that is there. Its time does not depend on
// how many those are, but for patterns that match everything below a path.
func (s *Routes) Add(r Route) (fits bool) {
	defer func() {
		if recover() != nil { // ServeMux reports a conflict by panicking
			fits = false
		}
	}()
	s.mux.Handle(r.String(), http.NotFoundHandler())
	return true
}

// Conflicts reports whether two routes cannot stand beside each other.
func (r Route) Conflicts(other Route) bool {
	var both Routes
	return both.Add(r) && !both.Add(other)
}

package setup

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

const (
	// maxNames is how many names one place of a path may have before they are taken for values, as in /users/ann.
	maxNames = 24
	// maxSubjects is how many there may be of what paths are about; what comes behind is not looked at.
	maxSubjects = 400
	// maxDepth is how many segments of a path are looked at.
	maxDepth = 16
)

var (
	value = regexp.MustCompile(`^([0-9]+|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{12,}|[0-9]{4}-[0-9]{2}(-[0-9]{2})?)$`)
	token = regexp.MustCompile(`^[A-Za-z0-9_-]{20,}$`)
	plain = regexp.MustCompile(`^[A-Za-z0-9._~:+,=*-]+$`)
	file  = regexp.MustCompile(`(?i)\.(css|js|mjs|map|png|jpe?g|gif|svg|ico|webp|woff2?|ttf|eot|txt|xml)$`)
)

// varies reports whether a segment is a value rather than a name.
func varies(segment string) bool {
	return value.MatchString(segment) || !plain.MatchString(segment) || token.MatchString(segment) && strings.ContainsAny(segment, "0123456789")
}

// tree holds the paths of requests, segment by segment. What varies from request to request adds little to it.
type tree struct {
	names    map[string]*tree
	any      *tree          // of segments that are values
	values   bool           // every segment is one
	requests map[string]int // that end here, by method
}

// add counts a request. It is false for one that is of no use: a file, or a path of no known form.
func (t *tree) add(method, path string) bool {
	all := strings.Split(path, "/")
	if all[0] != "" || len(all) > maxDepth || file.MatchString(path) || slices.Contains(all, ".") || slices.Contains(all, "..") {
		return false
	}
	all = all[1:]
	last := len(all) - 1
	if slices.Contains(all[:last], "") {
		return false
	}
	met := false // what the path is about
	for i, s := range all {
		if i == last && s == "" {
			s = "{$}"
		}
		next := t.next(s, met)
		if next == nil {
			return false
		}
		met = met || next != t.any && !common.MatchString(strings.ToLower(s))
		t = next
	}
	if t.requests == nil {
		t.requests = map[string]int{}
	}
	t.requests[method]++
	return true
}

// next is where a segment leads; nil where there are too many already.
func (t *tree) next(s string, met bool) *tree {
	if next, ok := t.names[s]; ok {
		return next
	}
	if s != "{$}" && (t.values || varies(s)) {
		if t.any == nil {
			t.any = &tree{}
		}
		return t.any
	}
	switch {
	case !met && len(t.names) >= maxSubjects:
		return nil
	case met && len(t.names) >= maxNames && s != "{$}":
		t.merge()
		return t.next(s, met)
	case t.names == nil:
		t.names = map[string]*tree{}
	}
	t.names[s] = &tree{}
	return t.names[s]
}

// merge takes all names for values.
func (t *tree) merge() {
	if t.any == nil {
		t.any = &tree{}
	}
	for s, below := range t.names {
		if s != "{$}" {
			t.any.take(below)
			delete(t.names, s)
		}
	}
	t.values = true
}

// take adds another's requests to t's.
func (t *tree) take(other *tree) {
	for method, n := range other.requests {
		if t.requests == nil {
			t.requests = map[string]int{}
		}
		t.requests[method] += n
	}
	if other.any != nil {
		if t.any == nil {
			t.any = &tree{}
		}
		t.any.take(other.any)
	}
	for s, below := range other.names {
		if next := t.next(s, true); next != nil {
			next.take(below)
		}
	}
}

// routes are what the tree holds.
func (t *tree) routes(above []string) (out []Route) {
	for method, n := range t.requests {
		if r, err := strangler.ParseRoute(method + " /" + strings.Join(above, "/")); err == nil {
			out = append(out, Route{r, n})
		}
	}
	for s, below := range t.names {
		out = append(out, below.routes(append(slices.Clone(above), s))...)
	}
	if t.any != nil {
		out = append(out, t.any.routes(append(slices.Clone(above), unique("id", above)))...)
	}
	return out
}

// sorted has paths in their order, and GET before what changes something.
func sorted(routes []Route) []Route {
	order := func(r Route) int { return slices.Index(methods, strings.ToLower(r.Route.Method)) }
	slices.SortFunc(routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Route.Pattern, b.Route.Pattern), cmp.Compare(order(a), order(b)), cmp.Compare(a.Route.Method, b.Route.Method))
	})
	return routes
}

package setup

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// Route is a route of the monolith, and how many requests for it were seen.
type Route struct {
	Route    strangler.Route
	Requests int
}

// MarshalJSON has the route as strangler.yaml has it.
func (r Route) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Route    string `json:"route"`
		Requests int    `json:"requests"`
	}{r.Route.String(), r.Requests})
}

var (
	// common are first segments that many capabilities share.
	common = regexp.MustCompile(`^(api|rest|rpc|services?|public|www|v[0-9]+([._-][0-9]+)*)$`)
	// technical are paths of no business.
	technical = regexp.MustCompile(`^(health|healthz|healthcheck|livez|readyz|ready|ping|status|metrics|static|assets|public|favicon|robots|debug|actuator|swagger|openapi|docs|graphql|\.well-known)(\..*)?$`)
)

// segments are a pattern's, without the empty ones at its ends.
func segments(pattern string) []string {
	return slices.DeleteFunc(strings.Split(pattern, "/"), func(s string) bool { return s == "" })
}

func wild(segment string) bool { return strings.HasPrefix(segment, "{") }

// subject is the segment that names what a route is about, and those up to it; empty where none does.
func subject(r strangler.Route) (name string, upTo []string) {
	all := segments(r.Pattern)
	for i, s := range all {
		if wild(s) || common.MatchString(strings.ToLower(s)) {
			continue
		}
		if technical.MatchString(strings.ToLower(s)) {
			return "", nil
		}
		return s, all[:i+1]
	}
	return "", nil
}

package proxy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// http.ServeMux is the oracle: the same patterns, the same paths, the same answers.
func TestTreeMatchesLikeServeMux(t *testing.T) {
	patterns := []string{
		"GET /couriers/{id}", "POST /couriers", "POST /couriers/{id}/availability", "GET /couriers/new", "PUT /couriers/new/{part}",
		"GET /files/{path...}", "GET /files/a/b", "/static/", "POST /static/{$}", "GET /{$}", "DELETE /a/{x}/c", "DELETE /a/b/c", "DELETE /a/{y...}",
		"/esc%61ped/{id}", "HEAD /head/only", "GET /head/{x}", "/deep/{a}/{b}/{c}", "GET /deep/{a}/fixed/{c}",
	}
	for i := range 2 * fewLiterals {
		patterns = append(patterns, fmt.Sprintf("GET /one%d/{x}", i))
	}
	mux, tr := http.NewServeMux(), &tree{}
	for i, s := range patterns {
		r := routes(t, s)[0]
		mux.HandleFunc(r.String(), func(http.ResponseWriter, *http.Request) {})
		tr.add(r.Method, r.Pattern, i)
	}
	words := []string{"couriers", "7", "availability", "new", "files", "a", "b", "c", "static", "escaped", "esc%61ped", "head", "only", "deep", "fixed", "x%20y", "x%2Fy", "one0", "one13", "one%313", "one99"}
	methods := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}
	dice := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 50_000 {
		var b strings.Builder
		for range 1 + dice.IntN(5) {
			b.WriteString("/" + words[dice.IntN(len(words))])
		}
		if dice.IntN(4) == 0 {
			b.WriteString("/")
		}
		path, method := b.String(), methods[dice.IntN(len(methods))]
		if dice.IntN(50) == 0 {
			path = "/"
		}
		handler, want := mux.Handler(httptest.NewRequest(method, path, nil))
		if fmt.Sprintf("%T", handler) == "*http.redirectHandler" { // "/static" to "/static/": for a proxy another path
			want = ""
		}
		got := ""
		if i := tr.match(method, path); i != none {
			got = patterns[i]
			matched++
		}
		if got != want {
			t.Fatalf("%s %s: the tree says %q, ServeMux %q", method, path, got, want)
		}
	}
	if matched < 5_000 {
		t.Fatalf("only %d of the paths matched anything: the test shows nothing", matched)
	}
}

func TestRouterSaysWhoseItIs(t *testing.T) {
	rt, err := newRouter([]strangler.Capability{
		{Name: "a", Routes: routes(t, "POST /a", "GET /a/{id}", "/all/{x}"), Touches: touches(t, "POST /orders/{id}/accept", "GET /ping")},
		{Name: "b", Routes: routes(t, "POST /b"), Touches: touches(t, "POST /orders/{id}/accept", "/")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		request string
		want    match
	}{
		{"POST /a", match{route: 0, writes: []int{0, 1}}}, // b's touch is wider than the route: the route says where, both are held
		{"GET /a/7", match{route: 0, writes: []int{1}}},
		{"HEAD /a/7", match{route: 0, writes: []int{1}}},
		{"DELETE /a/7", match{route: none, writes: []int{1}}}, // another method than those listed
		{"GET /all/7", match{route: 0, writes: []int{1}}},
		{"PATCH /all/7", match{route: 0, writes: []int{0, 1}}},
		{"OPTIONS /all/7", match{route: 0, writes: []int{1}}},
		{"POST /orders/7/accept", match{route: none, writes: []int{0, 1}}},
		{"GET /orders/7/accept", match{route: none, writes: []int{1}}},
		{"GET /ping", match{route: none, writes: []int{0, 1}}}, // a read that writes
		{"POST /b", match{route: 1, writes: []int{1}}},
		{"POST /else", match{route: none, writes: []int{1}}},
		{"GET /else", match{route: none, writes: []int{1}}},
		{"OPTIONS *", match{route: none, writes: nil}},
	} {
		method, path, _ := strings.Cut(one.request, " ")
		var got match
		rt.match(method, cleanPath(path), &got)
		if by := rt.patterns[got.by]; got.route != none && (by.capability != got.route || !strings.HasPrefix(path, strings.TrimSuffix(by.text[strings.Index(by.text, "/"):], "/{id}")) && by.text != "/all/{x}") {
			t.Errorf("%s is said to be by %+v", one.request, by)
		}
		got.by = 0
		if !reflect.DeepEqual(got, one.want) {
			t.Errorf("%s: %+v, want %+v", one.request, got, one.want)
		}
	}
}

// Whichever capabilities would find a request among their own touches, all of them are found.
func TestEveryTouchIsFound(t *testing.T) {
	patterns := []string{
		"POST /orders/{id}", "POST /orders/{id}/accept", "/orders/{x...}", "POST /orders/7/{step}", "GET /orders/{id}", "POST /{any}/7/accept", "/{$}", "/", "GET /{x...}",
	}
	for i := range 2 * fewLiterals {
		patterns = append(patterns, fmt.Sprintf("POST /orders/7/step%d", i))
	}
	var capabilities []strangler.Capability
	var alone []*tree
	dice := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		c, own, fit := strangler.Capability{Name: name(i)}, &tree{}, strangler.Routes{}
		for range 1 + dice.IntN(4) {
			if one := touches(t, patterns[dice.IntN(len(patterns))])[0]; fit.Add(one.Route) {
				c.Touches = append(c.Touches, one)
				own.add(one.Route.Method, one.Route.Pattern, i)
			}
		}
		capabilities, alone = append(capabilities, c), append(alone, own)
	}
	rt, err := newRouter(capabilities)
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"orders", "7", "8", "accept", "step0", "step13", "a%2Fb"}
	var m match
	for range 1000 {
		path := ""
		for range dice.IntN(5) {
			path += "/" + words[dice.IntN(len(words))]
		}
		if path == "" || dice.IntN(4) == 0 {
			path += "/"
		}
		method := []string{"GET", "HEAD", "POST", "PUT"}[dice.IntN(4)]
		var want []int
		for i, own := range alone {
			if own.match(method, path) != none {
				want = append(want, i)
			}
		}
		if rt.match(method, path, &m); !slices.Equal(m.writes, want) {
			t.Fatalf("%s %s: found for %v, want %v", method, path, m.writes, want)
		}
	}
}

func TestRoutesThatContradictAreRefused(t *testing.T) {
	base := "http://127.0.0.1:1"
	for name, capabilities := range map[string][]strangler.Capability{
		"the same route twice": {{Name: "a", Routes: routes(t, "GET /x/{id}")}, {Name: "b", Routes: routes(t, "GET /x/{other}")}},
		"overlapping routes":   {{Name: "a", Routes: routes(t, "/x/{id}/fixed")}, {Name: "b", Routes: routes(t, "/x/fixed/{id}")}},
		"a route and a touch":  {{Name: "a", Routes: routes(t, "POST /x")}, {Name: "b", Touches: touches(t, "POST /x")}},
		"a touch beside touches": {{Name: "a", Routes: routes(t, "POST /a/b/{x}")}, {Name: "b", Touches: touches(t, "POST /{x}/b")}, {Name: "c", Touches: touches(t, "POST /a/{x}")},
			{Name: "d", Touches: touches(t, "POST /a/{x}/c")}},
		"touches of one":       {{Name: "a", Touches: touches(t, "POST /{x}/b")}, {Name: "b", Touches: touches(t, "POST /{x}/b", "POST /a/{x}")}},
		"within a capability":  {{Name: "a", Routes: routes(t, "POST /x", "POST /x")}},
		"a malformed route":    {{Name: "a", Routes: []strangler.Route{{Method: "GET", Pattern: "/x/{"}}}},
		"two of one name":      {{Name: "a"}, {Name: "a"}},
		"a name with a space":  {{Name: "a b"}},
		"a shadow that writes": {{Name: "a", Shadow: strangler.Shadow{Methods: []string{"POST"}}}},
		"a service with path":  {{Name: "a", Service: strangler.Upstream{URLs: []string{base + "/v1"}}}},
	} {
		if _, err := New(config(base, capabilities...)); !errors.Is(err, strangler.ErrConfig) {
			t.Errorf("%s: %v, want an ErrConfig", name, err)
		}
	}
	if _, err := New(config(base, strangler.Capability{Name: "a", Routes: routes(t, "GET /x/{id}")},
		strangler.Capability{Name: "b", Routes: routes(t, "GET /x/fixed")})); err != nil {
		t.Errorf("a more specific route of another capability: %v", err)
	}
	_, err := New(config(base, strangler.Capability{Name: "a", Routes: routes(t, "GET /y", "GET /x/{id}")}, strangler.Capability{Name: "b", Touches: touches(t, "GET /x/{other}")}))
	if err == nil || !strings.Contains(err.Error(), `route "GET /x/{id}" of a and touch "GET /x/{other}" of b can match the same request`) {
		t.Errorf("it is not said what contradicts: %v", err)
	}
}

func TestCleanPath(t *testing.T) {
	for in, want := range map[string]string{
		"": "/", "/": "/", "*": "*", "/a/b": "/a/b", "/a/b/": "/a/b/", "//a": "/a", "/a//b": "/a/b", "/./a": "/a", "/a/../b": "/b",
		"/a/%2e%2E/b": "/b", "/%2e/a/": "/a/", "/../..": "/", "/.well-known/x": "/.well-known/x", "/a.b": "/a.b",
		"/a%2Fb": "/a%2Fb", "/a%20b": "/a%20b", "/x/..": "/", "/a/%2e": "/a", "/%252e%252e/a": "/%252e%252e/a",
	} {
		if got := cleanPath(in); got != want {
			t.Errorf("cleanPath(%q) = %q, want %q", in, got, want)
		}
	}
}

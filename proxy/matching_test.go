package proxy

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// Which of several upstreams gets a request, and with which target: what of gateway-api's conformance tests of HTTP route matching
// there is with routes in http.ServeMux's syntax, and what else may be written in a path. A prefix of theirs, "/v2", is two routes
// of ours, "/v2" and "/v2/"; theirs match HEAD for itself, ours with GET; what nothing matches is theirs to answer 404, and goes to
// the monolith with us, as it came.
func TestWhoseRouteItIs(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	upstreams := map[string]*backend{"legacy": legacy}
	var capabilities []strangler.Capability
	for name, patterns := range map[string][]string{
		"one":   {"/one", "/match", "/match/prefix/", "POST /method", "PATCH /path3/", "/items/{id}", "/slash/{$}", "/both/{id}"},
		"two":   {"/two", "/v2", "/v2/", "/match/exact", "/match/prefix/one", "/match/prefix/one/", "GET /method", "GET /items/new", "GET /both/{id}"},
		"three": {"/match/", "/match/exact/one", "/files/{path...}", "DELETE /method"},
	} {
		upstreams[name] = newBackend(t, name, nil)
		capabilities = append(capabilities, strangler.Capability{Name: name, Routes: routes(t, patterns...), Service: strangler.Upstream{URLs: []string{upstreams[name].URL}}})
	}
	p := start(t, config(legacy.URL, capabilities...))
	for _, c := range capabilities {
		apply(t, p, strangler.Toggle{Capability: c.Name, Mode: strangler.ModeExtracted, Owner: strangler.Service, Epoch: 1})
	}
	for _, one := range []struct{ request, to, as string }{ // as: empty where it is forwarded as it came
		// exact paths
		{"GET /one", "one", ""},
		{"GET /two", "two", ""},
		{"GET /", "legacy", ""},
		{"GET /one/example", "legacy", ""},
		{"GET /two/", "legacy", ""},
		{"GET /Two", "legacy", ""},
		// prefixes
		{"GET /example", "legacy", ""},
		{"GET /v2", "two", ""},
		{"GET /v2/", "two", ""},
		{"GET /v2/example", "two", ""},
		{"GET /v2example", "legacy", ""},
		{"GET /V2/example", "legacy", ""},
		{"GET /foo/v2/example", "legacy", ""},
		{"GET /files/", "three", ""},
		{"GET /files/a/b/", "three", ""},
		{"GET /files", "legacy", ""},
		{"GET /slash/", "one", ""},
		{"GET /slash", "legacy", ""},
		{"GET /slash/x", "legacy", ""},
		// the more specific one
		{"GET /match", "one", ""},
		{"GET /match/exact", "two", ""},
		{"GET /match/exact/one", "three", ""},
		{"GET /match/exact/two", "three", ""},
		{"GET /match/any", "three", ""},
		{"GET /match/prefix/any", "one", ""},
		{"GET /match/prefix/one", "two", ""},
		{"GET /match/prefix/one/any", "two", ""},
		{"GET /match/prefix/onewards", "one", ""},
		{"GET /items/7", "one", ""},
		{"GET /items/new", "two", ""},
		{"POST /items/new", "one", ""},
		{"GET /items/new/", "legacy", ""},
		{"GET /items/", "legacy", ""},
		// methods
		{"POST /method", "one", ""},
		{"GET /method", "two", ""},
		{"HEAD /method", "two", ""},
		{"DELETE /method", "three", ""},
		{"PUT /method", "legacy", ""},
		{"get /method", "legacy", ""},
		{"PATCH /path3/x", "one", ""},
		{"PUT /path3/x", "legacy", ""},
		{"GET /both/7", "two", ""},
		{"POST /both/7", "one", ""},
		// the query, and the address
		{"GET /one?x=/two", "one", ""},
		{"GET /two?/../one//%2e", "two", ""},
		{"GET /v2?", "two", ""},
		{"GET /example?/one", "legacy", ""},
		{"GET http://elsewhere.example/one?x", "one", "/one?x"},
		{"GET http://elsewhere.example", "legacy", "/"},
		// empty segments
		{"GET //one", "one", "/one"},
		{"GET /v2//example", "two", "/v2/example"},
		{"GET ///v2///", "two", "/v2/"},
		{"GET /one//", "legacy", ""},
		{"GET //example//", "legacy", ""},
		// dot segments
		{"GET /./one", "one", "/one"},
		{"GET /v2/../one", "one", "/one"},
		{"GET /one/../v2/./x", "two", "/v2/x"},
		{"GET /v2/%2e%2E/one", "one", "/one"},
		{"GET /v2/.%2e/%2e/one?a=b", "one", "/one?a=b"},
		{"GET /one/.", "one", "/one"},
		{"GET /v2/..", "legacy", ""},
		{"GET /../../one", "one", "/one"},
		{"GET /...one", "legacy", ""},
		{"GET /.../one", "legacy", ""},
		{"GET /one/%252e%252e/two", "legacy", ""},
		// what is escaped
		{"GET /%6Fne", "one", ""},
		{"GET /%4Fne", "legacy", ""},
		{"GET /one%2Fexample", "legacy", ""},
		{"GET /v2%2Fexample", "legacy", ""},
		{"GET /v2%2f..%2fone", "legacy", ""},
		{"GET /v2/a%2F..%2Fb", "two", ""},
		{"GET /items/a%2Fb", "one", ""},
		{"GET /items/%20", "one", ""},
		{"GET /one%00", "legacy", ""},
		{"GET /one%3Fx", "legacy", ""},
		{`GET /v2/"a"`, "two", "/v2/%22a%22"},
		{"GET /one;x=y", "legacy", ""},
		{`GET /v2\example`, "legacy", "/v2%5Cexample"},
	} {
		_, in := dial(t, p, one.request+" HTTP/1.1\r\nHost: other.example\r\nVersion: two\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		status, err := in.ReadString('\n')
		if err != nil || !strings.Contains(status, " 200 ") {
			t.Errorf("%s: %q %v", one.request, status, err)
			continue
		}
		method, target, _ := strings.Cut(one.request, " ")
		if one.as != "" {
			target = one.as
		}
		var got []string
		for name, u := range upstreams {
			for _, r := range u.taken() {
				got = append(got, name+" "+r.Method+" "+r.RequestURI)
			}
		}
		if want := one.to + " " + method + " " + target; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", one.request, got, want)
		}
	}
}

// taken is what came since it was asked for the last time.
func (b *backend) taken() (seen []*http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen, b.seen = b.seen, nil
	return seen
}

// Where gateway-api has a path go before a method, whoever writes such routes has to say what is meant.
func TestAPathOrAMethodIsNotPreferred(t *testing.T) {
	if _, err := New(config("http://127.0.0.1:1", strangler.Capability{Name: "one", Routes: routes(t, "/path5/")},
		strangler.Capability{Name: "two", Routes: routes(t, "PATCH /")})); !errors.Is(err, strangler.ErrConfig) {
		t.Errorf("%v, want an ErrConfig", err)
	}
}

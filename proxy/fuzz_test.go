package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// FuzzRouter: a path is matched as http.ServeMux matches it.
func FuzzRouter(f *testing.F) {
	patterns := []string{"GET /couriers/{id}", "/couriers/", "POST /couriers", "GET /a/{b}/c", "GET /a/{b...}", "/x/{$}", "PUT /x/{y}", "GET /esc%61ped/{x}"}
	for i := range 2 * fewLiterals {
		patterns = append(patterns, fmt.Sprintf("GET /one%d/{x}", i))
	}
	var tr tree
	mux := http.NewServeMux()
	for i, r := range routes(f, patterns...) {
		tr.add(r.Method, r.Pattern, i)
		mux.HandleFunc(r.String(), func(http.ResponseWriter, *http.Request) {})
	}
	for _, path := range []string{"/couriers/7", "/couriers", "/a/b/c", "/a%2Fb/c/d", "/x/", "/x", "/%61/b/c", "/escaped/x", "/one3/x", "/one%33/x"} {
		f.Add("GET", path)
	}
	f.Fuzz(func(t *testing.T, method, raw string) {
		if raw == "" {
			return
		}
		path, _, host, ok := splitTarget(raw)
		if !ok || host != "" || path[0] != '/' || method == "CONNECT" || cleanPath(path) != path {
			return // ServeMux redirects what is not clean
		}
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		got := ""
		if v := tr.match(method, path); v != none {
			got = patterns[v]
		}
		handler, want := mux.Handler(&http.Request{Method: method, URL: u, Host: "x"})
		if fmt.Sprintf("%T", handler) == "*http.redirectHandler" { // "/x" to "/x/": for a proxy another path
			want = ""
		}
		if got != want {
			t.Fatalf("%q %q is matched by %q, by ServeMux %q", method, path, got, want)
		}
	})
}

// FuzzTarget: a target that is divided without net/url is divided as net/url divides it.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{"/", "/a/b?c=d", "/%zz", "/a%20b", "//a", "http://a/b?c", "*", "/a?", "/[x]'(y)!", "/a#b", "x:y"} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		for i := range len(target) {
			if target[i] <= ' ' || target[i] >= 0x7f {
				return // no such byte gets here
			}
		}
		if target == "" || target == "*" {
			return
		}
		path, query, host, ok := splitTarget(target)
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Opaque != "" || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
			if ok {
				t.Fatalf("%q is divided into %q and %q, and net/url refuses it: %v", target, path, query, err)
			}
			return
		}
		want := u.EscapedPath()
		if want == "" {
			want = "/"
		}
		wantQuery := ""
		if u.ForceQuery || u.RawQuery != "" {
			wantQuery = "?" + u.RawQuery
		}
		if !ok || path != want || query != wantQuery || host != u.Host {
			t.Fatalf("%q: %q %q %q %v, net/url %q %q %q", target, path, query, host, ok, want, wantQuery, u.Host)
		}
	})
}

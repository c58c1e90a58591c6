package setup

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/migrations"
)

func shownRoutes(routes []Route) (out []string) {
	for _, r := range routes {
		out = append(out, fmt.Sprintf("%s %d", r.Route, r.Requests))
	}
	return out
}

func route(t *testing.T, s string) strangler.Route {
	t.Helper()
	r, err := strangler.ParseRoute(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func line(method, path string, status int) string {
	return fmt.Sprintf("10.0.0.1 - - [30/Nov/2026:13:00:00 +0000] \"%s %s HTTP/1.1\" %d 5 \"-\" \"curl\"\n", method, path, status)
}

// Paths of an access log become patterns: what is a value in them is a placeholder, and what the monolith did not know is none.
func TestAccessLog(t *testing.T) {
	log := line("GET", "/api/v1/orders/17", 200) + line("GET", "/api/v1/orders/18?secret=x", 304) + line("HEAD", "/api/v1/orders/19", 200) +
		line("POST", "/orders/6ba7b810-9dad-11d1-80b4-00c04fd430c8/accept", 201) +
		line("GET", "/orders/latest", 200) + line("GET", "/orders/", 200) + line("GET", "http://shop/files/0123456789abcdef", 200) +
		line("GET", "/wp-login.php", 404) + line("OPTIONS", "/orders", 204) + line("GET", "/app.js", 200) + line("GET", "/a/../orders", 200) +
		line("GET", "/it's%20{odd}/x", 200) +
		`{"time":"2026-11-30T13:00:00Z","client":"10.0.0.1","method":"GET","host":"shop","path":"/couriers/5","status":200}` + "\n" +
		"not a request\n{\"no\":1}\n" + strings.Repeat("x", maxLine+5) + "\n" + line("GET", "/last", 200)
	seen, err := AccessLog(strings.NewReader(log), []strangler.Route{route(t, "GET /couriers/{courier}"), route(t, "GET /zones")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"GET /couriers/{courier} 1", "GET /zones 0", "GET /api/v1/orders/{id} 3", "GET /files/{id} 1", "GET /last 1",
		"GET /orders/latest 1", "GET /orders/{$} 1", "POST /orders/{id}/accept 1", "GET /{id}/x 1"}
	if diff := cmp.Diff(want, shownRoutes(seen.Routes)); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if seen.Requests != 10 || seen.Unread != 3 {
		t.Errorf("%d requests and %d lines unread, want 10 and 3", seen.Requests, seen.Unread)
	}
}

// More names at one place than any API has are values, whatever they look like; what stood below them is kept.
func TestManyNamesAreValues(t *testing.T) {
	var log strings.Builder
	for i := range 500 {
		word := strings.Repeat(string(rune('a'+i%26)), i/26+1)
		log.WriteString(line("GET", "/users/"+word, 200) + line("PUT", "/users/"+word+"/address", 200))
	}
	seen, err := AccessLog(strings.NewReader(log.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"GET /users/{id} 500", "PUT /users/{id}/address 500"}, shownRoutes(seen.Routes)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOpenAPI(t *testing.T) {
	yaml := `openapi: 3.0.3
servers: [{url: "https://shop.example/api"}]
paths:
  /orders: {get: {}, post: {}, parameters: []}
  "/orders/{order-id}/lines/{order-id}.json": {delete: {}}
  "/orders/{}/": {head: {}, get: {}}
  /reused: {$ref: "#/x"}
  "no slash": {get: {}}
  "/broken {": {get: {}}
`
	json := `{"openapi":"3.1.0","paths":{"/orders/{id}":{"get":{},"x-note":"y"}}}`
	for text, want := range map[string][]string{
		yaml: {"GET /api/orders 0", "POST /api/orders 0", "DELETE /api/orders/{order_id}/lines/{order_id2} 0", "GET /api/orders/{id}/{$} 0", "/api/reused 0"},
		json: {"GET /orders/{id} 0"},
	} {
		routes, err := OpenAPI(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		var got []Route
		for _, r := range routes {
			got = append(got, Route{Route: r})
		}
		if diff := cmp.Diff(want, shownRoutes(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	for text, says := range map[string]string{"{": "neither YAML nor JSON", "swagger: \"2.0\"": "version 3", "[]": "neither YAML nor JSON"} {
		if _, err := OpenAPI(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

// A group has the tables of its name and those that hang on them; one that others refer to is nobody's.
func TestTablesOfAProposal(t *testing.T) {
	key := func(table, parent, acts string) migrations.ForeignKey {
		return migrations.ForeignKey{Table: table, Columns: []string{"x"}, Parent: parent, OnDelete: acts}
	}
	catalog := migrations.Catalog{
		Tables: []string{"app_categories", "app_CategoryImage", "app_notes", "app_note_marks", "app_tags", "app_orders", "app_lines", "app_line_taxes", "app_shared", "billing.app_x"},
		Keys: []migrations.ForeignKey{
			key("app_lines", "app_orders", "CASCADE"), key("app_lines", "app_categories", ""), key("app_line_taxes", "app_lines", ""),
			key("app_shared", "app_orders", ""), key("app_tags", "app_shared", ""), key("app_tags", "app_notes", ""), key("app_shared", "app_shared", ""),
		},
	}
	var routes []Route
	for _, r := range []string{"GET /api/v2/category/{id}", "GET /order", "GET /notes", "GET /billing", "GET /search", "GET /healthz", "GET /{id}"} {
		routes = append(routes, Route{Route: route(t, r), Requests: 1})
	}
	got := map[string]string{}
	var order []string
	for _, p := range propose(catalog, routes) {
		got[p.Name] = fmt.Sprintf("%s; %d across", strings.Join(p.Tables, " "), len(p.Crossing))
		order = append(order, p.Name)
	}
	want := map[string]string{
		"category": "app_CategoryImage app_categories; 1 across",
		"order":    "app_line_taxes app_lines app_orders; 2 across",
		"notes":    "app_note_marks app_notes app_tags; 1 across",
		"billing":  "billing.app_x; 0 across",
		"search":   "; 0 across",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The fewest keys across first, then the most tables; without tables last.
	if diff := cmp.Diff([]string{"billing", "notes", "category", "order", "search"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// uncommented is the file as a person makes it who takes proposals out: all of them, or the one that is named.
func uncommented(text, only string) string {
	var b strings.Builder
	head, active := regexp.MustCompile(`^# {3}([a-z0-9_]+):$`), false
	for line := range strings.Lines(text) {
		bare := strings.TrimRight(line, "\n")
		switch m := head.FindStringSubmatch(bare); {
		case m != nil:
			active = only == "" || m[1] == only
		case bare == "":
			active = false
		case bare == "capabilities: {}":
			line = "capabilities:\n"
		}
		if active {
			line = strings.TrimPrefix(line, "# ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// Whatever tables and paths are called, the file loads as it is, with each proposal, and with all of them, and each table comes
// out as it went in.
func TestHostileNames(t *testing.T) {
	tables := []string{"orders", "order lines", "order's", "order;x", "order\n  evil: 1", "order\u2028evil", "order#x", "order: y", "order${HOME}", "order[1]", "order\x7f", "ordér", "order_\U000e0001", "order\uffff"}
	stay := map[string][]string{
		"sqlite":   {"order\n  evil: 1", "order\x7f", "ordér", `order"x`, `"order"`},
		"postgres": {"order\n  evil: 1", "order\x7f", "ordér"},
	}
	for scheme, more := range map[string][]string{"sqlite": {`order"x`, `"order"`}, "postgres": {`"order.x"`, `"bil""ling".order_x`, `shop.orders`}} {
		m := Monolith{URL: "http://127.0.0.1:9000", Database: map[string]string{"sqlite": "sqlite:it's \"#.db", "postgres": "postgres://u@h/d"}[scheme], Lookup: func(string) (string, bool) { return "", false }}
		m.Catalog = migrations.Catalog{Tables: append(tables, more...), Keys: []migrations.ForeignKey{
			{Table: "order\n  evil: 1", Columns: []string{"a\nb: c"}, Parent: "orders"}, {Table: "other\ncontrol: x", Columns: []string{"y"}, Parent: "orders"}}}
		for _, r := range []string{"GET /orders/{id}", "GET /orders/{id}/lines", "GET /orders/latest/{id}", "POST /order-s", "GET /{id}/orders", "GET /couriers", "GET /1st", "GET /{id}/couriers", "/" + strings.Repeat("long", 20)} {
			m.Routes = append(m.Routes, Route{Route: route(t, r), Requests: 3})
		}
		text, all := Make(m)
		var names []string
		for _, p := range all.Proposals {
			names = append(names, p.Name)
		}
		if diff := cmp.Diff([]string{"order_s", "orders", "couriers", "longlonglonglonglonglonglonglo", "st"}, names); diff != "" {
			t.Errorf("%s: proposals (-want +got):\n%s", scheme, diff)
		}
		if diff := cmp.Diff(stay[scheme], all.Tables); diff != "" {
			t.Errorf("%s: tables that stay (-want +got):\n%s", scheme, diff)
		}
		if diff := cmp.Diff([]string{"GET /orders/latest/{id} 3", "GET /{id}/orders 3", "GET /{id}/couriers 3"}, shownRoutes(all.Routes)); diff != "" {
			t.Errorf("%s: routes that stay (-want +got):\n%s", scheme, diff)
		}
		texts := map[string]int{text: 0, uncommented(text, ""): len(all.Proposals)}
		for _, p := range all.Proposals {
			texts[uncommented(text, p.Name)] = 1
		}
		var loaded *config.Config
		for text, want := range texts {
			cfg, err := config.Parse("/strangler.yaml", []byte(text), m.Lookup)
			if err != nil || len(cfg.Capabilities) != want {
				t.Fatalf("%s: %v; want %d capabilities\n%s", scheme, err, want, text)
			}
			if want == len(all.Proposals) {
				loaded = cfg
			}
		}
		for i, p := range all.Proposals {
			var names []string
			for _, table := range loaded.Capabilities[i].Tables {
				names = append(names, table.From)
			}
			if diff := cmp.Diff(p.Tables, append([]string{}, names...)); diff != "" {
				t.Errorf("%s: the tables of %s (-found +loaded):\n%s", scheme, p.Name, diff)
			}
		}
	}
}

// The proxy does not listen where the monolith does.
func TestPortsOfTheMonolith(t *testing.T) {
	for url, want := range map[string]string{
		"http://localhost:8080/": "127.0.0.1:8090 127.0.0.1:8081", "http://127.0.0.1:8081": "127.0.0.1:8080 127.0.0.1:8091", "http://shop:18080": "127.0.0.1:8080 127.0.0.1:8081",
	} {
		text, _ := Make(Monolith{URL: url})
		cfg, err := config.Parse("/strangler.yaml", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Proxy.Listen + " " + cfg.Admin.Listen; got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

// A capability's snippet takes what its routes and touches match, whatever is in their names, and nothing else.
func TestSnippetOfACapability(t *testing.T) {
	var c strangler.Capability
	c.Name = "delivery"
	for _, r := range []string{"POST /couriers", "GET /couriers/{id}", "/maps/", "GET /files/{path...}", "GET /v1.5/{$}", "GET /d'or/\"a`\\b"} {
		c.Routes = append(c.Routes, route(t, r))
	}
	c.Touches = []strangler.Touch{{Route: route(t, "POST /orders/{id}/accept")}, {Route: route(t, "PUT /couriers")}}
	for _, proxy := range Proxies {
		text := Snippet(proxy, "127.0.0.1:8090", c)
		expression := regexp.MustCompile(`\^/[^"'` + "`" + `\n]+\?\$`).FindString(text)
		if !strings.Contains(text, "127.0.0.1:8090") || strings.Contains(text, "%!") || expression == "" {
			t.Fatalf("%s: %s", proxy, text)
		}
		for path, want := range map[string]bool{
			"/couriers": true, "/couriers/": true, "/couriers/7": true, "/orders/5/accept": true, "/maps/": true, "/maps/a/b": true, "/files/a/b": true, "/v1.5/": true, "/d'or/\"a`\\b": true,
			"/": false, "/couriers/7/plan": false, "/couriersheet": false, "/orders": false, "/orders/5": false, "/orders/5/6/accept": false, "/v1x5/": false, "/a/couriers": false, "/mapsheet": false,
		} {
			if got := regexp.MustCompile(expression).MatchString(path); got != want {
				t.Errorf("%s takes %s: %v (%s)", proxy, path, got, expression)
			}
		}
	}
}

// A snippet takes all paths of a proposal's routes, and nothing else.
func TestSnippet(t *testing.T) {
	var routes []Route
	for _, r := range []string{"GET /orders", "POST /api/v1.5/orders/{id}/lines", "GET /{shop}/orders/{id}"} {
		routes = append(routes, Route{Route: route(t, r)})
	}
	p := propose(migrations.Catalog{}, routes)[0]
	for _, proxy := range Proxies {
		text := p.Snippet(proxy, "127.0.0.1:8090")
		expression := regexp.MustCompile(`\^[^"'` + "`" + `\n]+\$\)`).FindString(text)
		if !strings.Contains(text, "127.0.0.1:8090") || strings.Contains(text, "%!") || expression == "" {
			t.Fatalf("%s: %s", proxy, text)
		}
		for path, want := range map[string]bool{
			"/orders": true, "/orders/": true, "/orders/5": true, "/api/v1.5/orders/5/lines": true, "/eu/orders/7": true,
			"/": false, "/ordersheet": false, "/api/v1x5/orders": false, "/api/v1/couriers": false, "/a/b/orders": false,
		} {
			if got := regexp.MustCompile(expression).MatchString(path); got != want {
				t.Errorf("%s takes %s: %v", proxy, path, got)
			}
		}
	}
}

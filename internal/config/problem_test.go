package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/strangler-fig/strangler"
)

// problems loads a text that is wrong and returns what is said of it, a line each.
func problems(t *testing.T, text string, env map[string]string) []string {
	t.Helper()
	_, err := Load(write(t, text), environment(env))
	if err == nil {
		t.Fatalf("loaded without an error:\n%s", text)
	}
	if !errors.Is(err, strangler.ErrConfig) {
		t.Errorf("the error is not ErrConfig: %v", err)
	}
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("the error is a %T: %v", err, err)
	}
	var lines []string
	for _, p := range all.Problems {
		lines = append(lines, p.String())
	}
	return lines
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	got := problems(t, `control: redis://h
proxy:
  listen: 8080
  trust: [10.0.0.1/8, lan]
  port: 8080
admin: {listen: "0.0.0.0:8081"}
legacy: {url: localhost:9000, database: "${SHOP}"}
capabilities:
  delivery:
    routes: [post /couriers, "GET couriers", "GET /a/{"]
    service: {url: "http://127.0.0.1:9001/api", health: healthz}
    tables: [couriers, {from: a, columns: [x], values: {x: y}}, {to: b}, strangler_fence, {from: c, drop: x, where: " "}, {from: d, where: "id IN (SELECT 1)"}, {from: e, where: "at < NOW()"}]
    touches: [{seam: maybe}]
    identity: {header: "X User"}
    shadow: {sample: 0.1, methods: [POST], ignore: [generated_at]}
    guard: {min_requests: 0, max_error_delta: 101%, max_p99_ratio: 0.5}
    playbook: {canary: [10%, 5%, 0%], soak: 14, approve: [deploy]}
    capture: wal
    throttle: {sessions: -1, lag: 10, lag_bytes: 64MB, latency: -50ms, cpu: 80%}
  Billing: {}
`, nil)
	want := []string{
		`line 1, control: "redis://h" is not a database; ` + dsnForms,
		`line 3, proxy.listen: "8080" is not an address; write host:port, as in 127.0.0.1:8080`,
		`line 4, proxy.trust[0]: "10.0.0.1/8" has bits behind the network's length; write 10.0.0.0/8`,
		`line 4, proxy.trust[1]: "lan" is neither an address nor a network; write 10.0.0.0/8 or 10.1.2.3`,
		`line 5, proxy.port: unknown key; the keys here are listen, tls, trust, proxy_protocol, engine, access_log, traces, hold, limits, timeouts, health_interval`,
		`line 6, admin.token: 0.0.0.0:8081 can be reached from other machines, so the admin API needs a token; set admin.token, as in "${STRANGLER_TOKEN}", or listen on 127.0.0.1:8081`,
		`line 7, legacy.url: "localhost:9000" is not a URL; write scheme, host and port, as in http://127.0.0.1:9000`,
		`line 7, legacy.database: the environment variable SHOP is not set; set it, or write the value here`,
		`line 10, capabilities.delivery.routes[0]: route "post /couriers": the method "post" is not in capital letters`,
		`line 10, capabilities.delivery.routes[1]: route "GET couriers": the path has to begin with a slash, as in "GET /couriers/{id}"`,
		`line 10, capabilities.delivery.routes[2]: route "GET /a/{": parsing "GET /a/{": at offset 7: bad wildcard segment (must end with '}')`,
		`line 11, capabilities.delivery.service.url: the URL has a path; requests keep theirs, so write http://127.0.0.1:9001`,
		`line 11, capabilities.delivery.service.health: "healthz" is not a path; write one that begins with a slash, as in /healthz`,
		`line 11, capabilities.delivery.service.database: it is missing; the capability has tables, so ` + dsnForms,
		`line 12, capabilities.delivery.tables[1].columns: this is a list; write keys with values, or {} for none`,
		`line 12, capabilities.delivery.tables[1].values.x: this is a single value; write keys with values, or {} for none`,
		`line 12, capabilities.delivery.tables[2].from: it is missing; write the table's name in the legacy database`,
		`line 12, capabilities.delivery.tables[3]: "strangler_fence": tables that begin with strangler_ are Strangler's own and never move`,
		`line 12, capabilities.delivery.tables[4].drop: this is a single value; write a list, as in [a, b]`,
		`line 12, capabilities.delivery.tables[4].where: it is empty; leave it out where every row goes`,
		`line 12, capabilities.delivery.tables[5].where: "SELECT" does not belong there: the condition is asked of one row at a time, and must not come out otherwise later, or for somebody else`,
		`line 12, capabilities.delivery.tables[6].where: "NOW" does not belong there: the condition is asked of one row at a time, and must not come out otherwise later, or for somebody else`,
		`line 13, capabilities.delivery.touches[0].route: it is missing; write a method and a path, as in "POST /orders/{id}/accept"`,
		`line 14, capabilities.delivery.identity.header: "X User" is not a header's name; write one, as in X-User-ID`,
		`line 15, capabilities.delivery.shadow.sample: "0.1": write a percentage from 0% to 100% with its sign and at most four decimals, as in 10%`,
		`line 15, capabilities.delivery.shadow.methods[0]: "POST": only GET, HEAD, OPTIONS are sent to both sides, since anything else could act twice`,
		`line 15, capabilities.delivery.shadow.ignore[0]: "generated_at" is not a JSON path; write one, as in $.generated_at`,
		`line 16, capabilities.delivery.guard.min_requests: "0": write a whole number from 1, as in 200`,
		`line 16, capabilities.delivery.guard.max_error_delta: "101%": write a percentage from 0% to 100% with its sign and at most four decimals, as in 1%`,
		`line 16, capabilities.delivery.guard.max_p99_ratio: "0.5": write a number from 1, as in 1.5: the service's p99 may be that many times the monolith's`,
		`line 17, capabilities.delivery.playbook.canary[1]: 5% comes after 10%; write the percentages in rising order`,
		`line 17, capabilities.delivery.playbook.canary[2]: 0% moves nobody; begin above it, as in 1%`,
		`line 17, capabilities.delivery.playbook.soak: "14": write a duration with its unit, as in 14d, 12h, 30s or 1d12h`,
		`line 17, capabilities.delivery.playbook.approve[0]: "deploy" is not a step; the steps are expand, copy, verify, shadow, canary, cutover, soak, complete`,
		`line 18, capabilities.delivery.capture: "wal" is no way to record changes; write triggers or logical`,
		`line 19, capabilities.delivery.throttle.cpu: unknown key; the keys here are sessions, lag, lag_bytes, latency`,
		`line 19, capabilities.delivery.throttle.sessions: "-1": write a whole number, as in 20, or 0 for no limit`,
		`line 19, capabilities.delivery.throttle.lag: "10": write a duration with its unit, as in 14d, 12h, 30s or 1d12h`,
		`line 19, capabilities.delivery.throttle.lag_bytes: "64MB": write a size with its unit, as in 64MiB or 1GiB`,
		`line 19, capabilities.delivery.throttle.latency: "-50ms": write a duration with its unit, as in 14d, 12h, 30s or 1d12h`,
		`line 20, capabilities.Billing: the name is part of tables, folders and URLs; write small letters, digits and underscores, at most 30, a letter first`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestProblems(t *testing.T) {
	const head = "legacy: {url: http://h:1, database: sqlite:shop.db}\n"
	for name, c := range map[string]struct {
		text string
		env  map[string]string
		want []string
	}{
		"an empty file":    {"", nil, []string{"line 1, legacy.url: it is missing; write where the monolith listens, as in http://127.0.0.1:9000"}},
		"comments only":    {"# nothing\n", nil, []string{"line 1, legacy.url: it is missing; write where the monolith listens, as in http://127.0.0.1:9000"}},
		"a list":           {"- a\n", nil, []string{"line 1: this is a list; write keys with values, or {} for none", "line 1, legacy.url: it is missing; write where the monolith listens, as in http://127.0.0.1:9000"}},
		"not YAML":         {"a: [\n", nil, []string{"it is not YAML: line 1: did not find expected node content"}},
		"two documents":    {head + "---\na: b\n", nil, []string{"a second document begins at line 2; a strangler.yaml is one document"}},
		"a key twice":      {head + "proxy: {}\nproxy: {}\n", nil, []string{"line 3, proxy: the key stands twice, first on line 2; keep one"}},
		"a merge key":      {head + "proxy: {<<: {listen: 'a:1'}}\n", nil, []string{"line 2, proxy: merge keys (<<) are not read; write the keys out, or use an alias (*name) for a whole value"}},
		"an empty key":     {head + "proxy: {listen: }\n", nil, []string{"line 2, proxy.listen: the key has no value; give it one or remove it"}},
		"an unknown key":   {head + "\ncapabilitys: {}\n", nil, []string{"line 3, capabilitys: unknown key; the keys here are control, proxy, admin, legacy, capabilities, webhooks"}},
		"an open ${":       {head + "control: 'sqlite:${HOME'\n", nil, []string{"line 2, control: ${ begins the name of an environment variable, as in ${STRANGLER_TOKEN}; write $${ for the characters themselves"}},
		"memory":           {head + "control: 'sqlite::memory:'\n", nil, []string{"line 2, control: a database in memory, or a file: URI, is not kept between processes; write sqlite:path"}},
		"two slashes":      {head + "control: sqlite://a.db\n", nil, []string{"line 2, control: two slashes say neither relative nor absolute; write sqlite:path or sqlite:/path"}},
		"a server twice":   {"legacy: {url: ['http://h:1', 'http://h:1/']}\n", nil, []string{"line 1, legacy.url[1]: http://h:1 stands twice; keep one"}},
		"two protocols":    {"legacy: {url: ['http://h:1', 'h2c://h:2']}\n", nil, []string{"line 1, legacy.url[1]: some servers are HTTP/2 and some are not; write h2c:// or h2:// for all of them, or for none"}},
		"no server":        {"legacy: {url: []}\n", nil, []string{"line 1, legacy.url: the list is empty; write where it listens, as in http://127.0.0.1:9000"}},
		"no time":          {head + "proxy: {hold: {wait: 0s}}\n", nil, []string{`line 2, proxy.hold.wait: "0s": write a duration above zero, as in 10s`}},
		"no collector":     {head + "proxy: {traces: {sample: 5%}}\n", nil, []string{"line 2, proxy.traces: traces need a collector; write {endpoint: http://127.0.0.1:4318}"}},
		"a collector":      {head + "proxy: {traces: {endpoint: '127.0.0.1:4318', sample: 0.1}}\n", nil, []string{`line 2, proxy.traces.endpoint: "127.0.0.1:4318" is not a URL; write where the collector takes OTLP over HTTP, as in http://127.0.0.1:4318`, `line 2, proxy.traces.sample: "0.1": write a percentage from 0% to 100% with its sign and at most four decimals, as in 100%`}},
		"its whole path":   {head + "proxy: {traces: {endpoint: 'https://h/otlp/v1/traces'}}\n", nil, []string{"line 2, proxy.traces.endpoint: /v1/traces is put behind the URL; write what stands before it"}},
		"a header's value": {head + "proxy: {traces: {endpoint: 'http://h:1', headers: {a: '${T}', b: \"x\\n\", c: [d]}}}\n", map[string]string{"T": ""}, []string{"line 2, proxy.traces.headers.a: the value is empty, or has characters that a header cannot have, such as the end of a line", "line 2, proxy.traces.headers.b: the value is empty, or has characters that a header cannot have, such as the end of a line", "line 2, proxy.traces.headers.c: this is a list; write one value"}},
		"a header of none": {head + "proxy: {proxy_protocol: true}\n", nil, []string{"line 2, proxy.proxy_protocol: a PROXY header is believed of trusted peers only, and there are none; write the load balancers' addresses into proxy.trust, as in [10.0.0.0/8]"}},
		"trust of none":    {head + "proxy: {trust: [], proxy_protocol: true}\n", nil, []string{"line 2, proxy.proxy_protocol: a PROXY header is believed of trusted peers only, and there are none; write the load balancers' addresses into proxy.trust, as in [10.0.0.0/8]"}},
		"a header perhaps": {head + "proxy: {trust: [10.0.0.1], proxy_protocol: v2}\n", nil, []string{`line 2, proxy.proxy_protocol: "v2": write true or false`}},
		"a ca of http":     {"legacy: {url: http://h:1, ca: ca.pem}\n", nil, []string{"line 1, legacy.ca: nobody vouches for an address in the clear; write https:// or h2:// in the url, or leave it out"}},
		"one port":         {head + "proxy: {listen: '127.0.0.1:8081'}\n", nil, []string{"line 1, admin: proxy and admin both listen on 127.0.0.1:8081; give one of them another port"}},
		"an empty token":   {head + "admin: {token: '${T}'}\n", map[string]string{"T": ""}, []string{"line 2, admin.token: the token is empty; give it a value, or remove the key where admin listens on a loopback address"}},
		"one database":     {head + "capabilities:\n  a: {routes: [/a], service: {url: 'http://h:2', database: sqlite:./shop.db}, tables: [t]}\n", nil, []string{"line 3, capabilities.a.service.database: this is legacy.database; the service needs a database of its own"}},
		"no legacy tables": {"legacy: {url: http://h:1}\ncapabilities:\n  a: {routes: [/a], service: {url: 'http://h:2', database: sqlite:a.db}, tables: [t]}\n", nil, []string{"line 3, capabilities.a.tables: legacy.database is missing, and the tables are in it; " + dsnForms}},
		"no routes":        {head + "capabilities:\n  a: {routes: [], service: {url: http://h:2}}\n  b: {service: {url: http://h:2}}\n", nil, []string{"line 3, capabilities.a.routes: at least one route is needed, as in [\"GET /couriers/{id}\"]", "line 4, capabilities.b.routes: at least one route is needed, as in [\"GET /couriers/{id}\"]"}},
		"no canary":        {head + "capabilities:\n  a: {routes: [/a], service: {url: http://h:2}, playbook: {canary: []}}\n", nil, []string{"line 3, capabilities.a.playbook.canary: the list is empty; write at least one percentage, as in [100%]"}},
		"a throttle":       {head + "capabilities:\n  a: {routes: [/a], service: {url: 'http://h:2', database: sqlite:a.db}, tables: [t], throttle: {sessions: 5}}\n", nil, []string{"line 3, capabilities.a.throttle: SQLite does not tell how loaded it is; leave it out"}},
		"parts": {head + "capabilities:\n  a:\n    routes: [/a]\n    service: {url: 'http://h:2', database: sqlite:a.db}\n    tables: [{from: t, to: u}, {from: t, to: v, where: x > 1}, {from: t, to: w, reverse: false}, {from: t, to: u}, {from: T, to: y}]\n", nil, []string{
			`line 6, capabilities.a.tables[1]: the rows of "t" go to several tables, and all of them by one condition; write the same where for each, or none`,
			`line 6, capabilities.a.tables[2]: the rows of "t" go to several tables, and reverse: false is not for those; leave it out`,
			`line 6, capabilities.a.tables[3]: the service's table "u" stands twice, first on line 6; keep one`,
			`line 6, capabilities.a.tables[4]: the legacy table "T" stands twice, first on line 6; keep one`,
		}},
		"on delete":                  {head + "capabilities:\n  a:\n    routes: [/a]\n    service: {url: 'http://h:2', database: sqlite:a.db}\n    tables: [t]\n    on_delete: {orders: cascade, 'orders(courier)': delete}\n", nil, []string{`line 7, capabilities.a.on_delete.orders: write the table that has the foreign key, and in brackets its columns, as in "orders(courier_id)"`, `line 7, capabilities.a.on_delete.orders(courier): "delete" is nothing that can be done; write restrict, cascade or ignore`}},
		"a cap of no log":            {head + "capabilities:\n  a: {routes: [/a], service: {url: 'http://h:2', database: sqlite:a.db}, tables: [t], retained_wal: 1GiB}\n", nil, []string{`line 3, capabilities.a.retained_wal: only PostgreSQL keeps its log for a split, and legacy.database is not one; leave it out`}},
		"a large lag":                {head + "capabilities:\n  a: {routes: [/a], service: {url: 'http://h:2', database: sqlite:a.db}, tables: [t], throttle: {lag_bytes: 9000000000TiB}}\n", nil, []string{`line 3, capabilities.a.throttle.lag_bytes: "9000000000TiB": write a size with its unit, as in 64MiB or 1GiB`}},
		"a shared route":             {head + "capabilities:\n  a: {routes: [\"GET /x/{id}\"], service: {url: http://h:2}}\n  b: {routes: [\"GET /x/{name}\"], service: {url: http://h:2}}\n", nil, []string{`line 4, capabilities.b.routes[0]: "GET /x/{name}" matches the same requests as "GET /x/{id}" of the capability a on line 3; a route belongs to one capability`}},
		"a route twice":              {head + "capabilities:\n  a: {routes: [/x, /x], service: {url: http://h:2}}\n", nil, []string{`line 3, capabilities.a.routes[1]: "/x" matches the same requests as "/x" on line 3; keep one`}},
		"a touched route":            {head + "capabilities:\n  a: {routes: [/x], touches: [/x, /y, /y], service: {url: http://h:2}}\n", nil, []string{`line 3, capabilities.a.touches[0]: "/x" is a route of the capability already, on line 3; a touch stays in the monolith`, `line 3, capabilities.a.touches[2]: "/y" stands twice, first on line 3; keep one`}},
		"a shared table":             {head + "capabilities:\n  a: {routes: [/x], tables: [t], service: {url: http://h:2, database: sqlite:a.db}}\n  b: {routes: [/y], tables: [{from: T, to: u}], service: {url: http://h:2, database: sqlite:b.db}}\n", nil, []string{`line 4, capabilities.b.tables[0]: the legacy table "T" belongs to the capability a on line 3; a table belongs to one capability`}},
		"a shared table, shared out": {head + "capabilities:\n  a: {routes: [/x], tables: [{from: t, where: x > 1}], service: {url: http://h:2, database: sqlite:a.db}}\n  b: {routes: [/y], tables: [{from: t, where: x < 1}], service: {url: http://h:2, database: sqlite:b.db}}\n", nil, []string{`line 4, capabilities.b.tables[0]: the legacy table "t" belongs to the capability a on line 3; a table belongs to one capability`}},
		"a shared table in quotes":   {head + "capabilities:\n  a: {routes: [/x], tables: ['s.t', u], service: {url: http://h:2, database: sqlite:a.db}}\n  b: {routes: [/y], tables: ['\"s\".\"t\"', '\"u\"'], service: {url: http://h:2, database: sqlite:b.db}}\n", nil, []string{`line 4, capabilities.b.tables[0]: the legacy table "s.t" belongs to the capability a on line 3; a table belongs to one capability`, `line 4, capabilities.b.tables[1]: the legacy table "u" belongs to the capability a on line 3; a table belongs to one capability`}},
		"a table with a schema and without": {head + "capabilities:\n  a: {routes: [/x], tables: [t, s.u, s.v], service: {url: http://h:2, database: sqlite:a.db}}\n  b: {routes: [/y], tables: [public.T, {from: u, to: w}, r.v], service: {url: http://h:2, database: sqlite:b.db}}\n", nil, []string{
			`line 4, capabilities.b.tables[0]: the legacy table "public.T" may be the one that belongs to the capability a on line 3; write both with their schema`, `line 4, capabilities.b.tables[1]: the legacy table "u" may be the one that belongs to the capability a on line 3; write both with their schema`}},
		"a target with a schema and without": {head + "capabilities:\n  a: {routes: [/x], tables: [t], service: {url: http://h:2, database: sqlite:a.db}}\n  b: {routes: [/y], tables: [{from: u, to: s.t}], service: {url: http://h:2, database: sqlite:a.db}}\n", nil, []string{`line 4, capabilities.b.tables[0]: the service's table "s.t" may be the one that belongs to the capability a on line 3; write both with their schema`}},
		"a shared target":                    {head + "capabilities:\n  a: {routes: [/x], tables: [t], service: {url: http://h:2, database: sqlite:a.db}}\n  b: {routes: [/y], tables: [{from: u, to: t}], service: {url: http://h:2, database: sqlite:a.db}}\n", nil, []string{`line 4, capabilities.b.tables[0]: the service's table "t" belongs to the capability a on line 3; a table belongs to one capability`}},
		"a webhook of none": {head + "webhooks:\n  - {on: [step]}\n  - {url: 'hooks.example.com/x', on: [], capabilities: []}\n  - {url: 'https://h/x', on: [steps, wait], capabilities: [billing], secret: '${S}'}\n  - {url: ftp://h/x, events: [step]}\n", map[string]string{"S": ""}, []string{
			`line 3, webhooks[0].url: it is missing; write where events are posted, as in https://hooks.example.com/strangler`,
			`line 4, webhooks[1].url: it is not a URL that can be posted to; write scheme, host and path, as in https://hooks.example.com/strangler`,
			`line 4, webhooks[1].on: the list is empty, so nothing would be sent; name the kinds, or remove the key for all of them`,
			`line 4, webhooks[1].capabilities: the list is empty, so nothing would be sent; name the capabilities, or remove the key for all of them`,
			`line 5, webhooks[2].on[0]: "steps" is no kind of event; the kinds are step, wait, trip, failure, end`,
			`line 5, webhooks[2].capabilities[0]: "billing" is no capability of this file`,
			`line 5, webhooks[2].secret: the secret is empty; give it a value, or remove the key to send unsigned requests`,
			`line 6, webhooks[3].events: unknown key; the keys here are url, on, capabilities, secret`,
			`line 6, webhooks[3].url: it is not a URL that can be posted to; write scheme, host and path, as in https://hooks.example.com/strangler`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, problems(t, c.text, c.env)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// Two capabilities may nest their routes: the more specific one wins, as in http.ServeMux. And one
// request of the monolith may write both's tables.
func TestNestedRoutesAndSharedTouchesAreFine(t *testing.T) {
	c := load(t, `
legacy: {url: http://h:1}
capabilities:
  a: {routes: [/orders/], touches: [POST /both], service: {url: http://h:2}}
  b: {routes: ["/orders/{id}/deliver"], touches: [POST /both], service: {url: http://h:3}}
`, nil)
	if len(c.Capabilities) != 2 || len(c.Capabilities[1].Touches) != 1 {
		t.Errorf("capabilities: %+v", c.Capabilities)
	}
}

// Whatever is wrong around a secret, the secret is not shown: neither one from the environment nor
// one written into the file.
func TestErrorsShowNoSecret(t *testing.T) {
	const base = "legacy: {url: http://h:1}\n"
	env := map[string]string{"SECRET": "hunter2"}
	for name, text := range map[string]string{
		"token glued to its key":    base + "admin: {listen: '127.0.0.1:1', token:hunter2}\n",
		"token glued by equals":     base + "admin: {token=hunter2}\n",
		"database glued to its key": "legacy: {url: http://h:1, database:postgres://u:hunter2@h/d}\n",
		"token as an alias":         base + "admin: {token: *hunter2}\n",
		"token as a list":           base + "admin: {token: [hunter2]}\n",
		"token under an odd key":    base + "admin: {token: hunter2, listen: here}\n",
		"DSN of another scheme":     base + "control: redis://u:hunter2@h\n",
		"PostgreSQL, a slash":       base + "control: 'postgres://u:hunter2/@h/d'\n",
		"PostgreSQL, a late slash":  base + "control: 'postgres://u:12/hunter2@h/d'\n",
		"PostgreSQL, a hash":        base + "control: 'postgres://u:12#hunter2@h/d'\n",
		"PostgreSQL, a question":    base + "control: 'postgres://u:12?hunter2@h/d'\n",
		"PostgreSQL, a percent":     base + "control: 'postgresql://u:hunter2%zz@h/d'\n",
		"PostgreSQL, a variable":    base + "control: 'postgres://u:${SECRET}/x@h/d'\n",
		"DSN without a database":    base + "control: mysql://u:hunter2@h\n",
		"DSN of MySQL is no URL":    base + "control: mysql://u:1/hunter2@h/d\n",
		"URL with a password":       "legacy: {url: http://u:hunter2@h:1}\n",
		"URL that does not parse":   "legacy: {url: 'http://u:hunter2@h:port'}\n",
		"variable as an address":    base + "proxy: {listen: '${SECRET}'}\n",
		"variable as a duration":    base + "proxy: {hold: {wait: '${SECRET}'}}\n",
		"header glued to its name":  base + "proxy: {traces: {endpoint: 'http://h:1', headers: {Authorization:hunter2}}}\n",
		"header glued by equals":    base + "proxy: {traces: {endpoint: 'http://h:1', headers: {Authorization=hunter2}}}\n",
		"header as a list":          base + "proxy: {traces: {endpoint: 'http://h:1', headers: {Authorization: [hunter2]}}}\n",
		"header of two lines":       base + "proxy: {traces: {endpoint: 'http://h:1', headers: {Authorization: \"hunter2\\n\"}}}\n",
		"collector with a password": base + "proxy: {traces: {endpoint: 'http://u:hunter2@h:1'}}\n",
		"collector with a query":    base + "proxy: {traces: {endpoint: 'http://h:1?hunter2'}}\n",
		"variable as a collector":   base + "proxy: {traces: {endpoint: '${SECRET}'}}\n",
		"variable as a DSN":         base + "control: '${SECRET}'\n",
		"variable in a DSN":         base + "control: 'sqlite://${SECRET}'\n",
		"webhook's token":           base + "webhooks: [{url: 'hooks.example.com/hunter2'}]\n",
		"webhook's token, a hash":   base + "webhooks: [{url: 'https://h/#hunter2'}]\n",
		"webhook's token, a space":  base + "webhooks: [{url: 'https://h/ hunter2'}]\n",
		"webhook's variable":        base + "webhooks: [{url: '${SECRET}'}]\n",
		"webhook's URL, no port":    base + "webhooks: [{url: 'https://u:hunter2@h:port/'}]\n",
		"webhook's URL glued":       base + "webhooks: [{url:https://h/hunter2}]\n",
		"webhook's secret glued":    base + "webhooks: [{url: 'https://h/', secret=hunter2}]\n",
		"webhook's secret, a list":  base + "webhooks: [{url: 'https://h/', secret: [hunter2]}]\n",
		"webhook's kind, variable":  base + "webhooks: [{url: 'https://h/', on: ['${SECRET}']}]\n",
		"capability glued":          base + "capabilities: {a:hunter2}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(write(t, text), environment(env))
			if !errors.Is(err, strangler.ErrConfig) {
				t.Fatalf("error %v, want ErrConfig", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, []byte("#"+strings.Repeat("x", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"):      "there is no such file; write one, or name another with -c FILE",
		dir:                                  "this is a folder; name the file in it with -c FILE",
		large:                                "it is larger than 8388608 bytes; a strangler.yaml has about a kilobyte a capability",
		filepath.Join(large, "below-a-file"): "it cannot be opened: not a directory",
	} {
		_, err := Load(path, environment(nil))
		if !errors.Is(err, strangler.ErrConfig) || err.Error() != path+": "+want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestErrorIsOneLineForEachProblem(t *testing.T) {
	_, err := Load(write(t, "x: 1\ny: 2\n"), environment(nil))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 4 || !strings.HasSuffix(lines[0], "strangler.yaml has 3 problems; nothing was started or changed:") {
		t.Errorf("error:\n%v", err)
	}
}

func TestDocNamesFilesThatExist(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for word := range strings.FieldsSeq(string(text)) {
		if name := strings.Trim(word, ",.;:"); strings.HasSuffix(name, ".go") {
			named++
			if _, err := os.Stat(name); err != nil {
				t.Errorf("doc.go names %s: %v", name, err)
			}
		}
	}
	if named < 8 {
		t.Errorf("doc.go names %d files", named)
	}
}

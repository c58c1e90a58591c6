package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/strangler-fig/strangler"
)

// write puts a strangler.yaml into a fresh folder.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "strangler.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func environment(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

func load(t *testing.T, text string, env map[string]string) *Config {
	t.Helper()
	c, err := Load(write(t, text), environment(env))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const whole = `control: sqlite:.strangler/control.db
proxy:  {listen: 127.0.0.1:8080, trust: [127.0.0.0/8], engine: nethttp}
admin:  {listen: 127.0.0.1:8081, token: "${STRANGLER_TOKEN}"}
legacy: {url: http://127.0.0.1:9000, database: "postgres://strangler@localhost/shop"}
capabilities:
  delivery:
    routes:  [POST /couriers, "GET /couriers/{id}", "POST /couriers/{id}/availability"]
    touches: [{route: "POST /orders/{id}/accept", seam: true}, {route: POST /old, seam: false}, POST /older]
    service: {url: [http://127.0.0.1:9001, http://127.0.0.2:9001], health: /healthz, database: "postgres://strangler@localhost/delivery"}
    tables:
      - couriers
      - {from: courier_actions, to: actions, columns: {type: kind}, values: {type: {1: pickup, "2": dropoff}}, reverse: false, set: {source: shop, tenant: 7}, drop: [note], where: "state <> 'now' AND courier_id > 0"}
    on_delete: {"orders(courier_id)": cascade, "couriers( zone ,region)": restrict, fines(courier): ignore}
    capture: logical
    retained_wal: 2GiB
    throttle: {sessions: 20, lag: 10s, lag_bytes: 64MiB, latency: 50ms}
    identity: {header: X-User-ID}
    shadow:   {sample: 10%, methods: [GET, HEAD], ignore: [$.generated_at]}
    guard:    {min_requests: 200, max_error_delta: 1%, max_p99_ratio: 1.5}
    playbook: {canary: [1%, 10%, 50%, 100%], soak: 14d, approve: [cutover, complete], rehearse: {legacy: "postgres://r@h/a", service: "postgresql://r@h/b"}}
`

func delivery(legacy strangler.Upstream) strangler.Capability {
	return strangler.Capability{
		Name:   "delivery",
		Routes: []strangler.Route{{Method: "POST", Pattern: "/couriers"}, {Method: "GET", Pattern: "/couriers/{id}"}, {Method: "POST", Pattern: "/couriers/{id}/availability"}},
		Touches: []strangler.Touch{{Route: strangler.Route{Method: "POST", Pattern: "/orders/{id}/accept"}, Seam: true},
			{Route: strangler.Route{Method: "POST", Pattern: "/old"}, Fails: true}, {Route: strangler.Route{Method: "POST", Pattern: "/older"}}},
		Service:  strangler.Upstream{URLs: []string{"http://127.0.0.1:9001", "http://127.0.0.2:9001"}, Health: "/healthz", Database: "postgres://strangler@localhost/delivery"},
		Legacy:   legacy,
		Tables:   []strangler.Table{{From: "couriers", To: "couriers"}, {From: "courier_actions", To: "actions", OneWay: true, Columns: map[string]string{"type": "kind"}, Values: map[string]map[string]string{"type": {"1": "pickup", "2": "dropoff"}}, Set: map[string]string{"source": "shop", "tenant": "7"}, Drop: []string{"note"}, Where: "state <> 'now' AND courier_id > 0"}},
		OnDelete: map[string]strangler.Delete{"orders(courier_id)": strangler.DeleteCascade, "couriers(zone, region)": strangler.DeleteRestrict, "fines(courier)": strangler.DeleteIgnore},
		Capture:  strangler.CaptureLogical,

		RetainedWAL: 2 << 30,

		Throttle: strangler.Throttle{Sessions: 20, Lag: 10 * time.Second, LagBytes: 64 << 20, Latency: 50 * time.Millisecond},

		IdentityHeader: "X-User-ID",
		Shadow:         strangler.Shadow{Sample: 100_000, Methods: []string{"GET", "HEAD"}, Ignore: []string{"$.generated_at"}},
		Guard:          strangler.Guard{MinRequests: 200, MaxErrorDelta: 10_000, MaxP99Ratio: 1.5},
		Playbook: strangler.PlaybookSettings{
			Canary:  []strangler.Percent{10_000, 100_000, 500_000, strangler.Hundred},
			Hold:    10 * time.Minute,
			Shadow:  10 * time.Minute,
			Soak:    14 * 24 * time.Hour,
			Approve: []string{"cutover", "complete"},

			Requests: 1,

			Rehearse: strangler.Rehearse{Legacy: "postgres://r@h/a", Service: "postgres://r@h/b"},
		},
	}
}

func TestLoadReadsEverySection(t *testing.T) {
	c := load(t, whole, map[string]string{"STRANGLER_TOKEN": "s3cret"})
	legacy := strangler.Upstream{URLs: []string{"http://127.0.0.1:9000"}, Database: "postgres://strangler@localhost/shop"}
	want := &Config{
		File:    c.File,
		Dir:     filepath.Dir(c.File),
		Control: "sqlite:" + filepath.Join(filepath.Dir(c.File), ".strangler", "control.db"),
		Proxy: Proxy{Listen: "127.0.0.1:8080", Engine: "nethttp", Trust: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Hold: Hold{Requests: 1000, Wait: 10 * time.Second, Drain: 2 * time.Second},
			Limits:   Limits{Head: 64 << 10, Lines: 200, Connections: 10_000, Requests: 4096},
			Timeouts: Timeouts{Head: 10 * time.Second, Body: time.Minute, Idle: 2 * time.Minute, Dial: 3 * time.Second, Answer: 2 * time.Minute}, Health: 5 * time.Second},
		Admin:        Admin{Listen: "127.0.0.1:8081", Token: "s3cret", Advertise: "http://127.0.0.1:8081"},
		Legacy:       legacy,
		Capabilities: []strangler.Capability{delivery(legacy)},
	}
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(Config{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got, want := c.Migrations(), filepath.Join(c.Dir, "migrations"); got != want {
		t.Errorf("migrations folder %s, want %s", got, want)
	}
	if got, want := c.State(), filepath.Join(c.Dir, ".strangler"); got != want {
		t.Errorf("state folder %s, want %s", got, want)
	}
}

// The settings of the full file are the defaults of a short one.
func TestLoadFillsInDefaults(t *testing.T) {
	c := load(t, `
legacy: {url: "http://127.0.0.1:9000/"}
capabilities:
  search:
    routes: [/search]
    service: {url: "h2c://127.0.0.1:9002"}
`, nil)
	full := delivery(c.Legacy)
	full.Playbook.Rehearse = strangler.Rehearse{}
	want := strangler.Capability{
		Name: "search", Routes: []strangler.Route{{Pattern: "/search"}},
		Service: strangler.Upstream{URLs: []string{"h2c://127.0.0.1:9002"}}, Legacy: strangler.Upstream{URLs: []string{"http://127.0.0.1:9000"}},
		Shadow: strangler.Shadow{Sample: full.Shadow.Sample, Methods: full.Shadow.Methods}, Guard: full.Guard, Playbook: full.Playbook,
	}
	if diff := cmp.Diff([]strangler.Capability{want}, c.Capabilities); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if c.Proxy.Listen != "127.0.0.1:8080" || c.Admin.Listen != "127.0.0.1:8081" || len(c.Proxy.Trust) != 0 {
		t.Errorf("proxy %+v, admin listens on %s", c.Proxy, c.Admin.Listen)
	}
}

func TestLoadReadsTuning(t *testing.T) {
	c := load(t, `
control: sqlite:state/c.db?_pragma=busy_timeout(5000)
proxy: {listen: "[::1]:0", hold: {requests: 7, wait: 250ms, drain: 1s}, trust: [10.1.2.3, "fd00::/8"], proxy_protocol: true}
admin: {listen: "[::1]:0", advertise: "http://10.0.0.5:8081"}
legacy: {url: https://127.0.0.1:9000, ca: ca.pem, health: /ready, database: "sqlite:../shop.db"}
capabilities:
  delivery:
    routes: [/couriers]
    touches: ["POST /orders"]
    service: {url: https://127.0.0.1:9001, ca: /etc/ca.pem, database: "postgresql://u@h/d?application_name=$${x}"}
    tables: [couriers]
    playbook: {hold: 2s, shadow: 1m, soak: 1d12h, approve: [], canary: [0.5%, 100%]}
`, nil)
	if got, want := c.Control, "sqlite:"+filepath.Join(c.Dir, "state", "c.db")+"?_pragma=busy_timeout(5000)"; got != want {
		t.Errorf("control %s, want %s", got, want)
	}
	if got, want := c.Legacy.Database, "sqlite:"+filepath.Join(filepath.Dir(c.Dir), "shop.db"); got != want {
		t.Errorf("legacy database %s, want %s", got, want)
	}
	if got, want := c.Proxy.Hold, (Hold{Requests: 7, Wait: 250 * time.Millisecond, Drain: time.Second}); got != want {
		t.Errorf("hold %+v, want %+v", got, want)
	}
	if diff := cmp.Diff([]string{"10.1.2.3/32", "fd00::/8"}, []string{c.Proxy.Trust[0].String(), c.Proxy.Trust[1].String()}); diff != "" {
		t.Error(diff)
	}
	if got, want := c.Legacy.CA, filepath.Join(c.Dir, "ca.pem"); got != want || c.Capabilities[0].Service.CA != "/etc/ca.pem" {
		t.Errorf("legacy ca %s, want %s; the service's %s", got, want, c.Capabilities[0].Service.CA)
	}
	if !c.Proxy.ProxyProtocol {
		t.Error("proxy_protocol is not read")
	}
	k := c.Capabilities[0]
	if k.Service.Database != "postgres://u@h/d?application_name=${x}" {
		t.Errorf("service database %s", k.Service.Database)
	}
	if diff := cmp.Diff([]strangler.Touch{{Route: strangler.Route{Method: "POST", Pattern: "/orders"}}}, k.Touches); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(strangler.PlaybookSettings{Canary: []strangler.Percent{5_000, strangler.Hundred}, Hold: 2 * time.Second, Shadow: time.Minute, Soak: 36 * time.Hour, Approve: []string{}, Requests: 1}, k.Playbook); diff != "" {
		t.Error(diff)
	}
}

func TestPassThroughNeedsNoCapability(t *testing.T) {
	for _, text := range []string{"legacy: {url: http://h:1}\ncapabilities: {}\n", "legacy: {url: http://h:1}\n"} {
		if c := load(t, text, nil); len(c.Capabilities) != 0 {
			t.Errorf("%q gives %d capabilities", text, len(c.Capabilities))
		}
	}
}

func TestAliasesStandForWholeValues(t *testing.T) {
	c := load(t, `
legacy: {url: http://h:1}
capabilities:
  a: {routes: [/a], service: &s {url: http://h:2}, guard: {min_requests: &n 5}}
  b: {routes: [/b], service: *s, guard: {min_requests: *n}}
`, nil)
	if b := c.Capabilities[1]; b.Service.String() != "http://h:2" || b.Guard.MinRequests != 5 {
		t.Errorf("aliases read as %+v, %+v", b.Service, b.Guard)
	}
}

func TestLoadReadsTraces(t *testing.T) {
	const head = "legacy: {url: http://h:1}\nproxy: {traces: {endpoint: "
	for text, want := range map[string]Traces{
		"'http://127.0.0.1:4318/'}}\n": {Endpoint: "http://127.0.0.1:4318", Sample: strangler.Hundred, Headers: map[string]string{}},
		"'https://h/otlp', sample: 2.5%, headers: {Authorization: 'Bearer ${TOKEN}', X-Scope-OrgID: 7}}}\n": {
			Endpoint: "https://h/otlp", Sample: 25_000, Headers: map[string]string{"Authorization": "Bearer hunter2", "X-Scope-OrgID": "7"}},
	} {
		c := load(t, head+text, map[string]string{"TOKEN": "hunter2"})
		if diff := cmp.Diff(want, c.Proxy.Traces); diff != "" {
			t.Errorf("traces (-want +got):\n%s", diff)
		}
		if shown := fmt.Sprintf("%v %+v %#v", c.Proxy, c.Proxy.Traces, c.Proxy); strings.Contains(shown, "hunter2") {
			t.Errorf("printed: %s", shown)
		}
	}
}

func TestLoadReadsWebhooks(t *testing.T) {
	c := load(t, `
legacy: {url: http://h:1}
capabilities:
  search: {routes: [/search], service: {url: http://h:2}}
webhooks:
  - {url: "https://u:${TOKEN}@hooks.example.com/${TOKEN}?key=${TOKEN}", on: [failure, end], capabilities: [search], secret: "${TOKEN}"}
  - {url: "http://127.0.0.1:9"}
`, map[string]string{"TOKEN": "hunter2"})
	want := []Webhook{
		{URL: "https://u:hunter2@hooks.example.com/hunter2?key=hunter2", On: []strangler.EventKind{strangler.EventFailure, strangler.EventEnd}, Capabilities: []string{"search"}, Secret: "hunter2"},
		{URL: "http://127.0.0.1:9", On: []strangler.EventKind{strangler.EventStep, strangler.EventWait, strangler.EventTrip, strangler.EventFailure, strangler.EventEnd}},
	}
	if diff := cmp.Diff(want, c.Webhooks); diff != "" {
		t.Errorf("webhooks (-want +got):\n%s", diff)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("printed", "all", c.Webhooks, "one", c.Webhooks[0])
	shown := fmt.Sprintf("%v %+v %#v %s %s", c.Webhooks, c.Webhooks[0], c.Webhooks, &c.Webhooks[0], &log)
	if strings.Contains(shown, "hunter2") || !strings.Contains(shown, "https://hooks.example.com") {
		t.Errorf("printed: %s", shown)
	}
}

// Whoever prints a configuration, or a part of it, shows no secret.
func TestPrintingShowsNoSecret(t *testing.T) {
	c := load(t, strings.NewReplacer("strangler@localhost", "strangler:hunter2@localhost", "sqlite:.strangler/control.db", "postgres://u:hunter2@h/control").Replace(whole),
		map[string]string{"STRANGLER_TOKEN": "hunter2"})
	if c.Admin.Token != "hunter2" || !strings.Contains(c.Control+c.Legacy.Database+c.Capabilities[0].Legacy.Database+c.Capabilities[0].Service.Database, "hunter2") {
		t.Fatal("the secrets are not there")
	}
	var log strings.Builder
	for _, part := range []any{c, *c, c.Admin, &c.Admin, c.Legacy, &c.Legacy, c.Capabilities, c.Capabilities[0], &c.Capabilities[0]} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(verb, part); strings.Contains(text, "hunter2") {
				t.Errorf("%s of a %T: %s", verb, part, text)
			}
		}
		slog.New(slog.NewTextHandler(&log, nil)).Info("printed", "part", part)
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("logged: %s", &log)
	}
}

func TestCapabilityByName(t *testing.T) {
	c := load(t, whole, map[string]string{"STRANGLER_TOKEN": "x"})
	if k, err := c.Capability("delivery"); err != nil || k.Name != "delivery" {
		t.Errorf("delivery: %v, %v", k.Name, err)
	}
	_, err := c.Capability("billing")
	if !errors.Is(err, strangler.ErrNotFound) || !strings.Contains(err.Error(), "it has delivery") {
		t.Errorf("billing: %v", err)
	}
}

func TestAdminURLIsReachable(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8081": "http://127.0.0.1:8081",
		"0.0.0.0:8081":   "http://127.0.0.1:8081",
		":8081":          "http://127.0.0.1:8081",
		"[::]:8081":      "http://[::1]:8081",
		"10.0.0.5:1":     "http://10.0.0.5:1",
	} {
		if got := (Admin{Listen: listen}).URL(); got != want {
			t.Errorf("%s is reached at %s, want %s", listen, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"14d": 14 * 24 * time.Hour, "0d": 0, "1d12h": 36 * time.Hour, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "0": 0,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "14", "d", "-1d", "1d-2h", "1d+2h", "1d1d", "2 days", "1.5d", "99999d9999999h", "-3s"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

// A limit of 0 is none, so it asks nothing of the database.
func TestThrottleOfZeros(t *testing.T) {
	c := load(t, `
legacy: {url: "http://127.0.0.1:9000/", database: "sqlite:shop.db"}
capabilities:
  search:
    routes: [/search]
    service: {url: http://127.0.0.1:9002}
    throttle: {sessions: 0, lag: 0s, lag_bytes: 0, latency: 0s}
`, nil)
	if got := c.Capabilities[0].Throttle; got != (strangler.Throttle{}) {
		t.Errorf("%+v", got)
	}
}

// TestRetainedWALIsCappedUnlessItSaysNot: 0 is the only way to have no cap where PostgreSQL keeps its log.
func TestRetainedWALIsCappedUnlessItSaysNot(t *testing.T) {
	for given, want := range map[string]int64{"": 10 << 30, ", retained_wal: 0": 0, ", retained_wal: 512MiB": 512 << 20} {
		c := load(t, "legacy: {url: 'http://h:1', database: 'postgres://h/shop'}\ncapabilities:\n  a: {routes: [/a], service: {url: 'http://h:2', database: 'postgres://h/a'}, tables: [t]"+given+"}\n", nil)
		if got := c.Capabilities[0].RetainedWAL; got != want {
			t.Errorf("%q: %d bytes, want %d", given, got, want)
		}
	}
}

// TestThrottleOfMariaDB: its server tells how loaded it is, too.
func TestThrottleOfMariaDB(t *testing.T) {
	c := load(t, `
legacy: {url: "http://127.0.0.1:9000/", database: "mysql://strangler@localhost/shop"}
capabilities:
  search:
    routes: [/search]
    service: {url: http://127.0.0.1:9002, database: "sqlite:search.db"}
    tables: [searches]
    throttle: {sessions: 20, latency: 50ms}
`, nil)
	if got, want := c.Capabilities[0].Throttle, (strangler.Throttle{Sessions: 20, Latency: 50 * time.Millisecond}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestOneTableGoesToSeveral: each further entry of a table is one more table of the service's that its rows go to.
func TestOneTableGoesToSeveral(t *testing.T) {
	c := load(t, `
legacy: {url: "http://127.0.0.1:9000/", database: "sqlite:shop.db"}
capabilities:
  delivery:
    routes: [/deliveries]
    service: {url: http://127.0.0.1:9002, database: "sqlite:delivery.db"}
    tables:
      - {from: orders, to: deliveries, columns: {id: order_id}, drop: [picked_at, paid, rating], where: courier > 0}
      - couriers
      - {from: orders, to: pickups, drop: [courier, paid, rating], where: courier > 0}
      - {from: orders, to: ratings, drop: [courier, picked_at, paid], where: courier > 0}
`, nil)
	orders := func(to string, drop ...string) strangler.Table {
		return strangler.Table{From: "orders", To: to, Drop: drop, Where: "courier > 0"}
	}
	whole := orders("deliveries", "paid")
	whole.Pieces = []strangler.Table{orders("deliveries", "picked_at", "paid", "rating"), orders("pickups", "courier", "paid", "rating"), orders("ratings", "courier", "picked_at", "paid")}
	whole.Pieces[0].Columns = map[string]string{"id": "order_id"}
	want := []strangler.Table{whole, {From: "couriers", To: "couriers"}}
	if diff := cmp.Diff(want, c.Capabilities[0].Tables); diff != "" {
		t.Error(diff)
	}
	if got := c.Capabilities[0].AtService().Tables; len(got) != 4 || got[3].To != "couriers" {
		t.Errorf("at the service: %+v", got)
	}
}

// Of a thousand capabilities with ten routes each every one is read, and the one route of theirs that is claimed twice is found.
func TestAThousandCapabilities(t *testing.T) {
	var b strings.Builder
	b.WriteString("legacy: {url: http://127.0.0.1:9000}\ncapabilities:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  c%d: {service: {url: http://127.0.0.1:9001}, touches: [POST /touch/%d], routes: [/c%d/, ", i, i/2, i)
		for r := range 9 {
			fmt.Fprintf(&b, "'GET /c%d/r%d/{id}', ", i, r)
		}
		b.WriteString("]}\n")
	}
	c := load(t, b.String(), nil)
	if n := len(c.Capabilities); n != 1000 || len(c.Capabilities[999].Routes) != 10 || len(c.Capabilities[999].Touches) != 1 {
		t.Errorf("%d capabilities, the last %+v", n, c.Capabilities[n-1])
	}
	b.WriteString("  late: {service: {url: http://127.0.0.1:9001}, routes: ['GET /c500/r3/{other}']}\n")
	_, err := Load(write(t, b.String()), environment(nil))
	if want := `line 1003, capabilities.late.routes[0]: "GET /c500/r3/{other}" matches the same requests as "GET /c500/r3/{id}" of the capability c500 on line 503`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Whoever has anybody asked is asked before tables are dropped; only an empty list asks nobody.
func TestApproveHasThePointOfNoReturn(t *testing.T) {
	const file = "legacy: {url: http://h:1, database: 'sqlite:shop.db'}\ncapabilities:\n  a: {routes: [/a], service: {url: http://h:2, database: 'sqlite:a.db'}, tables: [t], playbook: {approve: LIST}}\n"
	for list, want := range map[string][]string{
		"[cutover]":           {"cutover", "complete"},
		"[shadow, soak]":      {"shadow", "soak", "complete"},
		"[complete, cutover]": {"complete", "cutover"},
		"[]":                  {},
	} {
		text := strings.Replace(file, "LIST", list, 1)
		if diff := cmp.Diff(want, load(t, text, nil).Capabilities[0].Playbook.Approve); diff != "" {
			t.Errorf("approve: %s (-want +got):\n%s", list, diff)
		}
		stateless := strings.Replace(text, ", tables: [t]", "", 1)
		stateless = strings.Replace(stateless, ", database: 'sqlite:a.db'", "", 1)
		if got := strings.Join(load(t, stateless, nil).Capabilities[0].Playbook.Approve, ", "); "["+got+"]" != list {
			t.Errorf("without tables approve: %s is [%s]", list, got)
		}
	}
}

// Other instances are told where the admin API listens, where that is one address, unless the file names a better one.
func TestAdvertise(t *testing.T) {
	for admin, want := range map[string]string{
		"{listen: '10.0.0.5:8081', token: x}":                             "http://10.0.0.5:8081",
		"{listen: ':8081', token: x}":                                     "",
		"{listen: '0.0.0.0:8081', token: x}":                              "",
		"{listen: '127.0.0.1:0'}":                                         "",
		"{listen: ':8081', token: x, advertise: 'http://a.example:8081'}": "http://a.example:8081",
	} {
		if got := load(t, "admin: "+admin+"\nlegacy: {url: http://h:1}\ncapabilities: {}\n", nil).Admin.Advertise; got != want {
			t.Errorf("admin: %s is advertised as %q, want %q", admin, got, want)
		}
	}
}

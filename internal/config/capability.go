package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"go.yaml.in/yaml/v3"
)

// capabilityName is what fits into a table's name, a folder's and a URL.
var capabilityName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,29}$`)

func (r *reader) capabilities(c *Config, f field) {
	o := newOverlap(r)
	for _, e := range r.entries(f) {
		if !capabilityName.MatchString(e.key) {
			name, _, _ := strings.Cut(e.key, ":")
			r.problem(field{path: f.in(name), line: e.value.line}, "the name is part of tables, folders and URLs; write small letters, digits and underscores, at most 30, a letter first")
			continue
		}
		c.Capabilities = append(c.Capabilities, r.capability(c, e.key, e.value, o))
	}
}

func (r *reader) capability(c *Config, name string, f field, o *overlap) strangler.Capability {
	keys := r.object(f, "routes", "touches", "service", "tables", "on_delete", "capture", "retained_wal", "throttle", "identity", "shadow", "guard", "playbook")
	k := strangler.Capability{Name: name, Legacy: c.Legacy}
	for _, item := range r.list(keys["routes"]) {
		if route, ok := r.route(item); ok && o.route(name, route, item) {
			k.Routes = append(k.Routes, route)
		}
	}
	if !keys["routes"].given() || emptyList(keys["routes"]) {
		r.problem(keys["routes"], "at least one route is needed, as in [\"GET /couriers/{id}\"]")
	}
	for _, item := range r.list(keys["touches"]) {
		if touch, at, ok := r.touch(item); ok && o.touch(name, touch.Route, at) {
			k.Touches = append(k.Touches, touch)
		}
	}
	r.service(&k, keys["service"])
	for _, item := range r.list(keys["tables"]) {
		if table, ok := r.table(item); ok && o.table(&k, table, item) {
			k.Tables = r.withTable(k.Tables, table, item)
		}
	}
	k.OnDelete = r.onDelete(k, keys["on_delete"])
	k.Capture = r.capture(k, keys["capture"])
	k.RetainedWAL = r.retainedWAL(k, keys["retained_wal"])
	k.Throttle = r.throttle(k, keys["throttle"])
	r.databases(k, c, keys)
	identity := r.object(keys["identity"], "header")
	k.IdentityHeader = r.header(identity["header"])
	k.Shadow = r.shadow(keys["shadow"])
	k.Guard = r.guard(keys["guard"])
	k.Playbook = r.playbook(k, keys["playbook"])
	return k
}

func (r *reader) capture(k strangler.Capability, f field) strangler.Capture {
	text, ok := r.text(f)
	c := strangler.Capture(text)
	switch {
	case !ok || c == strangler.CaptureTriggers:
	case c != strangler.CaptureLogical:
		r.problem(f, "%s is no way to record changes; write triggers or logical", f.raw())
	case !strings.HasPrefix(k.Legacy.Database, "postgres") && !strings.HasPrefix(k.Legacy.Database, "mysql"):
		r.problem(f, "legacy.database has no log of its own that could be read; leave it out")
	}
	return c
}

// foreignKey is how one is named: its table, and in brackets its columns.
var foreignKey = regexp.MustCompile(`^\s*([^()]+?)\s*\(([^()]+)\)\s*$`)

// onDelete reads what becomes of rows that refer to deleted ones, by foreign key.
func (r *reader) onDelete(k strangler.Capability, f field) map[string]strangler.Delete {
	if f.given() && len(k.Tables) == 0 {
		r.problem(f, "the capability has no tables; leave it out")
	}
	var out map[string]strangler.Delete
	for _, e := range r.entries(f) {
		text, ok := r.text(e.value)
		m := foreignKey.FindStringSubmatch(e.key)
		d := strangler.Delete(text)
		switch {
		case m == nil:
			r.problem(field{path: f.in(e.key), line: e.value.line}, "write the table that has the foreign key, and in brackets its columns, as in \"orders(courier_id)\"")
		case !ok:
		case d != strangler.DeleteRestrict && d != strangler.DeleteCascade && d != strangler.DeleteIgnore:
			r.problem(e.value, "%s is nothing that can be done; write restrict, cascade or ignore", e.value.raw())
		default:
			columns := strings.Split(m[2], ",")
			for i := range columns {
				columns[i] = strings.TrimSpace(columns[i])
			}
			if out == nil {
				out = map[string]strangler.Delete{}
			}
			out[m[1]+"("+strings.Join(columns, ", ")+")"] = d
		}
	}
	return out
}

// defaultRetainedWAL is what the monolith's PostgreSQL server may keep of its log where strangler.yaml does not say.
const defaultRetainedWAL = 10 << 30

// retainedWAL reads the cap of what the monolith's server keeps of its log; 0: none.
func (r *reader) retainedWAL(k strangler.Capability, f field) int64 {
	postgres := strings.HasPrefix(k.Legacy.Database, "postgres")
	switch {
	case f.given() && !postgres:
		r.problem(f, "only PostgreSQL keeps its log for a split, and legacy.database is not one; leave it out")
	case f.given():
		return r.bytes(f)
	case postgres && len(k.Tables) > 0:
		return defaultRetainedWAL
	}
	return 0
}

// throttle reads the limits of the copy; what is left out, or 0, has none.
func (r *reader) throttle(k strangler.Capability, f field) strangler.Throttle {
	keys := r.object(f, "sessions", "lag", "lag_bytes", "latency")
	t := strangler.Throttle{
		Sessions: r.limit(keys["sessions"]),
		Lag:      r.duration(keys["lag"], 0),
		LagBytes: r.bytes(keys["lag_bytes"]),
		Latency:  r.duration(keys["latency"], 0),
	}
	if t != (strangler.Throttle{}) && strings.HasPrefix(k.Legacy.Database, "sqlite") {
		r.problem(f, "SQLite does not tell how loaded it is; leave it out")
	}
	return t
}

func emptyList(f field) bool {
	return f.given() && f.node.Kind == yaml.SequenceNode && len(f.node.Content) == 0
}

func (r *reader) service(k *strangler.Capability, f field) {
	keys := r.object(f, "url", "ca", "health", "database")
	if !keys["url"].given() {
		r.problem(keys["url"], "it is missing; write where the service listens, as in http://127.0.0.1:9001")
	}
	k.Service = strangler.Upstream{
		URLs:     r.baseURLs(keys["url"]),
		Health:   r.path(keys["health"]),
		Database: r.dsn(keys["database"], ""),
	}
	k.Service.CA = r.ca(keys["ca"], k.Service.URLs)
}

// databases asks for both databases of a capability that has tables, and for two different ones:
// their fences would stand in each other's place.
func (r *reader) databases(k strangler.Capability, c *Config, keys map[string]field) {
	service := r.peek(keys["service"], "database")
	switch {
	case !keys["tables"].given():
	case k.Service.Database == "" && !service.given():
		r.problem(service, "it is missing; the capability has tables, so %s", dsnForms)
	case sameDatabase(k.Service.Database, c.Legacy.Database):
		r.problem(service, "this is legacy.database; the service needs a database of its own")
	}
	if len(k.Tables) > 0 && !r.legacyDatabase {
		r.problem(keys["tables"], "legacy.database is missing, and the tables are in it; %s", dsnForms)
	}
}

// peek is a key of an object that has been read already.
func (r *reader) peek(f field, key string) field {
	if f.given() && f.node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(f.node.Content); i += 2 {
			if f.node.Content[i].Value == key {
				return field{node: resolve(f.node.Content[i+1]), path: f.in(key), line: f.node.Content[i].Line}
			}
		}
	}
	return field{path: f.in(key), line: f.line}
}

func (r *reader) route(f field) (strangler.Route, bool) {
	s, ok := r.text(f)
	if !ok {
		return strangler.Route{}, false
	}
	route, err := strangler.ParseRoute(s)
	if err != nil {
		r.problem(f, "%v", err)
		return strangler.Route{}, false
	}
	return route, true
}

// touch reads "POST /orders" or {route: "POST /orders", seam: true}, and where its route stands. A seam that is written out as false says
// that it may fail.
func (r *reader) touch(f field) (strangler.Touch, field, bool) {
	if f.node.Kind != yaml.MappingNode {
		route, ok := r.route(f)
		return strangler.Touch{Route: route}, f, ok
	}
	keys := r.object(f, "route", "seam")
	if !keys["route"].given() {
		r.problem(keys["route"], "it is missing; write a method and a path, as in \"POST /orders/{id}/accept\"")
		return strangler.Touch{}, f, false
	}
	seam := r.yesNo(keys["seam"])
	route, ok := r.route(keys["route"])
	return strangler.Touch{Route: route, Seam: seam, Fails: keys["seam"].given() && !seam}, keys["route"], ok
}

// table reads "couriers" or {from: couriers, to: drivers}.
func (r *reader) table(f field) (strangler.Table, bool) {
	if f.node.Kind != yaml.MappingNode {
		name, ok := r.tableName(f)
		return strangler.Table{From: name, To: name}, ok
	}
	keys := r.object(f, "from", "to", "columns", "values", "set", "drop", "where", "reverse")
	if !keys["from"].given() {
		r.problem(keys["from"], "it is missing; write the table's name in the legacy database")
		return strangler.Table{}, false
	}
	from, ok := r.tableName(keys["from"])
	to := from
	if keys["to"].given() {
		var good bool
		to, good = r.tableName(keys["to"])
		ok = ok && good
	}
	t := strangler.Table{From: from, To: to, Columns: r.names(keys["columns"]), Set: r.names(keys["set"]), Drop: r.texts(keys["drop"])}
	if keys["where"].given() {
		t.Where = r.rowCondition(keys["where"])
	}
	if keys["reverse"].given() {
		t.OneWay = !r.yesNo(keys["reverse"])
	}
	for _, e := range r.entries(keys["values"]) {
		if t.Values == nil {
			t.Values = map[string]map[string]string{}
		}
		t.Values[e.key] = r.names(e.value)
	}
	return t, ok
}

// withTable adds a table, or to one that is there already another of the service's that its rows go to.
func (r *reader) withTable(all []strangler.Table, t strangler.Table, at field) []strangler.Table {
	i := slices.IndexFunc(all, func(other strangler.Table) bool { return other.From == t.From })
	if i < 0 {
		return append(all, t)
	}
	first := &all[i]
	switch {
	case t.Where != first.Where:
		r.problem(at, "the rows of %q go to several tables, and all of them by one condition; write the same where for each, or none", t.From)
	case t.OneWay || first.OneWay:
		r.problem(at, "the rows of %q go to several tables, and reverse: false is not for those; leave it out", t.From)
	case first.Pieces == nil:
		*first = strangler.Table{From: first.From, To: first.To, Where: first.Where, Drop: first.Drop, Pieces: []strangler.Table{*first}}
	}
	first.Pieces = append(first.Pieces, t)
	first.Drop = slices.DeleteFunc(slices.Clone(first.Drop), func(name string) bool { return !slices.Contains(t.Drop, name) })
	if len(first.Drop) == 0 {
		first.Drop = nil
	}
	return all
}

// unsteady is what a condition must not have: it has to say the same of a row at any time, to anybody.
var unsteady = regexp.MustCompile(`(?i)\b(select|now|sysdate|current_[a-z]+|localtime[a-z]*|random|rand|uuid|session_user|user\s*\()|[;@]`)

// literals are what stands in quotes.
var literals = regexp.MustCompile(`'[^']*'|"[^"]*"`)

// rowCondition reads a condition on the columns of one row.
func (r *reader) rowCondition(f field) string {
	s, ok := r.text(f)
	if ok && strings.TrimSpace(s) == "" {
		r.problem(f, "it is empty; leave it out where every row goes")
	}
	if what := unsteady.FindString(literals.ReplaceAllString(s, "")); ok && what != "" {
		r.problem(f, "%q does not belong there: the condition is asked of one row at a time, and must not come out otherwise later, or for somebody else", what)
	}
	return s
}

// names are an object's values by their keys; nil where there is none.
func (r *reader) names(f field) map[string]string {
	var out map[string]string
	for _, e := range r.entries(f) {
		if s, ok := r.text(e.value); ok {
			if out == nil {
				out = map[string]string{}
			}
			out[e.key] = s
		}
	}
	return out
}

func (r *reader) tableName(f field) (string, bool) {
	s, ok := r.text(f)
	if !ok {
		return "", false
	}
	s, quoted := unquoted(s)
	_, bare, qualified := strings.Cut(s, ".")
	switch {
	case !quoted && (strings.TrimSpace(s) != s || s == "" || strings.ContainsAny(s, "\"'`[];\x00\r\n\t")):
		r.problem(f, "%s is not a table's name; write it as the database has it, without quotes", f.raw())
	case strings.HasPrefix(strings.ToLower(s), "strangler_") || qualified && strings.HasPrefix(strings.ToLower(bare), "strangler_"):
		r.problem(f, "%s: tables that begin with strangler_ are Strangler's own and never move", f.raw())
	default:
		return s, true
	}
	return "", false
}

// sqlName is a name whose parts are quoted as in SQL, or need no quotes.
var sqlName = regexp.MustCompile(`^("(?:[^"\x00]|"")+"|[^".\x00]+)(?:\.("(?:[^"\x00]|"")+"|[^".\x00]+))?$`)

// unquoted has quotes only around the parts that need them, so that one table has one name.
func unquoted(s string) (name string, quoted bool) {
	m := sqlName.FindStringSubmatch(s)
	if m == nil || !strings.Contains(s, `"`) {
		return s, false
	}
	var parts []string
	for _, p := range m[1:] {
		if bare := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(p, `"`), `"`), `""`, `"`); strings.HasPrefix(p, `"`) && !strings.ContainsAny(bare, `."`) {
			p = bare
		}
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "."), true
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (r *reader) header(f field) string {
	s, ok := r.text(f)
	if ok && !headerName.MatchString(s) {
		r.problem(f, "%s is not a header's name; write one, as in X-User-ID", f.raw())
	}
	return s
}

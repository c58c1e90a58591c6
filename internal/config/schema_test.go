package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/strangler-fig/strangler/internal/config/schematest"
)

// full has every key that a strangler.yaml may have; where a key takes several forms, the one with keys of its own.
const full = `
control: sqlite:c.db
proxy:
  listen: 127.0.0.1:18080
  tls: {cert: a.crt, key: a.key}
  trust: [10.0.0.0/8]
  proxy_protocol: false
  engine: nethttp
  access_log: {file: a.log, format: combined}
  traces: {endpoint: "http://127.0.0.1:4318", sample: 5%, headers: {Authorization: Bearer x}}
  hold: {requests: 7, wait: 7s, drain: 7s}
  limits: {head: 7KiB, lines: 7, connections: 7, requests: 7}
  timeouts: {head: 7s, body: 7s, idle: 7s, dial: 7s, answer: 7s}
  health_interval: 7s
admin: {listen: 127.0.0.1:18081, token: s3cret, advertise: "http://10.0.0.5:8081"}
legacy: {url: [https://h:1], ca: ca.pem, health: /healthz, database: "postgres://h/shop"}
capabilities:
  delivery:
    routes: [/couriers]
    touches: [{route: POST /orders, seam: true}]
    service: {url: [https://h:2], ca: ca.pem, health: /healthz, database: "postgres://h/delivery"}
    tables: [{from: actions, to: done, columns: {a: b}, values: {type: {"1": pickup}}, set: {source: shop}, drop: [note], where: id > 0, reverse: false}]
    on_delete: {orders(courier): ignore}
    capture: logical
    retained_wal: 7GiB
    throttle: {sessions: 7, lag: 7s, lag_bytes: 7MiB, latency: 7ms}
    identity: {header: X-User-ID}
    shadow: {sample: 7%, methods: [HEAD], ignore: [$.at]}
    guard: {min_requests: 7, max_error_delta: 7%, max_p99_ratio: 7}
    playbook:
      canary: [7%]
      soak: 7d
      approve: [soak]
      hold: 7s
      shadow: 7s
      requests: 7
      rehearse: {legacy: "postgres://h/a", service: "postgres://h/b"}
      steps:
        - {name: a, before: shadow, timeout: 7s, retries: 7, run: {command: [./a], check: [./b], undo: [./c], env: [HOME]}}
        - {name: b, after: soak, http: {url: "http://h:7/ready", status: 204, json: {$.state: ready}}}
        - {name: c, after: soak, sql: {side: legacy, query: SELECT 7, answer: "7"}}
        - {name: e, after: soak, prometheus: {url: "http://h:7", query: up, above: 7, below: 17, for: 7s}}
        - {name: f, after: soak, approve: {by: [alice]}}
        - {name: g, after: soak, wait: {for: 7s}}
        - {name: i, after: soak, notify: {url: "http://h:7", text: seven}}
webhooks: [{url: "https://h/hook", on: [step], capabilities: [delivery], secret: s3cret}]
`

// samples are tried at every place of the file: the schema and the reader are to say the same of each.
var samples = []any{
	"", " ", "0", 0, 1, "7", 7, -1, "1.5", 1.5, 0.5, true, false, "true", "maybe", "${ANY}", nil, []any{}, map[string]any{},
	"0s", "7s", "1.5h", "14d", "1d12h", "14", "d", "-3s", "1 h", "0%", "7%", "0.5%", "100%", "101%", "7.00001%", "%",
	"64MiB", "64 MiB", "64MB", "0B", "KiB", "host:80", "[::1]:80", ":80", "::1:80", "host", "host:x",
	"http://h:80", "http://h/", "http://h/path", "https://[::1]:80", "h2c://h:80", "ftp://h", "http://", "http://u@h", "http://h?q",
	"sqlite:x.db", "sqlite:", "postgres://h/other", "postgresql://h/other", "postgres:", "mysql://h/other", "mysql://h", "mysql://h/?q", "redis://h",
	"10.0.0.0/8", "10.1.2.3", "fd00::/8", "lan", "/p", "/p#f", "/a b", "GET /p", "get /p", "POST  /p", "GET p",
	"h1", "nethttp", "json", "combined", "restrict", "cascade", "ignore", "triggers", "logical", "GET", "HEAD", "POST", "cutover", "deploy",
	"$.at", "$[0]", "at", "X-User", "X User", "https://u:p@h/p?q#f", "https://u:p@h/p?q", "trip",
}

// readerAlone are samples at places where the reader says no by what else stands in the file.
var readerAlone = map[string][]any{
	"legacy.database":                        {"sqlite:x.db", "mysql://h/other", absent}, // retained_wal, throttle and capture go with PostgreSQL
	"legacy.url":                             {"http://h:80", "http://h/", "h2c://h:80"}, // there is a ca
	"legacy.url[0]":                          {"http://h:80", "http://h/", "h2c://h:80"},
	"capabilities.delivery.service.url":      {"http://h:80", "http://h/", "h2c://h:80"},
	"capabilities.delivery.service.url[0]":   {"http://h:80", "http://h/", "h2c://h:80"},
	"capabilities.delivery.service.database": {absent},                                                   // there are tables
	"capabilities.delivery.tables[0].where":  {"http://u@h", "https://u:p@h/p?q#f", "https://u:p@h/p?q"}, // no pattern says what a condition must not have
	"capabilities.delivery.tables":           {[]any{}, absent},                                          // on_delete goes with tables
	"capabilities.delivery":                  {absent},
	"capabilities":                           {map[string]any{}, absent}, // a webhook names one
	"webhooks[0].capabilities[0]":            names(),                    // none of them is a capability of the file
	"capabilities.delivery.playbook.approve[0]": { // names of no step
		"true", "maybe", "d", "host", "lan", "h1", "nethttp", "json", "combined", "restrict", "cascade", "ignore", "triggers", "logical", "deploy", "at", "trip",
	},
	"capabilities.delivery.playbook.steps[0].run.command[0]": {""}, // arguments may be empty
	"capabilities.delivery.playbook.steps[0].run.check[0]":   {""},
	"capabilities.delivery.playbook.steps[0].run.undo[0]":    {""},
}

// names are the samples that may be names of capabilities.
func names() (all []any) {
	for _, sample := range samples {
		if name, ok := sample.(string); ok && capabilityName.MatchString(name) {
			all = append(all, name)
		}
	}
	return all
}

// A step needs a place and a kind of its own, and a name that no other has.
func init() {
	for i, kind := range stepKinds {
		step := fmt.Sprintf("capabilities.delivery.playbook.steps[%d].", i)
		readerAlone[step+"name"] = []any{"cutover"}
		readerAlone[step+map[bool]string{true: "before", false: "after"}[i == 0]] = []any{absent}
		readerAlone[step+kind] = []any{absent}
	}
}

// schemaAlone are places where the reader takes an empty value for the text "null".
var schemaAlone = []string{
	"proxy.traces.headers.Authorization", "capabilities.delivery.tables[0].columns.a",
	"capabilities.delivery.tables[0].values.type.1", "capabilities.delivery.tables[0].set.source",
}

// place is one part of the schema with the way that leads to it in full.
type place struct {
	name string
	way  []any // keys and indexes
	schema
}

// steps are the places where one of several forms stands that share one part of the schema.
var steps = regexp.MustCompile(`\.steps\[[0-9]\]$`)

// places are all parts of the schema, forms of one value at one place.
func places(t *testing.T, s schema, name string, way []any, visit func(place)) {
	visit(place{name, way, s})
	here, _, _ := at(document(t), way)
	for _, p := range s.Properties {
		if steps.MatchString(name) && !slices.ContainsFunc(here.Content, func(n *yaml.Node) bool { return n.Value == p.key }) {
			continue // a step of another kind
		}
		places(t, p.schema, strings.TrimPrefix(name+"."+p.key, "."), append(slices.Clip(way), p.key), visit)
	}
	if s.Items != nil {
		for i := range max(len(here.Content), 1) {
			places(t, *s.Items, fmt.Sprintf("%s[%d]", name, i), append(slices.Clip(way), i), visit)
		}
	}
	if value, ok := s.Additional.(schema); ok {
		example, _, _ := at(document(t), way)
		if example == nil || len(example.Content) != 2 {
			t.Fatalf("%s has not one key in full", name)
		}
		key := example.Content[0].Value
		places(t, value, name+"."+key, append(slices.Clip(way), key), visit)
	}
	for _, form := range s.AnyOf {
		form := *form
		if form.Items != nil || form.Properties != nil {
			places(t, form, name, way, visit)
		}
	}
}

// document is full, anew.
func document(t *testing.T) *yaml.Node {
	t.Helper()
	root, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return cloned(root)
}

var parsed = sync.OnceValues(func() (*yaml.Node, error) { return parse("full", []byte(full)) })

func cloned(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		c.Content[i] = cloned(n.Content[i])
	}
	return &c
}

// at is what stands at the end of a way, and where it stands in its parent; nil where nothing does.
func at(root *yaml.Node, way []any) (node, parent *yaml.Node, index int) {
	node = root
	for _, step := range way {
		parent, node = node, nil
		if i, ok := step.(int); ok {
			index = i
		} else {
			index = slices.IndexFunc(parent.Content, func(n *yaml.Node) bool { return n.Value == step.(string) }) + 1
		}
		if index == 0 && parent.Kind == yaml.MappingNode {
			return nil, nil, 0
		}
		node = parent.Content[index]
	}
	return node, parent, index
}

// with is full with another value at the end of the way; absent takes the key out.
func (p place) with(t *testing.T, value any) *yaml.Node {
	t.Helper()
	root := document(t)
	_, parent, index := at(root, p.way)
	if value == absent {
		parent.Content = slices.Delete(parent.Content, index-1, index+1)
		return root
	}
	var node yaml.Node
	if err := node.Encode(value); err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		return &node
	}
	parent.Content[index] = &node
	return root
}

var absent = any(struct{}{})

// loaded is what Load says of a document.
func loaded(root *yaml.Node) (*Config, error) {
	c := &Config{File: "/strangler.yaml", Dir: "/"}
	r := &reader{lookup: func(string) (string, bool) { return "", false }, dir: c.Dir}
	r.sections(c, field{node: root, line: 1})
	if len(r.problems) > 0 {
		return nil, &Error{File: c.File, Problems: r.problems}
	}
	return c, nil
}

// TestSchemaKeys: each object of the schema has the keys of the reader's, in its order, and full has all of them.
func TestSchemaKeys(t *testing.T) {
	objects := 0
	var stepKeys []string
	places(t, fileSchema(), "", nil, func(p place) {
		if p.Additional != false {
			return
		}
		objects++
		var keys []string
		for _, key := range p.Properties {
			keys = append(keys, key.key)
			if key.Description == "" {
				t.Errorf("%s.%s has no description", p.name, key.key)
			}
			if node, _, _ := at(document(t), append(slices.Clip(p.way), key.key)); node != nil {
				stepKeys = append(stepKeys, key.key)
			} else if !steps.MatchString(p.name) {
				t.Errorf("full lacks %s.%s", p.name, key.key)
			}
		}
		root := document(t)
		object, _, _ := at(root, p.way)
		object.Content = append(object.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "nonesuch", Line: 1}, &yaml.Node{Kind: yaml.ScalarNode, Value: "1"})
		_, err := loaded(root)
		want := Problem{Line: 1, Key: strings.TrimPrefix(p.name+".nonesuch", "."), Message: "unknown key; the keys here are " + strings.Join(keys, ", ")}
		var all *Error
		if !errors.As(err, &all) || !slices.Contains(all.Problems, want) {
			t.Errorf("%v; want %s", err, want)
		}
	})
	for _, key := range stepSchema().Properties {
		if !slices.Contains(stepKeys, key.key) {
			t.Errorf("full has no step with %s", key.key)
		}
	}
	if objects < 33 {
		t.Errorf("%d objects", objects)
	}
}

// TestSchemaDefaults: a key with its default says the same as no such key.
func TestSchemaDefaults(t *testing.T) {
	valid := schematest.Compile(t, Schema())
	defaults := 0
	places(t, fileSchema(), "", nil, func(p place) {
		if p.Default == nil {
			return
		}
		defaults++
		root := p.with(t, p.Default)
		said, err := loaded(root)
		if err != nil {
			t.Errorf("%s: its default: %v", p.name, err)
			return
		}
		if err := valid(root); err != nil {
			t.Errorf("%s: its default: %v", p.name, err)
		}
		left, err := loaded(p.with(t, absent))
		if err != nil {
			t.Errorf("%s left out: %v", p.name, err)
			return
		}
		if diff := cmp.Diff(left, said, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%s (-left out +with its default):\n%s", p.name, diff)
		}
	})
	if defaults < 30 {
		t.Errorf("%d defaults", defaults)
	}
}

package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
)

// newcomer has a monolith and no strangler.yaml.
func newcomer(t *testing.T) *shell {
	t.Helper()
	env := map[string]string{"USER": "ann"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	return &shell{t: t, file: filepath.Join(t.TempDir(), "strangler.yaml"), env: env, hooks: connected(lookup), ctx: t.Context()}
}

func (s *shell) written() string {
	s.t.Helper()
	text, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// untouched demands that there is no file.
func (s *shell) untouched() {
	s.t.Helper()
	if _, err := os.Lstat(s.file); !os.IsNotExist(err) {
		s.t.Errorf("%s is there: %v", s.file, err)
	}
}

func statements(t *testing.T, driver, dsn string, all ...string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range all {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%.80s: %v", q, err)
		}
	}
}

// shop makes the reference monolith's database, and returns its path.
func shop(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.db")
	scripts, err := filepath.Glob("../../legacy-monolith/internal/schema/sqlite/*.up.sql")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts of the reference monolith: %v", err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		statements(t, "sqlite", path, string(text))
	}
	return path
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// uncommented is the file as a person makes it who takes out one proposal.
func uncommented(text, name string) string {
	block := regexp.MustCompile(`(?m)^#   ` + name + `:\n(?:#.*\n)+`)
	text = block.ReplaceAllStringFunc(text, func(s string) string { return regexp.MustCompile(`(?m)^# `).ReplaceAllString(s, "") })
	return strings.Replace(text, "\ncapabilities: {}\n", "\ncapabilities:\n", 1)
}

const shopAPI = `openapi: 3.0.0
paths:
  /consumers: {post: {}}
  /restaurants/{restaurantId}: {get: {}}
  /couriers: {post: {}}
  /couriers/{courierId}: {get: {}}
  /couriers/{courierId}/availability: {post: {}}
  /orders: {get: {}, post: {}}
  /orders/{orderId}/accept: {post: {}}
`

const shopLog = `10.0.0.1 - - [30/Nov/2026:13:00:00 +0000] "GET /couriers/17 HTTP/1.1" 200 20 "-" "x"
10.0.0.1 - - [30/Nov/2026:13:00:00 +0000] "GET /couriers/18?key=hunter2 HTTP/1.1" 200 20 "-" "x"
{"method":"GET","path":"/restaurants/5","status":200}
{"method":"GET","path":"/healthz","status":200}
`

// A team that has never seen Strangler gets a file that passes everything through, which check accepts, and in it what may
// leave, each of which loads.
func TestInitOfTheReferenceMonolith(t *testing.T) {
	monolith := httptest.NewServer(http.NotFoundHandler())
	defer monolith.Close()
	s := newcomer(t)
	database := shop(t)
	before, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	s.expect(exitDone, "init", "--legacy-url", monolith.URL, "--legacy-database", "sqlite:"+database, "--openapi", file(t, "openapi.yaml", shopAPI), "--access-log", file(t, "access.log", shopLog))
	if after, err := os.ReadFile(database); err != nil || !bytes.Equal(before, after) {
		t.Errorf("init has written to the database: %v", err)
	}
	text := s.written()
	for _, want := range []string{
		`#     #   - {route: "POST /orders/{order_id}/accept", seam: true}`,
		"\ncapabilities: {}\n", `url: "` + monolith.URL + `"`, "courier_actions(order_id) refers to orders", "3 routes with 2 of 4 requests; 3 tables", `- "GET /couriers/{courier_id}"   # 2 requests`, "route GET /healthz (1 request)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the file lacks %q:\n%s", want, text)
		}
	}
	checked := s.object(exitDone, "check")
	for _, f := range checked["findings"].([]any) {
		if level := f.(map[string]any)["level"]; level != "ok" {
			t.Errorf("check says %v", f)
		}
	}
	want := map[string][]string{
		"couriers": {"courier_actions", "courier_requests", "couriers"}, "orders": {"order_line_items", "order_requests", "orders"},
		"restaurants": {"restaurant_menu_items", "restaurants"}, "consumers": {"consumers"},
	}
	for name, tables := range want {
		cfg, err := config.Parse(s.file, []byte(uncommented(text, name)), os.LookupEnv)
		if err != nil || len(cfg.Capabilities) != 1 || cfg.Legacy.Database != "sqlite:"+database {
			t.Errorf("%s: %v, %v", name, cfg, err)
			continue
		}
		var got []string
		for _, table := range cfg.Capabilities[0].Tables {
			got = append(got, table.From)
		}
		if diff := cmp.Diff(tables, got); diff != "" || cfg.Capabilities[0].Name != name {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	touches := strings.NewReplacer("    # touches:", "    touches:", "    #   - {route: ", "      - {route: ").Replace(uncommented(text, "couriers"))
	if cfg, err := config.Parse(s.file, []byte(touches), os.LookupEnv); err != nil || len(cfg.Capabilities[0].Touches) != 2 {
		t.Errorf("with its touches: %v", err)
	}
	// With one taken out, check misses what is missing: its service's database.
	if err := os.WriteFile(s.file, []byte(uncommented(text, "couriers")), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := s.failure(exitRefused, "check"); !strings.Contains(f.Error.Message, "missing: database") {
		t.Errorf("%+v", f)
	}
}

func TestInitAsJSON(t *testing.T) {
	s := newcomer(t)
	got := s.object(exitDone, "init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", "sqlite:"+shop(t), "--access-log", file(t, "access.log", shopLog), "--snippet", "haproxy")
	if diff := cmp.Diff([]string{"file", "written", "found", "variables", "proposals", "tables", "routes", "snippet", "schema", "schema_written", "next_steps"}, keys(got), unordered); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{"strangler check -c " + s.file, "strangler serve -c " + s.file}, got["next_steps"]); diff != "" {
		t.Errorf("next steps (-want +got):\n%s", diff)
	}
	first := got["proposals"].([]any)[0].(map[string]any)
	if first["name"] != "couriers" || cmp.Diff([]any{map[string]any{"route": "GET /couriers/{id}", "requests": 2.0}}, first["routes"]) != "" {
		t.Errorf("first of all %v", first)
	}
	if !strings.Contains(got["snippet"].(string), `path_reg '^/couriers(/|$)'`) {
		t.Errorf("snippet %v", got["snippet"])
	}
}

// A password is in nothing that init writes or prints, and the file reads it from the environment.
func TestInitOnPostgreSQL(t *testing.T) {
	dsn := localdbtest.Fresh(t)
	statements(t, "pgx", dsn, `CREATE TABLE "Invoice" (id integer PRIMARY KEY)`, `CREATE SCHEMA billing`, `CREATE TABLE billing."Odd.one" (id integer REFERENCES "Invoice" ON DELETE SET NULL)`)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := u.User.Password(); password == "" {
		u.User = url.UserPassword(u.User.Username(), "hunter2") // which the server does not ask for
	}
	password, _ := u.User.Password()
	for _, format := range []string{"text", "json"} {
		s := newcomer(t)
		got := s.expect(exitDone, "init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", u.String(), "--openapi", file(t, "api.json", `{"openapi":"3.1.0","paths":{"/invoices/{id}":{"get":{}}}}`), "-o", format)
		text := s.written()
		if strings.Contains(text+got.stdout+got.stderr, password) {
			t.Errorf("the password is shown:\n%s\n%s\n%s", text, got.stdout, got.stderr)
		}
		if !strings.Contains(got.stdout, "set STRANGLER_LEGACY_DATABASE") {
			t.Errorf("init does not say what to set:\n%s", got.stdout)
		}
		if _, err := config.Load(s.file, os.LookupEnv); err == nil || !strings.Contains(err.Error(), "STRANGLER_LEGACY_DATABASE is not set") {
			t.Errorf("without the variable: %v", err)
		}
		s.env["STRANGLER_LEGACY_DATABASE"] = u.String()
		lookup := func(name string) (string, bool) { v, ok := s.env[name]; return v, ok }
		cfg, err := config.Parse(s.file, []byte(uncommented(text, "invoices")), lookup)
		if err != nil || len(cfg.Capabilities) != 1 || cfg.Legacy.Database != u.String() {
			t.Fatalf("%v, %v\n%s", cfg, err, text)
		}
		if got := cfg.Capabilities[0].Tables; len(got) != 2 || got[0].From != "Invoice" || got[1].From != `billing."Odd.one"` {
			t.Errorf("tables %+v", got)
		}
		s.file = filepath.Join(t.TempDir(), "again.yaml")
		if again := s.object(exitDone, "init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", "${STRANGLER_LEGACY_DATABASE}"); len(again["variables"].([]any)) != 0 {
			t.Errorf("by the variable that is set: %v", again)
		}
	}
}

// What stands in the file gets its lines whenever somebody asks, with its touches.
func TestSnippet(t *testing.T) {
	s := alone(t)
	before := s.written()
	if err := os.WriteFile(s.file, []byte(strings.Replace(before, "    service: {url: http://127.0.0.1:9001", "    touches: [{route: \"POST /orders/{id}/accept\", seam: true}]\n    service: {url: http://127.0.0.1:9001", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	before = s.written()
	const all = `^/(couriers|couriers/[^/]+|orders/[^/]+/accept)/?$`
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, `location ~ "` + all + `" {`}, {[]string{"--for", "nginx"}, `location ~ "` + all + `" {`},
		{[]string{"--for", "haproxy"}, "acl delivery path_reg '" + all + "'"}, {[]string{"--for", "caddy"}, "@delivery path_regexp `" + all + "`"},
	} {
		got := s.expect(exitDone, append([]string{"snippet", "delivery"}, c.args...)...)
		if !strings.Contains(got.stdout, c.says) || !strings.Contains(got.stdout, "127.0.0.1:8080") {
			t.Errorf("%v: %s", c.args, got.stdout)
		}
	}
	object := s.object(exitDone, "snippet", "search", "--for", "haproxy")
	if diff := cmp.Diff([]string{"capability", "for", "snippet", "next_steps"}, keys(object), unordered); diff != "" || !strings.Contains(object["snippet"].(string), "'^/(search)/?$'") {
		t.Errorf("%s%v", diff, object)
	}
	if got := s.expect(exitUsage, "snippet", "delivery", "--for", "apache"); !strings.Contains(got.stderr, "nginx, haproxy, caddy") || got.stdout != "" {
		t.Errorf("%+v", got)
	}
	if left, err := os.ReadDir(filepath.Dir(s.file)); err != nil || len(left) != 1 || s.written() != before {
		t.Errorf("something was written: %v, %v", left, err)
	}
}

func TestInitNeverWritesOver(t *testing.T) {
	s := alone(t)
	before := s.written()
	f := s.failure(exitRefused, "init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", "none")
	if f.Error.Check != "file" || !strings.Contains(f.Error.Message, s.file) || s.written() != before {
		t.Errorf("%+v", f)
	}
	s.file = filepath.Join(t.TempDir(), "link.yaml")
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere.yaml"), s.file); err != nil {
		t.Fatal(err)
	}
	s.failure(exitRefused, "init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", "none")
}

// A file that comes to be while the database is read stays as it is.
func TestInitLeavesAFileThatCameMeanwhile(t *testing.T) {
	s := newcomer(t)
	s.hooks.Catalog = func(context.Context, string) (migrations.Catalog, error) {
		return migrations.Catalog{}, os.WriteFile(s.file, []byte("somebody's"), 0o600)
	}
	if f := s.failure(exitRefused, "init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", "sqlite:x.db"); f.Error.Check != "file" || s.written() != "somebody's" {
		t.Errorf("%+v", f)
	}
}

func TestInitWritesNothingWhereItCannot(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	all := func(more ...string) []string {
		return append([]string{"init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", "none"}, more...)
	}
	for name, c := range map[string]struct {
		code int
		args []string
		says string
	}{
		"no address":           {exitUsage, []string{"init", "--legacy-database", "none"}, "--legacy-url is missing"},
		"no database":          {exitUsage, []string{"init", "--legacy-url", "http://127.0.0.1:9000"}, "--legacy-database is missing"},
		"a wrong address":      {exitUsage, []string{"init", "--legacy-url", "127.0.0.1:9000", "--legacy-database", "none"}, "--legacy-url: "},
		"an address with path": {exitUsage, []string{"init", "--legacy-url", "http://u:hunter2@shop", "--legacy-database", "none"}, "--legacy-url: a user or password"},
		"a wrong database":     {exitUsage, all("--legacy-database", "oracle://u:hunter2@h/d"), "--legacy-database: "},
		"a broken password":    {exitUsage, all("--legacy-database", "postgres://u:hunter2/x@h/d"), "--legacy-database: "},
		"a variable unset":     {exitUsage, all("--legacy-database", "${NOWHERE}"), "NOWHERE is not set"},
		"nobody there":         {exitRefused, all("--legacy-database", "postgres://u:hunter2@127.0.0.1:1/d"), "the legacy database of the monolith cannot be reached"},
		"no such file":         {exitRefused, all("--legacy-database", "sqlite:"+absent), "cannot be reached"},
		"no document":          {exitUsage, all("--openapi", absent), "--openapi: "},
		"no OpenAPI":           {exitUsage, all("--openapi", file(t, "x.yaml", "a: b")), "version 3"},
		"no log":               {exitUsage, all("--access-log", absent), "--access-log: "},
		"another proxy":        {exitUsage, all("--snippet", "apache"), "nginx, haproxy, caddy"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newcomer(t)
			s.tty = true
			got := s.expect(c.code, append(c.args, "--yes")...)
			if !strings.Contains(got.stderr, c.says) || strings.Contains(got.stdout+got.stderr, "hunter2") || got.stdout != "" {
				t.Errorf("stdout %q, stderr %q; want %q", got.stdout, got.stderr, c.says)
			}
			s.untouched()
		})
	}
	s := newcomer(t)
	s.file = filepath.Join(absent, "strangler.yaml")
	if got := s.expect(exitUsage, all()...); !strings.Contains(got.stderr, "cannot be written") {
		t.Errorf("into a folder that is not there: %s", got.stderr)
	}
}

// On a terminal it asks for what no flag says, and for nothing else.
func TestInitAsks(t *testing.T) {
	s := newcomer(t)
	s.tty, s.stdin = true, "http://127.0.0.1:9000\nsqlite:"+shop(t)+"\n"
	got := s.expect(exitDone, "init")
	if !strings.Contains(got.stderr, "where the monolith listens") || !strings.Contains(got.stdout, "couriers ") || !strings.Contains(got.stdout, "guessed from the tables' names") {
		t.Errorf("stdout %s\nstderr %s", got.stdout, got.stderr)
	}
	s = newcomer(t)
	s.tty, s.stdin = true, "\n"
	if got := s.expect(exitDone, "init", "--legacy-url", "http://127.0.0.1:9000"); strings.Contains(got.stderr, "listens") || !strings.Contains(s.written(), "# database: ") {
		t.Errorf("%s", got.stderr)
	}
	s = newcomer(t)
	s.tty = true
	s.expect(exitUsage, "init") // the answer is the end of the input
	s.untouched()
	s = newcomer(t)
	s.stdin = "http://127.0.0.1:9000\n"
	s.expect(exitUsage, "init") // no terminal
	s.untouched()
}

// The path of a database beside the working directory is written as the file finds it.
func TestInitOfAFileElsewhere(t *testing.T) {
	s := newcomer(t)
	t.Chdir(filepath.Dir(shop(t)))
	s.expect(exitDone, "init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", "sqlite:shop.db")
	cfg, err := config.Load(s.file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimPrefix(cfg.Legacy.Database, "sqlite:")); err != nil {
		t.Errorf("%s: %v", cfg.Legacy.Database, err)
	}
}

// schemaOf is the file that the first line of s's names for editors.
func (s *shell) schemaOf() string {
	s.t.Helper()
	first, _, _ := strings.Cut(s.written(), "\n")
	name, found := strings.CutPrefix(first, "# yaml-language-server: $schema=")
	if !found {
		s.t.Fatalf("the file begins with %q", first)
	}
	return filepath.Join(filepath.Dir(s.file), name)
}

// What init writes names its schema, which is there: the one that is printed, or one that was there before.
func TestInitNamesASchema(t *testing.T) {
	s := newcomer(t)
	args := []string{"init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", "none"}
	got := s.expect(exitDone, args...)
	text, err := os.ReadFile(s.schemaOf())
	if err != nil || string(text) != s.expect(exitDone, "schema").stdout || !strings.Contains(got.stdout, "wrote "+s.schemaOf()) {
		t.Errorf("%v, %s, %.80q", err, got.stdout, text)
	}
	if err := os.WriteFile(s.schemaOf(), []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.file = filepath.Join(filepath.Dir(s.file), "other.yaml")
	object := s.object(exitDone, args...)
	text, err = os.ReadFile(s.schemaOf())
	if err != nil || string(text) != "somebody's" || object["schema_written"] != false || object["schema"] != s.schemaOf() {
		t.Errorf("%v, %q, %v", err, text, object)
	}
	s = newcomer(t)
	if err := os.WriteFile(s.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.expect(exitRefused, args...)
	if left, err := os.ReadDir(filepath.Dir(s.file)); err != nil || len(left) != 1 {
		t.Errorf("a call that was refused has left %v, %v", left, err)
	}
}

func TestInitDryRun(t *testing.T) {
	s := newcomer(t)
	args := []string{"init", "--legacy-url", "http://127.0.0.1:9000", "--legacy-database", "sqlite:" + shop(t)}
	got := s.object(exitDone, append(args, "--dry-run")...)
	if left, err := os.ReadDir(filepath.Dir(s.file)); err != nil || len(left) != 0 || !strings.Contains(s.expect(exitDone, append(args, "--dry-run")...).stdout, "strangler.schema.json") {
		t.Errorf("written: %v, %v", left, err)
	}
	s.expect(exitDone, args...)
	if got["text"] != s.written() || got["written"] != false {
		text, _ := json.Marshal(got)
		t.Errorf("the dry run said otherwise: %s", text)
	}
}

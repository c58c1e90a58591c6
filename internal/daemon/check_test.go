package daemon_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/daemon"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

var pasted = regexp.MustCompile(`^(GRANT .*); -- in the (legacy|service) database$`)

// TestCheckPrintsGrants: what check says is missing can be pasted, each into the database that it names, and
// then nothing is.
func TestCheckPrintsGrants(t *testing.T) {
	server := localdbtest.Shared(t)
	for _, role := range []string{"strangler", "shop", "courier service"} {
		must(t, server.Role(t.Context(), role))
	}
	at := map[string]string{"legacy": localdbtest.Database(t, "shop"), "service": localdbtest.Database(t, "courier service")}
	run := func(dsn, statement string) {
		t.Helper()
		c, err := pgx.Connect(t.Context(), dsn)
		must(t, err)
		_, err = c.Exec(t.Context(), statement)
		must(t, err)
		must(t, c.Close(context.Background()))
	}
	run(server.As("shop", at["legacy"]), "CREATE TABLE couriers (id serial PRIMARY KEY, boss integer REFERENCES couriers)")
	file := filepath.Join(t.TempDir(), "strangler.yaml")
	must(t, os.WriteFile(file, []byte(`
legacy: {url: "http://127.0.0.1:1", database: "`+server.As("strangler", at["legacy"])+`"}
capabilities:
  delivery:
    routes: [POST /couriers]
    service: {url: "http://127.0.0.1:1", database: "`+server.As("strangler", at["service"])+`"}
    tables: [couriers]
`), 0o600))
	cfg, err := config.Load(file, func(string) (string, bool) { return "", false })
	must(t, err)
	missing := func() (next []string) {
		found, err := daemon.Check(t.Context(), cfg)
		must(t, err)
		for _, f := range found {
			if f.Missing {
				next = append(next, f.Next...)
			}
		}
		return next
	}
	first := missing()
	if !slices.Contains(first, "GRANT shop TO strangler; -- in the legacy database") || !slices.Contains(first, `GRANT "courier service" TO strangler; -- in the service database`) {
		t.Errorf("missing: %q", first)
	}
	for _, line := range first {
		m := pasted.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%q cannot be pasted", line)
		}
		run(server.DSN(at[m[2]]), line)
	}
	if left := missing(); len(left) > 0 {
		t.Errorf("still missing: %s", strings.Join(left, "\n"))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheckAsksEveryServer, in HTTP/2 where it takes nothing else.
func TestCheckAsksEveryServer(t *testing.T) {
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	up.Config.Protocols = new(http.Protocols)
	up.Config.Protocols.SetUnencryptedHTTP2(true)
	up.Start()
	defer up.Close()
	url := "h2c://" + up.Listener.Addr().String()
	file := filepath.Join(t.TempDir(), "strangler.yaml")
	must(t, os.WriteFile(file, []byte("legacy: {url: ["+url+", h2c://127.0.0.1:1], health: /healthz}\ncapabilities: {}\n"), 0o600))
	cfg, err := config.Load(file, func(string) (string, bool) { return "", false })
	must(t, err)
	found, err := daemon.Check(t.Context(), cfg)
	must(t, err)
	warned := map[string]bool{}
	for _, f := range found {
		if f.Check == "legacy upstream" {
			warned[f.Message] = f.Warning
		}
	}
	if w, said := warned[url+" answers"]; len(warned) != 2 || !said || w {
		t.Errorf("of a server that answers and one that does not, check says %+v", warned)
	}
}

// TestCheckLooksForPrograms of steps: the one that is missing is named before its step comes.
func TestCheckLooksForPrograms(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "strangler.yaml")
	for name, mode := range map[string]os.FileMode{"warm.sh": 0o700, "is-warm.sh": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Parse(file, []byte(`
legacy: {url: http://127.0.0.1:1}
capabilities:
  a:
    routes: [/a]
    service: {url: http://127.0.0.1:1}
    playbook: {steps: [{name: warm, after: verify, run: {command: [./warm.sh], check: [./is-warm.sh], undo: [no-such-program]}}, {name: night, after: verify, wait: {for: 1h}}]}
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	found, err := daemon.Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range found {
		if f.Check == "steps" && f.Missing {
			said = append(said, f.Message)
		}
	}
	if len(said) != 2 || !strings.Contains(said[0], "the step warm cannot be run") || !strings.Contains(said[0], "is-warm.sh") || !strings.Contains(said[1], "no-such-program") {
		t.Errorf("%q", said)
	}
}

// TestCheckWarnsOfAnUnaskedComplete: what nobody would be asked about, check says before it happens.
func TestCheckWarnsOfAnUnaskedComplete(t *testing.T) {
	for settings, warns := range map[string]bool{
		"{}":                   false,
		"{approve: [cutover]}": false,
		"{approve: []}":        true,
		"{approve: [], steps: [{name: sign_off, before: complete, approve: {}}]}": false,
	} {
		cfg, err := config.Parse(filepath.Join(t.TempDir(), "strangler.yaml"), []byte(`
legacy: {url: http://127.0.0.1:1, database: "sqlite:shop.db"}
capabilities:
  a:
    routes: [/a]
    service: {url: http://127.0.0.1:1, database: "sqlite:a.db"}
    tables: [couriers, actions]
    playbook: `+settings+"\n"), func(string) (string, bool) { return "", false })
		must(t, err)
		found, err := daemon.Check(t.Context(), cfg)
		must(t, err)
		warned := slices.ContainsFunc(found, func(f daemon.Finding) bool {
			return f.Warning && !f.Missing && len(f.Next) > 0 && strings.Contains(f.Message, "complete will drop what moves of couriers, actions from the legacy database")
		})
		if warned != warns {
			t.Errorf("playbook: %s: warned %t of %+v", settings, warned, found)
		}
	}
}

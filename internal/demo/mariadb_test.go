package demo

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/invariant"
)

// mariadbOf reads the demo's strangler.yaml on MariaDB as a daemon would, with the environment that it gets.
func mariadbOf(t *testing.T) (data *databases, files *folder, read *config.Config, password string) {
	t.Helper()
	data, files = databasesOf(t, string(invariant.MySQL))
	content, err := os.ReadFile(files.path(mysqlPassword))
	if err != nil {
		t.Fatal(err)
	}
	if err := files.write("strangler.yaml", yaml(addresses{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"}, data)); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"STRANGLER_TOKEN": strings.Repeat("t", 32)}
	for _, variable := range data.env {
		name, value, _ := strings.Cut(variable, "=")
		environment[name] = value
	}
	read, err = config.Load(filepath.Join(files.dir, "strangler.yaml"), func(name string) (string, bool) { v, ok := environment[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return data, files, read, string(content)
}

// The users are those of a team, and the control store has a database of its own.
func TestUsersOfTheDemo(t *testing.T) {
	data, _, read, _ := mariadbOf(t)
	store, err := control.Open(t.Context(), control.Config{DSN: read.Control})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	for dsn, want := range map[string][]string{
		data.shop:            {"delivery no", "shop yes"},
		data.deliveries:      {"delivery yes", "shop no"},
		read.Legacy.Database: {"delivery yes", "shop yes"},
	} {
		db, _, err := invariant.Open(dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var got []string
		for _, database := range []string{"delivery", "shop"} {
			answer := " no"
			if _, err := db.Exec("CREATE TABLE " + database + ".mine (id int PRIMARY KEY)"); err == nil {
				answer = " yes"
				if _, err := db.Exec("DROP TABLE " + database + ".mine"); err != nil {
					t.Error(err)
				}
			}
			got = append(got, database+answer)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", config.Redact(dsn), diff)
		}
		for query, want := range map[string][]string{"SELECT @@innodb_flush_log_at_trx_commit": {"1"}, "SELECT @@sync_binlog": {"1"}} {
			if diff := cmp.Diff(want, texts(t, db, query)); diff != "" {
				t.Errorf("%s: %s", query, diff)
			}
		}
	}
}

// No password stands where others look: in strangler.yaml, on a command line, in what a person is shown.
func TestThePasswordOfTheDemoOnMariaDBIsInOneFile(t *testing.T) {
	data, files, read, password := mariadbOf(t)
	for what, text := range map[string]string{
		"strangler.yaml": yaml(addresses{}, data), "command lines": data.monolith + data.delivery, "the tour": data.exports + data.tour,
	} {
		if len(password) < 20 || strings.Contains(text, password) {
			t.Errorf("%s: the password is shown, or is none", what)
		}
	}
	if info, err := os.Stat(files.path(mysqlPassword)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", err, info)
	}
	for _, dsn := range []string{read.Control, read.Legacy.Database, read.Capabilities[0].Service.Database, data.shop, data.deliveries} {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if has, _ := u.User.Password(); has != password {
			t.Errorf("%s has another password", config.Redact(dsn))
		}
	}
}

package daemon_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/daemon"
)

// TestIdentitiesThatChange: check asks the monolith as a visitor who comes back does, and warns where he is another one each time.
func TestIdentitiesThatChange(t *testing.T) {
	var n atomic.Int64
	for name, c := range map[string]struct {
		header  string
		answer  func(w http.ResponseWriter, r *http.Request)
		warning bool
		says    string
	}{
		"a session that is encrypted anew": {"Cookie", func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: fmt.Sprint(n.Add(1))})
		}, true, "2 of 2 answers changed a cookie"},
		"a session that a login renews": {"Cookie", func(w http.ResponseWriter, r *http.Request) {
			if c, err := r.Cookie("session"); err != nil || c.Value == "1" {
				http.SetCookie(w, &http.Cookie{Name: "session", Value: map[bool]string{true: "1", false: "2"}[err != nil]})
			}
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		}, false, "leaves a visitor the Cookie"},
		"a token that every answer replaces": {"Access-Token", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Token", fmt.Sprint(n.Add(1)))
		}, true, "2 of 2 answers gave the client another Access-Token"},
		"nothing before a login": {"Cookie", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, false, "strangler toggle get delivery"},
	} {
		t.Run(name, func(t *testing.T) {
			legacy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/": // whether it answers at all
				case "/couriers":
					c.answer(w, r)
				default:
					t.Errorf("check asked for %s %s", r.Method, r.URL.Path)
				}
			}))
			defer legacy.Close()
			found := checked(t, "legacy: {url: "+legacy.URL+"}\ncapabilities:\n  delivery:\n    routes: [POST /couriers, \"GET /couriers/{id}\", GET /couriers]\n    service: {url: "+legacy.URL+"}\n    identity: {header: "+strings.ToLower(c.header)+"}\n")
			var said []daemon.Finding
			for _, f := range found {
				if f.Check == "identity" {
					said = append(said, f)
				}
			}
			if len(said) != 1 || said[0].Warning != c.warning || said[0].Missing || !strings.Contains(said[0].Message, c.says) || c.warning != (len(said[0].Next) > 0) {
				t.Errorf("check says %+v", said)
			}
		})
	}
}

// checked is what check says of a configuration.
func checked(t *testing.T, yaml string) []daemon.Finding {
	t.Helper()
	file := filepath.Join(t.TempDir(), "strangler.yaml")
	must(t, os.WriteFile(file, []byte(yaml), 0o600))
	cfg, err := config.Load(file, func(string) (string, bool) { return "", false })
	must(t, err)
	found, err := daemon.Check(t.Context(), cfg)
	must(t, err)
	return found
}

package localdbtest

import (
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler/internal/localdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(Main(m)) }

func TestDatabaseEndsWithItsTest(t *testing.T) {
	for name, at := range map[string]struct {
		shared   func(testing.TB) *localdb.Server
		fresh    func(testing.TB) string
		database func(testing.TB, string) string
		current  string
	}{
		"postgres": {Shared, Fresh, Database, "SELECT current_database()"},
		"mariadb":  {SharedMariaDB, FreshMariaDB, DatabaseMariaDB, "SELECT database()"},
	} {
		t.Run(name, func(t *testing.T) {
			server := at.shared(t)
			if err := server.Role(t.Context(), "app"); err != nil {
				t.Fatal(err)
			}
			type way struct{ role, database string }
			var ways []way
			seen := map[string]bool{}
			look := func(w way) error {
				db, err := server.Pool(w.role, w.database)
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = db.Close() })
				var name string
				if err := db.QueryRowContext(t.Context(), at.current).Scan(&name); err != nil {
					return err
				}
				if name != w.database || seen[name] {
					t.Errorf("%s is used instead of %s, or twice", name, w.database)
				}
				seen[name] = true
				return nil // the session stays, and does not keep the database
			}
			t.Run("tests", func(t *testing.T) {
				fresh, err := url.Parse(at.fresh(t))
				if err != nil || fresh.Host != server.Addr() {
					t.Fatalf("the DSN of another server: %v, %v", fresh, err)
				}
				ways = []way{{"", strings.TrimPrefix(fresh.Path, "/")}, {"", at.database(t, "")}, {"app", at.database(t, "app")}}
				for _, w := range ways {
					if err := look(w); err != nil {
						t.Error(err)
					}
				}
			})
			clear(seen)
			for _, w := range ways {
				if err := look(w); err == nil {
					t.Errorf("the database %s outlives its test", w.database)
				}
			}
		})
	}
}

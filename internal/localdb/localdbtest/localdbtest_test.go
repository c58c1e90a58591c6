package localdbtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(Main(m)) }

func TestDatabaseEndsWithItsTest(t *testing.T) {
	if err := Shared(t).Role(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	look := func(t *testing.T, dsn string) error {
		db, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			return err
		}
		var name string
		if err := db.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
			t.Error(err)
		}
		if seen[name] {
			t.Errorf("%s is used twice", name)
		}
		seen[name] = true
		return nil // the session stays, and does not keep the database
	}
	var fresh, owned string
	t.Run("tests", func(t *testing.T) {
		fresh, owned = Fresh(t), Shared(t).As("app", Database(t, "app"))
		for _, dsn := range []string{fresh, owned} {
			if err := look(t, dsn); err != nil {
				t.Error(err)
			}
		}
	})
	for _, dsn := range []string{fresh, owned} {
		if err := look(t, dsn); err == nil {
			t.Errorf("the database outlives its test")
		}
	}
}

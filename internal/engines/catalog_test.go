package engines

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/migrations"
)

// Every kind of database tells of its tables and foreign keys, keys of several columns included, under whatever names; not of
// views, and not of what is Strangler's own.
func TestCatalog(t *testing.T) {
	for _, s := range sides {
		t.Run(s.scheme, func(t *testing.T) {
			dsn := s.fresh(t)
			db := s.session(t, s.root, dsn)
			for _, q := range []string{
				"CREATE TABLE orders (id INTEGER NOT NULL, shop INTEGER NOT NULL, PRIMARY KEY (shop, id))",
				`CREATE TABLE "order Lines; '" (id INTEGER NOT NULL PRIMARY KEY, the_order INTEGER, shop INTEGER, CONSTRAINT lines_order FOREIGN KEY (shop, the_order) REFERENCES orders (shop, id) ON DELETE CASCADE)`,
				"CREATE TABLE strangler_log_orders (id INTEGER NOT NULL PRIMARY KEY)",
				"CREATE VIEW seen AS SELECT id FROM orders",
			} {
				exec(t, db, q)
			}
			want := migrations.Catalog{
				Tables: []string{"order Lines; '", "orders"},
				Keys: []migrations.ForeignKey{{Table: "order Lines; '", Columns: []string{"shop", "the_order"}, Parent: "orders",
					Targets: []string{"shop", "id"}, OnDelete: "CASCADE"}},
			}
			if s.scheme == "postgres" {
				exec(t, db, `CREATE SCHEMA "bil.ling"`)
				exec(t, db, `CREATE TABLE "bil.ling".bills (id INTEGER NOT NULL PRIMARY KEY) PARTITION BY RANGE (id)`)
				exec(t, db, `CREATE TABLE "bil.ling".bills_1 PARTITION OF "bil.ling".bills FOR VALUES FROM (1) TO (9)`)
				want.Tables = append([]string{`"bil.ling".bills`}, want.Tables...)
			}
			got, err := Catalog(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCatalogOfADatabaseThatCannotBeReached(t *testing.T) {
	_, err := Catalog(t.Context(), "postgres://u:hunter2@127.0.0.1:1/d")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "the legacy database of the monolith cannot be reached") {
		t.Errorf("%v", err)
	}
}

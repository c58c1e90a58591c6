package migrations_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

func TestWrittenBy(t *testing.T) {
	for text, want := range map[string]bool{
		"INSERT INTO couriers VALUES (1)":                        true,
		"insert ignore into `couriers` set a = 1":                true,
		"BEGIN UPDATE shop.couriers SET a = 1; END":              true,
		`UPDATE ONLY "public"."couriers" AS c SET a = 1`:         true,
		"DELETE\n  FROM couriers\n WHERE id = OLD.id":            true,
		"TRUNCATE couriers":                                      true,
		"INSERT OR REPLACE INTO couriers VALUES (1)":             true,
		"REPLACE INTO couriers VALUES (1)":                       true,
		"MERGE INTO couriers USING x ON true":                    true,
		"COPY couriers FROM '/tmp/x'":                            true,
		"SELECT * FROM couriers":                                 false,
		"INSERT INTO couriers_archive SELECT * FROM couriers":    false,
		"INSERT INTO archive SELECT * FROM couriers":             false,
		"UPDATE orders SET courier = (SELECT 1 FROM couriers)":   false,
		"DELETE FROM orders USING couriers WHERE true":           false,
		"INSERT INTO old_couriers VALUES (1)":                    false,
		"UPDATE couriers$old SET a = 1":                          false,
		"EXECUTE 'UPDATE ' || quote_ident('couriers') || ' SET'": false,
	} {
		if got := migrations.WrittenBy(text, "couriers"); got != want {
			t.Errorf("%q writes couriers: %v", text, got)
		}
	}
}

// TestBeside: writers are put together by user and application, the one with the most is taken for the monolith, and there are never
// more findings than a person reads.
func TestBeside(t *testing.T) {
	found := migrations.Beside("delivery", []strangler.Writer{
		{User: "shop", Application: "rails", Address: "10.0.0.1", Writes: 3}, {User: "batch", Application: "", Writes: 5},
		{User: "shop", Application: "rails", Address: "10.0.0.2", Writes: 4},
	}, true)
	if len(found) != 2 || !found[0].Fine || !strings.Contains(found[0].What, `"rails" as the user shop, from 10.0.0.1, 10.0.0.2, has written the tables 7 times`) {
		t.Fatalf("%+v", found)
	}
	if f := found[1]; f.Fine || f.Forbids || len(f.Next) == 0 || !strings.Contains(f.What, "the user batch, from an address that is not to be seen,") {
		t.Errorf("%+v", f)
	}
	var many []strangler.Writer
	for i := range 100 {
		many = append(many, strangler.Writer{User: fmt.Sprintf("u%02d", i), Writes: 1})
	}
	found = migrations.Beside("delivery", many, false)
	if last := found[len(found)-1]; len(found) != 21 || !strings.Contains(last.What, "80 more users") || len(last.Next) == 0 {
		t.Errorf("%d findings, the last %+v", len(found), last)
	}
	if found := migrations.Beside("delivery", nil, false); len(found) > 0 {
		t.Errorf("of nobody: %+v", found)
	}
}

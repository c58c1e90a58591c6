package postgres_test

import (
	"context"
	"database/sql"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// TestOneHugeTransaction makes and changes more rows in one transaction than keys are held in memory, among them keys that
// become others which are written differently and are equal: each row arrives once, as it stands.
func TestOneHugeTransaction(t *testing.T) {
	p := enginetest.Armed(t, decoding{}, []string{
		"CREATE TABLE many (id integer PRIMARY KEY, v integer NOT NULL)",
		"CREATE TABLE prices (n numeric PRIMARY KEY, v integer NOT NULL)",
		"CREATE COLLATION careless (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false)",
		"CREATE TABLE words (w text COLLATE careless PRIMARY KEY, v integer NOT NULL)",
	}, "many", "prices", "words")
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	sum := func(db *sql.DB) []string {
		t.Helper()
		return query(t, db, `SELECT concat_ws(' ', 'many', count(*), sum(id::bigint * (v + 1))) FROM many
			UNION ALL SELECT concat_ws(' ', 'prices', count(*), sum(hashtext(n::text)::bigint * (v + 1))) FROM prices
			UNION ALL SELECT concat_ws(' ', 'words', count(*), sum(hashtext(w COLLATE "C")::bigint * (v + 1))) FROM words ORDER BY 1`)
	}
	for _, change := range [][]string{
		{"INSERT INTO many SELECT i, 0 FROM generate_series(1, 120000) AS i", "INSERT INTO prices SELECT i, 0 FROM generate_series(1, 12000) AS i", "INSERT INTO words SELECT 'w' || i, 0 FROM generate_series(1, 12000) AS i"},
		{"UPDATE many SET v = id % 1000", "UPDATE prices SET n = n * 1.00, v = 1", "UPDATE words SET w = upper(w), v = 2"},
		{"DELETE FROM many WHERE id % 3 = 0", "UPDATE prices SET n = n + 6000.5", "DELETE FROM words"},
	} {
		tx, err := p.App.BeginTx(context.Background(), nil)
		must(t, err)
		for _, q := range change {
			_, err := tx.Exec(q)
			must(t, err)
		}
		must(t, tx.Commit())
		p.Sync()
		if diff := cmp.Diff(sum(p.App), sum(p.Served)); diff != "" {
			t.Fatalf("behind %q:\n%s", change, diff)
		}
	}
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%d files are left in %s", len(left), dir)
	}
}

package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// days are tables with days that another kind of database has not: they are NULL there, the plan reports them, and rows that the
// service leaves alone keep them.
var days = []struct {
	name           string
	pair           [2]*kind
	make, report   []string
	service0, back []string
}{
	{
		name: "mysql to postgres", pair: [2]*kind{mysql, postgres},
		make: []string{"SET SESSION sql_mode = ''",
			"CREATE TABLE visits (id BIGINT NOT NULL PRIMARY KEY, seen DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00', due DATE, note VARCHAR(10))",
			"INSERT INTO visits VALUES (1, '2024-02-29 12:00:00', '2024-02-29', 'a'), (2, DEFAULT, '0000-00-00', 'b'), (3, DEFAULT, '2024-00-00', 'c'), (4, DEFAULT, NULL, 'd')"},
		report:   []string{"3 rows of visits have no day in seen (0000-00-00): NULL at the service, and 0000-00-00 again", "2 rows of visits have a day of no calendar in due"},
		service0: []string{`due 2024-02-29 | id 1 | note "a" | seen 2024-02-29 12:00:00`, `due ∅ | id 2 | note "b" | seen ∅`, `due ∅ | id 3 | note "c" | seen ∅`, `due ∅ | id 4 | note "d" | seen ∅`},
		back:     []string{`due 0000-00-00 | id 2 | note "b" | seen 0000-00-00`, `due 2024-02-29 | id 1 | note "a" | seen 0000-00-00`, `due ∅ | id 3 | note "x" | seen 0000-00-00`, `due ∅ | id 4 | note "x" | seen 0000-00-00`},
	},
	{
		name: "mysql to sqlite", pair: [2]*kind{mysql, sqlite},
		make: []string{"SET SESSION sql_mode = ''",
			"CREATE TABLE visits (id BIGINT NOT NULL PRIMARY KEY, seen DATE NOT NULL DEFAULT '0000-00-00', due DATE, note VARCHAR(10))",
			"INSERT INTO visits VALUES (1, '2024-02-29', NULL, 'a'), (2, DEFAULT, '0000-00-00', 'b'), (3, '2024-00-00', NULL, 'c'), (4, DEFAULT, NULL, 'd')"},
		report:   []string{"3 rows of visits have a day of no calendar in seen", "1 rows of visits have a day of no calendar in due"},
		service0: []string{`due ∅ | id 1 | note "a" | seen 2024-02-29`, `due ∅ | id 2 | note "b" | seen ∅`, `due ∅ | id 3 | note "c" | seen ∅`, `due ∅ | id 4 | note "d" | seen ∅`},
		back:     []string{`due 0000-00-00 | id 2 | note "b" | seen 0000-00-00`, `due ∅ | id 1 | note "a" | seen 0000-00-00`, `due ∅ | id 3 | note "x" | seen 0000-00-00`, `due ∅ | id 4 | note "x" | seen 0000-00-00`},
	},
	{
		name: "postgres to mysql", pair: [2]*kind{postgres, mysql},
		make: []string{
			"CREATE TABLE visits (id BIGINT NOT NULL PRIMARY KEY, seen TIMESTAMPTZ, due DATE, note VARCHAR(10))",
			"INSERT INTO visits VALUES (1, '2024-02-29 12:00:00Z', '2024-02-29', 'a'), (2, '-infinity', 'infinity', 'b'), (3, 'infinity', NULL, 'c'), (4, NULL, 'infinity', 'd')"},
		report:   []string{"2 rows of visits have an infinite day in seen", "2 rows of visits have an infinite day in due"},
		service0: []string{`due 2024-02-29 | id 1 | note "a" | seen 2024-02-29 12:00:00`, `due ∅ | id 2 | note "b" | seen ∅`, `due ∅ | id 3 | note "c" | seen ∅`, `due ∅ | id 4 | note "d" | seen ∅`},
		back:     []string{`due 2024-02-29 | id 1 | note "a" | seen ∅`, `due infinity | id 2 | note "b" | seen -infinity`, `due ∅ | id 3 | note "x" | seen ∅`, `due ∅ | id 4 | note "x" | seen ∅`},
	},
}

func TestDaysThatTheOtherSideHasNot(t *testing.T) {
	for _, d := range days {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			ctx, p := t.Context(), between(t, d.pair)
			old := p.open(t, p.shopDSN)
			old.SetMaxOpenConns(1) // settings are the session's
			for _, q := range d.make {
				run(t, old, q)
			}
			fresh := d.pair[1].open(t, p.deliveryDSN)
			c := p.capability("visits", strangler.Table{From: "visits", To: "visits"})
			made, _, err := plan(t, c)
			must(t, err)
			for _, report := range d.report {
				if notes := made.Notes.String(); !strings.Contains(notes, report) {
					t.Errorf("the plan does not say %q:\n%s", report, notes)
				}
			}

			splits := startSplits(t, p, c)
			must(t, splits.Copy(ctx, c.Name))
			awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
			if diff := cmp.Diff(d.service0, enginetest.Plain(t, fresh, "visits")); diff != "" {
				t.Errorf("at the service:\n%s", diff)
			}
			verified(t, splits, c, 4)
			_, err = splits.Cutover(ctx, c.Name, "test", "days")
			must(t, err)
			run(t, fresh, "UPDATE visits SET note = 'x' WHERE id > 2")
			run(t, fresh, "UPDATE visits SET seen = NULL WHERE id = 1")
			awaitCaughtUp(t, splits, c.Name)
			verified(t, splits, c, 4)
			_, err = splits.Rollback(ctx, c.Name, "test", "days")
			must(t, err)
			if diff := cmp.Diff(d.back, enginetest.Plain(t, old, "visits")); diff != "" {
				t.Errorf("back at the monolith:\n%s", diff)
			}
			verified(t, splits, c, 4)
			must(t, splits.Cancel(ctx, c.Name))
		})
	}
}

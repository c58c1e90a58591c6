package postgres_test

import (
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// TestTruncateEmptiesTheFollower takes the table away as a whole, puts other rows in, and has both in one batch,
// forward and back.
func TestTruncateEmptiesTheFollower(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	p.Exec(p.App, "UPDATE actions SET what = 'soon gone'")
	p.Exec(p.App, "TRUNCATE actions")
	p.Exec(p.App, "INSERT INTO actions (courier, at, what) VALUES (1, 1, 'again'), (2, 9, 'new')")
	p.Sync()
	p.Alike()
	p.CutOver()
	p.Refused(p.App, "TRUNCATE actions")
	p.Refused(p.App, "TRUNCATE couriers CASCADE")
	p.Exec(p.Served, "TRUNCATE couriers CASCADE")
	p.Exec(p.Served, "INSERT INTO couriers (id, name) VALUES (1, 'alone')")
	p.Sync()
	p.Alike()
}

// TestTruncateThatIsRolledBack leaves the follower alone.
func TestTruncateThatIsRolledBack(t *testing.T) {
	p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	p.Exec(p.App, "BEGIN; TRUNCATE actions; ROLLBACK")
	if n := p.Pending(); n != 0 {
		t.Errorf("%d changes were recorded", n)
	}
	p.Alike()
}

var visits = []string{
	"CREATE TABLE visits (id integer, day integer, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
	"CREATE TABLE visits_early PARTITION OF visits FOR VALUES FROM (0) TO (10)",
	"CREATE TABLE visits_late PARTITION OF visits FOR VALUES FROM (10) TO (20) PARTITION BY LIST (day)",
	"CREATE TABLE visits_late_rest PARTITION OF visits_late DEFAULT",
	"INSERT INTO visits VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 11, 'c')",
}

// TestPartitions writes through the table and straight into its partitions, moves rows between them, and empties
// one of them.
func TestPartitions(t *testing.T) {
	p := enginetest.Armed(t, lab{}, visits, "visits")
	for _, q := range []string{
		"INSERT INTO visits VALUES (4, 4, 'd')", "INSERT INTO visits_late_rest VALUES (5, 15, 'e')",
		"UPDATE visits SET day = 12 WHERE id = 1", "DELETE FROM visits_early WHERE id = 2", "TRUNCATE visits_late",
		"INSERT INTO visits VALUES (6, 16, 'f')",
	} {
		p.Exec(p.App, q)
		p.Sync()
		p.Alike()
	}
	p.CutOver()
	for _, q := range []string{
		"INSERT INTO visits VALUES (7, 7, 'x')", "INSERT INTO visits_late_rest VALUES (8, 18, 'x')", "UPDATE visits_early SET note = 'x'",
		"DELETE FROM visits_late", "TRUNCATE visits_late_rest", "TRUNCATE visits",
	} {
		p.Refused(p.App, q)
	}
	p.Exec(p.Served, "INSERT INTO visits VALUES (9, 9, 'served')")
	p.Exec(p.Served, "TRUNCATE visits_late_rest")
	p.Sync()
	p.Alike()
}

// TestPartitionThatComesLater has no fence: the stream stops before it is relied on, and goes on once the fence
// is put back, there too.
func TestPartitionThatComesLater(t *testing.T) {
	p := enginetest.Armed(t, lab{}, visits, "visits")
	for _, db := range []string{p.LegacyDSN, p.ServiceDSN} {
		p.Exec(lab{}.Connect(t, db), "CREATE TABLE visits_more PARTITION OF visits FOR VALUES FROM (20) TO (30)")
	}
	p.Exec(p.App, "INSERT INTO visits VALUES (1, 25, 'new month')")
	_, err := p.Step()
	p.Wants(err, strangler.ErrStopped)
	for _, d := range []migrations.Database{p.Legacy, p.Service} {
		if mended, err := d.Mend(t.Context()); err != nil || !mended {
			t.Fatalf("mended %v, %v", mended, err)
		}
	}
	p.Sync()
	p.Exec(p.App, "TRUNCATE visits_more")
	p.Exec(p.App, "INSERT INTO visits_more VALUES (2, 26, 'straight in')")
	p.Sync()
	p.Alike()
	p.CutOver()
	p.Refused(p.App, "INSERT INTO visits_more VALUES (3, 27, 'late')")
	p.Refused(p.App, "TRUNCATE visits_more")
}

package postgres_test

import (
	"cmp"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// A fence that somebody has switched is noticed at either side, and put back.
func TestFenceSwitchedBehindItsBack(t *testing.T) {
	const write = "UPDATE couriers SET name = name"
	cases := []struct {
		name      string
		side      strangler.Side // legacy's is open, the service's closed
		statement string
	}{
		{"closed, disabled", strangler.Service, "DISABLE TRIGGER " + fence},
		{"closed, disabled with all others", strangler.Service, "DISABLE TRIGGER ALL"},
		{"closed, disabled with those of users", strangler.Service, "DISABLE TRIGGER USER"},
		{"closed, enabled but for replicas", strangler.Service, "ENABLE TRIGGER " + fence},
		{"closed, enabled but for replicas, with all others", strangler.Service, "ENABLE TRIGGER ALL"},
		{"closed, enabled for replicas alone", strangler.Service, "ENABLE REPLICA TRIGGER " + fence},
		{"open, enabled", strangler.Legacy, "ENABLE TRIGGER " + fence},
		{"open, enabled for replicas alone", strangler.Legacy, "ENABLE REPLICA TRIGGER " + fence},
		{"open, enabled always", strangler.Legacy, "ENABLE ALWAYS TRIGGER " + fence},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := enginetest.Armed(t, lab{}, enginetest.Couriers, enginetest.Moved...)
			p.Exec(p.App, write)
			p.Exec(p.Admin(c.side), "ALTER TABLE couriers "+c.statement)
			_, err := p.Step()
			p.Wants(err, strangler.ErrStopped)
			if mended, err := p.Side(c.side).Mend(t.Context()); err != nil || !mended {
				t.Fatalf("mended %v, %v", mended, err)
			}
			p.Exec(p.App, write)
			p.Sync()
			p.Alike()
			p.Refused(p.Served, write)
			replica := p.Admin(strangler.Service)
			p.Exec(replica, "SET session_replication_role = replica")
			p.Refused(replica, write)
			p.Refused(replica, "TRUNCATE couriers CASCADE")
		})
	}
}

// A key that changes into one that is equal to it, and another text, arrives as it is.
func TestKeyThatBecomesAnEqualOne(t *testing.T) {
	cases := []struct{ name, before, column, from, to string }{
		{"text without case", "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)", "text COLLATE loose", "'a'", "'A'"},
		{"citext", "CREATE EXTENSION citext", "citext", "'a'", "'A'"},
		{"numeric", "", "numeric", "1.0", "1.000"},
		{"zero", "", "double precision", "0", "'-0'"},
		{"interval", "", "interval", "'1 mon'", "'30 days'"},
		{"documents", "", "jsonb", "'1.0'", "'1.00'"},
		{"arrays", "", "numeric[]", "'{1.0}'", "'{1.00}'"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ddl := []string{cmp.Or(c.before, "SELECT 1"), "CREATE TABLE x (k " + c.column + " PRIMARY KEY, v integer)", "INSERT INTO x VALUES (" + c.from + ", 1)"}
			p := enginetest.Armed(t, lab{}, ddl, "x")
			p.Exec(p.App, "UPDATE x SET k = "+c.to)
			p.Sync()
			p.Alike()
			p.Exec(p.App, "UPDATE x SET k = "+c.from+", v = 2")
			p.Exec(p.App, "UPDATE x SET v = 3")
			p.Sync()
			p.Alike()
			p.CutOver()
			p.Exec(p.Served, "UPDATE x SET k = "+c.to)
			p.Exec(p.Served, "DELETE FROM x")
			p.Exec(p.Served, "INSERT INTO x VALUES ("+c.to+", 4)")
			p.Sync()
			p.Alike()
		})
	}
}

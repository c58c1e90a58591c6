package mysql_test

import (
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

func examine(t *testing.T, dsn string) []migrations.Finding {
	t.Helper()
	d, err := lab{}.Open(t.Context(), migrations.Binding{Capability: "delivery", Side: strangler.Legacy, DSN: dsn, Tables: enginetest.Moved, ControlID: "store-1"})
	must(t, err)
	defer func() { must(t, d.Close()) }()
	found, err := d.(migrations.Examiner).Examine(t.Context())
	must(t, err)
	return found
}

func forbidden(found []migrations.Finding, check string) (out []migrations.Finding) {
	for _, f := range found {
		if f.Forbids && (check == "" || f.Check == check) {
			out = append(out, f)
		}
	}
	return out
}

// TestGrantsAreEnough takes a user with nothing, gives it what the check asks for, and moves tables by it.
func TestGrantsAreEnough(t *testing.T) {
	l := lab{}
	dsn, serviceDSN := l.Fresh(t), l.Fresh(t)
	admin := l.Admin(t, dsn)
	exec(t, admin, "DROP USER IF EXISTS bare@'%'")
	exec(t, admin, "CREATE USER bare@'%' IDENTIFIED BY '"+password(t, dsn)+"'")
	t.Cleanup(func() { exec(t, l.Admin(t, dsn), "DROP USER IF EXISTS bare@'%'") })
	sides := []string{dsn, serviceDSN}
	for _, side := range sides {
		exec(t, admin, "GRANT SELECT ON "+database(side)+".* TO bare@'%'") // enough to come in
		missing := forbidden(examine(t, byUser(t, side, "bare")), "grant")
		if len(missing) != 1 || strings.Contains(missing[0].Next[0], "SELECT") {
			t.Fatalf("with nothing, the check asks for %+v", missing)
		}
		exec(t, admin, strings.ReplaceAll(missing[0].Next[0], "'…'", "'%'"))
		if left := forbidden(examine(t, byUser(t, side, "bare")), ""); len(left) > 0 {
			t.Fatalf("with all that was asked for, the check says %+v", left)
		}
	}
	p := enginetest.NewPair(t, fixed{l, []string{byUser(t, dsn, "bare"), byUser(t, serviceDSN, "bare")}, new(int)}, enginetest.Couriers, enginetest.Moved...)
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.CutOver()
	p.Exec(p.Served, "UPDATE couriers SET name = 'served'")
	p.CutOver()
	p.Alike()
	p.To(migrations.StageNone)
	must(t, p.Legacy.Sweep(t.Context()))
	must(t, p.Service.Sweep(t.Context()))
}

// fixed is a lab whose fresh databases are given.
type fixed struct {
	lab
	dsns []string
	next *int
}

func (f fixed) Fresh(*testing.T) string {
	*f.next++
	return f.dsns[*f.next-1]
}

func TestOthersWhoMayTruncateAreNamed(t *testing.T) {
	l := lab{}
	dsn := l.Fresh(t)
	exec(t, l.Admin(t, dsn), "GRANT SELECT ON mysql.db TO "+role+"@'%'")
	for _, f := range examine(t, dsn) {
		if f.Check == "truncate" && !strings.Contains(f.What, application) {
			t.Errorf("got %q", f.What)
		}
	}
}

// TestAReplicaIsRefused, also one that takes writes of others than its primary.
func TestAReplicaIsRefused(t *testing.T) {
	server, err := localdb.MariaDB(t.Context(), localdb.Config{Settings: map[string]string{"server_id": "7"}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	must(t, server.Create(t.Context(), "shop", ""))
	dsn := server.DSN("shop")
	admin := lab{}.Admin(t, dsn)
	exec(t, admin, "CREATE TABLE couriers (id INTEGER PRIMARY KEY)")
	if found := forbidden(examine(t, dsn), "server"); len(found) > 0 {
		t.Fatalf("of a server of its own: %+v", found)
	}
	exec(t, admin, "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'nobody'")
	exec(t, admin, "START SLAVE")
	found := forbidden(examine(t, dsn), "server")
	if len(found) != 1 || !strings.Contains(found[0].What, "leads to a replica") || len(found[0].Next) == 0 {
		t.Errorf("of a replica: %+v", found)
	}
	exec(t, admin, "STOP SLAVE")
	exec(t, admin, "SET GLOBAL read_only = ON")
	if found := forbidden(examine(t, dsn), "server"); len(found) != 1 || !strings.Contains(found[0].What, "read only") {
		t.Errorf("of a server that is read only: %+v", found)
	}
}

package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// providers are roles by which managed servers are known, and who there comes nearest to a superuser.
var providers = []struct{ name, role string }{
	{"Amazon RDS or Aurora", "rds_superuser"}, {"Google Cloud SQL", "cloudsqlsuperuser"}, {"AlloyDB", "alloydbsuperuser"}, {"Azure Database", "azure_pg_admin"}, {"Neon", "neon_superuser"}, {"Supabase", "supabase_admin"}, {"DigitalOcean", "doadmin"}, {"Aiven", "avnadmin"},
}

// replica tries the one setting without which applied rows would fire triggers and foreign keys. A managed
// server has no superuser who could grant it.
func (r *rights) replica(ctx context.Context) error {
	phase, why := toCopy, "to apply rows without firing the tables' triggers and foreign keys a second time"
	if r.d.b.Side == strangler.Legacy {
		phase = toCutOver // until then it does not follow
	}
	has, err := r.d.maySetReplica(ctx)
	if err != nil {
		return err
	}
	var version int
	var known []string
	names := make([]string, len(providers))
	for i, p := range providers {
		names[i] = p.role
	}
	err = r.q.QueryRow(ctx, "SELECT current_setting('server_version_num')::integer, ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1::text[]))", names).Scan(&version, &known)
	if err != nil {
		return err
	}
	statement := "GRANT SET ON PARAMETER session_replication_role TO " + r.me
	if version < 150000 {
		statement = "ALTER ROLE " + r.me + " SUPERUSER" // before 15 the setting cannot be granted
	}
	if has || len(known) == 0 {
		r.say(phase, statement, why, has)
		return nil
	}
	f := migrations.Finding{Phase: phase, Check: "managed", Forbids: true, What: statement + ": missing, " + why + "; this is a managed server without a superuser"}
	if version >= 150000 {
		f.Next = append(f.Next, "as the server's administrator: "+statement)
	}
	for _, p := range providers {
		for _, role := range known {
			if p.role == role {
				f.Next = append(f.Next, fmt.Sprintf("where %s lets its administrators set it (try: SET session_replication_role = replica): GRANT %s TO %s", p.name, role, r.me))
			}
		}
	}
	f.Next = append(f.Next, "where the provider lets nobody set it, move the database to a server that does")
	r.add(f)
	return nil
}

// maySetReplica asks by doing it, in a transaction that is rolled back.
func (d *Database) maySetReplica(ctx context.Context) (may bool, err error) {
	err = pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('session_replication_role', 'replica', true)"); err != nil {
			return err
		}
		may = true
		return errTried
	})
	if errors.Is(err, errTried) || code(err) == "42501" { // insufficient_privilege
		err = nil
	}
	return may, err
}

var errTried = errors.New("tried")

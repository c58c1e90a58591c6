package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

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
	statement := replicaRight(version, r.me)
	if has || len(known) == 0 {
		r.say(phase, statement, why, has)
		return nil
	}
	f := migrations.Finding{Phase: phase, Check: "managed", Forbids: true, What: statement + ": missing, " + why + "; this is a managed server without a superuser"}
	if version >= grantable {
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

// grantable is the first version that lets a setting be granted.
const grantable = 150000

// replicaRight is the statement that lets a role, quoted, set session_replication_role.
func replicaRight(version int, role string) string {
	if version < grantable {
		return "ALTER ROLE " + role + " SUPERUSER"
	}
	return "GRANT SET ON PARAMETER session_replication_role TO " + role
}

// replicaRefused says what is to be done where the role may not. name is the server's version as it says it itself, as in
// "13.14 (Debian 13.14-1)": the transaction that found out takes no more questions.
func (d *Database) replicaRefused(name string) error {
	version := grantable
	if major, err := strconv.Atoi(strings.TrimRight(name[:min(len(name), 2)], ".")); err == nil {
		version = major * 10000
	}
	return strangler.Refuse("rights", fmt.Sprintf("%s may not set session_replication_role in the %s database, and a follower's own triggers would act twice", d.role, d.b.Side),
		replicaRight(version, ident(d.role)))
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

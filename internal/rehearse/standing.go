package rehearse

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
)

// standing are the statements that drop what a database holds, in an order in which each can run.
type standing []string

// postgresStanding lists everything but what the server and its extensions have made. A slot comes first: it would keep the
// server's log for good.
const postgresStanding = `SELECT statement FROM (
	SELECT 1 AS step, format('SELECT pg_drop_replication_slot(%L)', slot_name) AS statement FROM pg_replication_slots WHERE database = current_database() AND slot_name LIKE 'strangler%'
	UNION ALL SELECT 2, format('DROP PUBLICATION IF EXISTS %I', pubname) FROM pg_publication
	UNION ALL SELECT CASE c.relkind WHEN 'S' THEN 4 ELSE 3 END, format('DROP %s IF EXISTS %I.%I CASCADE', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname)
		FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT c.relispartition AND ` + postgresOurs + `
		AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype IN ('e', 'i'))
	UNION ALL SELECT 5, format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure) FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
		WHERE ` + postgresOurs + ` AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i'))
	UNION ALL SELECT 6, format('DROP TYPE IF EXISTS %I.%I CASCADE', n.nspname, y.typname) FROM pg_type AS y JOIN pg_namespace AS n ON n.oid = y.typnamespace LEFT JOIN pg_class AS c ON c.oid = y.typrelid
		WHERE ` + postgresOurs + ` AND y.typtype IN ('e', 'd', 'c', 'r') AND coalesce(c.relkind, 'c') = 'c'
		AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_type'::regclass AND e.objid = y.oid AND e.deptype IN ('e', 'i'))
	UNION ALL SELECT 7, format('DROP COLLATION IF EXISTS %I.%I', n.nspname, c.collname) FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace WHERE ` + postgresOurs + `
	UNION ALL SELECT 8, format('DROP EXTENSION IF EXISTS %I', extname) FROM pg_extension
	UNION ALL SELECT 9, format('DROP SCHEMA IF EXISTS %I', n.nspname) FROM pg_namespace AS n WHERE ` + postgresOurs + `) AS x ORDER BY step, statement`

const postgresOurs = `n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'`

// standing says what would have to be dropped of a database. What stood there before the rehearsal is the same text again.
func (k kind) standing(ctx context.Context, db *sql.DB) (standing, error) {
	switch k {
	case postgresKind:
		return texts(ctx, db, postgresStanding)
	case mysqlKind:
		return texts(ctx, db, `SELECT CONCAT('DROP ', IF(table_type = 'VIEW', 'VIEW', IF(table_type = 'SEQUENCE', 'SEQUENCE', 'TABLE')), ' IF EXISTS ', CHAR(96), REPLACE(table_name, CHAR(96), REPEAT(CHAR(96), 2)), CHAR(96)) FROM information_schema.tables WHERE table_schema = DATABASE()
			UNION ALL SELECT CONCAT('DROP ', routine_type, ' IF EXISTS ', CHAR(96), REPLACE(routine_name, CHAR(96), REPEAT(CHAR(96), 2)), CHAR(96)) FROM information_schema.routines WHERE routine_schema = DATABASE()`)
	}
	return nil, nil // SQLite's copies are files of the rehearsal's own
}

// clear drops what stands there and did not before. With onlySlots, only what would do harm by staying.
func (k kind) clear(ctx context.Context, db *sql.DB, before standing, onlySlots bool) (err error) {
	now, err := k.standing(ctx, db)
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if k == mysqlKind {
		if _, err := conn.ExecContext(ctx, "SET SESSION foreign_key_checks = 0"); err != nil {
			return err
		}
	}
	for _, statement := range now {
		if slices.Contains(before, statement) || onlySlots && !strings.HasPrefix(statement, "SELECT pg_drop_replication_slot(") {
			continue
		}
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

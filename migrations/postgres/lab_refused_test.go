package postgres_test

import (
	"strings"

	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// refused are tables that cannot move, made by the application's role.
var refused = []enginetest.Refusal{
	refuse("partial unique index", "key", "CREATE TABLE x (a integer NOT NULL)", "CREATE UNIQUE INDEX x_a ON x (a) WHERE a > 0"),
	refuse("unique index on an expression", "key", "CREATE TABLE x (a text NOT NULL)", "CREATE UNIQUE INDEX x_a ON x (lower(a))"),
	refuse("unique index with a column that may be NULL", "key", "CREATE TABLE x (a integer NOT NULL, b integer, UNIQUE (a, b))"),
	refuse("unique NULLS NOT DISTINCT", "key", "CREATE TABLE x (a integer UNIQUE NULLS NOT DISTINCT)"),
	refuse("deferrable primary key", "key", "CREATE TABLE x (a integer PRIMARY KEY DEFERRABLE)"),
	refuse("deferrable unique constraint", "key", "CREATE TABLE x (a integer NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED)"),
	refuse("exclusion constraint", "key", "CREATE TABLE x (a int4range NOT NULL, EXCLUDE USING gist (a WITH =))"),
	refuse("generated key", "key", "CREATE TABLE x (a integer, b integer GENERATED ALWAYS AS (a + 1) STORED NOT NULL UNIQUE)"),
	refuse("unique index that compares otherwise than its column", "key", "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
		"CREATE TABLE x (a text COLLATE loose NOT NULL)", `CREATE UNIQUE INDEX x_a ON x (a COLLATE "C")`),
	refuse("materialized view", "table", "CREATE TABLE y (a integer PRIMARY KEY)", "CREATE MATERIALIZED VIEW x AS SELECT a FROM y", "CREATE UNIQUE INDEX x_a ON x (a)"),
	refuse("foreign table", "table", "CREATE FOREIGN TABLE x (a integer NOT NULL) SERVER nowhere"),
	refuse("sequence", "table", "CREATE SEQUENCE x"),
	refuse("child by inheritance", "table", "CREATE TABLE y (a integer)", "CREATE TABLE x (PRIMARY KEY (a)) INHERITS (y)"),
	refuse("parent by inheritance", "table", "CREATE TABLE x (a integer PRIMARY KEY)", "CREATE TABLE y () INHERITS (x)"),
	refuse("partition", "table", "CREATE TABLE y (a integer PRIMARY KEY) PARTITION BY RANGE (a)", "CREATE TABLE x PARTITION OF y DEFAULT"),
	refuse("unlogged partition", "table", "CREATE TABLE x (a integer PRIMARY KEY) PARTITION BY RANGE (a)", "CREATE UNLOGGED TABLE x_fast PARTITION OF x DEFAULT"),
	refuse("unlogged table", "table", "CREATE UNLOGGED TABLE x (a integer PRIMARY KEY)"),
	refuse("temporary table", "table", "CREATE TEMPORARY TABLE x (a integer PRIMARY KEY)"),
	refuse("table in another schema", "table", "CREATE SCHEMA side", "CREATE TABLE side.x (a integer PRIMARY KEY)"),
	refuse("rule", "rule", "CREATE TABLE x (a integer PRIMARY KEY)", "CREATE RULE quiet AS ON DELETE TO x DO INSTEAD NOTHING"),
	refuse("trigger that fires always", "trigger", "CREATE TABLE x (a integer PRIMARY KEY)", function, "CREATE TRIGGER mine AFTER INSERT ON x EXECUTE FUNCTION mine()", "ALTER TABLE x ENABLE ALWAYS TRIGGER mine"),
	refuse("trigger that fires for replicas", "trigger", "CREATE TABLE x (a integer PRIMARY KEY)", function, "CREATE TRIGGER mine AFTER INSERT ON x EXECUTE FUNCTION mine()", "ALTER TABLE x ENABLE REPLICA TRIGGER mine"),
	refuse("row level security that binds the owner", "rowsecurity", "CREATE TABLE x (a integer PRIMARY KEY)", "ALTER TABLE x ENABLE ROW LEVEL SECURITY", "ALTER TABLE x FORCE ROW LEVEL SECURITY", "CREATE POLICY none ON x USING (false)"),
	refuse("large object", "type", "CREATE TABLE x (a integer PRIMARY KEY, photo oid)"),
	refuse("name of an object of this database", "type", "CREATE TABLE x (a integer PRIMARY KEY, other regclass)"),
	refuse("array of numbers of objects", "type", "CREATE TABLE x (a integer PRIMARY KEY, photos oid[])"),
	refuse("row type of a table", "type", "CREATE TABLE y (b integer)", "CREATE TABLE x (a integer PRIMARY KEY, y y)"),
}

const function = "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"

func refuse(name, check string, create ...string) enginetest.Refusal {
	return enginetest.Refusal{Name: name, Check: check, Create: create, Table: "x"}
}

// The names of what stands on a table of the capability delivery.
const (
	fence    = "strangler_fence_delivery"
	capture  = "strangler_log_delivery"
	truncate = "strangler_truncate_delivery"
)

// tampers break an open fence, or the capture, and let the owner go on serving.
var tampers = []enginetest.Tamper{
	tamper("fence trigger dropped", true, "DROP TRIGGER IF EXISTS "+fence+" ON %s"),
	tamper("fence function dropped, with the triggers of all tables", true, "DROP FUNCTION IF EXISTS "+fence+"() CASCADE"),
	tamper("fence function replaced", true, "CREATE OR REPLACE FUNCTION "+fence+"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'"),
	tamper("fence function without its owner's rights", true, "ALTER FUNCTION "+fence+"() SECURITY INVOKER"),
	tamper("fence function with another search_path", true, "ALTER FUNCTION "+fence+"() SET search_path = public"),
	tamper("fence trigger with a condition", true, "DROP TRIGGER IF EXISTS "+fence+" ON %s; CREATE TRIGGER "+fence+" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s WHEN (1 = 0) EXECUTE FUNCTION "+fence+"(); ALTER TABLE %s DISABLE TRIGGER "+fence),
	tamper("fence trigger for fewer statements", true, "DROP TRIGGER IF EXISTS "+fence+" ON %s; CREATE TRIGGER "+fence+" BEFORE INSERT OR UPDATE OR DELETE ON %s EXECUTE FUNCTION "+fence+"(); ALTER TABLE %s DISABLE TRIGGER "+fence),
	tamper("fence trigger with a function of somebody else's", true, "CREATE OR REPLACE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; DROP TRIGGER IF EXISTS "+fence+
		" ON %s; CREATE TRIGGER "+fence+" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s EXECUTE FUNCTION other(); ALTER TABLE %s DISABLE TRIGGER "+fence),
	tamper("capture trigger dropped", false, "DROP TRIGGER IF EXISTS "+capture+" ON %s"),
	tamper("capture trigger disabled", false, "ALTER TABLE %s DISABLE TRIGGER "+capture),
	tamper("all triggers of users disabled", false, "ALTER TABLE %s DISABLE TRIGGER USER"),
	tamper("all triggers disabled", false, "ALTER TABLE %s DISABLE TRIGGER ALL"),
	tamper("capture trigger enabled for all but replicas", false, "ALTER TABLE %s ENABLE TRIGGER "+capture),
	tamper("capture trigger for fewer columns", false, "DROP TRIGGER IF EXISTS "+capture+" ON %s; CREATE TRIGGER "+capture+" AFTER INSERT OR UPDATE OF name OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION strangler_log_%s(); ALTER TABLE %s ENABLE ALWAYS TRIGGER "+capture),
	tamper("capture function replaced", false, "CREATE OR REPLACE FUNCTION strangler_log_%s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'"),
	tamper("TRUNCATE no longer recorded", false, "DROP TRIGGER IF EXISTS "+truncate+" ON %s"),
	tamper("TRUNCATE's function replaced", false, "CREATE OR REPLACE FUNCTION strangler_truncate_%s() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"),
}

// tamper breaks a table that %s stands for.
func tamper(name string, breaksFence bool, statement string) enginetest.Tamper {
	return enginetest.Tamper{Name: name, Fence: breaksFence, Statement: func(table string) string { return strings.ReplaceAll(statement, "%s", table) }}
}

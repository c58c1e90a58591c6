package postgres

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
)

// forbidden are schemas whose table x cannot move, each for one reason.
var forbidden = []struct{ name, check, create string }{
	{"missing", "table", ""},
	{"view", "table", "CREATE VIEW x AS SELECT 1 AS id"},
	{"materialized view", "table", "CREATE MATERIALIZED VIEW x AS SELECT 1 AS id"},
	{"foreign table", "table", "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE x (id integer NOT NULL) SERVER s"},
	{"unlogged", "table", "CREATE UNLOGGED TABLE x (id integer PRIMARY KEY)"},
	{"parent by inheritance", "table", "CREATE TABLE x (id integer PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (x)"},
	{"child by inheritance", "table", "CREATE TABLE parent (id integer PRIMARY KEY); CREATE TABLE x (PRIMARY KEY (id)) INHERITS (parent)"},
	{"partition", "table", "CREATE TABLE whole (id integer PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE x PARTITION OF whole DEFAULT"},
	{"unlogged partition", "table", "CREATE TABLE x (id integer PRIMARY KEY) PARTITION BY LIST (id); CREATE UNLOGGED TABLE part PARTITION OF x DEFAULT"},
	{"no key", "key", "CREATE TABLE x (id integer NOT NULL)"},
	{"key that may be NULL", "key", "CREATE TABLE x (id integer UNIQUE)"},
	{"partial key", "key", "CREATE TABLE x (id integer NOT NULL); CREATE UNIQUE INDEX ON x (id) WHERE id > 0"},
	{"key on an expression", "key", "CREATE TABLE x (id integer NOT NULL); CREATE UNIQUE INDEX ON x (abs(id))"},
	{"deferrable key", "key", "CREATE TABLE x (id integer PRIMARY KEY DEFERRABLE)"},
	{"generated key", "key", "CREATE TABLE x (a integer, id integer GENERATED ALWAYS AS (a + 1) STORED PRIMARY KEY)"},
	{"key that compares otherwise", "key", "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE TABLE x (id text NOT NULL); CREATE UNIQUE INDEX ON x (id COLLATE loose)"},
	{"key that compares bytes", "key", "CREATE TYPE pair AS (a integer); CREATE TABLE x (id pair NOT NULL); CREATE UNIQUE INDEX ON x (id record_image_ops)"},
	{"index in the making", "key", "CREATE TABLE x (id integer NOT NULL); CREATE UNIQUE INDEX broken ON x (id); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass"},
	{"trigger enabled ALWAYS", "trigger", "CREATE TABLE x (id integer PRIMARY KEY); " + trigger1 + "; ALTER TABLE x ENABLE ALWAYS TRIGGER t"},
	{"trigger for replicas", "trigger", "CREATE TABLE x (id integer PRIMARY KEY); " + trigger1 + "; ALTER TABLE x ENABLE REPLICA TRIGGER t"},
	{"rule", "rule", "CREATE TABLE x (id integer PRIMARY KEY); CREATE RULE r AS ON INSERT TO x DO INSTEAD NOTHING"},
	{"policies for the owner too", "rowsecurity", "CREATE TABLE x (id integer PRIMARY KEY); ALTER TABLE x ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"},
	{"subscription", "subscription", "CREATE TABLE x (id integer PRIMARY KEY); CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false); INSERT INTO pg_subscription_rel SELECT oid, 'x'::regclass, 'r' FROM pg_subscription WHERE subname = 's'"},
	{"large object", "type", "CREATE TABLE x (id integer PRIMARY KEY, o oid)"},
	{"large object by a domain, in an array", "type", "CREATE DOMAIN lo AS oid; CREATE TABLE x (id integer PRIMARY KEY, o lo[])"},
	{"large object of the extension lo", "type", "CREATE EXTENSION lo; CREATE TABLE x (id integer PRIMARY KEY, o lo)"},
	{"large object in a composite type", "type", "CREATE TYPE photo AS (o oid, title text); CREATE TABLE x (id integer PRIMARY KEY, o photo)"},
	{"large object in a composite type in an array of a domain", "type", "CREATE TYPE photo AS (title text, o oid); CREATE DOMAIN album AS photo[]; CREATE TABLE x (id integer PRIMARY KEY, o album)"},
	{"an object's name", "type", "CREATE TABLE x (id integer PRIMARY KEY, o regclass)"},
	{"row type of a table", "type", "CREATE TABLE other (a integer); CREATE TABLE x (id integer PRIMARY KEY, o other)"},
	{"type without an extension", "type", "CREATE TYPE own; CREATE FUNCTION own_in(cstring) RETURNS own LANGUAGE internal IMMUTABLE STRICT AS 'textin'; CREATE FUNCTION own_out(own) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout'; CREATE TYPE own (input = own_in, output = own_out); CREATE TABLE x (id integer PRIMARY KEY, o own)"},
}

const trigger1 = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t AFTER INSERT ON x FOR EACH ROW EXECUTE FUNCTION f()"

func TestWhatForbidsASplit(t *testing.T) {
	for _, c := range forbidden {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dsn := localdbtest.Fresh(t)
			run(t, dsn, "SET allow_system_table_mods = on; "+c.create)
			s := inspect(t, dsn, "x")
			i := slices.IndexFunc(s.Problems, func(p migrations.Problem) bool { return p.Check == c.check })
			if i < 0 || !strings.Contains(s.Problems[i].What, "x") || s.Problems[i].Next == "" {
				t.Fatalf("got %+v", s.Problems)
			}
			if c.check != "table" && len(s.Problems) > 1 {
				t.Errorf("more than one reason: %+v", s.Problems)
			}
			if c.name == "subscription" {
				run(t, dsn, "ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s")
			}
		})
	}
}

// TestLargeObjectsAreRefused with what takes them along: a statement that keeps the bytes in the row, or the number as one.
func TestLargeObjectsAreRefused(t *testing.T) {
	dsn := localdbtest.Fresh(t)
	run(t, dsn, `CREATE EXTENSION lo; CREATE TABLE x (id integer PRIMARY KEY, "the photo" lo, n oid); CREATE TRIGGER manage BEFORE UPDATE OR DELETE ON x FOR EACH ROW EXECUTE FUNCTION lo_manage("the photo");
		INSERT INTO x VALUES (1, lo_from_bytea(0, '\xdeadbeef'), 4000000000)`)
	s := inspect(t, dsn, "x")
	if len(s.Problems) != 2 || !strings.Contains(s.Problems[1].What, "column the photo of table x") || !strings.Contains(s.Problems[1].What, "large objects") {
		t.Fatalf("%+v", s.Problems)
	}
	bytes, _, _ := strings.Cut(s.Problems[1].Next, ", where")
	_, number, _ := strings.Cut(s.Problems[0].Next, "before; ")
	number, _, _ = strings.Cut(number, ", where")
	run(t, dsn, "DROP TRIGGER manage ON x", bytes, number)
	if s := inspect(t, dsn, "x"); len(s.Problems) > 0 {
		t.Fatalf("%+v", s.Problems)
	}
	var got string
	must(t, connect(t, dsn).QueryRow(t.Context(), `SELECT encode("the photo", 'hex') || ' ' || n FROM x`).Scan(&got))
	if got != "deadbeef 4000000000" {
		t.Error(got)
	}
}

// TestKeyIsChosen: the primary key, else the replica identity, else a unique index.
func TestKeyIsChosen(t *testing.T) {
	for _, c := range []struct {
		create string
		want   []string
	}{
		{"CREATE TABLE x (a integer NOT NULL UNIQUE, b integer, c text, PRIMARY KEY (c, b))", []string{"c", "b"}},
		{"CREATE TABLE x (a integer NOT NULL UNIQUE, b integer NOT NULL, c text NOT NULL); CREATE UNIQUE INDEX r ON x (c DESC, b) INCLUDE (a); ALTER TABLE x REPLICA IDENTITY USING INDEX r", []string{"c", "b"}},
		{"CREATE TABLE x (a integer NOT NULL, b integer NOT NULL, c text UNIQUE, UNIQUE (a, b), UNIQUE (b))", []string{"b"}},
		{"CREATE TABLE x (a integer PRIMARY KEY DEFERRABLE, b integer NOT NULL UNIQUE)", []string{"b"}},
		{`CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE TABLE x (a text COLLATE loose PRIMARY KEY)`, []string{"a"}},
		{`CREATE TABLE x (a text NOT NULL); CREATE UNIQUE INDEX ON x (a COLLATE "C" text_pattern_ops)`, []string{"a"}},
		{"CREATE TABLE x (a integer, b integer, PRIMARY KEY (a, b)) PARTITION BY LIST (b)", []string{"a", "b"}},
	} {
		t.Run(c.create, func(t *testing.T) {
			t.Parallel()
			dsn := localdbtest.Fresh(t)
			run(t, dsn, c.create)
			s := inspect(t, dsn, "x")
			if diff := cmp.Diff(c.want, s.Tables[0].Key); diff != "" || len(s.Problems) > 0 {
				t.Error(diff, s.Problems)
			}
		})
	}
}

// TestColumnsThatTravel: in the order of their names, each with what casts and sequences need.
func TestColumnsThatTravel(t *testing.T) {
	dsn := localdbtest.Fresh(t)
	run(t, dsn, `CREATE SCHEMA other; CREATE TYPE other."Mood" AS ENUM ('a'); CREATE DOMAIN inner_score AS numeric(4,1); CREATE DOMAIN score AS inner_score; CREATE SEQUENCE other.free;
		CREATE TABLE x (z serial PRIMARY KEY, gone integer, made integer GENERATED ALWAYS AS (1) STORED, "B" varchar(7) COLLATE "C", a other."Mood"[] NOT NULL, s score, i bigint GENERATED ALWAYS AS IDENTITY,
			n integer DEFAULT nextval('other.free'), late integer DEFAULT nextval('other.free'::text)); ALTER TABLE x DROP COLUMN gone`)
	got, err := describe(t.Context(), connect(t, dsn), "x")
	must(t, err)
	type short struct {
		Name, Type, Typed, Collation, Sequence, Identity string
		NotNull                                          bool
		Base                                             uint32
	}
	var columns []short
	for _, c := range got.columns {
		x := short{c.Name, c.Type, c.typed, c.collation, c.sequence, c.identity, c.NotNull, 0}
		if c.oid != c.base {
			x.Base = c.base
		}
		columns = append(columns, x)
	}
	if diff := cmp.Diff([]short{
		{Name: "B", Type: "character varying(7)", Typed: "character varying(7)", Collation: `pg_catalog."C"`},
		{Name: "a", Type: `"Mood"[]`, Typed: `other."Mood"[]`, NotNull: true},
		{Name: "i", Type: "bigint", Typed: "bigint", NotNull: true, Sequence: "public.x_i_seq", Identity: "a"},
		{Name: "late", Type: "integer", Typed: "integer", Sequence: "other.free"},
		{Name: "n", Type: "integer", Typed: "integer", Sequence: "other.free"},
		{Name: "s", Type: "score", Typed: "public.score", Base: 1700},
		{Name: "z", Type: "integer", Typed: "integer", NotNull: true, Sequence: "public.x_z_seq"},
	}, columns); diff != "" {
		t.Error(diff)
	}
}

// TestCrossingKeys: in both directions, at partitions of their own, and restored by what they say.
func TestCrossingKeys(t *testing.T) {
	dsn := localdbtest.Fresh(t)
	run(t, dsn, `CREATE SCHEMA "S t"; CREATE TABLE "S t".zones (a integer, b text, PRIMARY KEY (a, b)); CREATE TABLE area (id integer PRIMARY KEY);
		CREATE TABLE couriers (id integer PRIMARY KEY, boss integer REFERENCES couriers, za integer, zb text, area integer, CONSTRAINT "in zone" FOREIGN KEY (zb, za) REFERENCES "S t".zones (b, a) MATCH FULL ON DELETE SET NULL);
		CREATE TABLE orders (id integer PRIMARY KEY, courier integer); ALTER TABLE orders ADD CONSTRAINT by FOREIGN KEY (courier) REFERENCES couriers DEFERRABLE INITIALLY DEFERRED NOT VALID;
		CREATE TABLE visits (id integer PRIMARY KEY, area integer REFERENCES area) PARTITION BY LIST (id); CREATE TABLE visits_1 PARTITION OF visits DEFAULT;
		ALTER TABLE visits_1 ADD CONSTRAINT own FOREIGN KEY (area) REFERENCES area (id) ON DELETE CASCADE`)
	d := open(t, dsn, strangler.Legacy, "couriers", "visits")
	before := dump(t, dsn)
	all, err := d.crossing(t.Context())
	must(t, err)
	var got []string
	for _, x := range all {
		got = append(got, strings.Join([]string{x.table.full(), x.name, x.parent.full(), strings.Join(x.columns, "+"), strings.Join(x.targets, "+")}, " "))
		if valid := x.name != "by"; x.validated != valid || x.partitioned != (x.table.name == "visits") {
			t.Errorf("%+v", x)
		}
	}
	if diff := cmp.Diff([]string{
		`"public"."couriers" in zone "S t"."zones" zb+za b+a`,
		`"public"."orders" by "public"."couriers" courier id`,
		`"public"."visits" visits_area_fkey "public"."area" area id`,
		`"public"."visits_1" own "public"."area" area id`,
	}, got); diff != "" {
		t.Error(diff)
	}
	for _, x := range all {
		run(t, dsn, "ALTER TABLE "+x.table.full()+" DROP CONSTRAINT "+ident(x.name))
	}
	if left, err := d.crossing(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	for _, x := range all {
		add := "SET search_path = ''; ALTER TABLE " + x.table.full() + " ADD CONSTRAINT " + ident(x.name) + " " + x.def
		if !x.validated {
			add += " NOT VALID"
		}
		run(t, dsn, add)
	}
	if diff := cmp.Diff(before, dump(t, dsn)); diff != "" {
		t.Errorf("not restored:\n%s", diff)
	}
}

// TestOrphans: whatever keys say, validated or not, composite, MATCH FULL, between types, at partitions.
func TestOrphans(t *testing.T) {
	dsn := localdbtest.Fresh(t)
	run(t, dsn, `CREATE TABLE zones (a bigint, b text, PRIMARY KEY (a, b)); INSERT INTO zones VALUES (1, 'x');
		CREATE TABLE couriers (id integer PRIMARY KEY, za integer, zb varchar(5), CONSTRAINT part FOREIGN KEY (za, zb) REFERENCES zones);
		CREATE TABLE whole (id integer PRIMARY KEY, za integer, zb text, CONSTRAINT whole FOREIGN KEY (za, zb) REFERENCES zones MATCH FULL);
		CREATE TABLE orders (id integer PRIMARY KEY, "the courier" integer); CREATE TABLE other (id integer PRIMARY KEY, zone bigint);
		ALTER TABLE orders ADD CONSTRAINT late FOREIGN KEY ("the courier") REFERENCES couriers NOT VALID;
		CREATE TABLE visits (id integer, c integer REFERENCES couriers) PARTITION BY LIST (id); CREATE TABLE visits_1 PARTITION OF visits DEFAULT;
		SET session_replication_role = replica;
		INSERT INTO couriers VALUES (1, 1, 'x'), (2, NULL, 'none'), (3, 2, 'x'), (4, 1, NULL);
		INSERT INTO whole VALUES (1, 1, 'x'), (2, NULL, NULL), (3, NULL, 'x'), (4, 1, 'y');
		INSERT INTO orders VALUES (1, 1), (2, 7), (3, NULL); INSERT INTO visits VALUES (1, 1), (2, 8)`)
	d := open(t, dsn, strangler.Legacy, "couriers", "whole")
	got, err := d.Orphans(t.Context(), nil)
	must(t, err)
	if diff := cmp.Diff([]string{
		"couriers (za, zb) = (2, x) has no zones",
		`orders ("the courier") = (7) has no couriers`,
		"visits (c) = (8) has no couriers",
		"whole (za, zb) = (NULL, x) has no zones",
		"whole (za, zb) = (1, y) has no zones",
	}, got); diff != "" {
		t.Error(diff)
	}
	run(t, dsn, "SET session_replication_role = replica; INSERT INTO orders SELECT n, n FROM generate_series(100, 200) AS n")
	if got, err = d.Orphans(t.Context(), nil); err != nil || len(got) != maxOrphans {
		t.Errorf("%d, %v", len(got), err)
	}
}

func TestNotes(t *testing.T) {
	dsn := localdbtest.Fresh(t)
	run(t, dsn, `CREATE EXTENSION citext; CREATE SCHEMA lib; CREATE FUNCTION lib.made() RETURNS integer LANGUAGE sql AS 'SELECT 1'; CREATE SEQUENCE free;
		CREATE TABLE x (id serial PRIMARY KEY, n integer DEFAULT lib.made(), f integer DEFAULT nextval('free'), c citext) WITH (autovacuum_enabled = off); ALTER TABLE x ENABLE ROW LEVEL SECURITY;
		CREATE TABLE parts (id integer PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE parts_1 PARTITION OF parts DEFAULT;
		CREATE TABLE staying (id integer DEFAULT nextval('x_id_seq')); CREATE VIEW v AS SELECT * FROM x; CREATE MATERIALIZED VIEW mv AS SELECT * FROM parts; CREATE VIEW vv AS SELECT * FROM v;
		CREATE FUNCTION atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM x; END;
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER ordinary AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION f();
		CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.x(n) VALUES (1); RETURN NULL; END'; CREATE TRIGGER behind AFTER INSERT ON staying FOR EACH ROW EXECUTE FUNCTION g();
		CREATE FUNCTION h() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM xx, x_, ax; RETURN NULL; END'; CREATE TRIGGER harmless AFTER INSERT ON staying FOR EACH ROW EXECUTE FUNCTION h();
		CREATE PUBLICATION everything FOR ALL TABLES; CREATE ROLE reporting; GRANT SELECT ON x TO reporting, PUBLIC;
		CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION e()`)
	t.Cleanup(func() { runAfter(t, dsn, "DROP OWNED BY reporting; DROP ROLE reporting") })
	s := inspect(t, dsn, "x", "parts")
	if len(s.Problems) > 0 {
		t.Fatal(s.Problems)
	}
	want := []string{"the view v depends on x", "the materialized view mv depends on parts", "the function atomic() depends on x", "the sequence x_id_seq also gives numbers to staying", "the sequence free of x belongs to no column",
		"the function lib.made() is used by", "the extension citext gives x a type", "rights on x were granted to PUBLIC, reporting", "the trigger ordinary on parts stays", "x has row level security",
		"the publication everything sends on what happens to parts_1, x", "autovacuum is disabled on x", "the event trigger watch (ddl_command_end)", "the trigger behind on staying, which stays, runs g()"}
	for _, w := range want {
		if !slices.ContainsFunc(s.Notes, func(n migrations.Note) bool {
			return strings.HasPrefix(n.What, w) && n.Next != "" && !strings.Contains(n.Next, "%!")
		}) {
			t.Errorf("no note begins with %q", w)
		}
	}
	if len(s.Notes) != len(want) {
		t.Errorf("%d notes, want %d:\n%s", len(s.Notes), len(want), s.Notes.String())
	}
}

// TestInspectNeedsNoRights: a role without any reads the same plan as the superuser.
func TestInspectNeedsNoRights(t *testing.T) {
	server := localdbtest.Shared(t)
	must(t, server.Role(t.Context(), "nobody_inspects"))
	name := localdbtest.Database(t, "")
	run(t, server.DSN(name), made[1].create, "ALTER TABLE x ADD other integer REFERENCES x (room), ADD UNIQUE (room)", "REVOKE ALL ON SCHEMA public FROM PUBLIC, pg_database_owner", "GRANT USAGE ON SCHEMA public TO PUBLIC")
	var got [2]migrations.Schema
	var identity [2]string
	for i, dsn := range []string{server.DSN(name), server.As("nobody_inspects", name)} {
		d := open(t, dsn, strangler.Legacy, "x", "absent")
		var err error
		got[i], err = d.Inspect(t.Context())
		must(t, err)
		identity[i], err = d.Identity(t.Context())
		must(t, err)
	}
	if diff := cmp.Diff(got[0], got[1]); diff != "" {
		t.Error(diff)
	}
	if identity[0] != identity[1] {
		t.Error(identity)
	}
	other, err := open(t, localdbtest.Fresh(t), strangler.Legacy, "x").Identity(t.Context())
	must(t, err)
	if other == identity[0] {
		t.Error("two databases have one identity")
	}
}

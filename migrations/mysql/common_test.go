package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// sharing is a lab in which values travel in their common forms, as they do between two kinds of database.
type sharing struct{ lab }

func (l sharing) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	b.Common = true
	return l.lab.Open(ctx, b)
}

// abroad has PostgreSQL at the other side.
type abroad struct{ lab }

func (l abroad) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	b.Common, b.Other = true, "postgres"
	return l.lab.Open(ctx, b)
}

// common are all rows of a table at a side, each as text.
func common(t *testing.T, d migrations.Database) (out []string) {
	t.Helper()
	must(t, d.Range(t.Context(), 0, migrations.Range{}, func(r migrations.Row) error {
		out = append(out, fmt.Sprintf("%#v", r))
		return nil
	}))
	return out
}

const everyKind = `CREATE TABLE x (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
	a_small SMALLINT, b_unsigned INT UNSIGNED, c_bool TINYINT(1), d_bit BIT(1), e_money DECIMAL(10,2), f_float FLOAT, g_double DOUBLE, h_char CHAR(5), i_text TEXT, j_name VARCHAR(40),
	k_enum ENUM('a', 'bb'), l_set SET('x', 'y'), m_blob BLOB, n_bytes VARBINARY(20), o_date DATE, p_time TIME(6), q_stamp DATETIME(6), r_uuid UUID, s_json JSON, t_year YEAR, u_instant TIMESTAMP(3) NULL)`

func TestEveryKindInCommonForm(t *testing.T) {
	p := enginetest.NewPair(t, sharing{}, []string{everyKind,
		`INSERT INTO x VALUES (1, -32768, 4294967295, 1, b'1', -12345678.90, 0.1, 1e308, 'a b', 'ünïcödé 😀 \\ '' "', 'x ', 'bb', 'x,y', x'00ff5c27', x'', '2024-02-29', '23:59:59.999999', '2024-02-29 12:34:56.780000', 'AAAAAAAA-0000-4000-8000-000000000001', '{"b": 1e2, "a": [true, null, "ü<"]}', 1999, '2024-02-29 12:34:56.5')`,
		"INSERT INTO x (id) VALUES (2)"}, "x")
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	want := []string{
		`migrations.Row{-32768, 4294967295, 1, 1, "-12345678.9", 0.10000000149011612, 1e+308, "a b", "ünïcödé 😀 \\ ' \"", 1, "x ", "bb", "x,y", []uint8{0x0, 0xff, 0x5c, 0x27}, []uint8{}, "2024-02-29", "23:59:59.999999", "2024-02-29 12:34:56.78", "aaaaaaaa-0000-4000-8000-000000000001", "{\"a\":[true,null,\"ü<\"],\"b\":100}", 1999, "2024-02-29 12:34:56.5"}`,
		"migrations.Row{" + strings.Repeat("interface {}(nil), ", 9) + "2" + strings.Repeat(", interface {}(nil)", 12) + "}",
	}
	for side, d := range map[string]migrations.Database{"legacy": p.Legacy, "service": p.Service} {
		if diff := cmp.Diff(want, common(t, d)); diff != "" {
			t.Errorf("%s:\n%s", side, diff)
		}
	}
	before := image(t, p.App, "x")
	p.CutOver()
	p.Exec(p.Served, "UPDATE x SET a_small = 1 WHERE id = 1")
	p.Sync()
	p.Exec(p.Served, "UPDATE x SET a_small = -32768 WHERE id = 1")
	p.Sync()
	p.CutOver()
	written, plain := fmt.Sprintf("%X", `{"b": 1e2, "a": [true, null, "ü<"]}`), fmt.Sprintf("%X", `{"a":[true,null,"ü<"],"b":100}`)
	if diff := cmp.Diff(strings.ReplaceAll(strings.Join(before, "\n"), written, plain), strings.Join(image(t, p.App, "x"), "\n")); diff != "" {
		t.Errorf("back at the monolith:\n%s", diff)
	}
}

// What a column of a key takes for equal may differ at the other side: each way in which a key is written is told, and a key
// is a row's that is written just so.
func TestKeysAreSpelledOut(t *testing.T) {
	const loose, exact = "CREATE TABLE x (id VARCHAR(20) COLLATE utf8mb4_general_ci NOT NULL, n INT NOT NULL, v INT, PRIMARY KEY (id%s))", "CREATE TABLE x (id VARCHAR(20) COLLATE utf8mb4_nopad_bin NOT NULL, n INT NOT NULL, v INT, PRIMARY KEY (id%s))"
	for _, more := range []string{"", ", n"} { // keys of one column and of several
		armed := func(t *testing.T, legacy, service string) *enginetest.Pair {
			p := enginetest.NewPair(t, sharing{}, []string{fmt.Sprintf(legacy, more), "INSERT INTO x VALUES ('abc', 1, 1), ('d', 1, 1)"}, "x")
			p.Exec(p.Served, fmt.Sprintf(service, more))
			p.Write()
			p.To(migrations.StageArmed)
			p.Raise()
			p.Copy()
			return p
		}
		same := func(t *testing.T, p *enginetest.Pair) {
			t.Helper()
			p.Sync()
			if diff := cmp.Diff(common(t, p.Legacy), common(t, p.Service)); diff != "" {
				t.Error(diff)
			}
		}
		t.Run("loose at the owner"+more, func(t *testing.T) {
			p := armed(t, loose, exact)
			p.Exec(p.App, "UPDATE x SET id = 'Abc' WHERE id = 'abc'")
			p.Exec(p.App, "UPDATE x SET id = 'ABC ', v = 2 WHERE id = 'abc'")
			if keys := p.Keys(0); len(keys) != 3 {
				t.Errorf("the keys are %v", keys)
			}
			same(t, p)
			k := migrations.Key{"abc", int64(1)}[:1+len(more)/3]
			must(t, p.Legacy.Lookup(t.Context(), 0, []migrations.Key{k}, func(r migrations.Row) error {
				t.Errorf("%v finds %v", k, r)
				return nil
			}))
		})
		t.Run("loose at the follower"+more, func(t *testing.T) {
			p := armed(t, exact, loose)
			p.Exec(p.App, "INSERT INTO x VALUES ('Abc', 1, 2)")
			p.Exec(p.App, "DELETE FROM x WHERE id = 'Abc'")
			same(t, p)
			p.Exec(p.App, "UPDATE x SET id = 'ABC' WHERE id = 'abc'")
			same(t, p)
		})
	}
}

func TestValuesThatOtherDatabasesDoNotHave(t *testing.T) {
	for name, s := range map[string]struct{ create, insert, check string }{
		"numbers that are no booleans": {"TINYINT(1)", "7", "value"},
		"numbers of 64 bits":           {"BIGINT UNSIGNED", "9223372036854775808", "value"},
		"days of no calendar":          {"DATE NOT NULL", "'2024-00-00'", "value"},
		"moments of no calendar":       {"DATETIME(6) NOT NULL", "'0000-00-00'", "value"},
	} {
		t.Run(name, func(t *testing.T) {
			p := enginetest.NewPair(t, abroad{}, []string{"SET SESSION sql_mode = ''", "CREATE TABLE x (id INT NOT NULL PRIMARY KEY, v " + s.create + ")", "INSERT INTO x VALUES (1, " + s.insert + ")"}, "x")
			_, err := p.Plan.Make(t.Context())
			var r *strangler.Refusal
			if !errors.As(err, &r) || r.Check != s.check {
				t.Errorf("got %v, want the check %s", err, s.check)
			}
		})
		t.Run(name+", written later", func(t *testing.T) {
			p := enginetest.Armed(t, abroad{}, []string{"SET SESSION sql_mode = ''", "CREATE TABLE x (id INT NOT NULL PRIMARY KEY, v " + s.create + ")"}, "x")
			p.Exec(p.App, "INSERT INTO x VALUES (1, "+s.insert+")")
			_, err := p.Step()
			p.Wants(err, migrations.ErrMisfit)
		})
	}
}

// After a cutover the service may have values that the monolith's columns do not keep.
func TestWhatMariaDBWouldChange(t *testing.T) {
	const table = "CREATE TABLE x (id INT NOT NULL PRIMARY KEY, b BINARY(3), c CHAR(3), d DECIMAL(5,2), e DATETIME(3), f FLOAT, g DOUBLE, h VARCHAR(3), y YEAR)"
	p := enginetest.NewPair(t, sharing{}, []string{table}, "x")
	p.Exec(p.Served, table)
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	row := func(at int, v migrations.Value) migrations.Row {
		r := make(migrations.Row, 9) // the columns by name: b c d e f g h id y
		r[7], r[at] = int64(1), v
		return r
	}
	columns, err := p.Service.Columns(t.Context(), 0)
	must(t, err)
	if got := strings.Join(columns, " "); got != "b c d e f g h id y" {
		t.Fatalf("the columns are %s", got)
	}
	for name, r := range map[string][2]migrations.Row{
		"bytes that would be filled up":  {row(0, []byte{1}), row(0, []byte{1, 0, 0})},
		"a blank that would be cut off":  {row(1, "a "), row(1, "a")},
		"a number that would be rounded": {row(2, "1.234"), row(2, "123.45")},
		"a number too large":             {row(2, "12345.6"), row(2, "-999.99")},
		"a moment that would be rounded": {row(3, "2024-02-29 12:00:00.1234"), row(3, "2024-02-29 12:00:00.123")},
		"a moment without end":           {row(3, "infinity"), row(3, "9999-12-31 23:59:59")},
		"a float that would be rounded":  {row(4, 0.1), row(4, float64(float32(0.1)))},
		"no number":                      {row(5, math.NaN()), row(5, 1e308)},
		"blanks that would be cut off":   {row(6, "abc "), row(6, "ab ")},
		"a year that would be another":   {row(8, int64(24)), row(8, int64(2024))},
	} {
		t.Run(name, func(t *testing.T) {
			p.Wants(p.Apply(func(a migrations.Apply) error { return a.Insert(t.Context(), 0, r[0]) }), migrations.ErrMisfit)
			must(t, p.Apply(func(a migrations.Apply) error { return a.Insert(t.Context(), 0, r[1]) }))
			must(t, p.Apply(func(a migrations.Apply) error { return a.Delete(t.Context(), 0, migrations.Key{int64(1)}) }))
		})
	}
}

func TestWhatTheServicesTableDoesNotGet(t *testing.T) {
	p := enginetest.NewPair(t, sharing{}, []string{
		"CREATE TABLE x (id VARCHAR(20) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, a INT DEFAULT 5, b INT CHECK (b > 0), c JSON, d INT AS (a * 2), e TEXT, f INT UNIQUE, KEY by_a (a), UNIQUE KEY begins (e(10)))",
		"CREATE TABLE y (id INT NOT NULL PRIMARY KEY, v JSON)"}, "x", "y")
	s, err := p.Legacy.Inspect(t.Context())
	must(t, err)
	if diff := cmp.Diff([]string{"the service's table x is made without the index begins, by_a; the default of a; the generated column d; the collation of id; its checks; where the service needs that, make it there"}, s.Notes.Texts()); diff != "" {
		t.Error(diff)
	}
}

package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/postgres"
)

// sharing is the lab where of the monolith's tables only shares move.
type sharing struct {
	lab
	shares  []migrations.Share
	capture strangler.Capture
}

func (l sharing) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	b.Capture, b.Common = l.capture, true
	if b.Side == strangler.Legacy {
		b.Shares = l.shares
	}
	return postgres.Open(ctx, b)
}

// oddities is a table whose names need quotes, and are those of a trigger's variables, in a schema of its own; a generated
// column and one without equality are in it, and an enum that only the search_path finds.
var oddities = []string{
	`CREATE SCHEMA "Else where"`, "CREATE TYPE mood AS ENUM ('sad', 'ok')",
	`CREATE TABLE "Else where"."Odd one" ("Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "found" text, tg_op integer, doc json, stays json, "new" mood, twice integer GENERATED ALWAYS AS (tg_op * 2) STORED)`,
	`INSERT INTO "Else where"."Odd one" ("found", tg_op, doc, stays, "new") VALUES ('a', 10, '{"x": 1}', '{"y": 1}', 'ok'), ('b', 1, NULL, NULL, 'ok'), (NULL, 10, '{}', '{}', 'ok'), ('d', 10, '[]', '[]', 'sad')`,
}

const odd = `"Else where"."Odd one"`

var oddShare = []migrations.Share{{Stays: []string{"stays", "new"}, Where: `"found" IS NOT NULL AND twice > 10 AND "new" = 'ok'::mood -- those`}}

// TestShareOfOddities: names, types and generated columns make no difference to what a share is.
func TestShareOfOddities(t *testing.T) {
	t.Parallel()
	p, ctx := enginetest.NewPair(t, sharing{shares: oddShare}, oddities, "Else where.Odd one"), t.Context()
	p.Exec(p.Served, `CREATE SCHEMA "Else where"`)
	before := schema(t, p.App)
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	alike := func() {
		t.Helper()
		if diff := cmp.Diff(query(t, p.App, `SELECT concat_ws('|', "Id", "found", tg_op, doc::jsonb) FROM `+odd+` WHERE "found" IS NOT NULL AND twice > 10 AND "new" = 'ok' ORDER BY 1`), query(t, p.Served, `SELECT concat_ws('|', "Id", "found", tg_op, doc::jsonb) FROM `+odd+` ORDER BY 1`)); diff != "" {
			t.Errorf("- legacy, + service:\n%s", diff)
		}
	}
	alike()
	for _, q := range []string{
		`UPDATE ` + odd + ` SET tg_op = 9 WHERE "Id" = 2`, `UPDATE ` + odd + ` SET "new" = 'ok' WHERE "Id" = 4`, `UPDATE ` + odd + ` SET tg_op = 2 WHERE "Id" = 1`, `UPDATE ` + odd + ` SET tg_op = 20 WHERE "Id" = 1`,
	} {
		p.Exec(p.App, q)
		p.Sync()
		alike()
	}
	stays := []string{`UPDATE ` + odd + ` SET stays = '{"z": 3}'`, `UPDATE ` + odd + ` SET doc = '{"n": 1}' WHERE "found" IS NULL`, `UPDATE ` + odd + ` SET doc = doc, tg_op = tg_op`, `INSERT INTO ` + odd + ` (tg_op) VALUES (100)`}
	for _, q := range stays {
		p.Exec(p.App, q)
	}
	if n := p.Pending(); n != 0 {
		t.Errorf("%d changes of what stays were recorded", n)
	}
	p.CutOver()
	for _, q := range stays {
		p.Exec(p.App, q)
	}
	for _, q := range []string{
		`UPDATE ` + odd + ` SET doc = '{"x":1}' WHERE "Id" = 1`, `UPDATE ` + odd + ` SET "new" = 'sad' WHERE "Id" = 1`, `UPDATE ` + odd + ` SET tg_op = 1 WHERE "Id" = 1`,
		`DELETE FROM ` + odd + ` WHERE "Id" = 1`, `INSERT INTO ` + odd + ` ("found", tg_op, "new") VALUES ('x', 10, 'ok')`, `TRUNCATE ` + odd,
	} {
		p.Refused(p.App, q)
	}
	must(t, p.Apply(func(a migrations.Apply) error {
		return errors.Join(a.Insert(ctx, 0, migrations.Row{int64(1), `{"b":2}`, "changed", int64(30)}), a.Delete(ctx, 0, migrations.Key{int64(4)}))
	}))
	if got := query(t, p.App, `SELECT concat_ws('|', "Id", "found", tg_op, doc::jsonb, stays::jsonb, twice) FROM `+odd+` WHERE "Id" IN (1, 4) ORDER BY 1`); !cmp.Equal(got, []string{`1|changed|30|{"b": 2}|{"z": 3}|60`, `4|{"z": 3}`}) {
		t.Errorf("the rows are %q", got)
	}
	p.To(migrations.StageComplete)
	must(t, p.Legacy.Sweep(ctx))
	if diff := cmp.Diff(before, schema(t, p.App)); diff != "" {
		t.Errorf("complete left something behind, or took it:\n%s", diff)
	}
}

// TestShareIsFoundByItsKey: the planner looks through the query of a share.
func TestShareIsFoundByItsKey(t *testing.T) {
	t.Parallel()
	plan := strings.Join(query(t, session(t, application, filled(t)), `EXPLAIN SELECT t.id FROM (SELECT t.id, t.a FROM big AS t WHERE (
b IS NOT NULL
)) AS t WHERE ROW(t.id) > ROW(5000) AND ROW(t.id) <= ROW(5100) ORDER BY t.id`), "\n")
	if !strings.Contains(plan, "Index Cond") || strings.Contains(plan, "Subquery") {
		t.Error(plan)
	}
}

func filled(t *testing.T) string {
	dsn := lab{}.Fresh(t)
	db := session(t, application, dsn)
	for _, q := range []string{"CREATE TABLE big (id bigint PRIMARY KEY, a text, b text)", "INSERT INTO big SELECT i, 'a', 'b' FROM generate_series(1, 20000) AS i", "ANALYZE big"} {
		_, err := db.Exec(q)
		must(t, err)
	}
	return dsn
}

// TestSharesAndForeignKeys: what is cut, and what is not.
func TestSharesAndForeignKeys(t *testing.T) {
	t.Parallel()
	ddl := []string{
		"CREATE TABLE people (id bigint PRIMARY KEY)", "CREATE TABLE couriers (id bigint PRIMARY KEY)",
		"CREATE TABLE notes (id bigint PRIMARY KEY, body text, secret bigint REFERENCES people, twin bigint REFERENCES people, courier bigint REFERENCES couriers)", "CREATE TABLE uses (note bigint REFERENCES notes)",
	}
	for where, want := range map[string][]string{
		"":             {"notes courier couriers", "notes twin people", "uses note notes"}, // the service may delete what is used
		"body IS NULL": {"notes courier couriers", "notes twin people"},
	} {
		p := enginetest.NewPair(t, sharing{shares: []migrations.Share{{}, {Stays: []string{"secret"}, Where: where}}}, ddl, "couriers", "notes")
		s, err := p.Legacy.Inspect(t.Context())
		must(t, err)
		var got []string
		for _, f := range s.Crossing {
			got = append(got, f.Table+" "+strings.Join(f.Columns, ",")+" "+f.Parent)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with the condition %q:\n%s", where, diff)
		}
	}
}

// TestShareIsRefused: what only this engine knows of a share.
func TestShareIsRefused(t *testing.T) {
	ddl := []string{"CREATE TABLE notes (id bigint PRIMARY KEY, body text, secret text)", "CREATE TABLE uses (note bigint REFERENCES notes ON DELETE CASCADE)"}
	for what, c := range map[string]struct {
		lab  sharing
		says string
	}{
		"logical decoding":          {sharing{shares: []migrations.Share{{Where: "body = 'a'"}}, capture: strangler.CaptureLogical}, "replication slot"},
		"two statements":            {sharing{shares: []migrations.Share{{Where: "true); DROP TABLE uses; SELECT (1"}}}, "DROP TABLE uses"},
		"by its default in a share": {sharing{shares: []migrations.Share{{Stays: []string{"secret"}, Where: "body IS NULL"}}}, "body IS NULL"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := enginetest.NewPair(t, c.lab, ddl, "notes")
			_, err := p.Plan.Make(t.Context())
			if !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say %q", err, c.says)
			}
		})
	}
}

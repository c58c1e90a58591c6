package enginetest

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var shareRules = []rule{
	{"its rows and its columns go, and no others", shareGoes},
	{"no reader sees what stays", shareReaders},
	{"rows that enter and leave are brought and taken", shareFollows},
	{"what stays is written whatever the fence, and not recorded", shareStays},
	{"a closed fence refuses what goes", shareFenced},
	{"what is applied leaves what stays", shareApplied},
	{"what is applied beside a write of what stays loses neither", shareBeside},
	{"a row that is outside is not taken", shareMisfits},
	{"an emptied table leaves what stays", shareEmptied},
	{"complete leaves the table", shareComplete},
	{"cancelled, nothing is left", shareCancelled},
	{"a foreign key to a row that stays is not cut", shareReferenced},
	{"what cannot be shared is refused at plan", shareRefused},
}

// Jobs are orders with what belongs to their delivery, Parts go by rows alone, and of Notes a column stays.
var jobs = []string{
	"CREATE TABLE jobs (id BIGINT NOT NULL PRIMARY KEY, customer VARCHAR(40) NOT NULL, total INTEGER NOT NULL, state VARCHAR(10), courier BIGINT, note VARCHAR(40))",
	"CREATE TABLE parts (id BIGINT NOT NULL PRIMARY KEY, kind VARCHAR(10) NOT NULL, what VARCHAR(40))",
	"CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, body VARCHAR(40), secret VARCHAR(40))",
	"CREATE TABLE items (id BIGINT NOT NULL PRIMARY KEY, job BIGINT NOT NULL, CONSTRAINT items_job FOREIGN KEY (job) REFERENCES jobs (id))",
	"INSERT INTO jobs (id, customer, total, state, courier, note) VALUES (1, 'Ann', 10, 'sent', 7, 'bell'), (2, 'Bob', 20, NULL, NULL, NULL), (3, 'Cyd', 30, 'done', 8, NULL), (4, 'Dee', 40, 'new', NULL, 'x'), (5, 'Eve', 50, 'sent', 7, NULL)",
	"INSERT INTO parts (id, kind, what) VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'a', NULL), (4, 'b', NULL)",
	"INSERT INTO notes (id, body, secret) VALUES (1, 'one', 's1'), (2, NULL, 's2'), (3, 'three', NULL)",
	"INSERT INTO items (id, job) VALUES (1, 1), (2, 2)",
}

var shares = []strangler.Table{
	{From: "jobs", To: "jobs", Drop: []string{"customer", "total"}, Where: "courier IS NOT NULL AND total >= 0"},
	{From: "parts", To: "parts", Where: "kind = 'a'"},
	{From: "notes", To: "notes", Drop: []string{"secret"}},
}

// moving is what of the monolith's tables goes, and staying what of them stays.
var (
	moving  = []string{"(SELECT id, state, courier, note FROM jobs WHERE courier IS NOT NULL AND total >= 0) AS x", "(SELECT * FROM parts WHERE kind = 'a') AS x", "(SELECT id, body FROM notes) AS x"}
	staying = []string{"(SELECT id, customer, total FROM jobs) AS x", "(SELECT * FROM parts WHERE kind <> 'a') AS x", "(SELECT id, secret FROM notes) AS x"}
)

// Shared is Armed, of tables that are shared.
func Shared(t *testing.T, lab Lab, ddl []string, tables ...strangler.Table) *Pair {
	t.Helper()
	p := newPair(t, lab, ddl, tables)
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	return p
}

func sharing(t *testing.T, lab Lab) *Pair {
	t.Helper()
	return Shared(t, lab, jobs, shares...)
}

// shown are rows, in plain words.
func (p *Pair) shown(db *sql.DB, from ...string) (out []string) {
	p.t.Helper()
	for _, f := range from {
		out = append(out, Plain(p.t, db, f)...)
	}
	return out
}

// shareAlike fails unless the service has what goes, no more and no less.
func (p *Pair) shareAlike() {
	p.t.Helper()
	if diff := cmp.Diff(p.shown(p.App, moving...), p.shown(p.Served, "jobs", "parts", "notes")); diff != "" {
		p.t.Errorf("- legacy, + service:\n%s", diff)
	}
}

func shareGoes(t *testing.T, lab Lab) { sharing(t, lab).shareAlike() }

func shareReaders(t *testing.T, lab Lab) {
	p, ctx := sharing(t, lab), t.Context()
	columns, err := p.Legacy.Columns(ctx, 0)
	p.must(err)
	if got := strings.Join(columns, " "); got != "courier id note state" {
		t.Errorf("the columns are %s", got)
	}
	n, err := p.Legacy.Count(ctx, 0)
	p.must(err)
	bound, err := p.Legacy.Bound(ctx, 0, migrations.Range{}, 2)
	p.must(err)
	none, err := p.Legacy.Bound(ctx, 0, migrations.Range{}, 4)
	p.must(err)
	if n != 3 || show(bound) != show(migrations.Key{int64(3)}) || none != nil {
		t.Errorf("it counts %d rows, the second is %v, the fourth %v", n, bound, none)
	}
	var keys []migrations.Key
	for i := range 6 {
		keys = append(keys, migrations.Key{int64(i)})
	}
	seen := func(read func(yield func(migrations.Row) error) error) (out string) {
		p.must(read(func(r migrations.Row) error {
			out += fmt.Sprint(r[1]) + " "
			return nil
		}))
		return out
	}
	p.Exec(p.App, "UPDATE jobs SET note = 'changed'")
	p.Exec(p.App, "UPDATE jobs SET courier = NULL WHERE id = 5")
	applied, err := p.Service.Applied(ctx)
	p.must(err)
	b, err := p.Legacy.Read(ctx, applied)
	p.must(err)
	defer b.Close()
	for name, got := range map[string]string{
		"range":        seen(func(y func(migrations.Row) error) error { return p.Legacy.Range(ctx, 0, migrations.Range{}, y) }),
		"lookup":       seen(func(y func(migrations.Row) error) error { return p.Legacy.Lookup(ctx, 0, keys, y) }),
		"batch lookup": seen(func(y func(migrations.Row) error) error { return b.Lookup(ctx, 0, keys, y) }),
		"batch rows": seen(func(y func(migrations.Row) error) error {
			return b.Rows(ctx, 0, nil, func(r migrations.Row, _ int) error { return y(r) })
		}),
	} {
		if parts := strings.Fields(got); len(parts) != 2 || !strings.Contains(got, "1 ") || !strings.Contains(got, "3 ") {
			t.Errorf("%s yields the rows %s; want 1 and 3", name, got)
		}
	}
}

func shareFollows(t *testing.T, lab Lab) {
	p := sharing(t, lab)
	for _, q := range []string{
		"UPDATE jobs SET courier = 9 WHERE id = 2",
		"UPDATE jobs SET courier = NULL WHERE id = 3",
		"UPDATE jobs SET note = 'BELL' WHERE id = 1",
		"UPDATE jobs SET total = -1 WHERE id = 1",
		"UPDATE jobs SET total = 0 WHERE id = 1",
		"UPDATE jobs SET id = 50 WHERE id = 5",
		"INSERT INTO jobs (id, customer, total, courier) VALUES (6, 'Fay', 60, 7), (7, 'Gus', 70, NULL)",
		"UPDATE parts SET kind = 'a' WHERE id = 2",
		"UPDATE parts SET kind = 'b' WHERE id = 1",
		"DELETE FROM parts WHERE id = 3",
		"UPDATE notes SET body = 'two' WHERE id = 2",
		"DELETE FROM notes WHERE id = 3",
		"INSERT INTO notes (id, secret) VALUES (4, 's4')",
	} {
		p.Exec(p.App, q)
		p.Sync()
		p.shareAlike()
	}
}

var staysWrites = []string{
	"UPDATE jobs SET customer = 'Anna', total = total + 1",
	"INSERT INTO jobs (id, customer, total) VALUES (10, 'Hal', 100)",
	"UPDATE jobs SET note = 'kept', state = 'open' WHERE courier IS NULL",
	"UPDATE jobs SET id = 11 WHERE id = 10",
	"DELETE FROM jobs WHERE id = 11",
	"UPDATE jobs SET note = note",
	"INSERT INTO parts (id, kind, what) VALUES (10, 'b', 'z')",
	"UPDATE parts SET what = 'zz' WHERE kind = 'b'",
	"DELETE FROM parts WHERE kind = 'b'",
	"UPDATE notes SET secret = 'none'",
}

func shareStays(t *testing.T, lab Lab) {
	p := sharing(t, lab)
	before := p.shown(p.App, moving...)
	for _, state := range []migrations.FenceState{migrations.FenceOpen, migrations.FenceClosed} {
		p.Epoch++
		p.must(p.Legacy.SetFence(t.Context(), p.Epoch, state))
		for _, q := range staysWrites {
			p.Exec(p.App, q)
		}
		if n := p.Pending(); n != 0 {
			t.Errorf("with the fence %s, %d changes of what stays were recorded", state, n)
		}
	}
	if diff := cmp.Diff(before, p.shown(p.App, moving...)); diff != "" {
		t.Errorf("what goes has changed:\n%s", diff)
	}
}

func shareFenced(t *testing.T, lab Lab) {
	p := sharing(t, lab)
	p.must(p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	before := p.shown(p.App, "jobs", "parts", "notes")
	for _, q := range []string{
		"INSERT INTO jobs (id, customer, total, courier) VALUES (10, 'Hal', 100, 7)",
		"UPDATE jobs SET note = 'new' WHERE id = 1",
		"UPDATE jobs SET note = 'BELL' WHERE id = 1",
		"UPDATE jobs SET note = 'bell ' WHERE id = 1",
		"UPDATE jobs SET note = NULL WHERE id = 1",
		"UPDATE jobs SET note = '' WHERE id = 3",
		"UPDATE jobs SET courier = 8 WHERE id = 1",
		"UPDATE jobs SET courier = NULL WHERE id = 1",
		"UPDATE jobs SET courier = 7 WHERE id = 2",
		"UPDATE jobs SET total = -1 WHERE id = 5",
		"UPDATE jobs SET id = 100 WHERE id = 5",
		"DELETE FROM jobs WHERE id = 5",
		"INSERT INTO parts (id, kind) VALUES (10, 'a')",
		"UPDATE parts SET what = 'new' WHERE id = 1",
		"UPDATE parts SET kind = 'b' WHERE id = 1",
		"UPDATE parts SET kind = 'a' WHERE id = 2",
		"DELETE FROM parts WHERE id = 1",
		"INSERT INTO notes (id) VALUES (10)",
		"UPDATE notes SET body = 'new' WHERE id = 1",
		"DELETE FROM notes WHERE id = 1",
	} {
		p.Refused(p.App, q)
	}
	if diff := cmp.Diff(before, p.shown(p.App, "jobs", "parts", "notes")); diff != "" {
		t.Errorf("a refused write changed something:\n%s", diff)
	}
}

// served is a sharing whose service owns what goes.
func served(t *testing.T, lab Lab) *Pair {
	t.Helper()
	p := sharing(t, lab)
	p.CutOver()
	return p
}

// of is a row of jobs as it moves.
func jobRow(id int64, state, courier, note migrations.Value) migrations.Row {
	return migrations.Row{courier, id, note, state}
}

func shareApplied(t *testing.T, lab Lab) {
	p, ctx := served(t, lab), t.Context()
	p.must(p.Apply(func(a migrations.Apply) error {
		for _, err := range []error{
			a.Insert(ctx, 0, jobRow(1, "late", int64(9), nil)), // stands, in place
			a.Insert(ctx, 0, jobRow(2, "sent", int64(9), "n")), // comes in
			a.Delete(ctx, 0, migrations.Key{int64(3)}),         // leaves
			a.Delete(ctx, 0, migrations.Key{int64(4)}),         // was never in
			a.Delete(ctx, 0, migrations.Key{int64(99)}),
			a.Delete(ctx, 1, migrations.Key{int64(1)}),
			a.Delete(ctx, 1, migrations.Key{int64(2)}), // the monolith's
			a.Insert(ctx, 1, migrations.Row{int64(5), "a", "new"}),
			a.Insert(ctx, 2, migrations.Row{"ONE", int64(1)}),
			a.Insert(ctx, 2, migrations.Row{"nine", int64(9)}),
			a.Delete(ctx, 2, migrations.Key{int64(3)}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	}))
	want := []string{
		`courier 7 | customer "Eve" | id 5 | note ∅ | state "sent" | total 50`,
		`courier 9 | customer "Ann" | id 1 | note ∅ | state "late" | total 10`,
		`courier 9 | customer "Bob" | id 2 | note "n" | state "sent" | total 20`,
		`courier ∅ | customer "Cyd" | id 3 | note ∅ | state ∅ | total 30`,
		`courier ∅ | customer "Dee" | id 4 | note "x" | state "new" | total 40`,
		`id 2 | kind "b" | what "y"`, `id 3 | kind "a" | what ∅`, `id 4 | kind "b" | what ∅`, `id 5 | kind "a" | what "new"`,
		`body "ONE" | id 1 | secret "s1"`, `body "nine" | id 9 | secret ∅`, `body ∅ | id 2 | secret "s2"`,
	}
	if diff := cmp.Diff(want, p.shown(p.App, "jobs", "parts", "notes")); diff != "" {
		t.Errorf("at the monolith:\n%s", diff)
	}
}

func shareBeside(t *testing.T, lab Lab) {
	p, ctx := served(t, lab), t.Context()
	begun, done := make(chan struct{}), make(chan error, 1)
	p.must(p.Apply(func(a migrations.Apply) error {
		if err := a.Insert(ctx, 0, jobRow(1, "late", int64(9), nil)); err != nil {
			return err
		}
		if err := a.Get(ctx, 0, []migrations.Key{{int64(1)}}, func(migrations.Row) error { return nil }); err != nil { // it is sent
			return err
		}
		go func() {
			close(begun)
			_, err := p.App.ExecContext(ctx, "UPDATE jobs SET total = 11 WHERE id = 1")
			done <- err
		}()
		<-begun
		return nil
	}))
	p.must(<-done)
	if got := p.shown(p.App, "(SELECT * FROM jobs WHERE id = 1) AS x")[0]; got != `courier 9 | customer "Ann" | id 1 | note ∅ | state "late" | total 11` {
		t.Errorf("the row is %s", got)
	}
}

func shareMisfits(t *testing.T, lab Lab) {
	p, ctx := served(t, lab), t.Context()
	before := p.shown(p.App, "jobs", "parts", "notes")
	for what, r := range map[string]struct {
		table int
		row   migrations.Row
	}{
		"a row outside":                     {0, jobRow(1, "sent", nil, nil)},
		"a new row without what stays":      {0, jobRow(77, "sent", int64(7), nil)},
		"a row outside of a whole row's":    {1, migrations.Row{int64(9), "b", nil}},
		"a row that takes the place of one": {1, migrations.Row{int64(2), "a", nil}},
	} {
		err := p.Apply(func(a migrations.Apply) error { return a.Insert(ctx, r.table, r.row) })
		if err == nil || r.table == 0 && !strings.Contains(err.Error(), migrations.ErrMisfit.Error()) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if diff := cmp.Diff(before, p.shown(p.App, "jobs", "parts", "notes")); diff != "" {
		t.Errorf("what was not taken has changed something:\n%s", diff)
	}
}

func shareEmptied(t *testing.T, lab Lab) {
	p, ctx := served(t, lab), t.Context()
	before := p.shown(p.App, staying[:2]...)
	p.must(p.Apply(func(a migrations.Apply) error {
		for table := range shares {
			if err := a.Empty(ctx, table); err != nil {
				return err
			}
		}
		return nil
	}))
	if got := p.shown(p.App, moving...); len(got) != 0 {
		t.Errorf("it has still %v", got)
	}
	if diff := cmp.Diff(before, p.shown(p.App, staying[:2]...)); diff != "" {
		t.Errorf("what stays has changed:\n%s", diff)
	}
}

func shareComplete(t *testing.T, lab Lab) {
	p := newPair(t, lab, jobs, shares)
	before := p.lab.Speech().Schema(t, p.App)
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.CutOver()
	rows := p.shown(p.App, "jobs", "parts", "notes")
	p.To(migrations.StageComplete)
	p.must(p.Legacy.Sweep(t.Context()))
	if diff := cmp.Diff(before, p.lab.Speech().Schema(t, p.App)); diff != "" {
		t.Errorf("complete left something behind, or took it:\n%s", diff)
	}
	if diff := cmp.Diff(rows, p.shown(p.App, "jobs", "parts", "notes")); diff != "" {
		t.Errorf("complete changed rows:\n%s", diff)
	}
	p.Exec(p.App, "UPDATE jobs SET note = 'mine'")
}

func shareCancelled(t *testing.T, lab Lab) {
	p := newPair(t, lab, jobs, shares)
	legacy, service := p.lab.Speech().Schema(t, p.App), p.lab.Speech().Schema(t, p.Served)
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.To(migrations.StageNone)
	p.must(p.Legacy.Sweep(t.Context()))
	p.must(p.Service.Sweep(t.Context()))
	if diff := cmp.Diff(legacy, p.lab.Speech().Schema(t, p.App)); diff != "" {
		t.Errorf("left at the monolith, or taken:\n%s", diff)
	}
	if diff := cmp.Diff(service, p.lab.Speech().Schema(t, p.Served)); diff != "" {
		t.Errorf("left at the service, or taken:\n%s", diff)
	}
}

func shareReferenced(t *testing.T, lab Lab) {
	p := served(t, lab)
	if _, err := p.App.ExecContext(t.Context(), "INSERT INTO items (id, job) VALUES (9, 999)"); err == nil {
		t.Error("the foreign key to jobs is cut, whose rows stay")
	}
	p.must(p.Apply(func(a migrations.Apply) error { return a.Delete(t.Context(), 0, migrations.Key{int64(1)}) }))
	p.Exec(p.App, "INSERT INTO items (id, job) VALUES (3, 1)")
}

func shareRefused(t *testing.T, lab Lab) {
	for what, r := range map[string]struct {
		table strangler.Table
		ddl   string
		says  string
	}{
		"no such column":         {strangler.Table{From: "jobs", Drop: []string{"nothing"}}, "", "no column nothing"},
		"the key":                {strangler.Table{From: "jobs", Drop: []string{"id"}}, "", "part of the key"},
		"a condition on nothing": {strangler.Table{From: "jobs", Where: "nothing = 1"}, "", "nothing = 1"},
		"no value for a new row": {strangler.Table{From: "jobs", Drop: []string{"total"}}, "", "total"},
		"never outside":          {strangler.Table{From: "jobs", Drop: []string{"total"}, Where: "note IS NULL"}, "", "note IS NULL"},
		"no value for none":      {strangler.Table{From: "jobs", Drop: []string{"total"}, Where: "courier = 1"}, "", "customer"},
		"an index of its own":    {strangler.Table{From: "notes", Drop: []string{"secret"}}, "CREATE UNIQUE INDEX notes_body ON notes (body)", "body"},
	} {
		t.Run(what, func(t *testing.T) {
			ddl := jobs
			if r.ddl != "" {
				ddl = append(ddl[:len(ddl):len(ddl)], r.ddl)
			}
			r.table.To = r.table.From
			p := newPair(t, lab, ddl, []strangler.Table{r.table})
			_, err := p.Plan.Make(t.Context())
			p.Wants(err, strangler.ErrRefused)
			if !strings.Contains(err.Error(), r.says) {
				t.Errorf("%v does not say %q", err, r.says)
			}
		})
	}
}

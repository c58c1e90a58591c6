package mysql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// TestAScriptRunsAgainFromWhereverItWasEnded runs each script's statements up to one of them, as a crash leaves them, and then
// the script.
func TestAScriptRunsAgainFromWhereverItWasEnded(t *testing.T) {
	p := enginetest.NewPair(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	before := [2][]string{schema(t, p.App), schema(t, p.Served)}
	plan := p.Write()
	crash := func(side, suffix string, stage migrations.Stage) {
		t.Helper()
		dsn := map[string]string{"legacy": p.LegacyDSN, "service": p.ServiceDSN}[side]
		db := lab{}.session(t, role, dsn)
		for _, f := range plan.Files {
			if !strings.Contains(f.Path, fmt.Sprintf("/%s/%06d_", side, stage)) || !strings.HasSuffix(f.Path, suffix) {
				continue
			}
			statements := strings.Split(strings.TrimSpace(f.SQL), ";\n")
			for n := 1; n < len(statements); n++ {
				for _, q := range statements[:n] {
					exec(t, db, q)
				}
			}
		}
	}
	up := func(to migrations.Stage) {
		for _, side := range []string{"legacy", "service"} {
			crash(side, ".up.sql", to)
		}
		p.To(to)
	}
	up(migrations.StageFirst)
	up(migrations.StageCapture)
	up(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.Exec(p.App, "UPDATE couriers SET name = 'on the way'")
	p.Sync()
	p.Alike()
	for _, to := range []migrations.Stage{migrations.StageArmed, migrations.StageCapture, migrations.StageFirst} {
		for _, side := range []string{"service", "legacy"} {
			crash(side, ".down.sql", to)
		}
		p.To(map[migrations.Stage]migrations.Stage{migrations.StageArmed: migrations.StageCapture, migrations.StageCapture: migrations.StageFirst, migrations.StageFirst: migrations.StageNone}[to])
	}
	must(t, p.Legacy.Sweep(t.Context()))
	must(t, p.Service.Sweep(t.Context()))
	if diff := cmp.Diff(before, [2][]string{schema(t, p.App), schema(t, p.Served)}); diff != "" {
		t.Errorf("not as it was:\n%s", diff)
	}
}

// TestCompleteRunsAgain ends complete behind each of its statements.
func TestCompleteRunsAgain(t *testing.T) {
	p := enginetest.NewPair(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	plan := p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.CutOver()
	for side, dsn := range map[string]string{"legacy": p.LegacyDSN, "service": p.ServiceDSN} {
		db := lab{}.session(t, role, dsn)
		i := slices.IndexFunc(plan.Files, func(f migrations.File) bool {
			return strings.Contains(f.Path, "/"+side+"/") && strings.HasSuffix(f.Path, "_complete.up.sql")
		})
		statements := strings.Split(strings.TrimSpace(plan.Files[i].SQL), ";\n")
		for n := 1; n <= len(statements); n++ {
			for _, q := range statements[:n] {
				exec(t, db, q)
			}
		}
	}
	p.To(migrations.StageComplete)
}

// TestAnApplicationsLastInsertIDIsItsOwn asks for it behind a write that was recorded.
func TestAnApplicationsLastInsertIDIsItsOwn(t *testing.T) {
	p := enginetest.Armed(t, lab{}, []string{
		"CREATE TABLE minted (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INTEGER)", "CREATE TABLE given (id BIGINT NOT NULL PRIMARY KEY, v INTEGER)",
		"INSERT INTO minted (v) VALUES (1), (2)",
	}, "minted", "given")
	for range 5 {
		p.Exec(p.App, "UPDATE minted SET v = v + 1") // the log's own keys go ahead
	}
	for q, want := range map[string]int64{"INSERT INTO minted (v) VALUES (3), (4)": 3, "INSERT INTO given VALUES (77, 1)": 0} {
		res, err := p.App.ExecContext(t.Context(), q)
		must(t, err)
		if id, err := res.LastInsertId(); err != nil || id != want {
			t.Errorf("%s: the last id is %d, %v, want %d", q, id, err, want)
		}
	}
	if got := query(t, p.App, "SELECT LAST_INSERT_ID()"); got[0] != "3" && got[0] != "0" {
		t.Errorf("LAST_INSERT_ID() is %v", got)
	}
}

// TestGeneratedKeysGoAheadOfRowsThatForbidIt has a unique value, a check and a column without a default in the way.
func TestGeneratedKeysGoAheadOfRowsThatForbidIt(t *testing.T) {
	p := enginetest.Armed(t, lab{}, []string{
		"CREATE TABLE minted (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, u INTEGER NOT NULL UNIQUE, name VARCHAR(10) NOT NULL CHECK (name <> ''))",
		"INSERT INTO minted (u, name) VALUES (0, 'zero'), (1, 'one')",
		"CREATE TABLE emptied (id INTEGER UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, day DATE NOT NULL)", "INSERT INTO emptied (day) VALUES ('2024-01-01'), ('2024-01-02')", "DELETE FROM emptied",
	}, "minted", "emptied")
	next, err := p.Legacy.Sequences(t.Context())
	must(t, err)
	for i := range next {
		next[i] += 100
	}
	must(t, p.Apply(func(a migrations.Apply) error { return a.SetSequences(t.Context(), next) }))
	p.Alike()
	p.CutOver()
	p.Exec(p.Served, "INSERT INTO minted (u, name) VALUES (2, 'two')")
	p.Exec(p.Served, "INSERT INTO emptied (day) VALUES ('2024-01-03')")
	for i, table := range []string{"minted", "emptied"} {
		if got := query(t, p.Served, "SELECT MAX(id) FROM "+table)[0]; got != fmt.Sprint(next[i]+1) {
			t.Errorf("%s handed out %s, want %d", table, got, next[i]+1)
		}
	}
	p.Sync()
	p.Alike()
}

// TestAScriptThatWorksIsNotCutOff: a statement has all the time that it needs, for one that is stopped while it opens a table may leave the
// table's triggers unreadable to everybody.
func TestAScriptThatWorksIsNotCutOff(t *testing.T) {
	p := enginetest.NewPair(t, lab{}, enginetest.Couriers, enginetest.Moved...)
	exec(t, p.App, "CREATE TABLE begun (n int) ENGINE = MyISAM")
	scripts, err := p.Legacy.Scripts(t.Context())
	must(t, err)
	defer func() { must(t, scripts.Close()) }()
	must(t, scripts.Run(strings.NewReader("INSERT INTO begun VALUES (1); CREATE TABLE slept AS SELECT SLEEP(0.5) AS n;")))
	if n := query(t, p.App, "SELECT count(*) FROM begun"); !slices.Equal(n, []string{"1"}) {
		t.Errorf("the script was begun %s times", n)
	}
}

package enginetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var scriptRules = []rule{
	{"up and down leave the schema exactly as it was", scriptsUpAndDown},
	{"every stage goes down to the one before", scriptsStageByStage},
	{"complete leaves the service's tables and nothing of ours", scriptsComplete},
	{"each begins with the plain migrate command", scriptsBeginWithCommand},
	{"scripts that have run are not written anew", scriptsNotRewritten},
	{"a script that fails leaves no dirty version", scriptsFailClean},
	{"a dirty version is refused", scriptsDirty},
	{"another tool's version table is not touched", scriptsForeignVersions},
	{"down refuses what would lose rows", scriptsRefuseDown},
	{"who comes late takes nothing back", scriptsLate},
	{"two capabilities share a database", scriptsTwoCapabilities},
}

func scriptsUpAndDown(t *testing.T, lab Lab) {
	p := NewPair(t, lab, Couriers, Moved...)
	before := schemas(p)
	p.Write()
	for range 2 {
		p.To(migrations.StageArmed)
		p.To(migrations.StageArmed)
		p.Raise()
		p.Copy()
		p.Exec(p.App, "UPDATE couriers SET name = 'on the way'")
		p.Sync()
		p.To(migrations.StageNone)
		p.sweep()
		if diff := cmp.Diff(before, schemas(p)); diff != "" {
			t.Fatalf("not as it was:\n%s", diff)
		}
		p.Term = 0
	}
}

func scriptsStageByStage(t *testing.T, lab Lab) {
	p := NewPair(t, lab, Couriers, Moved...)
	plan := p.Write()
	var at [][2][]string
	for s := migrations.StageFirst; s <= migrations.StageArmed; s++ {
		p.To(s)
		at = append(at, schemas(p))
	}
	for s := migrations.StageCapture; s >= migrations.StageFirst; s-- {
		p.To(s)
		now := schemas(p)
		if s == migrations.StageFirst { // tables that all capabilities share stay until Sweep
			now[1] = slices.DeleteFunc(now[1], func(line string) bool {
				return strings.Contains(line, "strangler_") && !slices.Contains(at[s-1][1], line)
			})
		}
		if diff := cmp.Diff(at[s-1], now); diff != "" {
			t.Errorf("down to stage %d is another schema than up to it:\n%s", s, diff)
		}
		status, err := p.Plan.Status(t.Context())
		p.must(err)
		for _, st := range status {
			version, pending := uint(0), 0
			for _, f := range plan.Files {
				var stage uint
				side, name, _ := strings.Cut(strings.TrimPrefix(f.Path, p.Capability.Name+"/"), "/")
				_, err := fmt.Sscanf(name, "%06d_", &stage)
				p.must(err)
				if side != string(st.Side) || !strings.HasSuffix(name, ".up.sql") {
					continue
				}
				if stage <= uint(s) {
					version = max(version, stage)
				} else {
					pending++
				}
			}
			if st.Version != version || st.Dirty || len(st.Pending) != pending {
				t.Errorf("status %+v at stage %d, want version %d and %d pending", st, s, version, pending)
			}
		}
	}
}

func scriptsComplete(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	p.CutOver()
	p.Exec(p.Served, writes[0])
	p.Sync()
	want := images(p, p.Served)
	p.To(migrations.StageComplete)
	p.sweep()
	if diff := cmp.Diff(want, images(p, p.Served)); diff != "" {
		t.Errorf("the service's rows changed:\n%s", diff)
	}
	for i, side := range schemas(p) {
		for _, line := range side {
			if strings.Contains(line, "strangler") {
				t.Errorf("side %d still has %s", i, line)
			}
			if i == 0 && (strings.Contains(line, "actions") || strings.Contains(line, "REFERENCES")) {
				t.Errorf("legacy still has %s", line)
			}
		}
	}
	for _, q := range writes[1:] {
		p.Exec(p.Served, q)
	}
	p.Exec(p.App, "DELETE FROM zones")
	p.Exec(p.App, "INSERT INTO orders (id, courier) VALUES (99, 99)")
}

func scriptsBeginWithCommand(t *testing.T, lab Lab) {
	p := NewPair(t, lab, Couriers, Moved...)
	plan := p.Write()
	for _, side := range []string{"legacy", "service"} { // what may follow the rows has scripts of its own where it does
		n := 0
		for _, f := range plan.Files {
			if strings.HasPrefix(f.Path, p.Capability.Name+"/"+side+"/") {
				n++
			}
		}
		if n < 8 || n%2 != 0 {
			t.Errorf("%d files for the %s database, want four pairs at least", n, side)
		}
	}
	for _, f := range plan.Files {
		for i, line := range strings.Split(f.SQL, "\n")[:3] {
			if !strings.HasPrefix(line, "--") {
				t.Errorf("%s: line %d is no comment: %s", f.Path, i+1, line)
			}
		}
		head := strings.Join(strings.Split(f.SQL, "\n")[:3], "\n")
		for _, want := range []string{"migrate -source", "x-migrations-table=strangler_" + capability + "_scripts"} {
			if !strings.Contains(head, want) {
				t.Errorf("%s does not begin with %q:\n%s", f.Path, want, head)
			}
		}
	}
}

func scriptsNotRewritten(t *testing.T, lab Lab) {
	p := NewPair(t, lab, Couriers, Moved...)
	plan := p.Write()
	p.To(migrations.StageFirst)
	p.Wants(p.Plan.Write(t.Context(), plan), strangler.ErrRefused)
}

// scriptsFailClean lets the first script up and the last one down fail at both sides.
func scriptsFailClean(t *testing.T, lab Lab) {
	for name, obstacle := range map[string]func(p *Pair) (make, drop string){
		"legacy": func(p *Pair) (string, string) {
			return lab.Speech().Obstacle[0], lab.Speech().Obstacle[1]
		},
		"service": func(p *Pair) (string, string) { return "CREATE TABLE actions (x INTEGER)", "DROP TABLE actions" },
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPair(t, lab, Couriers, Moved...)
			p.Write()
			db, side := p.App, p.Legacy
			if name == "service" {
				db, side = p.Served, p.Service
			}
			make, drop := obstacle(p)
			p.Exec(db, make)
			if err := p.Plan.To(t.Context(), migrations.StageCapture); err == nil {
				t.Fatal("the script ran over what stood in its way")
			}
			v, dirty, err := side.Version(t.Context())
			p.must(err)
			if dirty || v >= uint(migrations.StageCapture) {
				t.Errorf("version %d, dirty %v", v, dirty)
			}
			p.Exec(db, drop)
			p.To(migrations.StageArmed)
			p.Raise()
			p.Copy()
			p.Alike()
		})
	}
	t.Run("the first script down", func(t *testing.T) {
		p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
		p.must(p.Plan.To(t.Context(), migrations.StageFirst))
		p.must(p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
		if !lab.Speech().Piecemeal {
			failsWithoutATable(p)
		}
		if err := p.Plan.To(t.Context(), migrations.StageNone); err == nil {
			t.Fatal("legacy's fence was taken down closed")
		}
		p.must(p.Legacy.SetFence(t.Context(), 2, migrations.FenceOpen))
		p.To(migrations.StageNone)
	})
}

// failsWithoutATable has the service's first script fail on its way down, twice.
func failsWithoutATable(p *Pair) {
	p.t.Helper()
	p.Exec(p.Served, "DROP TABLE actions")
	for range 2 {
		if err := p.Plan.To(p.t.Context(), migrations.StageNone); err == nil {
			p.t.Fatal("it ran over a missing table")
		}
		v, dirty, err := p.Service.Version(p.t.Context())
		p.must(err)
		if dirty || v != uint(migrations.StageFirst) {
			p.t.Errorf("version %d, dirty %v", v, dirty)
		}
	}
	p.Exec(p.Served, "CREATE TABLE actions (x INTEGER)")
}

func scriptsDirty(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	p.Exec(p.Admin(strangler.Legacy), "UPDATE strangler_"+capability+"_scripts SET dirty = NOT dirty")
	before := schemas(p)
	for _, to := range []migrations.Stage{migrations.StageNone, migrations.StageArmed, migrations.StageCapture} {
		p.Wants(p.Plan.To(t.Context(), to), strangler.ErrRefused)
	}
	status, err := p.Plan.Status(t.Context())
	p.must(err)
	if !status[0].Dirty || status[1].Dirty {
		t.Errorf("status %+v", status)
	}
	p.must(p.Plan.Force(t.Context(), strangler.Legacy, int(migrations.StageCapture)))
	if diff := cmp.Diff(before[0], schemas(p)[0]); diff != "" {
		t.Errorf("refused, and yet:\n%s", diff)
	}
	p.To(migrations.StageNone)
}

func scriptsForeignVersions(t *testing.T, lab Lab) {
	p := NewPair(t, lab, append(Couriers, "CREATE TABLE schema_migrations (version VARCHAR(40) NOT NULL PRIMARY KEY)", "INSERT INTO schema_migrations (version) VALUES ('20240101120000')"), Moved...)
	p.Exec(p.Served, "CREATE TABLE schema_migrations (version VARCHAR(40) NOT NULL PRIMARY KEY)")
	p.Write()
	p.To(migrations.StageArmed)
	p.To(migrations.StageNone)
	p.sweep()
	var v string
	p.must(p.App.QueryRowContext(t.Context(), "SELECT version FROM schema_migrations").Scan(&v))
	if v != "20240101120000" {
		t.Errorf("the other tool's version is %q", v)
	}
}

func scriptsRefuseDown(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	if err := p.Plan.To(t.Context(), migrations.StageComplete); err == nil {
		t.Fatal("complete ran while legacy owns")
	}
	p.CutOver()
	before := schemas(p)
	for _, to := range []migrations.Stage{migrations.StageCapture, migrations.StageFirst, migrations.StageNone} {
		if err := p.Plan.To(t.Context(), to); err == nil {
			t.Fatalf("down to %d ran while the service owns", to)
		}
		if diff := cmp.Diff(before, schemas(p)); diff != "" {
			t.Errorf("a script that refused changed something:\n%s", diff)
		}
	}
	for _, d := range []migrations.Database{p.Legacy, p.Service} {
		if v, dirty, err := d.Version(t.Context()); v != uint(migrations.StageArmed) || dirty || err != nil {
			t.Errorf("version %d, dirty %v, %v", v, dirty, err)
		}
	}
	p.Exec(p.Admin(strangler.Legacy), "DELETE FROM strangler_fence")
	if err := p.Plan.To(t.Context(), migrations.StageComplete); err == nil {
		t.Error("complete dropped the tables of a database that has lost its fence row")
	}
}

func scriptsLate(t *testing.T, lab Lab) {
	p := Armed(t, lab, Couriers, Moved...)
	before := schemas(p)
	for _, to := range []migrations.Stage{migrations.StageFirst, migrations.StageCapture, migrations.StageWhole} {
		p.must(p.Plan.Up(t.Context(), to))
		if diff := cmp.Diff(before, schemas(p)); diff != "" {
			t.Errorf("up to %d, from further on:\n%s", to, diff)
		}
	}
}

func scriptsTwoCapabilities(t *testing.T, lab Lab) {
	var ddl []string
	for _, q := range Couriers { // some engines refuse a cascade that comes in from another capability
		ddl = append(ddl, strings.ReplaceAll(q, " ON DELETE CASCADE", ""))
	}
	p := NewPair(t, lab, ddl, "actions")
	before := schemas(p)
	p.Write()
	q := &Pair{t: t, lab: lab, LegacyDSN: p.LegacyDSN, ServiceDSN: p.ServiceDSN, App: p.App, Served: p.Served, Owner: strangler.Legacy,
		Capability: strangler.Capability{Name: "staff", Tables: []strangler.Table{{From: "couriers", To: "couriers"}},
			Legacy: p.Capability.Legacy, Service: p.Capability.Service}}
	q.Plan = q.planning(controlID)
	q.Write()
	p.To(migrations.StageArmed)
	q.To(migrations.StageCapture)
	if err := q.Plan.To(t.Context(), migrations.StageArmed); err == nil {
		t.Error("a capability gets ready to leave while one that refers to it is about to")
	}
	q.Raise()
	q.Copy()
	p.Raise()
	p.Copy()
	p.Exec(p.App, "UPDATE couriers SET name = 'x'")
	p.Exec(p.App, "UPDATE actions SET what = 'y'")
	if n := p.Pending(); n != 3 {
		t.Errorf("%d changes of three actions", n)
	}
	keysOf(t, q, 0, "1", "2", "3")
	p.must(p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	p.Refused(p.App, "DELETE FROM actions")
	p.Exec(p.App, fmt.Sprintf("UPDATE couriers SET name = '%s'", "not fenced"))
	p.must(p.Legacy.SetFence(t.Context(), 2, migrations.FenceOpen))
	p.Sync()
	q.Sync()
	p.Alike()
	q.Alike()
	q.To(migrations.StageNone)
	q.sweep()
	p.Exec(p.App, "UPDATE actions SET what = 'z'")
	p.Sync()
	p.Alike()
	p.To(migrations.StageNone)
	p.sweep()
	if diff := cmp.Diff(before, schemas(p)); diff != "" {
		t.Errorf("not as it was:\n%s", diff)
	}
}

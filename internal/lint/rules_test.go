package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/strangler-fig/strangler"

// pkg is one package as `go list` has it. Names of this module's packages are relative to it; the
// root is ".".
type pkg struct {
	Path  string
	Uses  []string // imports of the code
	Tests []string // imports of its tests, inside and outside of the package
}

// The rooms of docs/ARCHITECTURE.md that must not know each other.
var rooms = []string{"proxy", "migrations", "playbook", "assess", "control"}

// engines have each its own drivers, and none of the others'.
var engines = map[string][]string{
	"migrations/sqlite":   {"modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/golang-migrate/migrate/v4/database/sqlite"},
	"migrations/postgres": {"github.com/jackc/pgx", "github.com/jackc/pglogrepl", "github.com/lib/pq", "github.com/golang-migrate/migrate/v4/database/pgx", "github.com/golang-migrate/migrate/v4/database/postgres"},
	"migrations/mysql":    {"github.com/go-sql-driver/mysql", "github.com/go-mysql-org/go-mysql", "github.com/golang-migrate/migrate/v4/database/mysql"},
}

var (
	gormRooms = []string{"control", "legacy-monolith", "extracted"}
	echoRooms = []string{"internal/admin", "internal/dashboard", "legacy-monolith", "extracted", "proxy"}
	noEcho    = []string{"proxy/h1", "proxy/compare"} // they do not speak net/http
)

// violations are all imports of p that a rule forbids, each as "rule N: who imports what: why".
func violations(p pkg) (found []string) {
	for _, dep := range p.Uses {
		if rule, why := forbidden(p.Path, dep, false); rule > 0 {
			found = append(found, fmt.Sprintf("rule %d: %s imports %s: %s", rule, p.Path, dep, why))
		}
	}
	for _, dep := range p.Tests {
		if rule, why := forbidden(p.Path, dep, true); rule > 0 {
			found = append(found, fmt.Sprintf("rule %d: the tests of %s import %s: %s", rule, p.Path, dep, why))
		}
	}
	return found
}

// forbidden is the rule that keeps from from importing dep, or 0. A test may import more: the packages of
// its own room, what tests are written with, and internal/localdb.
func forbidden(from, dep string, test bool) (rule int, why string) {
	own := ours(dep)
	switch {
	case from == "." && !test && !standard(dep):
		return 1, "the root package imports the standard library only"

	case own && test && within(dep, "internal/localdb"):
		return 0, ""

	case own && patient(from):
		if !within(dep, "extracted/kit") && !within(dep, home(from)) {
			return 4, "it imports nothing of the toolkit but extracted/kit, and no other service"
		}
	case own && patient(dep):
		return 4, "the toolkit imports nothing of the monolith and the services"

	case own && engines[from] != nil:
		if engines[dep] != nil && dep != from {
			return 3, "an engine imports no other engine"
		}
		if dep != "." && dep != "migrations" && dep != "migrations/serverlog" && !within(dep, from) && !(test && within(dep, "migrations/enginetest")) {
			return 3, "an engine imports migrations, its serverlog, the root and its own driver"
		}
	case own && room(from) != "":
		if !test && room(from) == "migrations" && engines[dep] != nil {
			return 3, "the engines are chosen by DSN in internal/engines; migrations knows its interface only"
		}
		if dep != "." && room(dep) != room(from) {
			return 2, "it imports the root and its own room; internal/daemon joins the rooms"
		}

	case within(dep, "gorm.io") && !withinAny(from, gormRooms):
		return 5, "gorm is for control, legacy-monolith and extracted"
	case within(dep, "github.com/labstack") && (!withinAny(from, echoRooms) || withinAny(from, noEcho)):
		return 6, "echo is for the admin API, the dashboard, the monolith, the services, and the proxy where it uses net/http"
	}
	if driver := driverOf(dep); driver != "" && within(from, "migrations") && driver != from && !(test && engines[from] == nil) {
		return 3, "it is the driver of " + driver
	}
	return 0, ""
}

func driverOf(dep string) string {
	for engine, drivers := range engines {
		if withinAny(dep, drivers) {
			return engine
		}
	}
	return ""
}

// home is the part of the patient that from belongs to: the monolith, the kit or one service.
func home(from string) string {
	if within(from, "legacy-monolith") {
		return "legacy-monolith"
	}
	return strings.Join(strings.SplitN(from, "/", 3)[:min(2, strings.Count(from, "/")+1)], "/")
}

func room(p string) string {
	i := slices.IndexFunc(rooms, func(r string) bool { return within(p, r) })
	if i < 0 {
		return ""
	}
	return rooms[i]
}

func patient(p string) bool { return within(p, "legacy-monolith") || within(p, "extracted") }

// ours reports whether dep, made relative, is of this module.
func ours(dep string) bool {
	first, _, _ := strings.Cut(dep, "/")
	return dep == "." || slices.Contains(folders, first)
}

// folders are the top folders of the module that may hold packages.
var folders = append([]string{"cmd", "internal", "legacy-monolith", "extracted", "tools"}, rooms...)

// standard reports whether dep is of the standard library, by the go command's own rule: no dot in the
// first element.
func standard(dep string) bool {
	first, _, _ := strings.Cut(dep, "/")
	return !strings.Contains(first, ".") && !ours(dep)
}

func within(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, folder+"/")
}

func withinAny(p string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return within(p, f) })
}

// relative makes a package's import path one of this module's names.
func relative(importPath string) string {
	if importPath == module {
		return "."
	}
	return path.Clean(strings.TrimPrefix(importPath, module+"/"))
}

func TestImportRulesFindViolations(t *testing.T) {
	cases := []struct {
		from string
		dep  string
		test bool
		rule int
	}{
		{".", "net/http", false, 0},
		{".", "gorm.io/gorm", false, 1},
		{".", "github.com/google/go-cmp/cmp", false, 1},
		{".", "github.com/google/go-cmp/cmp", true, 0},
		{".", "control", false, 1},

		{"proxy", ".", false, 0},
		{"proxy", "proxy/h1", false, 0},
		{"proxy", "control", false, 2},
		{"proxy", "migrations/sqlite", false, 2},
		{"proxy", "internal/config", false, 2},
		{"playbook", "migrations", true, 2},
		{"control", "internal/localdb", true, 0},
		{"control", "internal/localdb", false, 2},
		{"migrations", "proxy/compare", false, 2},
		{"migrations", "internal/engines", true, 2},
		{"internal/daemon", "proxy", false, 0},
		{"cmd/strangler", "control", false, 0},
		{"internal/e2e", "migrations/sqlite", true, 0},

		{"migrations/sqlite", "migrations", false, 0},
		{"migrations/sqlite", ".", false, 0},
		{"migrations/sqlite", "modernc.org/sqlite/lib", false, 0},
		{"migrations/sqlite", "github.com/golang-migrate/migrate/v4/database", false, 0},
		{"migrations/sqlite", "github.com/golang-migrate/migrate/v4/database/sqlite", false, 0},
		{"migrations/sqlite", "migrations/enginetest", true, 0},
		{"migrations/sqlite", "migrations/enginetest", false, 3},
		{"migrations/sqlite", "migrations/postgres", false, 3},
		{"migrations/sqlite", "migrations/postgres", true, 3},
		{"migrations/sqlite", "control", false, 3},
		{"migrations/sqlite", "github.com/jackc/pgx/v5", false, 3},
		{"migrations/postgres", "github.com/jackc/pgx/v5/pgconn", false, 0},
		{"migrations/postgres", "modernc.org/sqlite", true, 3},
		{"migrations/mysql", "github.com/go-sql-driver/mysql", false, 0},
		{"migrations/mysql", "github.com/go-mysql-org/go-mysql/replication", false, 0},
		{"migrations/mysql", "migrations/serverlog", false, 0},
		{"migrations/sqlite", "github.com/go-mysql-org/go-mysql/replication", false, 3},
		{"migrations/mysql", "gorm.io/gorm", false, 5},
		{"migrations", "modernc.org/sqlite", false, 3},
		{"migrations", "modernc.org/sqlite", true, 0},
		{"migrations", "migrations/sqlite", false, 3},
		{"migrations", "migrations/sqlite", true, 0},
		{"migrations/enginetest", "migrations/sqlite", false, 3},
		{"control", "modernc.org/sqlite", false, 0},

		{"legacy-monolith", "extracted/kit", false, 0},
		{"legacy-monolith", "legacy-monolith/internal/shop", false, 0},
		{"legacy-monolith/internal/seam", ".", false, 4},
		{"legacy-monolith/internal/shop", "extracted/kit/contract", true, 0},
		{"legacy-monolith", "internal/localdb", true, 0},
		{"legacy-monolith", "internal/localdb", false, 4},
		{"legacy-monolith", "extracted/delivery/schema", true, 4},
		{"extracted/delivery", "extracted/delivery/schema", false, 0},
		{"extracted/delivery", "extracted/kit", false, 0},
		{"extracted/delivery/internal/dispatch", "extracted/billing/api", false, 4},
		{"extracted/delivery", "legacy-monolith/internal/model", false, 4},
		{"extracted/kit", "extracted/delivery", false, 4},
		{"extracted/kit", ".", false, 4},
		{"internal/demo", "legacy-monolith/internal/seed", false, 4},
		{"internal/e2e", "extracted/kit", true, 4},
		{"proxy", "extracted/kit", false, 4},

		{"control", "gorm.io/driver/sqlite", false, 0},
		{"extracted/kit", "gorm.io/gorm", false, 0},
		{"internal/invariant", "gorm.io/gorm", false, 5},
		{"playbook", "gorm.io/gorm", true, 5},

		{"internal/admin", "github.com/labstack/echo/v4", false, 0},
		{"proxy", "github.com/labstack/echo/v4", false, 0},
		{"proxy/h1", "github.com/labstack/echo/v4", false, 6},
		{"proxy/compare", "github.com/labstack/echo/v4", true, 6},
		{"internal/client", "github.com/labstack/echo/v4", false, 6},
		{"control", "github.com/labstack/gommon/log", false, 6},
		{"legacy-monolith/internal/shop", "github.com/labstack/echo/v4/middleware", false, 0},
	}
	for _, c := range cases {
		p := pkg{Path: c.from}
		if c.test {
			p.Tests = []string{c.dep}
		} else {
			p.Uses = []string{c.dep}
		}
		var want string
		if c.rule > 0 {
			want = fmt.Sprintf("rule %d", c.rule)
		}
		got, _, _ := strings.Cut(strings.Join(violations(p), "; "), ":")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s imports %s, in tests %v (-want +got):\n%s", c.from, c.dep, c.test, diff)
		}
	}
}

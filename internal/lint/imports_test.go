package lint

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportRules asks the go command, because only it knows which files belong to a build. It asks
// with and without each build tag that this repository uses.
func TestImportRules(t *testing.T) {
	found := map[string]bool{} // the same violation under several tags is one
	for _, tags := range []string{"", "torture", "race"} {
		packages := list(t, tags)
		for _, want := range []string{".", "proxy", "control", "migrations", "migrations/sqlite", "playbook", "legacy-monolith", "extracted/delivery", "internal/lint"} {
			if !slices.ContainsFunc(packages, func(p pkg) bool { return p.Path == want }) {
				t.Errorf("tags %q: the list lacks %s", tags, want)
			}
		}
		for _, p := range packages {
			first, _, _ := strings.Cut(p.Path, "/")
			if first != "." && !slices.Contains(folders, first) {
				t.Errorf("%s: this folder is in no rule; add it to folders in rules_test.go, and say in docs/ARCHITECTURE.md what it may import", p.Path)
			}
			for _, v := range violations(p) {
				found[v] = true
			}
		}
	}
	for _, v := range slices.Sorted(maps.Keys(found)) {
		t.Error(v)
	}
}

// list is every package of the module.
func list(t *testing.T, tags string) (packages []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "-tags", tags, "./...")
	cmd.Dir = root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, pkg{
			Path:  relative(p.ImportPath),
			Uses:  relatives(p.Imports),
			Tests: relatives(slices.Concat(p.TestImports, p.XTestImports)),
		})
	}
}

func relatives(importPaths []string) (out []string) {
	for _, p := range importPaths {
		out = append(out, relative(p))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

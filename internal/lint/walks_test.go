package lint

import (
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fileName finds the files that a package comment names: in its own folder, or with a slash from the root.
var fileName = regexp.MustCompile(`[A-Za-z0-9_.\-/]*[A-Za-z0-9_]\.(?:go|gohtml|txt|json|sql|md)\b`)

// named are the files that a package comment names.
func named(comment string) []string {
	names := fileName.FindAllString(comment, -1)
	slices.Sort(names)
	return slices.Compact(names)
}

// walkProblems are the files that the comment names and the folder lacks, and, where the comment is a walk
// (it names two Go files or more), the Go files of the folder that it leaves out. there says whether a
// file of the repository exists.
func walkProblems(folder, comment string, goFiles []string, there func(string) bool) (problems []string) {
	walk := 0
	names := named(comment)
	for _, name := range names {
		full := name
		if !strings.Contains(name, "/") {
			full = path.Join(folder, name)
		}
		if strings.HasSuffix(name, ".md") && !strings.Contains(name, "/") && !there(full) {
			full = path.Join("docs", name) // documents are meant by their name alone
		}
		if !there(full) {
			problems = append(problems, fmt.Sprintf("%s: its package comment names %s, which is not there", folder, name))
		}
		if path.Dir(full) == path.Clean(folder) && strings.HasSuffix(name, ".go") {
			walk++
		}
	}
	for _, name := range goFiles {
		if walk >= 2 && name != "doc.go" && !strings.HasSuffix(name, "_test.go") && !slices.Contains(names, name) {
			problems = append(problems, fmt.Sprintf("%s: its package comment is a walk through its files, and leaves out %s", folder, name))
		}
	}
	return problems
}

func TestWalks(t *testing.T) {
	folders := map[string][]string{}
	for _, name := range files(t, suffix(".go")) {
		folders[path.Dir(name)] = append(folders[path.Dir(name)], path.Base(name))
	}
	there := func(name string) bool { return exists(t, name) }
	walks := 0
	for folder, goFiles := range folders {
		comment, own := packageComment(t, folder, goFiles)
		rest := slices.DeleteFunc(slices.Clone(goFiles), func(name string) bool { return name == own })
		for _, problem := range walkProblems(folder, comment, rest, there) {
			t.Error(problem)
		}
		if own == "doc.go" {
			walks++
			code := func(name string) bool { return !strings.HasSuffix(name, "_test.go") }
			if len(named(comment)) == 0 && slices.ContainsFunc(rest, code) {
				t.Errorf("%s: its doc.go names no file; it is to be the walk through them", folder)
			}
		}
	}
	if walks < 5 {
		t.Errorf("%d doc.go files found, want all of them", walks)
	}
}

// packageComment is the comment of the folder's package, and the file that it stands in.
func packageComment(t *testing.T, folder string, goFiles []string) (comment, file string) {
	t.Helper()
	for _, name := range goFiles {
		full := path.Join(folder, name)
		f, err := parser.ParseFile(token.NewFileSet(), full, read(t, full), parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc != nil && !strings.HasSuffix(name, "_test.go") {
			comment, file = f.Doc.Text(), name
			if name == "doc.go" {
				return comment, file
			}
		}
	}
	return comment, file
}

func TestWalkProblemsAreFound(t *testing.T) {
	there := func(name string) bool {
		return slices.Contains([]string{"x/a.go", "x/b.go", "x/c.go", "y/z.go", "docs/CUTOVER.md"}, name)
	}
	cases := []struct {
		comment string
		want    int
	}{
		{"a.go, b.go and c.go; y/z.go is elsewhere. See docs/CUTOVER.md, or CUTOVER.md.", 0},
		{"a.go then b.go.", 1},
		{"a.go, b.go, c.go, gone.go", 1},
		{"only a.go is worth a word", 0},
		{"y/gone.go", 1},
		{"docs/GONE.md", 1},
	}
	for _, c := range cases {
		if got := walkProblems("x", c.comment, []string{"a.go", "b.go", "c.go", "c_test.go", "doc.go"}, there); len(got) != c.want {
			t.Errorf("%q: %d problems, want %d: %v", c.comment, len(got), c.want, got)
		}
	}
}

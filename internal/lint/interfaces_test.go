package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"strings"
	"testing"
)

// maxMethods is the most that an interface may ask of those who provide it.
const maxMethods = 5

// wideInterfaces are the interface types of one file that have more methods, as "name: n methods". Methods
// of embedded interfaces are their own interface's.
func wideInterfaces(t *testing.T, name, source string) (wide []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		of, ok := spec.Type.(*ast.InterfaceType)
		if !ok {
			return true
		}
		methods := 0
		for _, field := range of.Methods.List {
			methods += len(field.Names)
		}
		if methods > maxMethods {
			wide = append(wide, fmt.Sprintf("%s: %d methods", spec.Name.Name, methods))
		}
		return true
	})
	return wide
}

// TestInterfacesAreSmall keeps the second half of rule 2.
func TestInterfacesAreSmall(t *testing.T) {
	for _, name := range files(t, suffix(".go")) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, wide := range wideInterfaces(t, path.Base(name), read(t, name)) {
			t.Errorf("rule 2: %s: %s; at most %d, declared by whoever uses them", name, wide, maxMethods)
		}
	}
}

func TestWideInterfacesAreFound(t *testing.T) {
	const source = "package x\ntype Small interface { A(); B(); C(); D(); E() }\ntype Wide interface { Small; A(); B(); C(); D(); E(); F() }\n"
	if got := wideInterfaces(t, "x.go", source); len(got) != 1 || got[0] != "Wide: 6 methods" {
		t.Errorf("got %q", got)
	}
}

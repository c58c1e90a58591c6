package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader walks the document and collects the problems that it meets.
type reader struct {
	lookup   func(string) (string, bool)
	dir      string // relative paths are relative to it
	problems []Problem

	legacyDatabase bool // legacy.database is in the file, right or wrong
}

// field is one value of the file and the path that leads to it.
type field struct {
	node *yaml.Node // nil where the file has no such key
	path string
	line int // of the value; of what should hold it where there is none
}

func (f field) given() bool { return f.node != nil }

// raw quotes a scalar as the file has it, without the values of variables.
func (f field) raw() string { return fmt.Sprintf("%q", f.node.Value) }

// in is the path of a key below f.
func (f field) in(key string) string {
	if f.path == "" {
		return key
	}
	return f.path + "." + key
}

func (r *reader) problem(f field, format string, args ...any) {
	r.problems = append(r.problems, Problem{Line: f.line, Key: f.path, Message: fmt.Sprintf(format, args...)})
}

// entry is one key of an object with its value.
type entry struct {
	key   string
	value field
}

// entries are an object's keys in the file's order. A key that stands twice is a problem.
func (r *reader) entries(f field) []entry {
	if !f.given() {
		return nil
	}
	if f.node.Kind != yaml.MappingNode {
		r.problem(f, "this is %s; write keys with values, or {} for none", kind(f.node))
		return nil
	}
	var all []entry
	lines := map[string]int{}
	for i := 0; i+1 < len(f.node.Content); i += 2 {
		key, value := f.node.Content[i], f.node.Content[i+1]
		at := field{node: resolve(value), path: f.in(key.Value), line: key.Line}
		switch first, twice := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			r.problem(field{path: f.path, line: key.Line}, "a key is %s; write a plain word", kind(key))
			continue
		case key.Tag == "!!merge":
			r.problem(field{path: f.path, line: key.Line}, "merge keys (<<) are not read; write the keys out, or use an alias (*name) for a whole value")
			continue
		case twice:
			r.problem(at, "the key stands twice, first on line %d; keep one", first)
			continue
		}
		lines[key.Value] = key.Line
		all = append(all, entry{key.Value, at})
	}
	return all
}

// object reads an object whose keys are known. The map has every known key; those that the file
// lacks are not given.
func (r *reader) object(f field, known ...string) map[string]field {
	found := map[string]field{}
	for _, key := range known {
		found[key] = field{path: f.in(key), line: f.line}
	}
	for _, e := range r.entries(f) {
		if !slices.Contains(known, e.key) {
			r.unknown(f, e, known)
			continue
		}
		if e.value.node.Tag == "!!null" {
			r.problem(e.value, "the key has no value; give it one or remove it")
			found[e.key] = field{path: e.value.path, line: e.value.line}
			continue
		}
		found[e.key] = e.value
	}
	return found
}

// unknown reports a key that is not read. `token:secret`, without the space, is a key to YAML: what
// stands behind the colon is not shown.
func (r *reader) unknown(parent field, e entry, known []string) {
	name, _, glued := strings.Cut(e.key, ":")
	if !glued {
		name, _, glued = strings.Cut(e.key, "=")
	}
	at := field{path: parent.in(name), line: e.value.line}
	if glued {
		r.problem(at, "write a colon and a space between the key and its value")
		return
	}
	r.problem(at, "unknown key; the keys here are %s", strings.Join(known, ", "))
}

// list are a list's values. A list that is not given is empty.
func (r *reader) list(f field) []field {
	if !f.given() {
		return nil
	}
	if f.node.Kind != yaml.SequenceNode {
		r.problem(f, "this is %s; write a list, as in [a, b]", kind(f.node))
		return nil
	}
	all := make([]field, 0, len(f.node.Content))
	for i, node := range f.node.Content {
		at := field{node: resolve(node), path: fmt.Sprintf("%s[%d]", f.path, i), line: node.Line}
		if at.node.Tag == "!!null" {
			r.problem(at, "the entry is empty; give it a value or remove it")
			continue
		}
		all = append(all, at)
	}
	return all
}

// text is a scalar with its variables replaced. It is false where there is none, or where it is
// wrong and has been reported.
func (r *reader) text(f field) (string, bool) {
	if !f.given() {
		return "", false
	}
	if f.node.Kind != yaml.ScalarNode {
		r.problem(f, "this is %s; write one value", kind(f.node))
		return "", false
	}
	return r.expand(f)
}

// texts is a list of texts.
func (r *reader) texts(f field) []string {
	var all []string
	for _, item := range r.list(f) {
		if s, ok := r.text(item); ok {
			all = append(all, s)
		}
	}
	return all
}

var (
	variable     = regexp.MustCompile(`\$?\$\{[^}]*\}?`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// expand replaces ${VAR}. $${ is a literal ${.
func (r *reader) expand(f field) (string, bool) {
	ok := true
	expanded := variable.ReplaceAllStringFunc(f.node.Value, func(s string) string {
		if strings.HasPrefix(s, "$$") {
			return s[1:]
		}
		name := strings.TrimSuffix(strings.TrimPrefix(s, "${"), "}")
		if !strings.HasSuffix(s, "}") || !variableName.MatchString(name) {
			r.problem(f, "${ begins the name of an environment variable, as in ${STRANGLER_TOKEN}; write $${ for the characters themselves")
			ok = false
			return ""
		}
		value, set := r.lookup(name)
		if !set {
			r.problem(f, "the environment variable %s is not set; set it, or write the value here", name)
			ok = false
		}
		return value
	})
	return expanded, ok
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "an object"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "empty"
	}
	return "a single value"
}

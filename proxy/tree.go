package proxy

import (
	"net/url"
	"strings"
)

// tree matches a method and a path against patterns, with the precedence of http.ServeMux: an exact
// method before GET for HEAD before any method; at each segment a literal before {name} before
// {name...}. It is ServeMux's own routing tree (net/http/routing_tree.go) without hosts and
// redirects. It is read by many goroutines once it is built. A match allocates nothing unless a
// segment is escaped.
type tree struct{ methods []methodTree }

type methodTree struct {
	method string // empty: every method
	root   *node
}

// node is one position in a path. value is the capability whose pattern ends here, or none.
type node struct {
	literals []literal
	single   *node // {name}
	multi    *node // {name...}, or the rest after a trailing slash
	value    int
}

type literal struct {
	segment string // "/" stands for the end after a trailing slash
	node    *node
}

const none = -1

func newNode() *node { return &node{value: none} }

// add puts a pattern in. It has to be one that http.ServeMux takes.
func (t *tree) add(method, pattern string, value int) {
	n := t.root(method)
	if n == nil {
		n = newNode()
		t.methods = append(t.methods, methodTree{method, n})
	}
	for rest := pattern; rest != ""; {
		var segment string
		if rest == "/" { // a trailing slash: everything below
			n, rest = child(&n.multi), ""
			continue
		}
		rest = rest[1:]
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			segment, rest = rest[:i], rest[i:]
		} else {
			segment, rest = rest, ""
		}
		switch {
		case segment == "{$}":
			n = n.literal("/")
		case strings.HasSuffix(segment, "...}"):
			n = child(&n.multi)
		case strings.HasPrefix(segment, "{"):
			n = child(&n.single)
		default:
			n = n.literal(unescape(segment))
		}
	}
	n.value = value
}

func child(slot **node) *node {
	if *slot == nil {
		*slot = newNode()
	}
	return *slot
}

func (n *node) literal(segment string) *node {
	if c := n.find(segment); c != nil {
		return c
	}
	c := newNode()
	n.literals = append(n.literals, literal{segment, c})
	return c
}

// find is linear: a position seldom has more than a few literals.
func (n *node) find(segment string) *node {
	for i := range n.literals {
		if n.literals[i].segment == segment {
			return n.literals[i].node
		}
	}
	return nil
}

func (t *tree) root(method string) *node {
	for i := range t.methods {
		if t.methods[i].method == method {
			return t.methods[i].root
		}
	}
	return nil
}

// match returns the value of the most specific pattern, or none. The path is escaped and clean.
func (t *tree) match(method, path string) int {
	if path[0] != '/' { // "OPTIONS *"
		return none
	}
	if v := t.root(method).match(path); v != none {
		return v
	}
	if method == "HEAD" {
		if v := t.root("GET").match(path); v != none {
			return v
		}
	}
	return t.root("").match(path)
}

func (n *node) match(path string) int {
	if n == nil {
		return none
	}
	if path == "" {
		return n.value
	}
	segment, rest := firstSegment(path)
	if v := n.find(segment).match(rest); v != none {
		return v
	}
	if segment != "/" {
		if v := n.single.match(rest); v != none {
			return v
		}
	}
	if n.multi != nil {
		return n.multi.value
	}
	return none
}

// firstSegment splits "/a/b" into "a" and "/b"; "/" alone is the segment "/".
func firstSegment(path string) (segment, rest string) {
	if path == "/" {
		return "/", ""
	}
	path = path[1:]
	if i := strings.IndexByte(path, '/'); i >= 0 {
		path, rest = path[:i], path[i:]
	}
	return unescape(path), rest
}

func unescape(segment string) string {
	if strings.IndexByte(segment, '%') < 0 {
		return segment
	}
	if s, err := url.PathUnescape(segment); err == nil {
		return s
	}
	return segment
}

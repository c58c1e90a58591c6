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
	literals []literal        // a few are found faster one by one
	many     map[string]*node // the literals where they are more than a few, or nil
	single   *node            // {name}
	multi    *node            // {name...}, or the rest after a trailing slash
	value    int
}

type literal struct {
	segment string // "/" stands for the end after a trailing slash
	node    *node
}

const none = -1

// fewLiterals is how many are compared one by one.
const fewLiterals = 8

func newNode() *node { return &node{value: none} }

// add puts a pattern in. It has to be one that http.ServeMux takes.
func (t *tree) add(method, pattern string, value int) { t.node(method, pattern).value = value }

// node is where a pattern ends.
func (t *tree) node(method, pattern string) *node {
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
	return n
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
	if n.many != nil {
		n.many[segment] = c
		return c
	}
	if n.literals = append(n.literals, literal{segment, c}); len(n.literals) > fewLiterals {
		n.many = make(map[string]*node)
		for _, l := range n.literals {
			n.many[l.segment] = l.node
		}
	}
	return c
}

func (n *node) find(segment string) *node {
	if n.many != nil {
		return n.many[segment]
	}
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

// all appends the sets of every pattern that matches, whichever is the more specific; sets are by their values.
func (t *tree) all(method, path string, sets [][]int, found []int) []int {
	if path[0] != '/' {
		return found
	}
	found = t.root(method).all(path, sets, found)
	if method == "HEAD" {
		found = t.root("GET").all(path, sets, found)
	}
	return t.root("").all(path, sets, found)
}

func (n *node) all(path string, sets [][]int, found []int) []int {
	switch {
	case n == nil || path == "" && n.value == none:
		return found
	case path == "":
		return append(found, sets[n.value]...)
	}
	segment, rest := firstSegment(path)
	found = n.find(segment).all(rest, sets, found)
	if segment != "/" {
		found = n.single.all(rest, sets, found)
	}
	if n.multi != nil {
		found = append(found, sets[n.multi.value]...)
	}
	return found
}

// firstSegment splits "/a/b" into "a" and "/b"; "/" alone is the segment "/".
func firstSegment(path string) (segment, rest string) {
	end, escaped := 1, false
	for ; end < len(path) && path[end] != '/'; end++ {
		escaped = escaped || path[end] == '%'
	}
	switch segment, rest = path[1:end], path[end:]; {
	case path == "/":
		return path, ""
	case escaped:
		return unescape(segment), rest
	}
	return segment, rest
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

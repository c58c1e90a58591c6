package sqlite

import (
	"fmt"
	"slices"
	"strings"
)

// token is one word, quoted name, literal or sign of a statement, with its place in the text.
type token struct {
	text       string // unquoted where it is a name
	start, end int
	word       bool // an unquoted word or a quoted name
	quoted     bool
}

// tokens splits SQL; comments and white space are passed over.
func tokens(s string) ([]token, error) {
	var out []token
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
		case strings.HasPrefix(s[i:], "--"):
			if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
				i += n
			} else {
				i = len(s)
			}
		case strings.HasPrefix(s[i:], "/*"):
			n := strings.Index(s[i+2:], "*/")
			if n < 0 {
				return nil, fmt.Errorf("a comment does not end in %q", s)
			}
			i += n + 4
		case c == '"' || c == '`' || c == '[' || c == '\'':
			closing := c
			if c == '[' {
				closing = ']'
			}
			j := i + 1
			var name strings.Builder
			for {
				if j >= len(s) {
					return nil, fmt.Errorf("a quote does not end in %q", s)
				}
				if s[j] == closing {
					if closing != ']' && j+1 < len(s) && s[j+1] == closing {
						name.WriteByte(closing)
						j += 2
						continue
					}
					break
				}
				name.WriteByte(s[j])
				j++
			}
			out = append(out, token{text: name.String(), start: i, end: j + 1, word: true, quoted: true})
			i = j + 1
		case wordByte(c):
			j := i
			for j < len(s) && wordByte(s[j]) {
				j++
			}
			out = append(out, token{text: s[i:j], start: i, end: j, word: true})
			i = j
		default:
			out = append(out, token{text: s[i : i+1], start: i, end: i + 1})
			i++
		}
	}
	return out, nil
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (t token) is(keyword string) bool {
	return t.word && !t.quoted && strings.EqualFold(t.text, keyword)
}

// hasKeyword reports whether s, read as SQL, has the keyword.
func hasKeyword(s, keyword string) bool {
	ts, err := tokens(s)
	return err == nil && slices.ContainsFunc(ts, func(t token) bool { return t.is(keyword) })
}

// hasWord reports whether s, read as SQL, has the word w outside of comments.
func hasWord(s, w string) bool {
	ts, err := tokens(s)
	if err != nil {
		return strings.Contains(strings.ToUpper(s), strings.ToUpper(w))
	}
	for _, t := range ts {
		if t.word && strings.EqualFold(t.text, w) {
			return true
		}
	}
	return false
}

// withoutReferences is a CREATE TABLE without its foreign keys that cut names by parent and columns. The rest
// of the text stays as it is, comments included.
func withoutReferences(ddl string, cut func(parent string, from []string) bool) (string, error) {
	ts, err := tokens(ddl)
	if err != nil {
		return "", err
	}
	var drop [][2]int // token indexes, half open
	depth, begin := 0, -1
	for i, t := range ts {
		switch {
		case t.sign("("):
			depth++
			if depth == 1 && begin < 0 {
				begin = i + 1
			}
		case depth == 1 && (t.sign(")") || t.sign(",")):
			drop = append(drop, cutsIn(ts, begin, i, cut)...)
			begin = i + 1
			if t.sign(")") {
				depth--
			}
		case t.sign(")"):
			depth--
		}
		if depth == 0 && begin > 0 {
			break
		}
	}
	if begin < 0 {
		return "", fmt.Errorf("%q is no CREATE TABLE with a list of columns", ddl)
	}
	for i := len(drop) - 1; i >= 0; i-- {
		from, to := drop[i][0], drop[i][1]
		ddl = joined(ddl, ts[from-1].end, ts[from].start, ts[to-1].end)
	}
	return ddl, nil
}

// joined leaves out ddl[from:to], and the white space before it back to the last token. A comment that
// stands there stays, with the end of its line; what would become one word is kept apart.
func joined(ddl string, last, from, to int) string {
	before, after := ddl[:from], ddl[to:]
	if strings.TrimSpace(ddl[last:from]) == "" {
		before = ddl[:last]
	}
	if after != "" && !strings.ContainsRune(" \t\r\n\f,)", rune(after[0])) {
		before += " "
	}
	return before + after
}

func (t token) sign(s string) bool { return !t.word && t.text == s }

// cutsIn finds what to drop in one definition ts[from:to]: table constraints, the last with the comma
// before it, or the REFERENCES clauses of a column.
func cutsIn(ts []token, from, to int, cut func(parent string, from []string) bool) [][2]int {
	starts := constraints(ts, from, to)
	if len(starts) == 0 {
		return columnCuts(ts, from, to, cut)
	}
	var drop [][2]int
	for n, begin := range starts {
		end := to
		if n+1 < len(starts) {
			end = starts[n+1]
		}
		if foreignTo(ts[begin:end], cut) {
			drop = append(drop, [2]int{begin, end})
		}
	}
	if len(drop) == len(starts) {
		return [][2]int{{from - 1, to}}
	}
	return drop
}

// constraints are the beginnings of the table constraints in a definition; SQLite allows several without
// a comma between them. None: it is a column.
func constraints(ts []token, from, to int) (starts []int) {
	depth := 0
	for i := from; i < to; i++ {
		switch {
		case ts[i].sign("("):
			depth++
		case ts[i].sign(")"):
			depth--
		case depth > 0:
		case ts[i].is("CONSTRAINT"):
			starts = append(starts, i)
		case ts[i].is("PRIMARY"), ts[i].is("UNIQUE"), ts[i].is("CHECK"), ts[i].is("FOREIGN"):
			if i-2 < from || !ts[i-2].is("CONSTRAINT") {
				starts = append(starts, i)
			}
		}
		if i == from && len(starts) == 0 {
			return nil
		}
	}
	return starts
}

func foreignTo(constraint []token, cut func(parent string, from []string) bool) bool {
	for j, t := range constraint {
		if t.is("FOREIGN") {
			for k := j; k+1 < len(constraint); k++ {
				if constraint[k].is("REFERENCES") {
					return cut(constraint[k+1].text, names(constraint[j+2:k]))
				}
			}
		}
	}
	return false
}

// names are those in a list.
func names(ts []token) (out []string) {
	for _, t := range ts {
		if t.word {
			out = append(out, t.text)
		}
	}
	return out
}

// columnCuts finds the REFERENCES clauses of a column, each with its name and with what says, further
// on, when it is checked.
func columnCuts(ts []token, from, to int, cut func(parent string, from []string) bool) (drop [][2]int) {
	depth, cutting := 0, false
	for j := from; j < to; j++ {
		switch {
		case ts[j].sign("("):
			depth++
		case ts[j].sign(")"):
			depth--
		case depth == 0 && j+1 < to && ts[j].is("REFERENCES"):
			if cutting = cut(ts[j+1].text, []string{ts[from].text}); !cutting {
				continue
			}
			begin := j
			if j-2 >= from && ts[j-2].is("CONSTRAINT") {
				begin = j - 2
			}
			end := endOfReference(ts, j+2, to)
			drop = append(drop, [2]int{begin, end})
			j = end - 1
		case depth == 0 && cutting && (ts[j].is("DEFERRABLE") || ts[j].is("NOT") && j+1 < to && ts[j+1].is("DEFERRABLE")):
			end := endOfReference(ts, j, to)
			drop = append(drop, [2]int{j, end})
			j = end - 1
		}
	}
	return drop
}

// endOfReference passes over what may follow REFERENCES parent.
func endOfReference(ts []token, i, to int) int {
	if i < to && ts[i].sign("(") {
		for i < to && !ts[i].sign(")") {
			i++
		}
		i++
	}
	for i < to {
		switch {
		case ts[i].is("ON") && i+2 < to && (ts[i+2].is("SET") || ts[i+2].is("NO")):
			i += 4
		case ts[i].is("ON"):
			i += 3
		case ts[i].is("MATCH"):
			i += 2
		case ts[i].is("NOT") && i+1 < to && ts[i+1].is("DEFERRABLE"):
			i += 2
		case ts[i].is("DEFERRABLE"):
			i++
		case ts[i].is("INITIALLY"):
			i += 2
		default:
			return i
		}
	}
	return to
}

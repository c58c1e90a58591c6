package sqlite

import (
	"fmt"
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

// withoutReferences is a CREATE TABLE without its foreign keys to the parents that cut names. The rest
// of the text stays as it is, comments included.
func withoutReferences(ddl string, cut func(parent string) bool) (string, error) {
	ts, err := tokens(ddl)
	if err != nil {
		return "", err
	}
	var drop [][2]int // token indexes, half open
	depth, begin := 0, -1
	for i, t := range ts {
		switch {
		case t.text == "(" && !t.word:
			depth++
			if depth == 1 && begin < 0 {
				begin = i + 1
			}
		case !t.word && (t.text == ")" && depth == 1 || t.text == "," && depth == 1):
			drop = append(drop, cutsIn(ts, begin, i, cut)...)
			begin = i + 1
			if t.text == ")" {
				depth--
			}
		case t.text == ")" && !t.word:
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
		from, to := ts[drop[i][0]].start, ts[drop[i][1]-1].end
		ddl = strings.TrimRight(ddl[:from], " \t\r\n") + ddl[to:]
	}
	return ddl, nil
}

// cutsIn finds what to drop in one definition ts[from:to]: the whole of a table constraint with the
// comma before it, or the REFERENCES clauses of a column.
func cutsIn(ts []token, from, to int, cut func(parent string) bool) (drop [][2]int) {
	i := from
	if i < to && ts[i].is("CONSTRAINT") {
		i += 2
	}
	if i+1 < to && ts[i].is("FOREIGN") && ts[i+1].is("KEY") {
		for j := i; j+1 < to; j++ {
			if ts[j].is("REFERENCES") && cut(ts[j+1].text) {
				return [][2]int{{from - 1, to}}
			}
		}
		return nil
	}
	depth := 0
	for j := from; j+1 < to; j++ {
		switch ts[j].text {
		case "(":
			depth++
		case ")":
			depth--
		}
		if depth != 0 || !ts[j].is("REFERENCES") || !cut(ts[j+1].text) {
			continue
		}
		begin := j
		if j-2 >= from && ts[j-2].is("CONSTRAINT") {
			begin = j - 2
		}
		end := endOfReference(ts, j+2, to)
		drop = append(drop, [2]int{begin, end})
		j = end - 1
	}
	return drop
}

// endOfReference passes over what may follow REFERENCES parent.
func endOfReference(ts []token, i, to int) int {
	if i < to && ts[i].text == "(" && !ts[i].word {
		for i < to && ts[i].text != ")" {
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

package guides

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// screen is what a terminal shows: what programs write, with the cursor's movements that they ask for. It is as high as it has to be.
type screen struct {
	lines    [][]rune
	row, col int
	rest     []byte // of a sequence or a character that has not come whole
}

// sequence is what a terminal does instead of showing it: https://ecma-international.org/publications-and-standards/standards/ecma-48/
var sequence = regexp.MustCompile(`^\x1b\[([?0-9;]*)([@-~])`)

// write takes bytes as they come.
func (s *screen) write(b []byte) {
	text := string(append(s.rest, b...))
	s.rest = nil
	for text != "" {
		if text[0] == '\x1b' {
			m := sequence.FindStringSubmatch(text)
			if m == nil {
				s.rest = []byte(text) // the rest of it comes
				return
			}
			s.obey(m[2], m[1])
			text = text[len(m[0]):]
			continue
		}
		r, n := firstRune(text)
		if n == 0 {
			s.rest = []byte(text)
			return
		}
		s.show(r)
		text = text[n:]
	}
}

// firstRune is 0 long where a character has not come whole.
func firstRune(text string) (rune, int) {
	for i, r := range text {
		if r == '\uFFFD' && len(text) < 4 {
			return 0, 0
		}
		return r, i + len(string(r))
	}
	return 0, 0
}

func (s *screen) obey(what, how string) {
	n, err := strconv.Atoi(how)
	if err != nil {
		n = 1
	}
	switch what {
	case "A":
		s.row = max(0, s.row-n)
	case "K":
		if how == "2" {
			s.lines[s.row] = nil
		} else {
			s.lines[s.row] = s.lines[s.row][:min(s.col, len(s.lines[s.row]))]
		}
	}
}

func (s *screen) show(r rune) {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, nil)
	}
	switch r {
	case '\r':
		s.col = 0
	case '\n':
		s.row++
		if len(s.lines) == s.row {
			s.lines = append(s.lines, nil)
		}
	case '\b':
		s.col = max(0, s.col-1)
	case '\a':
	default:
		for len(s.lines[s.row]) <= s.col {
			s.lines[s.row] = append(s.lines[s.row], ' ')
		}
		s.lines[s.row][s.col] = r
		s.col++
	}
}

// from is what stands from a row on.
func (s *screen) from(row int) string {
	var b strings.Builder
	for _, line := range s.lines[min(row, len(s.lines)):] {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return b.String()
}

// here is the line of the cursor, up to it.
func (s *screen) here() string {
	if s.row >= len(s.lines) {
		return ""
	}
	line := s.lines[s.row]
	return string(line[:min(s.col, len(line))])
}

func TestScreen(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a\r\nb", "a\nb\n"},
		{"abc\rx", "xbc\n"},
		{"1\r\n2\r\n\x1b[2A\r\x1b[2Kone\r\n\x1b[2Ktwo\r\n", "one\ntwo\n\n"},
		{"\x1b[32mgreen\x1b[0m █", "green █\n"},
		{"ab\b\x1b[Kc", "ac\n"},
	} {
		whole, pieces := &screen{}, &screen{}
		whole.write([]byte(c.in))
		for i := range len(c.in) {
			pieces.write([]byte{c.in[i]})
		}
		if whole.from(0) != c.want || pieces.from(0) != c.want {
			t.Errorf("%q: %q, in pieces %q", c.in, whole.from(0), pieces.from(0))
		}
	}
}

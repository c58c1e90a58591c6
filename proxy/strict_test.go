package proxy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What RFC 9112 has messages written of, and not a byte more.
var (
	strictRequest = regexp.MustCompile("^" + strictToken + ` [!-~]+ HTTP/1\.1$`)
	strictAnswer  = regexp.MustCompile(`^HTTP/1\.[01] [1-9][0-9]{2}( ` + strictText + `)?$`)
	strictField   = regexp.MustCompile("^(" + strictToken + "): ?(" + strictText + ")$")
	strictLength  = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)
	strictChunk   = regexp.MustCompile(`^[0-9a-f]{1,15}$`)
)

const (
	strictToken = "[0-9A-Za-z!#$%&'*+.^_`|~-]+"
	strictText  = `[^\x00-\x08\x0a-\x1f\x7f]*`
)

// unambiguous reads a connection's messages as the strictest reader would, and fails where a more lenient one could understand
// something else. It returns their first lines. A message that the connection's end breaks off is none that anybody could
// mistake; bodyless says which have no body whatever their head says, and what has no framing has none, or goes to the
// connection's end.
func unambiguous(sent string, first *regexp.Regexp, bodyless func(line string) bool, toEnd bool) (lines []string, err error) {
	for sent != "" {
		head, rest, whole := strings.Cut(sent, "\r\n\r\n")
		if !whole {
			return lines, nil
		}
		line, fields, _ := strings.Cut(head, "\r\n")
		if !first.MatchString(line) {
			return lines, fmt.Errorf("%q is no first line", line)
		}
		lines = append(lines, line)
		length, chunked, err := strictFraming(fields, first == strictRequest)
		if err != nil {
			return lines, fmt.Errorf("%q: %w", line, err)
		}
		switch {
		case bodyless(line):
		case chunked:
			if rest, whole, err = strictChunks(rest); err != nil || !whole {
				return lines, err
			}
		case length >= 0:
			if len(rest) < length {
				return lines, nil
			}
			rest = rest[length:]
		case toEnd:
			return lines, nil
		}
		sent = rest
	}
	return lines, nil
}

// strictFraming is what header lines say of the body: its length, or -1, or that it is chunked. Never both, and nothing twice,
// also to a reader who takes '_' for '-'.
func strictFraming(fields string, hosts bool) (length int, chunked bool, err error) {
	length = -1
	seen := map[string]int{}
	for field := range strings.SplitSeq(fields, "\r\n") {
		if field == "" && fields == "" {
			break
		}
		m := strictField.FindStringSubmatch(field)
		if m == nil {
			return 0, false, fmt.Errorf("%q is no header line", field)
		}
		name := foldName(m[1])
		seen[name]++
		switch {
		case name == "content-length" && !strictLength.MatchString(m[2]), name == "transfer-encoding" && m[2] != "chunked":
			return 0, false, fmt.Errorf("%q frames nothing", field)
		case name == "content-length":
			length, _ = strconv.Atoi(m[2])
		case name == "transfer-encoding":
			chunked = true
		}
	}
	if n := seen["content-length"] + seen["transfer-encoding"]; n > 1 || hosts && seen["host"] != 1 {
		return 0, false, fmt.Errorf("%d lines frame the body, %d name the host", n, seen["host"])
	}
	return length, chunked, nil
}

// strictChunks returns what is behind a chunked body, which has neither extensions nor, if it is a request's, trailers.
func strictChunks(body string) (rest string, whole bool, err error) {
	for {
		size, more, found := strings.Cut(body, "\r\n")
		if !found {
			return "", false, nil
		}
		if !strictChunk.MatchString(size) {
			return "", false, fmt.Errorf("%q is no chunk's size", size)
		}
		n, err := strconv.ParseInt(size, 16, 62)
		if err != nil {
			return "", false, err
		}
		if n == 0 {
			return strictTrailers(more)
		}
		if int64(len(more)) < n+2 {
			return "", false, nil
		}
		if more[n:n+2] != "\r\n" {
			return "", false, fmt.Errorf("a chunk of %d ends with %q", n, more[n:n+2])
		}
		body = more[n+2:]
	}
}

func strictTrailers(text string) (rest string, whole bool, err error) {
	for {
		line, more, found := strings.Cut(text, "\r\n")
		switch {
		case !found:
			return "", false, nil
		case line == "":
			return more, true, nil
		case !strictField.MatchString(line):
			return "", false, fmt.Errorf("%q is no trailer", line)
		}
		text = more
	}
}

// The reader that nothing ambiguous gets past, with what it has to stop.
func TestAmbiguityIsSeen(t *testing.T) {
	never := func(string) bool { return false }
	const head = "POST /x HTTP/1.1\r\nHost: a\r\n"
	for _, sent := range []string{
		"", head + "\r\n", head + "Content-Length: 2\r\n\r\nok" + head + "\r\n", head + "Content-Length: 20\r\n\r\nhalf",
		head + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + head + "\r\n", head + "Transfer-Encoding: chunked\r\n\r\n2\r\no",
	} {
		if _, err := unambiguous(sent, strictRequest, never, false); err != nil {
			t.Errorf("%q: %v", sent, err)
		}
	}
	for _, sent := range []string{
		head + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", head + "Content-Length: +2\r\n\r\nok",
		head + "Content-Length: 02\r\n\r\nok", head + "Content-Length: 2\r\nContent_Length: 3\r\n\r\nok", head + "Transfer-Encoding: gzip, chunked\r\n\r\n", head + "Content-Length : 2\r\n\r\nok",
		head + "X: a\nContent-Length: 2\r\n\r\nok", head + "X: a\rb\r\n\r\n", head + " X: a\r\n\r\n", head + "Host: b\r\n\r\n", "POST /x HTTP/1.1\r\n\r\n", "POST /x y HTTP/1.1\r\nHost: a\r\n\r\n",
		head + "Content-Length: 2\r\n\r\nokX\r\n\r\n", head + "Transfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\n\r\n", head + "Transfer-Encoding: chunked\r\n\r\n2\r\nokX\r\n0\r\n\r\n",
	} {
		if lines, err := unambiguous(sent, strictRequest, never, false); err == nil {
			t.Errorf("%q is read as %q", sent, lines)
		}
	}
	for answer, lines := range map[string]int{
		"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 100 Continue\r\n\r\n": 3,
		"HTTP/1.1 200 OK\r\n\r\nto the end\r\n\r\n": 1,
	} {
		bodyless := func(line string) bool { return !strings.Contains(line, "200") }
		if got, err := unambiguous(answer, strictAnswer, bodyless, true); err != nil || len(got) != lines {
			t.Errorf("%q is read as %q (%v)", answer, got, err)
		}
	}
}

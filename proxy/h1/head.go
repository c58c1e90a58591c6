package h1

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"time"
	"unsafe"
)

// Kind is what this package does with a header line. Lines of every kind but Other, Host and Cookie
// are not forwarded as they came: they are written anew, or dropped.
type Kind uint8

// The kinds of header lines.
const (
	Other Kind = iota
	Host
	Cookie
	Dropped // by whoever decides about the request
	connection
	contentLength
	transferEncoding
	expect
	upgrade
	te
	trailer
	hop // of this connection only, and nothing that we act on
)

// Field is a header line. Its bytes are the connection's buffer's and live as long as the exchange.
type Field struct {
	Name, Value []byte
	Kind        Kind
}

// Malformed is a message that is refused: it could be understood in two ways, or is beyond a limit.
type Malformed struct {
	Status int    // what a client is answered
	Why    string // for people
}

func (m *Malformed) Error() string { return m.Why }

func malformed(why string) *Malformed { return &Malformed{400, why} }

var (
	errHeadLine    = malformed("the first line is not METHOD TARGET HTTP/1.1")
	errStatusLine  = malformed("the first line is not HTTP/1.1 STATUS REASON")
	errVersion     = &Malformed{505, "only HTTP/1.0 and HTTP/1.1 are spoken on this connection"}
	errTarget      = malformed("the request target has a byte that is not allowed there")
	errFieldName   = malformed("a header line does not begin with a name and a colon")
	errFieldValue  = malformed("a header line has a control character, or does not end with CR LF")
	errTooMany     = &Malformed{431, "there are too many header lines"}
	errTooLarge    = &Malformed{431, "the head is too large"}
	errBareLF      = malformed("a line ends without CR")
	errNoHost      = malformed("an HTTP/1.1 request needs one Host header")
	errHost        = malformed("the Host header is not one host")
	errExpectation = &Malformed{417, "the only expectation that can be met is 100-continue"}
)

// head is what requests and answers have in common.
type head struct {
	Minor  byte // of HTTP/1.x: 0 or 1
	Fields []Field
	// Length is the body's, in bytes; unknownLength where its end is said otherwise.
	Length  int64
	framing framing
	close   bool // the connection ends with this message
	keep    bool // HTTP/1.0 asks for it to be kept
	options [][]byte
}

// Request is a request's head.
type Request struct {
	head
	Method   string // of the buffer, as every range is
	Target   []byte
	Host     []byte
	Upgrade  []byte // the protocol that the client would change to; may be set to nil
	Trailers bool   // the client takes trailers: TE
	expects  bool   // 100-continue
}

// Response is an answer's head.
type Response struct {
	head
	Status  int
	line    []byte // "200 OK"
	upgrade []byte
	trailer []byte
}

// Get is the first value of a header by its name in any case; empty: there is none.
func (h *head) Get(name string) string {
	for i := range h.Fields {
		if f := &h.Fields[i]; len(f.Name) == len(name) && bytes.EqualFold(f.Name, bytesOf(name)) {
			return stringOf(f.Value)
		}
	}
	return ""
}

// stringOf is the same bytes: it lives and changes with them.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// headEnd finds where a head ends in what was read so far, of which the first seen bytes were
// searched before; 0: not yet. What cannot become a head any more is an error.
func headEnd(b []byte, seen int) (int, error) {
	if i := bytes.Index(b[max(0, seen-3):], crlfcrlf); i >= 0 {
		return max(0, seen-3) + i + len(crlfcrlf), nil
	}
	if len(b) > 0 && classes[b[0]]&inToken == 0 {
		return 0, errHeadLine
	}
	for i := max(seen, 1); i < len(b); i++ {
		if b[i] == '\n' && b[i-1] != '\r' {
			return 0, errBareLF
		}
	}
	return 0, nil
}

var (
	crlf     = []byte("\r\n")
	crlfcrlf = []byte("\r\n\r\n")
)

// parse reads a request's head from b, which has an empty line at its end and may have one before: it
// returns where the head ends.
func (r *Request) parse(b []byte, lines int) (n int, err error) {
	*r = Request{head: head{Fields: r.Fields[:0], options: r.options[:0]}}
	i := 0
	for classes[b[i]]&inToken != 0 {
		i++
	}
	if i == 0 || b[i] != ' ' {
		return 0, errHeadLine
	}
	r.Method = stringOf(b[:i])
	start := i + 1
	for i = start; classes[b[i]]&inTarget != 0; i++ {
	}
	r.Target = b[start:i]
	if b[i] >= 0x80 {
		return 0, errTarget
	}
	if len(r.Target) == 0 || b[i] != ' ' {
		return 0, errHeadLine
	}
	rest := b[i+1:]
	if err := r.version(rest); err != nil {
		return 0, err
	}
	if rest[8] != '\r' || rest[9] != '\n' {
		return 0, errHeadLine
	}
	if rest, err = r.fields(rest[10:], lines); err != nil {
		return 0, err
	}
	return len(b) - len(rest), r.meaning()
}

// version reads "HTTP/1.x". A head is never shorter than it: it ends with an empty line.
func (h *head) version(b []byte) error {
	if len(b) < len("HTTP/1.1")+2 || string(b[:5]) != "HTTP/" || b[6] != '.' {
		return errHeadLine
	}
	if b[5] != '1' || b[7] != '0' && b[7] != '1' {
		return errVersion
	}
	h.Minor = b[7] - '0'
	return nil
}

// fields reads header lines up to an empty one, which b ends with at the latest, and returns what is
// behind it.
func (h *head) fields(b []byte, most int) (rest []byte, err error) {
	for b[0] != '\r' {
		if len(h.Fields) == most {
			return nil, errTooMany
		}
		i := 0
		for classes[b[i]]&inToken != 0 {
			i++
		}
		if i == 0 || b[i] != ':' { // a line that begins with a space would continue the one before: obs-fold
			return nil, errFieldName
		}
		name := b[:i]
		i++
		start := i
		for i+8 <= len(b) && !control(binary.LittleEndian.Uint64(b[i:])) {
			i += 8
		}
		for classes[b[i]]&inValue != 0 {
			i++
		}
		if b[i] != '\r' || b[i+1] != '\n' {
			return nil, errFieldValue
		}
		h.Fields = append(h.Fields, Field{name, trim(b[start:i]), kindOf(name)})
		b = b[i+2:]
	}
	if b[1] != '\n' {
		return nil, errFieldValue
	}
	return b[2:], nil
}

// control reports whether one of eight bytes may be a control character: below 0x20, or 0x7f.
func control(w uint64) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	del := w ^ 0x7f*ones
	return ((w-0x20*ones)&^w|(del-ones)&^del)&highs != 0
}

func kindOf(name []byte) Kind {
	switch len(name) {
	case len("te"):
		return is(name, "te", te)
	case len("host"):
		return is(name, "host", Host)
	case len("cookie"):
		return is(name, "cookie", Cookie) | is(name, "expect", expect)
	case len("upgrade"):
		return is(name, "upgrade", upgrade) | is(name, "trailer", trailer)
	case len("connection"):
		return is(name, "connection", connection) | is(name, "keep-alive", hop)
	case len("content-length"):
		return is(name, "content-length", contentLength)
	case len("proxy-connection"):
		return is(name, "proxy-connection", hop)
	case len("transfer-encoding"):
		return is(name, "transfer-encoding", transferEncoding)
	case len("proxy-authenticate"):
		return is(name, "proxy-authenticate", hop)
	case len("proxy-authorization"):
		return is(name, "proxy-authorization", hop)
	}
	return Other
}

func is(name []byte, lower string, k Kind) Kind {
	if EqualFold(name, lower) {
		return k
	}
	return Other
}

// listed calls do with each of the elements of a comma-separated value.
func listed(value []byte, do func([]byte)) {
	for {
		one, more, found := bytes.Cut(value, []byte{','})
		if one = trim(one); len(one) > 0 {
			do(one)
		}
		if !found {
			return
		}
		value = more
	}
}

// connection takes in what a Connection line says: whether the connection is kept, and which lines
// are only for it.
func (h *head) connection(value []byte) (upgrades bool) {
	for more := true; more; {
		var one []byte
		one, value, more = bytes.Cut(value, []byte{','})
		switch one = trim(one); {
		case len(one) == 0:
		case EqualFold(one, "close"):
			h.close = true
		case EqualFold(one, "keep-alive"):
			h.keep = true
		case EqualFold(one, "upgrade"):
			upgrades = true
		default:
			h.options = append(h.options, one)
		}
	}
	return upgrades
}

// strip drops the lines that a Connection line named.
func (h *head) strip() {
	for _, name := range h.options {
		for i := range h.Fields {
			if f := &h.Fields[i]; (f.Kind == Other || f.Kind == Cookie) && bytes.EqualFold(f.Name, name) {
				f.Kind = Dropped
			}
		}
	}
}

// kept reports whether the connection may be used again behind this message.
func (h *head) kept() bool { return !h.close && (h.Minor == 1 || h.keep) }

// append writes the lines that are forwarded.
func (h *head) append(dst []byte) []byte {
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Kind <= Cookie {
			dst = AppendField(dst, f.Name, f.Value)
		}
	}
	return dst
}

// AppendField writes a header line.
func AppendField[N, V string | []byte](dst []byte, name N, value V) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// dated reports whether there is a Date, which an answer has to have: who passes one on without it adds
// it (RFC 9110, 6.6.1).
func (h *head) dated() bool {
	for i := range h.Fields {
		if EqualFold(h.Fields[i].Name, "date") {
			return true
		}
	}
	return false
}

func appendDate(dst []byte) []byte {
	dst = append(dst, "Date: "...)
	return append(time.Now().UTC().AppendFormat(dst, http.TimeFormat), "\r\n"...)
}

// parse reads an answer's head from b, likewise.
func (r *Response) parse(b []byte, lines int) (n int, err error) {
	all := len(b)
	*r = Response{head: head{Fields: r.Fields[:0], options: r.options[:0]}}
	if err := r.version(b); err != nil {
		return 0, errStatusLine
	}
	b = b[len("HTTP/1.1"):]
	if len(b) < len(" 200\r\n\r\n") || b[0] != ' ' || b[4] != ' ' && b[4] != '\r' {
		return 0, errStatusLine
	}
	for _, digit := range b[1:4] {
		if digit < '0' || digit > '9' {
			return 0, errStatusLine
		}
		r.Status = r.Status*10 + int(digit-'0')
	}
	i := 4
	for classes[b[i]]&inReason != 0 {
		i++
	}
	if b[i] != '\r' || b[i+1] != '\n' || r.Status < 100 {
		return 0, errStatusLine
	}
	r.line = b[1:i]
	rest, err := r.fields(b[i+2:], lines)
	if err != nil {
		return 0, err
	}
	return all - len(rest), r.meaning()
}

package h1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
)

// readRequest parses a head that is whole.
func readRequest(text []byte) (*Request, error) {
	n, err := headEnd(text, 0)
	if err != nil || n == 0 {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	r := new(Request)
	m, err := r.parse(text[:n], 1000)
	if err == nil && m != n {
		err = fmt.Errorf("a head of %d bytes is read up to %d", n, m)
	}
	return r, err
}

// FuzzRequest: what we take for a request, net/http takes for the same one, with the same lines and the same body. The other
// way round need not hold: we refuse more.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /x?y HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nConnection: close, X-A\r\nX-A: b\r\n\r\nhello",
		"PUT /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nUpgrade: websocket\r\n\r\n0\r\n\r\n",
		"GET http://a/b HTTP/1.1\r\nHost: c\r\nExpect: 100-continue\r\nX:\t y \r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		// Read before all of it has come, with the empty line that seals a buffer, it ends nowhere else.
		if m, err := new(Request).parse(append(bytes.Clone(text), crlfcrlf...), 1000); err == nil && m <= len(text) {
			if n, err := headEnd(text, 0); err != nil || n != m {
				t.Fatalf("%q is read up to %d, and ends at %d (%v)", text, m, n, err)
			}
		}
		ours, err := readRequest(bytes.Clone(text))
		if err != nil {
			return
		}
		// net/http reads a target as an address; what it makes of it is splitTarget's to compare.
		if ours.Target[0] != '/' || bytes.IndexByte(ours.Target, '%') >= 0 {
			return
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			t.Fatalf("%q is taken, and net/http refuses it: %v", text, err)
		}
		if ours.Method != theirs.Method || string(ours.Target) != theirs.RequestURI || int(ours.Minor) != theirs.ProtoMinor || string(ours.Host) != theirs.Host {
			t.Fatalf("%q: %s %s %d %q, net/http %s %s %d %q", text, ours.Method, ours.Target, ours.Minor, ours.Host, theirs.Method, theirs.RequestURI, theirs.ProtoMinor, theirs.Host)
		}
		if want := ours.Length; want != theirs.ContentLength || (ours.framing == chunked) != (len(theirs.TransferEncoding) > 0) {
			t.Fatalf("%q: length %d (%d), net/http %d %q", text, want, ours.framing, theirs.ContentLength, theirs.TransferEncoding)
		}
		if got, want := linesOf(&ours.head), linesOfHeader(theirs.Header); got != want {
			t.Fatalf("%q: lines\n%s\nnet/http\n%s", text, got, want)
		}
	})
}

// linesOf are the lines that are not about the connection or the framing, in an order of their own.
func linesOf(h *head) string {
	header := http.Header{}
	for _, f := range h.Fields {
		header.Add(string(f.Name), string(f.Value))
	}
	return linesOfHeader(header)
}

func linesOfHeader(header http.Header) string {
	for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding", "Trailer"} { // net/http takes them out, or some of them
		header.Del(name)
	}
	var b strings.Builder
	header.Write(&b)
	return b.String()
}

// FuzzResponse: the same for answers.
func FuzzResponse(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.0 404\r\nX: y\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, get bool) {
		method := "GET"
		if !get {
			method = "HEAD"
		}
		b := bytes.Clone(text)
		n, err := headEnd(b, 0)
		if err != nil || n == 0 {
			return
		}
		ours := new(Response)
		if m, err := ours.parse(b[:n], 1000); err != nil || m != n {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), &http.Request{Method: method})
		if err != nil {
			if strings.Contains(err.Error(), "Trailer") { // it refuses names that may not be trailers; we pass on none of them
				return
			}
			t.Fatalf("%q is taken, and net/http refuses it: %v", text, err)
		}
		if ours.Status != theirs.StatusCode || int(ours.Minor) != theirs.ProtoMinor {
			t.Fatalf("%q: %d, net/http %d", text, ours.Status, theirs.StatusCode)
		}
		how := ours.bodyOf(method)
		switch {
		case (how == chunked) != (len(theirs.TransferEncoding) > 0 && get && theirs.Body != http.NoBody):
			t.Fatalf("%q: framing %d, net/http %q", text, how, theirs.TransferEncoding)
		case how == sized && ours.Length != theirs.ContentLength, how == toEnd && theirs.ContentLength != -1:
			t.Fatalf("%q: length %d (%d), net/http %d", text, ours.Length, how, theirs.ContentLength)
		}
	})
}

// dechunk reads a chunked body that comes in pieces of so many bytes, through a buffer that moves as a connection's does.
func dechunk(text []byte, piece int) (body []byte, rest int, err error) {
	var d chunks
	var buffer []byte
	for d.state != chunksEnd {
		n := min(piece, len(text))
		if n == 0 {
			return body, 0, io.ErrUnexpectedEOF
		}
		buffer = append(buffer, text[:n]...)
		text = text[n:]
		data, read, err := d.decode(buffer)
		body = append(body, data...)
		if err != nil {
			return body, 0, err
		}
		buffer = append([]byte(nil), buffer[read:]...)
	}
	return body, len(text) + len(buffer), nil
}

// FuzzChunked: what we take for a chunked body, net/http reads as the same bytes with the same end, in whichever pieces it
// comes; and what we write is read as what it was.
func FuzzChunked(f *testing.F) {
	for _, text := range append([]string{"5\r\nhello\r\n0\r\n\r\n", "1;a=\"b\"\r\nx\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET", "0\r\n\r\n"}, broken...) {
		f.Add([]byte(text), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		piece = max(1, piece)
		whole, rest, err := dechunk(text, len(text))
		parts, restOfParts, errOfParts := dechunk(text, piece)
		if (err == nil) != (errOfParts == nil) || err == nil && (!bytes.Equal(whole, parts) || rest != restOfParts) {
			t.Fatalf("%q: %q, %d left, %v; in pieces of %d %q, %d left, %v", text, whole, rest, err, piece, parts, restOfParts, errOfParts)
		}
		if err != nil {
			return
		}
		in := bufio.NewReader(bytes.NewReader(text))
		theirs, err := io.ReadAll(httputil.NewChunkedReader(in))
		if err != nil || !bytes.Equal(theirs, whole) {
			if strings.Contains(fmt.Sprint(err), "excessive") { // it bounds what extensions cost; we bound each
				return
			}
			t.Fatalf("%q: %q, net/http %q (%v)", text, whole, theirs, err)
		}
		b := make([]byte, headroom+len(whole)+tailroom)
		copy(b[headroom:], whole)
		from, to := wrapChunk(b, headroom, headroom+len(whole), true)
		if again, left, err := dechunk(bytes.Clone(b[from:to]), piece); err != nil || left != 0 || !bytes.Equal(again, whole) {
			t.Fatalf("%q became %q, which is read as %q (%d left, %v)", whole, b[from:to], again, left, err)
		}
	})
}

// broken are chunked bodies that are refused.
var broken = []string{
	"5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
	" 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n", "fffffffffffffffff\r\n", "5\r\nhello\r\n0\r\nX y\r\n\r\n",
	"5\r\nhello\r\n0\r\nX: y\n\r\n", "5\r\nhello\r\n0\r\n\n", "5;" + strings.Repeat("x", 300) + "\r\nhello\r\n0\r\n\r\n", "0\r\n" + strings.Repeat("X: y\r\n", 3000) + "\r\n",
}

func TestBrokenChunks(t *testing.T) {
	for _, text := range broken {
		if body, _, err := dechunk([]byte(text), len(text)); err == nil || err == io.ErrUnexpectedEOF {
			t.Errorf("%.40q is read as %q (%v)", text, body, err)
		}
	}
}

// A body with data, and a broken one, are the same in every way of being cut in two.
func TestChunksInPieces(t *testing.T) {
	const text = "5;x=y\r\nhello\r\n00b\r\n big world!\r\n0;z\r\nX-A: b\r\nX-C: d\r\n\r\nGET /next"
	for piece := 1; piece <= len(text); piece++ {
		body, rest, err := dechunk([]byte(text), piece)
		if err != nil || string(body) != "hello big world!" || rest != len("GET /next") {
			t.Fatalf("in pieces of %d: %q, %d left, %v", piece, body, rest, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte("GET /couriers/7?a=b HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: application/json\r\n" +
		"Accept-Encoding: gzip, br\r\nX-User-ID: ann\r\nCookie: session=abc\r\nConnection: keep-alive\r\n\r\n")
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if n, err := r.parse(text, 100); err != nil || n != len(text) {
			b.Fatal(err)
		}
	}
}

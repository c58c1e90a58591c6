package proxy

import "strings"

// What follows a request that is refused, and one that is forwarded and answered.
const (
	refused  = "400"
	passed   = "200 200 | %s | GET /sentinel"
	lenient  = "net/http reads a bare LF as a line's end, which RFC 9112 (2.2) allows; another reader may not, and then the two disagree"
	combined = "net/http takes two equal lengths for one, which RFC 9112 (6.3) allows"

	beyondASCII     = "net/http escapes it; RFC 3986 has no such byte in an address, and readers differ in what it means"
	badTargetCloses = "net/http refuses the target as it reads the head, and closes"

	foldedLine  = "net/http joins the lines; RFC 9112 (5.2) asks to refuse them"
	dropsLength = "net/http drops the length, which RFC 9112 (6.3) allows and calls a sign of smuggling"
	interim10   = "net/http passes an upstream's interim answers on to a client of HTTP/1.0, which knows none (RFC 9110, 15.2)"
	as501       = "both refuse it; net/http as a coding that it does not know (501), although RFC 9112 (6.3) has 400 for a body without an end"
)

func through(line string) string { return strings.Replace(passed, "%s", line, 1) }

// requestScripts are requests' heads: what h1spec, Http11Probe and http-garden look at, in our words.
var requestScripts = []script{
	{name: "plain", pieces: with("GET /x"), want: through("GET /x")},
	{name: "byte by byte", pieces: each("GET /x HTTP/1.1\r\nHost: a\r\nX-Long: " + strings.Repeat("v", 100) + "\r\n\r\n"), want: through("GET /x")},
	{name: "two at once", pieces: []string{"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n" + sentinel}, want: "200 200 200 | GET /1 | GET /2 | GET /sentinel"},
	{name: "query", pieces: with("GET /x?a=b&c=%20d;e?f"), want: through("GET /x?a=b&c=%20d;e?f")},
	{name: "question mark alone", pieces: with("GET /x?"), want: through("GET /x?")},
	{name: "escaped path", pieces: with("GET /a%2Fb%20c"), want: through("GET /a%2Fb%20c")},
	{name: "dots of what nobody claims", pieces: with("GET /a/../b/./c"), want: through("GET /a/../b/./c")},
	{name: "dots before a route", pieces: with("GET /a/../couriers//7"), want: through("GET /couriers/7")},
	{name: "absolute target", pieces: with("GET http://other.example/x?y"), want: through("GET /x?y")},
	{name: "absolute target without a path", pieces: with("GET http://other.example"), want: through("GET /")},
	{name: "absolute target with another scheme", pieces: with("GET ftp://other.example/x"), want: "400 200 | GET /sentinel"},
	{name: "brackets and quotes in a path", pieces: with(`GET /a[1]"b"|c`), want: through("GET /a%5B1%5D%22b%22%7Cc")},
	{name: "bad escape", pieces: with("GET /%zz"), want: "400 200 | GET /sentinel", differs: badTargetCloses},
	{name: "half an escape", pieces: with("GET /%2"), want: "400 200 | GET /sentinel", differs: badTargetCloses},
	{name: "fragment", pieces: with("GET /x#y"), want: through("GET /x%23y")},
	{name: "options of everything", pieces: with("OPTIONS *"), want: through("OPTIONS *")},
	{name: "star with GET", pieces: with("GET *"), want: "400 200 | GET /sentinel"},
	{name: "no slash", pieces: with("GET x"), want: "400 200 | GET /sentinel", differs: badTargetCloses},
	{name: "no target", pieces: raw("GET HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "empty target", pieces: raw("GET  HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "space in the target", pieces: raw("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "tab for a space", pieces: raw("GET\t/a\tHTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "two spaces", pieces: raw("GET  /a HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "space before the method", pieces: raw(" GET /a HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "space behind the version", pieces: raw("GET /a HTTP/1.1 \r\nHost: a\r\n\r\n"), want: refused},
	{name: "control in the target", pieces: raw("GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "NUL in the target", pieces: raw("GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "raw UTF-8 in the target", pieces: raw("GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused, differs: beyondASCII},
	{name: "no version", pieces: raw("GET /a\r\nHost: a\r\n\r\n"), want: refused},
	{name: "HTTP/0.9", pieces: raw("GET /a HTTP/0.9\r\nHost: a\r\n\r\n"), want: "505"},
	{name: "HTTP/1.2", pieces: raw("GET /a HTTP/1.2\r\nHost: a\r\n\r\n"), want: "505", differs: "net/http takes any HTTP/1.x for 1.1"},
	{name: "HTTP/2.0", pieces: raw("GET /a HTTP/2.0\r\nHost: a\r\n\r\n"), want: "505"},
	{name: "http in small letters", pieces: raw("GET /a http/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "version without a dot", pieces: raw("GET /a HTTP/11\r\nHost: a\r\n\r\n"), want: refused},
	{name: "version of two digits", pieces: raw("GET /a HTTP/1.10\r\nHost: a\r\n\r\n"), want: refused},
	{name: "method in small letters", pieces: with("get /x"), want: through("get /x")},
	{name: "method of its own", pieces: with("PURGE /x"), want: through("PURGE /x")},
	{name: "method with a bracket", pieces: raw("G(T /a HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "TRACE", pieces: with("TRACE /x"), want: "405 200 | GET /sentinel"},
	{name: "CONNECT", pieces: raw("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), want: "405 200 | GET /sentinel"},
	{name: "empty line before", pieces: raw("\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"), want: through("GET /x"), differs: "net/http refuses it; RFC 9112 (2.2) asks to let one pass, as old clients send one behind a POST"},
	{name: "two empty lines before", pieces: raw("\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "bare LF everywhere", pieces: raw("GET /x HTTP/1.1\nHost: a\n\n"), want: refused, differs: lenient},
	{name: "bare LF behind the first line", pieces: raw("GET /x HTTP/1.1\nHost: a\r\n\r\n"), want: refused, differs: lenient},
	{name: "bare LF behind a field", pieces: raw("GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"), want: refused, differs: lenient},
	{name: "bare LF at the end", pieces: raw("GET /x HTTP/1.1\r\nHost: a\r\n\nrest\r\n\r\n"), want: refused, differs: lenient},
	{name: "bare CR in the first line", pieces: raw("GET /x\r HTTP/1.1\r\nHost: a\r\n\r\n"), want: refused},
	{name: "bare CR in a value", pieces: raw("GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"), want: refused},
	{name: "CR CR LF", pieces: raw("GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n"), want: refused},
	{name: "NUL in a value", pieces: raw("GET /x HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n"), want: refused},
	{name: "control in a value", pieces: raw("GET /x HTTP/1.1\r\nHost: a\r\nX: a\x07b\r\n\r\n"), want: refused},
	{name: "DEL in a value", pieces: raw("GET /x HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n"), want: refused},
	{name: "tab in a value", pieces: with("GET /x", "X: a\tb"), want: through("GET /x")},
	{name: "UTF-8 in a value", pieces: with("GET /x", "X: \xc3\xa4"), want: through("GET /x")},
	{name: "empty value", pieces: with("GET /x", "X:", "Y: "), want: through("GET /x")},
	{name: "spaces around a value", pieces: with("GET /x", "X: \t a b \t"), want: through("GET /x")},
	{name: "no space before a value", pieces: with("GET /x", "X:y"), want: through("GET /x")},
	{name: "colons in a value", pieces: with("GET /x", "X: a:b: c"), want: through("GET /x")},
	{name: "space before a colon", pieces: with("GET /x", "X : y"), want: refused},
	{name: "tab before a colon", pieces: with("GET /x", "X\t: y"), want: refused},
	{name: "space in a name", pieces: with("GET /x", "X Y: z"), want: refused},
	{name: "empty name", pieces: with("GET /x", ": y"), want: refused},
	{name: "no colon", pieces: with("GET /x", "Xy"), want: refused},
	{name: "bracket in a name", pieces: with("GET /x", "X(y): z"), want: refused},
	{name: "UTF-8 in a name", pieces: with("GET /x", "\xc3\xa4: z"), want: refused},
	{name: "NUL in a name", pieces: with("GET /x", "X\x00: z"), want: refused},
	{name: "folded value", pieces: with("GET /x", "X: a", " b"), want: refused, differs: foldedLine},
	{name: "folded value by a tab", pieces: with("GET /x", "X: a", "\tb"), want: refused, differs: foldedLine},
	{name: "space before the first field", pieces: raw("GET /x HTTP/1.1\r\n Host: a\r\n\r\n"), want: refused},
	{name: "no Host", pieces: raw("GET /x HTTP/1.1\r\n\r\n"), want: refused},
	{name: "two Hosts", pieces: with("GET /x", "Host: shop.example"), want: refused},
	{name: "empty Host", pieces: raw("GET /x HTTP/1.1\r\nHost:\r\n\r\n"), want: through("GET /x")},
	{name: "Host with a port", pieces: raw("GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), want: through("GET /x")},
	{name: "Host with a path", pieces: raw("GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n"), want: refused},
	{name: "Host with a user", pieces: raw("GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n"), want: refused},
	{name: "Host with a comma", pieces: raw("GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n"), want: refused},
	{name: "HTTP/1.0 without Host", pieces: raw("GET /x HTTP/1.0\r\n\r\n"), want: "200 | GET /x"},
	{name: "HTTP/1.0 kept", pieces: raw("GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"), want: through("GET /x")},
	{name: "Connection: close", pieces: with("GET /x", "Connection: close"), want: "200 | GET /x"},
	{name: "Connection: close among others", pieces: with("GET /x", "Connection: foo,  CLOSE ", "Foo: bar"), want: "200 | GET /x"},
	{name: "Connection names a line", pieces: with("GET /x", "Connection: X-Private", "X-Private: 1", "X-Public: 2"), want: through("GET /x")},
	{name: "Connection names very many lines", pieces: with("GET /x", "Connection: "+strings.Repeat("x,", 1000)), want: "431", differs: "net/http does not bound them"},
	{name: "Connection names Host", pieces: with("GET /x", "Connection: Host, X-Forwarded-For, Strangler-Owner"), want: through("GET /x")},
	{name: "hop by hop", pieces: with("GET /x", "Keep-Alive: 5", "Proxy-Connection: keep-alive", "Proxy-Authorization: x", "Te: gzip, trailers", "Trailer: X", "Upgrade: h2c", "Connection: Upgrade"), want: through("GET /x")},
	{name: "several lines of a name", pieces: with("GET /x", "Accept: a", "accept: b", "Cookie: a=1", "Cookie: b=2"), want: through("GET /x")},
	{name: "underscored names", pieces: with("GET /x", "X_Forwarded_For: 6.6.6.6", "strangler_owner: x", "My_Name: kept"), want: through("GET /x")},
	{name: "forged names", pieces: with("GET /x", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Anything: x", "Forwarded: for=x", "X-Real-IP: 6.6.6.6", "Strangler-Owner: x", "Strangler-Shadow: 1"), want: through("GET /x")},
	{name: "our cookie", pieces: with("GET /x", "Cookie: a=1; strangler_id=x.y; b=2", "Cookie: strangler_id=z"), want: through("GET /x")},
	{name: "HEAD", pieces: with("HEAD /x"), reply: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want: through("HEAD /x")},
	{name: "many lines", pieces: with("GET /x", strings.TrimSuffix(strings.Repeat("X: y\r\n", 190), "\r\n")), want: through("GET /x")},
	{name: "too many lines", pieces: with("GET /x", strings.TrimSuffix(strings.Repeat("X: y\r\n", 300), "\r\n")), want: "431", differs: "net/http bounds the bytes of a head, not its lines"},
	{name: "a large head", pieces: with("GET /x", "X: "+strings.Repeat("y", 60<<10)), want: through("GET /x")},
	{name: "too large a head", pieces: with("GET /x", "X: "+strings.Repeat("y", 80<<10)), want: "431"},
	{name: "TLS at a port without", pieces: raw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), want: refused},
	{name: "expectation of something else", pieces: with("GET /x", "Expect: the-best"), want: "417"},
}

// framingScripts are requests' bodies: where the next request begins must be beyond doubt.
var framingScripts = []script{
	{name: "length", pieces: with("POST /x", "Content-Length: 5", "", "hello"), want: through(`POST /x "hello"`)},
	{name: "length 0", pieces: with("POST /x", "Content-Length: 0"), want: through("POST /x")},
	{name: "no length", pieces: with("POST /x"), want: through("POST /x")},
	{name: "length in pieces", pieces: []string{"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "l", "lo", sentinel}, want: through(`POST /x "hello"`)},
	{name: "GET with a body", pieces: with("GET /x", "Content-Length: 5", "", "hello"), want: through(`GET /x "hello"`)},
	{name: "DELETE with a body", pieces: with("DELETE /x", "Content-Length: 5", "", "hello"), want: through(`DELETE /x "hello"`)},
	{name: "chunked", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), want: through(`POST /x "hello world"`)},
	{name: "chunked byte by byte", pieces: each("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;e=\"f\"\r\n world\r\n0\r\n\r\n"), want: through(`POST /x "hello world"`)},
	{name: "Chunked with a capital", pieces: with("POST /x", "Transfer-Encoding: Chunked", "", "1\r\na\r\n0\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "chunked of nothing", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "0\r\n\r\n"), want: through("POST /x")},
	{name: "chunk extensions", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "1;a=b;c\r\na\r\n0;d\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "sizes with zeros and capitals", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "000A\r\n0123456789\r\n00\r\n\r\n"), want: through(`POST /x "0123456789"`)},
	{name: "trailers of a request", pieces: with("POST /x", "Transfer-Encoding: chunked", "Trailer: X-User-ID", "", "1\r\na\r\n0\r\nX-User-ID: root\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "length twice, the same", pieces: with("POST /x", "Content-Length: 5", "Content-Length: 5", "", "hello"), want: refused, differs: combined},
	{name: "length twice, different", pieces: with("POST /x", "Content-Length: 5", "Content-Length: 6", "", "hello"), want: refused},
	{name: "length as a list", pieces: with("POST /x", "Content-Length: 5, 5", "", "hello"), want: refused},
	{name: "length with a plus", pieces: with("POST /x", "Content-Length: +5", "", "hello"), want: refused},
	{name: "length with a minus", pieces: with("POST /x", "Content-Length: -5", "", "hello"), want: refused},
	{name: "length in hexadecimal", pieces: with("POST /x", "Content-Length: 0x5", "", "hello"), want: refused},
	{name: "length with an underscore", pieces: with("POST /x", "Content-Length: 1_0", "", "hello"), want: refused},
	{name: "length with a space within", pieces: with("POST /x", "Content-Length: 1 0", "", "hello"), want: refused},
	{name: "length with a point", pieces: with("POST /x", "Content-Length: 5.0", "", "hello"), want: refused},
	{name: "empty length", pieces: with("POST /x", "Content-Length:", "", "hello"), want: refused},
	{name: "length beyond 64 bits", pieces: with("POST /x", "Content-Length: 18446744073709551621", "", "hello"), want: refused},
	{name: "length in other digits", pieces: with("POST /x", "Content-Length: \xd9\xa5", "", "hello"), want: refused},
	{name: "length with zeros before", pieces: with("POST /x", "Content-Length: 0005", "", "hello"), want: through(`POST /x "hello"`)},
	{name: "length with a space before its colon", pieces: with("POST /x", "Content-Length : 5", "", "hello"), want: refused},
	{name: "both", pieces: with("POST /x", "Content-Length: 5", "Transfer-Encoding: chunked", "", "0\r\n\r\n"), want: refused, differs: dropsLength},
	{name: "both, the other way round", pieces: with("POST /x", "Transfer-Encoding: chunked", "Content-Length: 5", "", "0\r\n\r\n"), want: refused, differs: dropsLength},
	{name: "chunked twice", pieces: with("POST /x", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "", "0\r\n\r\n"), want: refused, differs: as501},
	{name: "chunked and identity", pieces: with("POST /x", "Transfer-Encoding: chunked, identity", "", "0\r\n\r\n"), want: refused, differs: as501},
	{name: "identity and chunked", pieces: with("POST /x", "Transfer-Encoding: identity, chunked", "", "0\r\n\r\n"), want: "501"},
	{name: "gzip and chunked", pieces: with("POST /x", "Transfer-Encoding: gzip, chunked", "", "0\r\n\r\n"), want: "501"},
	{name: "identity", pieces: with("POST /x", "Transfer-Encoding: identity", "Content-Length: 5", "", "hello"), want: refused, differs: as501},
	{name: "xchunked", pieces: with("POST /x", "Transfer-Encoding: xchunked", "", "0\r\n\r\n"), want: refused, differs: as501},
	{name: "chunked in quotes", pieces: with("POST /x", `Transfer-Encoding: "chunked"`, "", "0\r\n\r\n"), want: refused, differs: as501},
	{name: "chunked with a parameter", pieces: with("POST /x", "Transfer-Encoding: chunked;q=1", "", "0\r\n\r\n"), want: refused, differs: as501},
	{name: "chunked behind a vertical tab", pieces: with("POST /x", "Transfer-Encoding: \x0bchunked", "", "0\r\n\r\n"), want: refused},
	{name: "chunked behind a tab", pieces: with("POST /x", "Transfer-Encoding:\tchunked", "", "0\r\n\r\n"), want: through("POST /x")},
	{name: "empty coding", pieces: with("POST /x", "Transfer-Encoding:", "", "0\r\n\r\n"), want: refused, differs: as501},
	{name: "coding with an underscore", pieces: with("POST /x", "Transfer_Encoding: chunked", "Content-Length: 5", "", "hello"), want: through(`POST /x "hello"`)},
	{name: "coding with a space before its colon", pieces: with("POST /x", "Transfer-Encoding : chunked", "Content-Length: 5", "", "hello"), want: refused},
	{name: "coding on a folded line", pieces: with("POST /x", "Transfer-Encoding:", " chunked", "", "0\r\n\r\n"), want: refused, differs: foldedLine},
	{name: "chunked in HTTP/1.0", pieces: raw("POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), want: refused, differs: "net/http ignores the coding, which leaves the body to be read as the next request"},
	{name: "Connection names the length", pieces: with("POST /x", "Connection: Content-Length", "Content-Length: 5", "", "hello"), want: through(`POST /x "hello"`)},
	{name: "Connection names the coding", pieces: with("POST /x", "Connection: Transfer-Encoding", "Transfer-Encoding: chunked", "", "1\r\na\r\n0\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "a request within a body", pieces: with("POST /x", "Content-Length: 33", "", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"[:33]), want: through(`POST /x "GET /smuggled HTTP/1.1\r\nHost: a\r\n"`)},
	{name: "expects, and sends at once", pieces: with("POST /x", "Expect: 100-continue", "Content-Length: 5", "", "hello"), want: through(`POST /x "hello"`), differs: "net/http says 100 Continue, and passes the expectation on, although the body has come"},
	{name: "expects, chunked", pieces: with("POST /x", "Expect: 100-continue", "Transfer-Encoding: chunked", "", "5\r\nhello\r\n0\r\n\r\n"), want: `200 200 | POST /x "hello" | GET /sentinel`, differs: "net/http says 100 Continue although the body has come"},
}

// A body that is not what it says is not sent as if it were: the upstream sees it broken, or nothing.
var brokenChunks = []string{
	"5\nhello\r\n0\r\n\r\n",                                    // bare LF behind a size: CVE-2025-22871
	"5\r\nhello\n0\r\n\r\n",                                    // bare LF behind data
	"5\r\nhelloX\r\n0\r\n\r\n",                                 // more than the size says
	"5\r\nhell\r\n0\r\n\r\n",                                   // less
	"\r\nhello\r\n0\r\n\r\n",                                   // no size
	"0x5\r\nhello\r\n0\r\n\r\n",                                // no digit
	"+5\r\nhello\r\n0\r\n\r\n",                                 // a sign
	"-1\r\nhello\r\n0\r\n\r\n",                                 // a sign
	" 5\r\nhello\r\n0\r\n\r\n",                                 // a space before
	"5 \r\nhello\r\n0\r\n\r\n",                                 // and behind
	"5\r\r\nhello\r\n0\r\n\r\n",                                // CR CR LF
	"5;\x00\r\nhello\r\n0\r\n\r\n",                             // a control in an extension
	"5;a\nb\r\nhello\r\n0\r\n\r\n",                             // LF in an extension
	"ffffffffffffffff5\r\nhello\r\n",                           // too large
	"8000000000000000\r\nhello\r\n",                            // negative as 64 bits
	"5\r\nhello\r\n0\r\nX y\r\n\r\n",                           // a trailer that is none
	"5\r\nhello\r\n0\r\nX: y\n\r\n",                            // a trailer with a bare LF
	"5\r\nhello\r\n0\r\n\n",                                    // an end with a bare LF
	"g\r\nhello\r\n0\r\n\r\n",                                  // no hexadecimal digit
	"5;" + strings.Repeat("x", 300) + "\r\nhello\r\n0\r\n\r\n", // an endless extension
}

// answerScripts are what an upstream may answer.
var answerScripts = []script{
	{name: "answer with a length", pieces: with("GET /x"), reply: "HTTP/1.1 404 Not here\r\nContent-Length: 2\r\nX-A: 1\r\nX-a: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok", want: "404 404 | GET /x | GET /sentinel"},
	{name: "chunked answer", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x\r\n!\r\n0\r\n\r\n", want: through("GET /x")},
	{name: "chunked answer to HTTP/1.0", pieces: raw("GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"), reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", want: "200 | GET /x"},
	{name: "answer to the connection's end", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\n\r\nhelloCLOSE", want: through("GET /x")},
	{name: "HTTP/1.0 answer", pieces: with("GET /x"), reply: "HTTP/1.0 200 OK\r\n\r\nhelloCLOSE", want: through("GET /x")},
	{name: "empty answer", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want: through("GET /x")},
	{name: "204", pieces: with("GET /x"), reply: "HTTP/1.1 204 No Content\r\n\r\n", want: "204 204 | GET /x | GET /sentinel"},
	{name: "304", pieces: with("GET /x"), reply: "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", want: "304 304 | GET /x | GET /sentinel"},
	{name: "304 with a length", pieces: with("GET /x"), reply: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", want: "304 304 | GET /x | GET /sentinel", differs: "net/http's server drops the length, which RFC 9110 (8.6) allows"},
	{name: "trailers", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n", want: through("GET /x")},
	{name: "trailers nobody announced", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n", want: through("GET /x")},
	{name: "hop by hop of an answer", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nConnection: X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\nContent-Length: 2\r\n\r\nok", want: through("GET /x")},
	{name: "the upstream closes", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nokCLOSE", want: through("GET /x")},
	{name: "early hints", pieces: with("GET /x"), reply: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok200, want: "103 200 103 200 | GET /x | GET /sentinel"},
	{name: "100 that nobody asked for", pieces: with("GET /x"), reply: "HTTP/1.1 100 Continue\r\n\r\n" + ok200, want: through("GET /x"), differs: "net/http passes it on to a client that did not ask"},
	{name: "interim answers without end", pieces: with("GET /x"), reply: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 50) + ok200, want: "102 102 102 102 102 102 102 102 502 102 102 102 102 102 102 102 102 502 | GET /x | GET /sentinel", differs: "net/http bounds the bytes of interim answers, not their number"},
	{name: "our cookie in an answer", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nSet-Cookie: strangler_id=x\r\nSet-Cookie: other=y\r\nContent-Length: 2\r\n\r\nok", want: through("GET /x")},
	{name: "protocol nobody asked for", pieces: with("GET /x"), reply: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nCLOSE", want: "502 502 | GET /x | GET /sentinel"},
	{name: "no answer", pieces: with("POST /x"), reply: "CLOSE", want: "502 502 | POST /x | GET /sentinel"},
	{name: "garbage", pieces: with("GET /x"), reply: "SSH-2.0-OpenSSH_9.2\r\n\r\nCLOSE", want: "502 502 | GET /x | GET /sentinel"},
	{name: "status of two digits", pieces: with("GET /x"), reply: "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\nCLOSE", want: "502 502 | GET /x | GET /sentinel"},
	{name: "no reason", pieces: with("GET /x"), reply: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", want: through("GET /x")},
	{name: "answer with both", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nCLOSE", want: "502 502 | GET /x | GET /sentinel", differs: "net/http drops the length"},
	{name: "answer with two lengths", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokCLOSE", want: "502 502 | GET /x | GET /sentinel"},
	{name: "answer with a length that is none", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nokCLOSE", want: "502 502 | GET /x | GET /sentinel"},
	{name: "answer with another coding", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nokCLOSE", want: "502 502 | GET /x | GET /sentinel"},
	{name: "answer with a folded line", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nokCLOSE", want: "502 502 | GET /x | GET /sentinel", differs: "net/http joins the lines"},
	{name: "answer with a bare LF", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\nContent-Length: 2\n\nokCLOSE", want: "502 502 | GET /x | GET /sentinel", differs: lenient},
	{name: "answer with a space before a colon", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nokCLOSE", want: "502 502 | GET /x | GET /sentinel", differs: "net/http's client passes the space over"},
	{name: "a second answer behind the first", pieces: with("GET /x"), reply: ok200 + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", want: through("GET /x")},
	{name: "breaks within a length", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nokCLOSE", want: "0 | GET /x"},
	{name: "breaks within a chunk", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelCLOSE", want: "0 | GET /x"},
	{name: "breaks between chunks", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nCLOSE", want: "0 | GET /x"},
	{name: "breaks before the last empty line", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nCLOSE", want: "0 | GET /x"},
	{name: "a chunk that is none", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\nCLOSE", want: "0 | GET /x"},
	{name: "half a head", pieces: with("GET /x"), reply: "HTTP/1.1 200 OK\r\nContent-LenCLOSE", want: "502 502 | GET /x | GET /sentinel"},
}

package proxy

import (
	"strconv"
	"strings"
)

// These tables are what was missing when collections of requests that servers disagree about were gone through case by case:
// MDA2AV/Http11Probe, uNetworking/h1spec, and the findings of narfindustries/http-garden. docs/PROXY.md has the counts, and
// what does not concern a proxy.

// smuggled is a request that stands in another one's body. A reader who divides the two otherwise takes it for one of its own;
// recorder.check looks for it.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

// twoFramings is a body that ends at once for whoever reads chunks, and holds a request for whoever counts. LENGTH in a line
// stands for its length.
func twoFramings(lines ...string) []string {
	body := "0\r\n\r\n" + smuggled
	return with("POST /x", strings.ReplaceAll(strings.Join(lines, "\r\n"), "LENGTH", strconv.Itoa(len(body))), "", body)
}

// bothScripts have a coding, or something like one, beside a length: whatever the coding is taken for, one of the two is wrong.
var bothScripts = []script{
	{name: "both, and a body that both agree on", pieces: with("POST /x", "Content-Length: 23", "Transfer-Encoding: chunked", "", "d\r\nhello-bananas\r\n0\r\n\r\n"), want: refused, differs: dropsLength},
	{name: "both, the length too short", pieces: with("POST /x", "Content-Length: 4", "Transfer-Encoding: chunked", "", "0\r\n\r\n"), want: refused, differs: dropsLength},
	{name: "both, the length too long", pieces: with("POST /x", "Transfer-Encoding: chunked", "Content-Length: 30", "", "0\r\n\r\n"), want: refused, differs: dropsLength},
	{name: "both, a byte behind the chunks", pieces: with("POST /x", "Content-Length: 6", "Transfer-Encoding: chunked", "", "0\r\n\r\nX"), want: refused, differs: dropsLength},
	{name: "both, names in mixed case", pieces: with("POST /x", "content-LengtH: 5", "TransFer-Encoding: chunked", "", "c\r\nHello world1\r\n0\r\n\r\n"), want: refused, differs: dropsLength},
	{name: "both, names in capitals", pieces: with("POST /x", "CONTENT-LENGTH: 11", "TRANSFER-ENCODING: chunked", "", "b\r\nhello world\r\n0\r\n\r\n"), want: refused, differs: dropsLength},
	{name: "both, a request in the body", pieces: twoFramings("Content-Length: LENGTH", "Transfer-Encoding: chunked"), want: refused, differs: dropsLength},
	{name: "both, a HEAD in the body", pieces: with("POST /x", "Content-Length: 41", "Transfer-Encoding: chunked", "", "0\r\n\r\n"+strings.Replace(smuggled, "GET", "HEAD", 1)), want: refused, differs: dropsLength},
	{name: "both, a request in a chunk", pieces: with("POST /x", "Transfer-Encoding: chunked", "Content-Length: 4", "", "23\r\n"+smuggled+"\r\n0\r\n\r\n"), want: refused, differs: dropsLength},
	{name: "both, the length with a plus", pieces: twoFramings("Content-Length: +LENGTH", "Transfer-Encoding: chunked"), want: refused},
	{name: "both, the length with a letter", pieces: twoFramings("Content-Length: LENGTHx", "Transfer-Encoding: chunked"), want: refused},
	{name: "both, the coding folded", pieces: twoFramings("Transfer-Encoding:", " chunked", "Content-Length: LENGTH"), want: refused, differs: foldedLine},
	{name: "both, the coding folded, OPTIONS", pieces: with("OPTIONS /x", "Transfer-Encoding:", " chunked", "Content-Length: 5", "", "0\r\n\r\n"), want: refused, differs: foldedLine},
	{name: "both, the coding's name on two lines", pieces: with("POST /x", "Transfer-", "Encoding: chunked", "Content-Length: 5", "", "0\r\n\r\n"), want: refused},
	{name: "both, a space behind the coding", pieces: twoFramings("Transfer-Encoding: chunked ", "Content-Length: LENGTH"), want: refused, differs: dropsLength},
	{name: "both, a tab before the coding", pieces: twoFramings("Transfer-Encoding:\tchunked", "Content-Length: LENGTH"), want: refused, differs: dropsLength},
	{name: "both, a comma before the coding", pieces: twoFramings("Transfer-Encoding: , chunked", "Content-Length: LENGTH"), want: refused, differs: as501},
	{name: "both, a comma close before the coding", pieces: twoFramings("Transfer-Encoding: ,chunked", "Content-Length: LENGTH"), want: refused, differs: as501},
	{name: "both, a comma behind the coding", pieces: twoFramings("Transfer-Encoding: chunked,", "Content-Length: LENGTH"), want: refused, differs: as501},
	{name: "both, the coding with a capital", pieces: twoFramings("Transfer-Encoding: Chunked", "Content-Length: LENGTH"), want: refused, differs: dropsLength},
	{name: "both, the coding twice in a line", pieces: twoFramings("Transfer-Encoding: chunked, chunked", "Content-Length: LENGTH"), want: refused, differs: as501},
	{name: "both, and identity on a line of its own", pieces: twoFramings("Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Content-Length: LENGTH"), want: refused, differs: as501},
	{name: "both, the coding unknown", pieces: twoFramings("Transfer-Encoding: xchunked", "Content-Length: LENGTH"), want: refused, differs: as501},
	{name: "both, the coding with a parameter", pieces: twoFramings("Transfer-Encoding: chunked;ext=val", "Content-Length: LENGTH"), want: refused, differs: as501},
	{name: "both, the coding empty", pieces: with("POST /x", "Transfer-Encoding: ", "Content-Length: 5", "", "hello"), want: refused, differs: as501},
	{name: "both, a vertical tab before the coding", pieces: with("POST /x", "Transfer-Encoding: \x0bchunked", "Content-Length: 5", "", "hello"), want: refused},
	{name: "both, a form feed before the coding", pieces: with("POST /x", "Transfer-Encoding: \x0cchunked", "Content-Length: 5", "", "hello"), want: refused},
	{name: "both, NUL behind the coding", pieces: with("POST /x", "Transfer-Encoding: chunked\x00", "Content-Length: 5", "", "hello"), want: refused},
	{name: "both, in HTTP/1.0", pieces: raw("POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"), want: refused, differs: "net/http ignores the coding, and counts"},
	{name: "a coding's name with an underscore, a request in the body", pieces: twoFramings("Transfer_Encoding: chunked", "Content-Length: LENGTH"), want: through(`POST /x "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"`)},
}

// codingScripts have no length beside the coding.
var codingScripts = []script{
	{name: "chunked and gzip", pieces: with("POST /x", "Transfer-Encoding: chunked, gzip", "", "0\r\n\r\n"), want: refused, differs: as501},
	{name: "gzip", pieces: with("POST /x", "Transfer-Encoding: gzip"), want: refused, differs: as501},
	{name: "a coding nobody knows", pieces: with("POST /x", "Transfer-Encoding: blegh", "", "1\r\nZ\r\n0\r\n\r\n"), want: refused, differs: as501},
	{name: "a comma before chunked", pieces: with("POST /x", "Transfer-Encoding: ,chunked", "", "0\r\n\r\n"), want: "501"},
	{name: "chunked twice in a line", pieces: with("POST /x", "Transfer-Encoding: chunked, chunked", "", "0\r\n\r\n"), want: "501"},
	{name: "chunked twice, with a chunk", pieces: with("POST /x", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "", "1\r\nZ\r\n0\r\n\r\n"), want: refused, differs: as501},
	{name: "chunked between no-break spaces", pieces: with("POST /x", "Transfer-Encoding: \xa0chunked\xa0", "", "0\r\n\r\n"), want: refused, differs: as501},
	{name: "chunked between other bytes", pieces: with("POST /x", "Transfer-Encoding: \xffchunked\xff", "", "1\r\nZ\r\n0\r\n\r\n"), want: refused, differs: as501},
	{name: "chunked before a space", pieces: with("POST /x", "Transfer-Encoding: chunked ", "", "1\r\na\r\n0\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "a chunk with a request in it", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "23\r\n"+smuggled+"\r\n0\r\n\r\n"), want: through(`POST /x "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"`)},
	{name: "a chunk with an end in it", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "28\r\n0\r\n\r\n"+smuggled+"\r\n0\r\n\r\n"), want: through(`POST /x "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"`)},
	{name: "a byte behind the chunks", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "0\r\n\r\n\x00"), want: "200 400 | POST /x", differs: "net/http ends the connection behind a chunked request, so nobody reads the byte"},
	{name: "an extension with a value in quotes", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "1;a=\"b\\\"; c\" ; d\r\na\r\n0\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "a trailer like a request", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "0\r\nX:POST / HTTP/1.1\r\n\r\n"), want: through("POST /x")},
	{name: "a trailer with a length", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "1\r\na\r\n0\r\nContent-Length: 50\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "a trailer with a coding", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "1\r\na\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "a trailer with a host", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "1\r\na\r\n0\r\nHost: evil.example\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "a trailer with credentials", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "1\r\na\r\n0\r\nAuthorization: Bearer evil\r\n\r\n"), want: through(`POST /x "a"`)},
	{name: "a trailer with a type", pieces: with("POST /x", "Transfer-Encoding: chunked", "", "1\r\na\r\n0\r\nContent-Type: text/evil\r\n\r\n"), want: through(`POST /x "a"`)},
}

// lengthScripts have a length only.
var lengthScripts = []script{
	{name: "length behind two spaces", pieces: with("POST /x", "Content-Length:  5", "", "hello"), want: through(`POST /x "hello"`)},
	{name: "length before a space", pieces: with("POST /x", "Content-Length: 5 ", "", "hello"), want: through(`POST /x "hello"`)},
	{name: "length behind a tab", pieces: with("POST /x", "Content-Length:\t5", "", "hello"), want: through(`POST /x "hello"`)},
	{name: "length 00", pieces: with("POST /x", "Content-Length: 00"), want: through("POST /x")},
	{name: "length that could be octal", pieces: with("POST /x", "Content-Length: 010", "", "0123456789"), want: through(`POST /x "0123456789"`)},
	{name: "a longer one that could be octal", pieces: with("POST /x", "Content-Length: 0200", "", strings.Repeat("A", 200)), want: through(`POST /x "` + strings.Repeat("A", 200) + `"`)},
	{name: "length in octal", pieces: with("POST /x", "Content-Length: 0o5", "", "hello"), want: refused},
	{name: "length of a word", pieces: with("POST /x", "Content-Length: abc"), want: refused},
	{name: "length with a letter behind it", pieces: with("POST /x", "Content-Length: 1Z", "", "Z"), want: refused},
	{name: "length with a plus and an underscore", pieces: with("POST /x", "Content-Length: +1_0", "", "0123456789"), want: refused},
	{name: "length in hexadecimal, too short a body", pieces: with("POST /x", "Content-Length: 0x10", "", "Z"), want: refused},
	{name: "length -0", pieces: with("POST /x", "Content-Length: -0"), want: refused},
	{name: "length -48", pieces: with("GET /x", "Content-Length: -48"), want: refused},
	{name: "length far below 64 bits", pieces: with("GET /x", "Content-Length: -123456789123456789123456789"), want: refused},
	{name: "length of different numbers as a list", pieces: with("POST /x", "Content-Length: 5, 10", "", "hello"), want: refused},
	{name: "length three times in a list", pieces: with("POST /x", "Content-Length: 5, 5, 5", "", "hello"), want: refused},
	{name: "lengths 1 and 0", pieces: with("GET /x", "Content-Length: 1", "Content-Length: 0", "", "Z"), want: refused},
	{name: "lengths 0 and 1", pieces: with("GET /x", "Content-Length: 0", "Content-Length: 1", "", "Z"), want: refused},
	{name: "two lengths, a request between them", pieces: with("POST /x", "Content-Length: 4", "Content-Length: 39", "", "PING"+smuggled), want: refused},
	{name: "lengths 0 and a request's", pieces: with("POST /x", "Content-Length: 0", "Content-Length: 35", "", smuggled), want: refused},
	{name: "empty length before another", pieces: with("GET /x", "Content-Length: ", "Content-Length: 35", "", smuggled), want: refused},
	{name: "empty length, a request behind", pieces: with("GET /x", "Content-Length: ", "", smuggled), want: refused},
	{name: "length's name before a space, a request behind", pieces: with("GET /x", "Content-Length : 35", "", smuggled), want: refused},
	{name: "length's name before another byte", pieces: with("GET /x", "Content-Length\x85: 10", "", "0123456789"), want: refused},
	{name: "length's name with a tab in it", pieces: with("POST /x", "Content-Length: 11", "Content\tLength: 99", "", "hello world"), want: refused},
	{name: "length twice, once before a space", pieces: with("POST /x", "Content-Length: 11", "Content-Length : 5", "", "hello world"), want: refused},
	{name: "length without a colon", pieces: with("GET /x", "Content-Length 10", "", "0123456789"), want: refused},
	{name: "length's name with an underscore", pieces: with("POST /x", "Content-Length: 11", "Content_Length: 99", "", "hello world"), want: through(`POST /x "hello world"`)},
	{name: "length on a first line that is indented", pieces: raw("GET /x HTTP/1.1\r\n\tContent-Length: 1\r\nHost: a\r\n\r\nX"), want: refused},
	{name: "a byte behind length 0", pieces: with("POST /x", "Content-Length: 0", "", "X"), want: "200 200 | POST /x | XGET /sentinel"},
	{name: "HEAD with a body", pieces: with("HEAD /x", "Content-Length: 5", "", "hello"), reply: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want: through(`HEAD /x "hello"`)},
	{name: "OPTIONS with a body", pieces: with("OPTIONS /x", "Content-Length: 5", "", "hello"), want: through(`OPTIONS /x "hello"`)},
	{name: "TRACE with a body", pieces: with("TRACE /x", "Content-Length: 5", "", "hello"), want: "405 200 | GET /sentinel"},
	{name: "TRACE with credentials", pieces: with("TRACE /x", "Authorization: Bearer secret"), want: "405 200 | GET /sentinel"},
	{name: "GET with half a request as its body", pieces: []string{"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n", "\r\n" + sentinel}, want: through(`GET /x "GET /smuggled HTTP/1.1\r\nHost: a\r\n"`), differs: "net/http refuses an empty line before a request"},
	{name: "a body in a pipeline", pieces: with("POST /1", "Content-Length: 0", "", "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n"+smuggled), want: `200 200 200 | POST /1 | POST /2 "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" | GET /sentinel`},
	{name: "expects, without a body", pieces: with("GET /x", "Expect: 100-continue"), want: through("GET /x"), differs: "net/http passes an upstream's 100 on, although there is no body to go on with"},
	{name: "expects, in HTTP/1.0", pieces: raw("POST /x HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"), want: `200 | POST /x "hello"`},
	{name: "expects, and an expectation of another kind", pieces: with("POST /x", "Expect: 200-ok", "Content-Length: 5", "", "hello"), want: "417"},
}

// More bodies that are not what they say. Where one reader ends them earlier than another, a request stands behind that end.
var probedChunks = []string{
	"1_0\r\nhello world!!!!!\r\n0\r\n\r\n",                              // a size in Python's digits
	"0_23\r\n\r\n" + smuggled + "0\r\n\r\n",                             // and one that is 0 as far as it is a number
	"1these-bytes-are-none\r\nZ\r\n0\r\n\r\n",                           // and 1
	"0x23\r\n\r\n" + smuggled + "0\r\n\r\n",                             // a prefix
	"-0x0\r\n\r\n" + smuggled,                                           // and a sign
	"+0\r\n\r\nX",                                                       // 0 with a sign
	"           0\r\n\r\n" + smuggled,                                   // 0 behind spaces
	"\r\n\r\n" + smuggled,                                               // no size at all
	"FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n",                           // 0 in 64 bits
	"Z\r\nZZ\r\nZZZ\r\n\r\n",                                            // no number
	"INVALID!!!\r\n" + smuggled,                                         // nor anything else
	"5\r\nhello0\r\n\r\n" + smuggled,                                    // no end of the data
	"5\r\nhello!!\r\n0\r\n\r\n",                                         // more data than the size says
	"17\r\n0\r\n\r\nGET /smuggled HTTP/\r\n\r\n0\r\n\r\n",               // an empty line before the last chunk
	"a\r\n0123456789\n0\r\n\r\n" + smuggled,                             // a bare LF behind data
	"5;\nhello\r\n0\r\n\r\n",                                            // and behind a semicolon
	"5\rhello\r\n0\r\n\r\n",                                             // a bare CR behind a size
	"1\r0\n",                                                            // and nothing else
	"5\r\r;ABCD\r\n23\r\n" + smuggled + "\r\n0\r\n\r\n",                 // and before a semicolon
	"2\r\r;a\r\n02\r\n41\r\n0\r\n\r\n" + smuggled,                       // and again
	"41;a=b\r\r" + strings.Repeat("X", 65) + "\r\n0\r\n\r\n" + smuggled, // and within an extension
	"5;a\rX\r\nhello\r\n0\r\n\r\n",                                      // and again
	"5;ext=" + strings.Repeat("a", 64<<10) + "\r\nhello\r\n0\r\n\r\n",   // a very long extension
	"5;\r\nhello\r\n0\r\n\r\n",                                          // one without a name
	"5;a;\r\nhello\r\n0\r\n\r\n",                                        // and behind another
	"5;=b\r\nhello\r\n0\r\n\r\n",                                        // and before a value
	"5;bad[=x\r\nhello\r\n0\r\n\r\n",                                    // with a name that is none
	"5;a=\"b\r\nhello\r\n0\r\n\r\n",                                     // in quotes that do not end
	"5;a=\"\\\r\nhello\r\n0\r\n\r\n",                                    // not even by an end that is quoted
	"0\r\n" + strings.TrimSuffix(smuggled, "\r\n") + "X: y\r\n\r\n",     // trailers that begin with a request
	"0\r\nX: y\r\n\tz\r\n\r\n",                                          // or continue
	"0\r\nX\r\n\r\n",                                                    // or are none
	"0\r\nXX" + smuggled,                                                // an end that is no empty line
	"0\r\n\rX" + smuggled,                                               // nor half of one
	"0\r\nX: a\x00b\r\n\r\n",                                            // NUL in a trailer
	"0\r\nX: a\rb\r\n\r\n",                                              // a bare CR in one
	"5 ;a\r\nhello\r\n0\r\n\r\n",                                        // a space before a semicolon, which RFC 9112 (7.1.1) calls bad
}

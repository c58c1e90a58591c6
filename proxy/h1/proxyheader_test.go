package h1

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/pires/go-proxyproto"
)

// FuzzProxyHeader: what we take for a header with a client, another implementation takes for the same one, of the same length. And
// whatever is taken or refused is so at its last byte, not before: nothing that is read up to there is of the first request.
func FuzzProxyHeader(f *testing.F) {
	for _, text := range []string{
		"PROXY TCP4 203.0.113.9 127.0.0.1 49152 8080\r\nGET / HTTP/1.1\r\n",
		"PROXY TCP6 2001:db8::9 ::ffff:1.2.3.4 0 65535\r\n",
		"PROXY UNKNOWN ffff::1 ::1 1 2\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\x7f\x00\x00\x01\xc0\x00\x1f\x90\x16\x03\x01",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x22\x00\x27\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xc0\x00\x1f\x90\x04\x00\x00",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x03\x04\x00\x00",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		from, n, err := ProxyHeader(b)
		if n > MostProxyHeader || err == nil && n < leastHeader || err != nil && (n != 0 || from.IsValid()) {
			t.Fatalf("%q: %v %d %v", b, from, n, err)
		}
		for i := range b[:min(len(b), MostProxyHeader)] {
			switch _, least, early := ProxyHeader(b[:i]); {
			case early != nil && err == nil:
				t.Fatalf("%q is taken, and refused for its first %d bytes: %v", b, i, early)
			case early == nil && least <= i && (err != nil || least != n):
				t.Fatalf("%q: its first %d bytes are a header of %d, and then one of %d: %v", b, i, least, n, err)
			case early == nil && err == nil && least > n:
				t.Fatalf("%q: behind %d bytes %d are asked for, of %d", b, i, least, n)
			}
		}
		if err != nil || n > len(b) || !from.IsValid() {
			return
		}
		in := bufio.NewReaderSize(bytes.NewReader(b), len(b)+1)
		theirs, err := proxyproto.Read(in)
		if err != nil {
			t.Fatalf("%q is taken, and refused by the other: %v", b, err)
		}
		if got := in.Buffered(); got != len(b)-n {
			t.Fatalf("%q: %d bytes are left, by the other %d", b, len(b)-n, got)
		}
		var client netip.AddrPort
		switch a := theirs.SourceAddr.(type) {
		case *net.TCPAddr:
			client = a.AddrPort()
		case *net.UDPAddr:
			client = a.AddrPort()
		}
		if plain(client) != plain(from) {
			t.Fatalf("%q is from %v, by the other %v", b, from, client)
		}
	})
}

// plain leaves out how an IPv4 address was written.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

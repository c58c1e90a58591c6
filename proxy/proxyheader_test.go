package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// binaryHeader is a PROXY header of version 2.
func binaryHeader(command, family byte, rest string) string {
	head := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family, 0, 0)
	binary.BigEndian.PutUint16(head[14:], uint16(len(rest)))
	return string(head) + rest
}

const (
	four   = "\xcb\x00\x71\x09\x7f\x00\x00\x01\xc0\x00\x1f\x90" // from 203.0.113.9
	six    = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xc0\x00\x1f\x90"
	mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xcb\x00\x71\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xc0\x00\x1f\x90"
	tlvs   = "\x02\x00\x04shop\x20\x00\x05\x01\x00\x00\x00\x00"
)

// way is how clients come in.
type way struct {
	name      string
	tls       bool
	protocols *http.Protocols
}

var ways = []way{
	{"HTTP/1.1", false, speaking(func(p *http.Protocols) { p.SetHTTP1(true) })},
	{"HTTP/2 in the clear", false, speaking(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })},
	{"HTTP/1.1 over TLS", true, speaking(func(p *http.Protocols) { p.SetHTTP1(true) })},
	{"HTTP/2 over TLS", true, speaking(func(p *http.Protocols) { p.SetHTTP2(true) })},
}

// secure gives the configuration a certificate, and returns who trusts it.
func secure(t *testing.T, c *Config) *x509.CertPool {
	t.Helper()
	dir := t.TempDir()
	c.TLS = TLS{Cert: filepath.Join(dir, "proxy.crt"), Key: filepath.Join(dir, "proxy.key")}
	return writePair(t, c.TLS, 1)
}

// announcing is a connection that begins with a header: in one segment with what follows, or byte by byte.
type announcing struct {
	net.Conn
	header   string
	bytewise bool
}

func (c *announcing) Write(b []byte) (int, error) {
	all := []byte(c.header + string(b))
	first := c.header != ""
	c.header = ""
	for step := len(all); first && c.bytewise && len(all) > 0; all = all[step:] {
		step = 1
		if _, err := c.Conn.Write(all[:step]); err != nil {
			return 0, err
		}
	}
	if _, err := c.Conn.Write(all); err != nil {
		return 0, err
	}
	return len(b), nil
}

// through is a client behind a load balancer that announces its connections by that header.
func (w way) through(t *testing.T, pool *x509.CertPool, header string, bytewise bool) *http.Client {
	transport := &http.Transport{Protocols: w.protocols, ExpectContinueTimeout: 20 * time.Second, TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &announcing{Conn: conn, header: header, bytewise: bytewise}, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// loggedClients are the clients that the access log names.
func loggedClients(t *testing.T, file string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var l struct{ Client string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, l.Client)
	}
	return all
}

// What a trusted peer's PROXY header names is the client, to the upstream and in the access log, whichever way it comes in. The
// bytes behind the header are the first request, whole, however both are divided on their way.
func TestProxyHeaderNamesTheClient(t *testing.T) {
	forms := []struct{ name, header, client string }{
		{"text", "PROXY TCP4 203.0.113.9 127.0.0.1 49152 8080\r\n", "203.0.113.9"},
		{"text, IPv6", "PROXY TCP6 2001:db8::9 ::1 0 65535\r\n", "2001:db8::9"},
		{"text, the longest", "PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0009 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "2001:db8::9"},
		{"text of a health check", "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"text that says no more", "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "127.0.0.1"},
		{"binary", binaryHeader(0x21, 0x11, four), "203.0.113.9"},
		{"binary, IPv6", binaryHeader(0x21, 0x21, six), "2001:db8::9"},
		{"binary, IPv4 as IPv6", binaryHeader(0x21, 0x21, mapped), "203.0.113.9"},
		{"binary, of HTTP/3", binaryHeader(0x21, 0x12, four), "203.0.113.9"},
		{"binary with more", binaryHeader(0x21, 0x11, four+tlvs), "203.0.113.9"},
		{"binary, the longest", binaryHeader(0x21, 0x21, six+strings.Repeat("\x04", 4<<10-16-36)), "2001:db8::9"},
		{"binary of a health check", binaryHeader(0x20, 0x00, ""), "127.0.0.1"},
		{"binary of a health check with more", binaryHeader(0x20, 0x11, four+tlvs), "127.0.0.1"},
		{"binary of another kind", binaryHeader(0x21, 0x00, tlvs), "127.0.0.1"},
		{"binary of a socket in a file system", binaryHeader(0x21, 0x31, strings.Repeat("/", 216)), "127.0.0.1"},
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			legacy := newBackend(t, "legacy", echo)
			conf := config(legacy.URL)
			conf.Trust, conf.ProxyProtocol = loopback, true
			conf.Access.File = filepath.Join(t.TempDir(), "access.log")
			var pool *x509.CertPool
			if w.tls {
				pool = secure(t, &conf)
			}
			p := start(t, conf)
			var want []string
			for _, form := range forms {
				for _, bytewise := range []bool{false, true} {
					c := w.through(t, pool, form.header, bytewise)
					for i, body := range []string{"the first", strings.Repeat("x", 100_000), "the third"} { // on one connection
						a := ask(t, c, "POST", p.URL()+"/x", body)
						if a.status != 200 || a.body != body {
							t.Fatalf("%s, bytewise %v, request %d: %d %.20q", form.name, bytewise, i, a.status, a.body)
						}
						if got := legacy.last(t).Header["X-Forwarded-For"]; len(got) != 1 || got[0] != form.client {
							t.Errorf("%s, bytewise %v, request %d: X-Forwarded-For is %q, want %s", form.name, bytewise, i, got, form.client)
						}
						want = append(want, form.client)
					}
				}
			}
			if n := len(legacy.requests()); n != len(want) {
				t.Errorf("%d requests were forwarded, of %d", n, len(want))
			}
			await(t, "the access log", func() bool { return len(loggedClients(t, conf.Access.File)) == len(want) })
			got := loggedClients(t, conf.Access.File) // in the order in which they ended
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("the access log has the clients %q", got)
			}
		})
	}
}

// Whether what a client says of itself is believed depends on the client, not on the balancer that its connection came through.
func TestProxyHeaderIsNoTrust(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	conf := config(legacy.URL)
	conf.Trust, conf.ProxyProtocol = append([]netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, loopback...), true
	p := start(t, conf)
	for header, want := range map[string]string{
		"PROXY TCP4 203.0.113.9 127.0.0.1 49152 8080\r\n":  "203.0.113.9",
		"PROXY TCP4 198.51.100.7 127.0.0.1 49152 8080\r\n": "6.6.6.6, 198.51.100.7",
		"PROXY UNKNOWN\r\n": "6.6.6.6, 127.0.0.1",
	} {
		for _, w := range ways[:2] {
			ask(t, w.through(t, nil, header, false), "GET", p.URL()+"/x", "", "X-Forwarded-For: 6.6.6.6")
			if got := legacy.last(t).Header.Get("X-Forwarded-For"); got != want {
				t.Errorf("%q, %s: X-Forwarded-For is %q, want %q", header, w.name, got, want)
			}
		}
	}
}

// A header of anyone who is not trusted to send one, or where none is expected, is the malformed request that it is; without one
// they are served.
func TestProxyHeaderOfAStranger(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	for name, set := range map[string]func(*Config){
		"not trusted":  func(c *Config) { c.Trust, c.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, true },
		"not expected": func(c *Config) { c.Trust = loopback },
	} {
		conf := config(legacy.URL)
		set(&conf)
		p := start(t, conf)
		if a := ask(t, client(t), "GET", p.URL()+"/x", ""); a.status != 200 || legacy.last(t).Header.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("%s, without a header: %+v", name, a)
		}
		before := len(legacy.requests())
		for _, header := range []string{"PROXY TCP4 203.0.113.9 127.0.0.1 49152 8080\r\n", "PROXY UNKNOWN\r\n", binaryHeader(0x21, 0x11, four)} {
			_, in := dial(t, p, header+"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
			all, err := io.ReadAll(in) // with engine nethttp the refusal may be lost to a reset
			if answer := string(all); strings.Count(answer, "HTTP/1.1 ") > 1 || !strings.HasPrefix(answer, "HTTP/1.1 400 ") && (engine == EngineH1 || err == nil) {
				t.Errorf("%s, %q: %q %v", name, header, answer, err)
			}
		}
		pool := secure(t, &conf)
		p = start(t, conf)
		for _, w := range ways[2:] {
			if res, err := w.through(t, pool, "PROXY UNKNOWN\r\n", false).Get(p.URL() + "/x"); err == nil {
				res.Body.Close()
				t.Errorf("%s, %s: %s", name, w.name, res.Status)
			}
		}
		if n := len(legacy.requests()); n != before {
			t.Errorf("%s: %d requests were forwarded", name, n-before)
		}
	}
}

// A trusted peer's connection that does not begin with a header, or with one that is not exactly right, is closed without a
// word, and the log says why.
func TestProxyHeaderIsStrict(t *testing.T) {
	const request = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
	bad := []string{
		"",
		"\r\n" + "PROXY UNKNOWN\r\n",
		"proxy UNKNOWN\r\n",
		"PROXY  UNKNOWN\r\n",
		"PROXY UNKNOWN\n",
		"PROXY UNKNOWNS\r\n",
		"PROXY UNKNOWN \r \r\n",
		"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n",
		"PROXY\r\n",
		"PROXY TCP4\r\n",
		"PROXY UDP4 203.0.113.9 127.0.0.1 49152 8080\r\n",
		"PROXY TCP4 203.0.113.9 127.0.0.1 49152 8080 \r\n",
		"PROXY TCP4 203.0.113.9  127.0.0.1 49152 8080\r\n",
		"PROXY TCP4 203.0.113.9 127.0.0.1 49152\r\n",
		"PROXY TCP4 203.0.113.9 127.0.0.1 49152 8080\n",
		"PROXY TCP4 203.0.113.9 127.0.0.1 49152 8080\r",
		"PROXY TCP4 203.0.113.09 127.0.0.1 49152 8080\r\n",
		"PROXY TCP4 203.0.113 127.0.0.1 49152 8080\r\n",
		"PROXY TCP4 203.0.113.9 localhost 49152 8080\r\n",
		"PROXY TCP4 2001:db8::9 ::1 49152 8080\r\n",
		"PROXY TCP4 203.0.113.9 ::1 49152 8080\r\n",
		"PROXY TCP6 203.0.113.9 127.0.0.1 49152 8080\r\n",
		"PROXY TCP6 fe80::1%eth0 ::1 49152 8080\r\n",
		"PROXY TCP4 203.0.113.9 127.0.0.1 65536 8080\r\n",
		"PROXY TCP4 203.0.113.9 127.0.0.1 49152 08080\r\n",
		"PROXY TCP4 203.0.113.9 127.0.0.1 +9152 8080\r\n",
		"PROXY TCP4 203.0.113.9 127.0.0.1 -1 8080\r\n",
		"PROXY TCP4 203.0.113.9 127.0.0.1  8080\r\n",
		strings.Replace(binaryHeader(0x21, 0x11, four), "QUIT", "QUIP", 1),
		binaryHeader(0x11, 0x11, four),
		binaryHeader(0x22, 0x11, four),
		binaryHeader(0x21, 0x10, four),
		binaryHeader(0x21, 0x13, four),
		binaryHeader(0x21, 0x41, four),
		binaryHeader(0x21, 0x11, four[:11]),
		binaryHeader(0x21, 0x21, six[:35]),
		binaryHeader(0x21, 0x31, strings.Repeat("/", 215)),
		binaryHeader(0x21, 0x11, four+strings.Repeat("\x04", 4<<10-16-12+1)),
		binaryHeader(0x20, 0x00, strings.Repeat("\x04", 1<<16-1)),
	}
	legacy := newBackend(t, "legacy", nil)
	for _, secured := range []bool{false, true} {
		conf := config(legacy.URL)
		conf.Trust, conf.ProxyProtocol, conf.Timeouts.Idle = loopback, true, 100*time.Millisecond
		log := &logged{}
		conf.Log = slog.New(slog.NewTextHandler(log, nil))
		if secured {
			secure(t, &conf)
		}
		p := start(t, conf)
		for _, header := range bad {
			conn, _ := dial(t, p, "")
			to := net.Conn(&announcing{Conn: conn, header: header})
			if secured {
				to = tls.Client(to, &tls.Config{InsecureSkipVerify: true})
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			io.WriteString(to, request) // which may find the connection closed
			if got, err := io.ReadAll(conn); len(got) > 0 || os.IsTimeout(err) {
				t.Errorf("over TLS %v, %.60q: %q, %v", secured, header, got, err)
			}
			conn.Close()
		}
		if !log.said("have it send a PROXY header, or take it out of proxy.trust") {
			t.Errorf("over TLS %v: the log does not say so", secured)
		}
	}
	if n := len(legacy.requests()); n != 0 {
		t.Errorf("%d requests were forwarded", n)
	}
}

// A header that does not come in time ends its connection, even if its bytes keep coming.
func TestProxyHeaderIsSlow(t *testing.T) {
	for _, secured := range []bool{false, true} {
		conf := config("http://127.0.0.1:1")
		conf.Trust, conf.ProxyProtocol, conf.Timeouts.Head = loopback, true, 200*time.Millisecond
		if secured {
			secure(t, &conf)
		}
		p := start(t, conf)
		for _, text := range []string{"PROXY TCP4 ", binaryHeader(0x20, 0, strings.Repeat("\x04", 4000))} {
			conn, _ := dial(t, p, "")
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				io.Copy(io.Discard, conn)
			}()
			tick := time.NewTicker(5 * time.Millisecond) // so that all of it takes a hundred times as long as it may
			defer tick.Stop()
			for i, over := 0, false; i < len(text) && !over; i++ {
				if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
					break
				}
				select {
				case <-tick.C:
				case <-ended:
					over = true
				}
				if i == len(text)-2 && len(text) > 1000 {
					t.Errorf("over TLS %v: the connection goes on", secured)
				}
			}
			await(t, "the connection's end", func() bool {
				select {
				case <-ended:
					return true
				default:
					return false
				}
			})
		}
	}
}

// A header that is awaited holds up nobody.
func TestProxyHeaderIsAwaitedAside(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	for _, w := range ways {
		conf := config(legacy.URL)
		conf.Trust, conf.ProxyProtocol, conf.Timeouts.Head = loopback, true, time.Hour
		var pool *x509.CertPool
		if w.tls {
			pool = secure(t, &conf)
		}
		p := start(t, conf)
		for _, text := range []string{"", "PROXY TCP4 "} {
			conn, _ := dial(t, p, text)
			if a := ask(t, w.through(t, pool, "PROXY UNKNOWN\r\n", false), "GET", p.URL()+"/x", ""); a.status != 200 {
				t.Errorf("%s: %+v", w.name, a)
			}
			conn.Close()
		}
	}
}

// Behind a header that came together with the first request the connection is kept as long as any other: not only as long as a
// head may take, which is when those are closed that send nothing.
func TestProxyHeaderKeepsTheConnection(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	conf := config(legacy.URL)
	conf.Trust, conf.ProxyProtocol, conf.Timeouts.Head = loopback, true, 200*time.Millisecond
	p := start(t, conf)
	const request = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
	conn, in := dial(t, p, "PROXY UNKNOWN\r\n"+request)
	if a := readAnswer(t, in); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	for _, text := range []string{"", "PROXY UNKNOWN\r\n"} {
		conn, silent := dial(t, p, text)
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if rest, err := io.ReadAll(silent); len(rest) > 0 || err != nil {
			t.Errorf("behind %q: %q %v", text, rest, err)
		}
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(t, in); a.status != 200 {
		t.Errorf("the second request: %+v", a)
	}
}

// Close waits for no header.
func TestCloseWaitsForNoHeader(t *testing.T) {
	if engine != EngineH1 {
		return // net/http gives new connections five seconds
	}
	conf := config("http://127.0.0.1:1")
	conf.Trust, conf.ProxyProtocol, conf.Timeouts.Head = loopback, true, time.Hour
	p := start(t, conf)
	var all []*bufio.Reader
	for _, text := range []string{"", "PROXY TCP4 ", binaryHeader(0x21, 0x11, four)[:20]} {
		_, in := dial(t, p, text)
		all = append(all, in)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	for _, in := range all {
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Errorf("%q", rest)
		}
	}
}

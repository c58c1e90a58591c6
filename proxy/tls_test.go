package proxy

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// writePair writes a certificate of 127.0.0.1 and its key, and returns the pool that trusts it.
func writePair(t *testing.T, files TLS, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "strangler"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

func speaking(set func(*http.Protocols)) *http.Protocols {
	p := new(http.Protocols)
	set(p)
	return p
}

// Over TLS both versions of HTTP are spoken, the walk is the same, and a certificate that is replaced is used at the next
// handshake.
func TestTLS(t *testing.T) {
	legacy, service := newBackend(t, "legacy", nil), newBackend(t, "service", nil)
	dir := t.TempDir()
	files := TLS{Cert: filepath.Join(dir, "proxy.crt"), Key: filepath.Join(dir, "proxy.key")}
	conf := config(legacy.URL, delivery(t, service.URL))
	conf.TLS = files
	log := &logged{}
	conf.Log = slog.New(slog.NewTextHandler(log, nil))
	if p, err := New(conf); err != nil {
		t.Fatal(err)
	} else if err := p.Start(); err == nil || !strings.Contains(err.Error(), "proxy.crt") {
		t.Errorf("without the files: %v", err)
	}
	pool := writePair(t, files, 1)
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeExtracted, 0))
	for _, one := range []struct {
		protocols *http.Protocols
		want      string
	}{
		{speaking(func(p *http.Protocols) { p.SetHTTP1(true) }), "HTTP/1.1"},
		{speaking(func(p *http.Protocols) { p.SetHTTP2(true) }), "HTTP/2.0"},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: one.protocols}
		defer transport.CloseIdleConnections()
		for path, want := range map[string]string{"/couriers/7": "service", "/restaurants": "legacy"} {
			res, err := (&http.Client{Transport: transport}).Get(p.URL() + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.Proto != one.want || string(body) != want {
				t.Errorf("%s: %s %q", path, res.Proto, body)
			}
		}
	}
	if got := legacy.last(t).Header.Get("X-Forwarded-Proto"); got != "https" {
		t.Errorf("X-Forwarded-Proto is %q", got)
	}

	serial := func() int64 {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(p.URL(), "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	writePair(t, files, 2)
	await(t, "the second certificate", func() bool { return serial() == 2 })
	if err := os.WriteFile(files.Cert, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the files to be looked at", func() bool { serial(); return log.said("cannot be read") })
	if got := serial(); got != 2 {
		t.Errorf("certificate %d is in use behind one that cannot be read", got)
	}
}

// HTTP/2 in the clear is spoken with those who begin with it, on the same port.
func TestHTTP2InTheClear(t *testing.T) {
	legacy, service := newBackend(t, "legacy", nil), newBackend(t, "service", nil)
	p := start(t, config(legacy.URL, delivery(t, service.URL)))
	apply(t, p, toggle(1, strangler.ModeExtracted, 0))
	transport := &http.Transport{Protocols: speaking(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	for path, want := range map[string]string{"/couriers/7": "service", "/restaurants": "legacy"} {
		for range 3 {
			res, err := c.Get(p.URL() + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.Proto != "HTTP/2.0" || string(body) != want {
				t.Errorf("%s: %s %q", path, res.Proto, body)
			}
		}
	}
	// Its first bytes may come one by one, and what only begins like it is refused.
	conn, in := dial(t, p, "P")
	for _, piece := range []string{"R", "I ", "* HTTP/2.0\r\n\r\n", "SM\r\n\r\n", "\x00\x00\x00\x04\x00\x00\x00\x00\x00"} {
		io.WriteString(conn, piece)
	}
	if head, err := in.Peek(9); err != nil || head[3] != 4 { // SETTINGS
		t.Errorf("%q %v", head, err)
	}
	_, in = dial(t, p, "PRI /x HTTP/1.1\r\nHost: x\r\n\r\n")
	if a := readAnswer(t, in); engine == EngineH1 && a.status != 400 && a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// Past the limit of connections one that waits for its next request makes room; where none does, the new one is closed.
func TestConnectionsAreBounded(t *testing.T) {
	if engine != EngineH1 {
		return
	}
	block := make(chan struct{})
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-block
		}
		io.WriteString(w, "legacy")
	})
	conf := config(legacy.URL)
	conf.Limits.Connections = 3
	p := start(t, conf)
	ok := func(in *bufio.Reader) bool {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return false
		}
		_, err = io.ReadAll(res.Body)
		return err == nil && res.StatusCode == 200
	}
	const fast, slow = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
	for range 20 { // each of them waits for a request that does not come, until a later one takes its place
		await(t, "room", func() bool { _, in := dial(t, p, fast); return ok(in) })
	}
	answered := make(chan bool, 3)
	for under := 21; under <= 23; under++ {
		var refused chan bool
		await(t, "a request to be under way", func() bool {
			if refused == nil { // again, where the one that has to make room was not yet back from its own request
				_, in := dial(t, p, slow)
				refused = make(chan bool, 1)
				go func(refused chan bool) {
					if _, err := in.Peek(1); err != nil {
						refused <- true
						return
					}
					answered <- ok(in)
				}(refused)
			}
			select {
			case <-refused:
				refused = nil
			default:
			}
			return len(legacy.requests()) == under
		})
	}
	if _, in := dial(t, p, fast); ok(in) {
		t.Error("a fourth connection was served")
	}
	close(block)
	for range 3 {
		if !<-answered {
			t.Error("a request that was under way was not answered")
		}
	}
}

// Past the limit of requests at once a capability sheds, and nobody else is concerned.
func TestRequestsAreShed(t *testing.T) {
	block := make(chan struct{})
	slow := newBackend(t, "service", func(w http.ResponseWriter, r *http.Request) { <-block })
	legacy := newBackend(t, "legacy", nil)
	conf := config(legacy.URL, delivery(t, slow.URL))
	conf.Limits.Requests = 2
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeExtracted, 0))
	var all []*bufio.Reader
	for range 2 {
		_, in := dial(t, p, "GET /couriers/7 HTTP/1.1\r\nHost: x\r\n\r\n")
		all = append(all, in)
	}
	await(t, "two requests", func() bool { return len(slow.requests()) == 2 })
	a := ask(t, client(t), "GET", p.URL()+"/couriers/7", "")
	if a.status != 503 || a.code(t) != "too_busy" || a.header.Get("Retry-After") == "" {
		t.Errorf("the third: %+v", a)
	}
	if a := ask(t, client(t), "GET", p.URL()+"/restaurants", ""); a.status != 200 {
		t.Errorf("elsewhere: %+v", a)
	}
	close(block)
	for _, in := range all {
		if a := readAnswer(t, in); a.status != 200 {
			t.Errorf("%+v", a)
		}
	}
	await(t, "room", func() bool { return ask(t, client(t), "GET", p.URL()+"/couriers/7", "").status == 200 })
}

// secured is an upstream over TLS, and the file with the one certificate that vouches for it.
func secured(t *testing.T, b *backend) (url, ca string) {
	t.Helper()
	dir := t.TempDir()
	files := TLS{Cert: filepath.Join(dir, "ca.pem"), Key: filepath.Join(dir, "key.pem")}
	writePair(t, files, 1)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(b.Config.Handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, files.Cert
}

// An upstream that is spoken to over TLS is asked who it is, shadowed requests included: it has to be one for whom its own CA vouches,
// which is nobody else's.
func TestUpstreamOverTLS(t *testing.T) {
	legacy, service := newBackend(t, "legacy", nil), newBackend(t, "service", nil)
	legacyURL, legacyCA := secured(t, legacy)
	serviceURL, serviceCA := secured(t, service)
	proxied := func(legacyCA, serviceCA string) *Proxy {
		capability := delivery(t, serviceURL)
		capability.Service.CA, capability.Shadow.Sample = serviceCA, strangler.Hundred
		conf := config(legacyURL, capability)
		conf.Legacy.CA = legacyCA
		p := start(t, conf)
		apply(t, p, toggle(1, strangler.ModeShadow, 0))
		return p
	}
	c := client(t)
	for _, p := range []*Proxy{proxied("", ""), proxied(serviceCA, legacyCA)} {
		if a := ask(t, c, "GET", p.URL()+"/x", ""); a.status != 502 || len(legacy.requests()) != 0 {
			t.Errorf("a certificate that nobody knows: %+v", a)
		}
		apply(t, p, toggle(2, strangler.ModeExtracted, 0))
		if a := ask(t, c, "GET", p.URL()+"/couriers/7", ""); a.status != 502 || len(service.requests()) != 0 {
			t.Errorf("a certificate that nobody knows, at the service: %+v", a)
		}
	}
	p := proxied(legacyCA, serviceCA)
	for i := range 5 {
		if a := ask(t, c, "POST", p.URL()+"/x", strings.Repeat("x", i*50_000)); a.status != 200 || a.body != "legacy" {
			t.Errorf("%+v", a)
		}
	}
	if a := ask(t, c, "GET", p.URL()+"/couriers/7", ""); a.status != 200 || a.body != "legacy" {
		t.Errorf("%+v", a)
	}
	await(t, "the shadow", func() bool { return len(service.requests()) == 1 })
	apply(t, p, toggle(2, strangler.ModeExtracted, 0))
	if a := ask(t, c, "GET", p.URL()+"/couriers/7", ""); a.status != 200 || a.body != "service" {
		t.Errorf("%+v", a)
	}
	if s := p.Stats("delivery"); s.Shadow.Sent != 1 || s.Shadow.Failed != 0 {
		t.Errorf("%+v", s.Shadow)
	}
}

// A file without a certificate is said before anything listens.
func TestCAIsRead(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("-----BEGIN CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + "/none.pem"} {
		conf := config("https://127.0.0.1:1", delivery(t, "https://127.0.0.1:2"))
		conf.Legacy.CA = file
		if _, err := New(conf); !errors.Is(err, strangler.ErrConfig) || !strings.Contains(err.Error(), file) {
			t.Errorf("of the monolith's: %v", err)
		}
		conf.Legacy.CA, conf.Capabilities[0].Service.CA = "", file
		if _, err := New(conf); !errors.Is(err, strangler.ErrConfig) || !strings.Contains(err.Error(), file) {
			t.Errorf("of the service's: %v", err)
		}
	}
}

package daemon_test

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/daemon"
)

// secured is an https upstream, and a folder with ca.pem, which vouches for it.
func secured(t *testing.T, serve http.HandlerFunc) (url, dir string) {
	up := httptest.NewTLSServer(serve)
	t.Cleanup(up.Close)
	dir = t.TempDir()
	write(t, dir, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.Certificate().Raw})))
	return up.URL, dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

func load(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	write(t, dir, "strangler.yaml", text)
	cfg, err := config.Load(filepath.Join(dir, "strangler.yaml"), func(string) (string, bool) { return "", false })
	must(t, err)
	return cfg
}

// TestCheckAsksByTheCA: an https upstream whose CA is the file's is well, and a file that holds none has to be corrected first.
func TestCheckAsksByTheCA(t *testing.T) {
	url, dir := secured(t, func(http.ResponseWriter, *http.Request) {})
	write(t, dir, "empty.pem", "")
	for ca, want := range map[string]string{
		"ca: ca.pem, ":    "answers",
		"":                "is not well",
		"ca: empty.pem, ": "holds no certificate",
		"ca: none.pem, ":  "no such file",
	} {
		cfg := load(t, dir, "legacy: {url: '"+url+"', "+ca+"health: /}\ncapabilities:\n  search: {routes: [/search], service: {url: '"+url+"', "+ca+"health: /}}\n")
		found, err := daemon.Check(t.Context(), cfg)
		must(t, err)
		said := 0
		for _, f := range found {
			if !strings.HasSuffix(f.Check, " upstream") {
				continue
			}
			said++
			unreadable := ca != "" && want != "answers"
			if !strings.Contains(f.Message, want) || f.Missing != unreadable || f.Warning != (ca == "") || (want != "answers") != (len(f.Next) > 0) {
				t.Errorf("with %q: %+v", ca, f)
			}
		}
		if said != 2 {
			t.Errorf("with %q: %+v", ca, found)
		}
	}
}

// TestServesBehindABalancer: a daemon believes a load balancer's PROXY header, and its https monolith by the CA, as the file says.
func TestServesBehindABalancer(t *testing.T) {
	url, dir := secured(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Forwarded-For")) })
	d, err := daemon.Start(t.Context(), load(t, dir, "proxy: {listen: '127.0.0.1:0', trust: [127.0.0.1], proxy_protocol: true}\nadmin: {listen: '127.0.0.1:0'}\nlegacy: {url: '"+url+"', ca: ca.pem}\n"), daemon.Options{Proxy: true})
	must(t, err)
	defer func() { must(t, d.Close()) }()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.ProxyURL(), "http://"))
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "PROXY TCP4 203.0.113.9 127.0.0.1 49152 8080\r\nGET /x HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
	must(t, err)
	answer, err := io.ReadAll(conn)
	must(t, err)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") || !strings.HasSuffix(string(answer), "\r\n203.0.113.9") {
		t.Errorf("%q", answer)
	}
}

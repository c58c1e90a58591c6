package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// peerProxy is a proxy in processes of its own, on the first core.
type peerProxy struct {
	name string
	url  string
	pids func() []int
}

// behind is what the proxies stand before: nginx, which answers from memory, on the second core beside the load.
type behind struct {
	t    testing.TB
	dir  string
	addr string
}

// proxyLoads are what is asked for: a path of the upstream, and over how many connections. most is what the processor time a
// request may be of nginx's, and p99 its latency.
var proxyLoads = []struct {
	name        string
	path        string
	connections int
	most, p99   float64 // 0: no bar
}{
	{"1 kB, 64 connections", "/accounts/1", 64, 1.0, 1.1},
	{"1 kB, 256 connections", "/accounts/1", 256, 1.0, 1.1},
	{"64 kB, 64 connections", "/accounts/64k", 64, 1.1, 0},
	{"10 MB, 8 connections", "/accounts/10m", 8, 1.1, 0},
}

// BenchmarkProxy measures the processor time that a proxied request takes of the proxy's processes, which have the first core
// to themselves, in turn with nginx and HAProxy: a canary of 50 % with a header for identity, keep-alive on both sides,
// X-Forwarded-For.
func BenchmarkProxy(b *testing.B) {
	for _, tool := range []string{"wrk", "nginx", "taskset", "h2load"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Fatalf("%s is missing: install the packages wrk, nginx, haproxy, nghttp2-client and util-linux", tool)
		}
	}
	before := load()
	up := newBehind(b)
	proxies := []peerProxy{up.nginx(way{}), up.strangler("h1", way{}), up.strangler("nethttp", way{})}
	if _, err := exec.LookPath("haproxy"); err == nil {
		proxies = append(proxies, up.haproxy())
	}
	b.ReportMetric(0, "ns/op")
	for _, l := range proxyLoads {
		cpu, p99, rate := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
		for range rounds(b) {
			for _, p := range proxies {
				used, slow, done := up.run(p, l.path, l.connections)
				cpu[p.name], p99[p.name], rate[p.name] = append(cpu[p.name], used), append(p99[p.name], slow), append(rate[p.name], done)
			}
		}
		peer := measured("nginx", "µs", cpu["nginx"]...)
		for _, p := range proxies[1:] {
			f := figure{Name: "CPU a request, " + l.name + ", " + p.name, Load: before, Sizes: fmt.Sprintf("%d rounds of %s", rounds(b), proxySpan(b)), Measured: measured("", "µs", cpu[p.name]...), Peer: peer,
				Note: fmt.Sprintf("%s requests/s, nginx %s", short(measured("", "", rate[p.name]...).Median), short(measured("", "", rate["nginx"]...).Median))}
			f.Value = f.Measured.Median / peer.Median
			g := figure{Name: "p99, " + l.name + ", " + p.name, Load: before, Sizes: f.Sizes, Measured: measured("", "ms", p99[p.name]...), Peer: measured("nginx", "ms", p99["nginx"]...)}
			g.Value = g.Measured.Median / g.Peer.Median
			if p.name == "strangler, h1" {
				f.Bar = atMost(l.most)
				if l.p99 > 0 {
					g.Bar = atMost(l.p99)
				}
			}
			report(b, f)
			report(b, g)
		}
	}
}

// proxySpan is how long each is watched, in every round.
func proxySpan(t testing.TB) time.Duration { return span(t) / 6 }

func newBehind(t testing.TB) *behind {
	dir, err := os.MkdirTemp("", "strangler-proxy-bench-") // nginx's worker has to reach it
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	files := filepath.Join(dir, "files", "accounts")
	must(t, os.MkdirAll(files, 0o755))
	for name, size := range map[string]int{"1": 1 << 10, "64k": 64 << 10, "10m": 10 << 20} {
		must(t, os.WriteFile(filepath.Join(files, name), []byte(`{"filler":"`+strings.Repeat("x", size-13)+`"}`), 0o644))
	}
	u := &behind{t: t, dir: dir, addr: freeAddr(t)}
	u.start("upstream", 1, u.addr, "nginx", "-c", u.file("upstream.conf", fmt.Sprintf(`
worker_processes 1; daemon off; error_log stderr crit; pid %[1]s/upstream.pid;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 600s; default_type application/json; sendfile on; tcp_nopush on; open_file_cache max=10;
  %[2]s
  server { listen %[3]s; root %[1]s/files; } }`, dir, temps(dir, "u"), u.addr)))
	return u
}

// temps keeps nginx from folders that only root may write.
func temps(dir, prefix string) (lines string) {
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		lines += fmt.Sprintf("%s_temp_path %s/%s-%s; ", what, dir, prefix, what)
	}
	return lines
}

func (u *behind) file(name, text string) string {
	path := filepath.Join(u.dir, name)
	must(u.t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// start runs a program on one core, and returns when it listens.
func (u *behind) start(name string, core int, addr, program string, args ...string) *exec.Cmd {
	u.t.Helper()
	cmd := exec.Command("taskset", append([]string{"-c", strconv.Itoa(core), program}, args...)...)
	cmd.Dir = u.dir
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(u.t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // what it came to shows in the figures, or in their absence
	u.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return cmd
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("%s does not listen: %v", name, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (u *behind) nginx(w way) peerProxy {
	addr := freeAddr(u.t)
	how, log := "", "off"
	if w.tls {
		how = fmt.Sprintf(" ssl; ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem", u.dir)
	}
	if w.http2 {
		how = strings.Replace(how, " ssl;", " ssl http2;", 1)
	}
	if w.log {
		log = filepath.Join(u.dir, "nginx.log") + " combined buffer=64k flush=1s"
	}
	cmd := u.start("nginx", 0, addr, "nginx", "-c", u.file("nginx.conf", fmt.Sprintf(`
worker_processes 1; daemon off; error_log stderr crit; pid %[1]s/nginx.pid;
events { worker_connections 4096; }
http { access_log %[6]s; keepalive_requests 100000000; keepalive_timeout 600s; proxy_temp_path %[1]s/ptemp; %[2]s
  upstream legacy { server %[4]s; keepalive 512; keepalive_requests 100000000; }
  server { listen %[3]s%[5]s; location / { proxy_pass http://legacy; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } } }`, u.dir, strings.Replace(temps(u.dir, "p"), fmt.Sprintf("proxy_temp_path %s/p-proxy; ", u.dir), "", 1), addr, u.addr, how, log)))
	return peerProxy{"nginx", w.scheme() + addr, func() []int { return children(cmd.Process.Pid) }}
}

func (u *behind) haproxy() peerProxy {
	addr := freeAddr(u.t)
	cmd := u.start("haproxy", 0, addr, "haproxy", "-db", "-f", u.file("haproxy.cfg", fmt.Sprintf(`
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  option forwardfor
  http-reuse always
frontend in
  bind %s
  default_backend legacy
backend legacy
  server one %s
`, addr, u.addr)))
	return peerProxy{"HAProxy", "http://" + addr, func() []int { return children(cmd.Process.Pid) }}
}

// strangler is a daemon with a canary of 50 %.
func (u *behind) strangler(engine string, w way) peerProxy {
	u.t.Helper()
	dir := filepath.Join(u.dir, engine+w.name)
	more := ""
	if w.tls {
		more = fmt.Sprintf(", tls: {cert: %q, key: %q}", filepath.Join(u.dir, "cert.pem"), filepath.Join(u.dir, "key.pem"))
	}
	if w.log {
		more += ", access_log: {file: access.log, format: combined}"
	}
	must(u.t, os.MkdirAll(dir, 0o755))
	proxy, admin := freeAddr(u.t), freeAddr(u.t)
	must(u.t, os.WriteFile(filepath.Join(dir, "strangler.yaml"), []byte(fmt.Sprintf(`
control: sqlite:control.db
proxy: {listen: %q, engine: %s%s}
admin: {listen: %q}
legacy: {url: "http://%s"}
capabilities:
  accounts:
    routes: ["GET /accounts/{id}"]
    service: {url: "http://%s"}
    identity: {header: X-User-ID}
    playbook: {approve: []}
`, proxy, engine, more, admin, u.addr, u.addr)), 0o600))
	path, err := program()
	must(u.t, err)
	config := filepath.Join(dir, "strangler.yaml")
	cmd := u.start("strangler", 0, proxy, path, "-c", config, "serve", "-o", "json")
	out, err := exec.CommandContext(context.Background(), path, "-c", config, "toggle", "set", "accounts", string(strangler.ModeCanary), "--percent", "50", "--why", "to measure it").CombinedOutput()
	if err != nil {
		u.t.Fatalf("toggle set: %v\n%s", err, out)
	}
	return peerProxy{"strangler, " + engine, w.scheme() + proxy, func() []int { return []int{cmd.Process.Pid} }}
}

// children are a process and those that it started; taskset becomes what it runs.
func children(pid int) (all []int) {
	all = []int{pid}
	out, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return all
	}
	for _, f := range strings.Fields(string(out)) {
		if child, err := strconv.Atoi(f); err == nil {
			all = append(all, child)
		}
	}
	return all
}

// spent is the processor time of processes, user and system.
func spent(t testing.TB, pids []int) (total time.Duration) {
	t.Helper()
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
		must(t, err)
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		must(t, err)
		for _, task := range tasks {
			if b, err = os.ReadFile(task); err != nil {
				continue // a thread that has ended meanwhile
			}
			ns, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
			must(t, err)
			total += time.Duration(ns)
		}
	}
	return total
}

var (
	wrkDone = regexp.MustCompile(`(\d+) requests in`)
	wrkP99  = regexp.MustCompile(`99%\s+([\d.]+)(us|ms|s)`)
	wrkBad  = regexp.MustCompile(`Non-2xx or 3xx responses: \d+|Socket errors: .*`)
)

// run loads a proxy, and returns the processor time a request in µs, the 99th percentile of the latency in ms, and requests/s.
func (u *behind) run(p peerProxy, path string, connections int) (cpu, p99, rate float64) {
	u.t.Helper()
	script := u.file("identity.lua", `
local n = 0
request = function()
  n = n + 1
  wrk.headers["X-User-ID"] = tostring(n % 1000)
  return wrk.format("GET")
end`)
	wrk := func(d time.Duration) string {
		out, err := exec.Command("taskset", "-c", "1", "wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+strconv.Itoa(max(1, int(d.Seconds())))+"s", "--latency", "-s", script, p.url+path).CombinedOutput()
		if err != nil || wrkBad.Match(out) {
			u.t.Fatalf("wrk at %s: %v\n%s", p.name, err, out)
		}
		return string(out)
	}
	if res, err := unverified.Get(p.url + path); err != nil || res.StatusCode != 200 {
		u.t.Fatalf("%s: %v %v", p.name, res, err)
	} else {
		res.Body.Close()
	}
	wrk(time.Second)
	before := spent(u.t, p.pids())
	began := time.Now()
	text := wrk(proxySpan(u.t))
	took := time.Since(began)
	used := spent(u.t, p.pids()) - before
	m := wrkDone.FindStringSubmatch(text)
	q := wrkP99.FindStringSubmatch(text)
	if m == nil || q == nil {
		u.t.Fatalf("wrk's output is not understood:\n%s", text)
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	v, _ := strconv.ParseFloat(q[1], 64)
	p99 = v * map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3}[q[2]]
	return float64(used.Microseconds()) / n, p99, n / took.Seconds()
}

// way is how the proxies are asked, where that is not HTTP/1.1 in the clear without a log.
type way struct {
	name            string
	tls, http2, log bool
}

func (w way) scheme() string {
	if w.tls {
		return "https://"
	}
	return "http://"
}

var unverified = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// BenchmarkProxyWays measures what TLS, HTTP/2 over it (16 requests at once on each of 4 connections) and an access log take of the
// processor, in turn with nginx doing the same. With TLS and HTTP/2 the engines are the same.
func BenchmarkProxyWays(b *testing.B) {
	before := load()
	up := newBehind(b)
	up.certificate()
	b.ReportMetric(0, "ns/op")
	for _, w := range []way{{name: "access log"}, {name: "TLS", tls: true}, {name: "HTTP2 over TLS", tls: true, http2: true}} {
		w.log = !w.tls
		proxies := []peerProxy{up.nginx(w), up.strangler("h1", w)}
		cpu, rate := map[string][]float64{}, map[string][]float64{}
		for range rounds(b) {
			for _, p := range proxies {
				run := func() (used, done float64) {
					used, _, done = up.run(p, "/accounts/1", 64)
					return used, done
				}
				if w.http2 {
					run = func() (float64, float64) { return up.runHTTP2(p, "/accounts/1") }
				}
				used, done := run()
				cpu[p.name], rate[p.name] = append(cpu[p.name], used), append(rate[p.name], done)
			}
		}
		name := proxies[1].name
		f := figure{Name: "CPU a request, 1 kB, " + w.name + ", " + name, Load: before, Sizes: fmt.Sprintf("%d rounds of %s", rounds(b), proxySpan(b)), Measured: measured("", "µs", cpu[name]...), Peer: measured("nginx", "µs", cpu["nginx"]...),
			Note: fmt.Sprintf("%s requests/s, nginx %s", short(measured("", "", rate[name]...).Median), short(measured("", "", rate["nginx"]...).Median))}
		f.Value = f.Measured.Median / f.Peer.Median
		report(b, f)
	}
}

// certificate makes one for all proxies, of a kind that most have.
func (u *behind) certificate() {
	u.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(u.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(u.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(u.t, err)
	u.file("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	u.file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

var h2loadDone = regexp.MustCompile(`(\d+) succeeded, (\d+) failed, (\d+) errored`)

// runHTTP2 loads a proxy with h2load, and returns the processor time a request in µs, and requests/s.
func (u *behind) runHTTP2(p peerProxy, path string) (cpu, rate float64) {
	u.t.Helper()
	h2load := func(d time.Duration) (n float64) {
		out, err := exec.Command("taskset", "-c", "1", "h2load", "-t1", "-c4", "-m16", "-D"+strconv.Itoa(max(1, int(d.Seconds()))), "-H", "x-user-id: 7", p.url+path).CombinedOutput()
		m := h2loadDone.FindStringSubmatch(string(out))
		if err != nil || m == nil || m[2] != "0" || m[3] != "0" {
			u.t.Fatalf("h2load at %s: %v\n%s", p.name, err, out)
		}
		n, _ = strconv.ParseFloat(m[1], 64)
		return n
	}
	h2load(time.Second)
	before, began := spent(u.t, p.pids()), time.Now()
	n := h2load(proxySpan(u.t))
	took := time.Since(began)
	return float64((spent(u.t, p.pids()) - before).Microseconds()) / n, n / took.Seconds()
}

// idleConnections are kept open, after one request each.
const idleConnections = 10_000

// BenchmarkProxyIdle measures what the daemon holds for connections that wait for their next request.
func BenchmarkProxyIdle(b *testing.B) {
	var limit syscall.Rlimit
	must(b, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur = limit.Max
	must(b, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < 2*idleConnections {
		b.Fatalf("%d open files are too few: ulimit -n %d", limit.Cur, 3*idleConnections)
	}
	before := load()
	up := newBehind(b)
	b.ReportMetric(0, "ns/op")
	for _, engine := range []string{"h1", "nethttp"} {
		p := up.strangler(engine, way{})
		resident := func() float64 {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(after(fmt.Sprintf("/proc/%d/status", p.pids()[0]), "VmRSS"), " kB"), 64)
			must(b, err)
			return kb / 1024
		}
		alone := resident()
		var all []net.Conn
		answer := make([]byte, 8<<10)
		for range idleConnections {
			c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
			must(b, err)
			all = append(all, c)
			_, err = c.Write([]byte("GET /accounts/1 HTTP/1.1\r\nHost: x\r\nX-User-ID: 7\r\n\r\n"))
			must(b, err)
			for n := 0; n < 1<<10; { // the body is behind the head, of which nobody knows the length
				m, err := c.Read(answer)
				must(b, err)
				n += m
			}
		}
		time.Sleep(3 * time.Second) // the daemon's own connections end meanwhile
		f := figure{Name: "memory of 10,000 idle connections, strangler, " + engine, Load: before, Measured: measured("", "MB", resident()), Peer: measured("without", "MB", alone)}
		f.Value, f.Unit = f.Measured.Median, "MB"
		if engine == "h1" {
			f.Bar = atMost(150)
		}
		report(b, f)
		for _, c := range all {
			c.Close()
		}
	}
}

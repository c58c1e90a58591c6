package config

import (
	"cmp"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The defaults of what stands once.
const (
	defaultProxy = "127.0.0.1:8080"
	defaultAdmin = "127.0.0.1:8081"
)

// sections reads the whole document into c.
func (r *reader) sections(c *Config, root field) {
	top := r.object(root, "control", "proxy", "admin", "legacy", "capabilities", "webhooks")
	c.Control = r.dsn(top["control"], "sqlite:"+filepath.Join(c.Dir, ".strangler", "control.db"))
	c.Proxy = r.proxy(top["proxy"])
	c.Admin = r.admin(top["admin"])
	if c.Proxy.Listen == c.Admin.Listen && !anyPort(c.Proxy.Listen) {
		r.problem(top["admin"], "proxy and admin both listen on %s; give one of them another port", c.Admin.Listen)
	}
	r.legacy(c, top["legacy"])
	r.capabilities(c, top["capabilities"])
	r.webhooks(c, top["webhooks"])
}

func (r *reader) proxy(f field) Proxy {
	keys := r.object(f, "listen", "tls", "trust", "proxy_protocol", "engine", "access_log", "traces", "hold", "limits", "timeouts", "health_interval")
	p := Proxy{Listen: r.address(keys["listen"], defaultProxy), Trust: []netip.Prefix{}}
	for _, item := range r.list(keys["trust"]) {
		if prefix, ok := r.prefix(item); ok {
			p.Trust = append(p.Trust, prefix)
		}
	}
	p.ProxyProtocol = r.yesNo(keys["proxy_protocol"])
	if p.ProxyProtocol && (!keys["trust"].given() || emptyList(keys["trust"])) {
		r.problem(keys["proxy_protocol"], "a PROXY header is believed of trusted peers only, and there are none; write the load balancers' addresses into proxy.trust, as in [10.0.0.0/8]")
	}
	p.Engine = r.oneOf(keys["engine"], "engine", engines)
	p.TLS = r.tls(keys["tls"])
	p.Access = r.access(keys["access_log"])
	p.Traces = r.traces(keys["traces"])
	limits := r.object(keys["limits"], "head", "lines", "connections", "requests")
	p.Limits = Limits{
		Head:        cmp.Or(int(min(r.bytes(limits["head"]), maxHead)), 64<<10),
		Lines:       r.whole(limits["lines"], 200, 1),
		Connections: r.whole(limits["connections"], 10_000, 1),
		Requests:    r.whole(limits["requests"], 4096, 1),
	}
	times := r.object(keys["timeouts"], "head", "body", "idle", "dial", "answer")
	p.Timeouts = Timeouts{
		Head: r.span(times["head"], 10*time.Second), Body: r.span(times["body"], time.Minute), Idle: r.span(times["idle"], 2*time.Minute),
		Dial: r.span(times["dial"], 3*time.Second), Answer: r.span(times["answer"], 2*time.Minute),
	}
	p.Health = r.span(keys["health_interval"], 5*time.Second)
	hold := r.object(keys["hold"], "requests", "wait", "drain")
	p.Hold = Hold{
		Requests: r.whole(hold["requests"], 1000, 1),
		Wait:     r.span(hold["wait"], defaultWait),
		Drain:    r.span(hold["drain"], defaultDrain),
	}
	return p
}

// maxHead bounds what a request's head may be allowed to be, in bytes.
const maxHead = 1 << 20

// tls reads the names of two files, relative to the folder of strangler.yaml.
func (r *reader) tls(f field) TLS {
	keys := r.object(f, "cert", "key")
	t := TLS{Cert: r.file(keys["cert"]), Key: r.file(keys["key"])}
	if f.given() && (t.Cert == "" || t.Key == "") {
		r.problem(f, "TLS needs two files; write {cert: proxy.crt, key: proxy.key}")
	}
	return t
}

// The names of proxy.Engine and of proxy.AccessFormat, the default first.
var (
	engines       = []string{"h1", "nethttp"}
	accessFormats = []string{"json", "combined"}
)

// oneOf reads one of some names; the first is the default.
func (r *reader) oneOf(f field, what string, names []string) string {
	name, ok := r.text(f)
	switch {
	case !ok:
		return names[0]
	case !slices.Contains(names, name):
		r.problem(f, "%q is no %s; write %s", name, what, strings.Join(names, " or "))
	}
	return name
}

func (r *reader) access(f field) Access {
	if !f.given() {
		return Access{}
	}
	keys := r.object(f, "file", "format")
	a := Access{File: r.file(keys["file"]), Format: r.oneOf(keys["format"], "format", accessFormats)}
	if a.File == "" {
		r.problem(f, "a log needs a file; write {file: access.log}")
	}
	return a
}

// file is a name relative to the folder of strangler.yaml; empty where it is not given.
func (r *reader) file(f field) string {
	name, ok := r.text(f)
	if !ok || name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, name)
}

// ca is the name of a file beside an https URL.
func (r *reader) ca(f field, urls []string) string {
	for _, url := range urls {
		if f.given() && (strings.HasPrefix(url, "http:") || strings.HasPrefix(url, "h2c:")) {
			r.problem(f, "nobody vouches for an address in the clear; write https:// or h2:// in the url, or leave it out")
			break
		}
	}
	return r.file(f)
}

func (r *reader) admin(f field) Admin {
	keys := r.object(f, "listen", "token", "advertise")
	a := Admin{Listen: r.address(keys["listen"], defaultAdmin)}
	switch {
	case keys["advertise"].given():
		a.Advertise = r.baseURL(keys["advertise"])
	case reachable(a.Listen) == a.Listen && !strings.HasSuffix(a.Listen, ":0"):
		a.Advertise = a.URL()
	}
	token, ok := r.text(keys["token"])
	switch {
	case ok && token == "":
		r.problem(keys["token"], "the token is empty; give it a value, or remove the key where admin listens on a loopback address")
	case !keys["token"].given() && !Loopback(a.Listen):
		r.problem(keys["token"], "%s can be reached from other machines, so the admin API needs a token; set admin.token, as in \"${STRANGLER_TOKEN}\", or listen on %s", a.Listen, defaultAdmin)
	}
	a.Token = token
	return a
}

func (r *reader) legacy(c *Config, f field) {
	keys := r.object(f, "url", "ca", "health", "database")
	if !keys["url"].given() {
		r.problem(keys["url"], "it is missing; write where the monolith listens, as in http://127.0.0.1:9000")
	}
	c.Legacy.URLs = r.baseURLs(keys["url"])
	c.Legacy.CA = r.ca(keys["ca"], c.Legacy.URLs)
	c.Legacy.Health = r.path(keys["health"])
	r.legacyDatabase = keys["database"].given()
	c.Legacy.Database = r.dsn(keys["database"], "")
}

package config

import (
	"net/netip"
	"path/filepath"
)

// The defaults of what stands once.
const (
	defaultProxy = "127.0.0.1:8080"
	defaultAdmin = "127.0.0.1:8081"
)

// sections reads the whole document into c.
func (r *reader) sections(c *Config, root field) {
	top := r.object(root, "control", "proxy", "admin", "legacy", "capabilities")
	c.Control = r.dsn(top["control"], "sqlite:"+filepath.Join(c.Dir, ".strangler", "control.db"))
	c.Proxy = r.proxy(top["proxy"])
	c.Admin = r.admin(top["admin"])
	if c.Proxy.Listen == c.Admin.Listen && !anyPort(c.Proxy.Listen) {
		r.problem(top["admin"], "proxy and admin both listen on %s; give one of them another port", c.Admin.Listen)
	}
	r.legacy(c, top["legacy"])
	r.capabilities(c, top["capabilities"])
}

func (r *reader) proxy(f field) Proxy {
	keys := r.object(f, "listen", "trust", "hold")
	p := Proxy{Listen: r.address(keys["listen"], defaultProxy), Trust: []netip.Prefix{}}
	for _, item := range r.list(keys["trust"]) {
		if prefix, ok := r.prefix(item); ok {
			p.Trust = append(p.Trust, prefix)
		}
	}
	hold := r.object(keys["hold"], "requests", "wait", "drain")
	p.Hold = Hold{
		Requests: r.whole(hold["requests"], 1000, 1),
		Wait:     r.span(hold["wait"], defaultWait),
		Drain:    r.span(hold["drain"], defaultDrain),
	}
	return p
}

func (r *reader) admin(f field) Admin {
	keys := r.object(f, "listen", "token", "advertise")
	a := Admin{Listen: r.address(keys["listen"], defaultAdmin)}
	if keys["advertise"].given() {
		a.Advertise = r.baseURL(keys["advertise"])
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
	keys := r.object(f, "url", "health", "database")
	if !keys["url"].given() {
		r.problem(keys["url"], "it is missing; write where the monolith listens, as in http://127.0.0.1:9000")
	}
	c.Legacy.URL = r.baseURL(keys["url"])
	c.Legacy.Health = r.path(keys["health"])
	r.legacyDatabase = keys["database"].given()
	c.Legacy.Database = r.dsn(keys["database"], "")
}

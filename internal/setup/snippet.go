package setup

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// Proxies are the kinds that a snippet may be for.
var Proxies = []string{"nginx", "haproxy", "caddy"}

// expression is one for everything that a proposal's routes are below of.
func (p Proposal) expression() string {
	var all []string
	for _, path := range p.paths {
		var parts []string
		for _, s := range path {
			if wild(s) {
				parts = append(parts, "[^/]+")
			} else {
				parts = append(parts, literal(s))
			}
		}
		all = append(all, strings.Join(parts, "/"))
	}
	if len(all) == 1 {
		return "^/" + all[0] + "(/|$)"
	}
	return "^/(" + strings.Join(all, "|") + ")(/|$)"
}

// exactly is an expression for what a capability's routes and touches match, and for that with a slash behind it.
func exactly(c strangler.Capability) string {
	var all []string
	add := func(r strangler.Route) {
		if one := matches(r.Pattern); !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	for _, r := range c.Routes {
		add(r)
	}
	for _, t := range c.Touches {
		add(t.Route)
	}
	slices.Sort(all)
	return "^/(" + strings.Join(all, "|") + ")/?$"
}

// matches is a pattern of http.ServeMux as an expression, without the first slash.
func matches(pattern string) string {
	parts := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	for i, s := range parts {
		last := i == len(parts)-1
		switch {
		case s == "{$}":
			parts[i] = ""
		case last && (s == "" || strings.HasSuffix(s, "...}")):
			parts[i] = ".*"
		case wild(s):
			parts[i] = "[^/]+"
		default:
			parts[i] = literal(s)
		}
	}
	return strings.Join(parts, "/")
}

// literal has no character that ends a quoted word in one of the proxies' files.
func literal(segment string) string {
	var b strings.Builder
	for _, r := range segment {
		if r < ' ' || strings.ContainsRune("\"'`\\\x7f", r) {
			fmt.Fprintf(&b, `\x%02x`, r)
		} else {
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return b.String()
}

const nginx = `upstream strangler {
    server %[3]s;
    keepalive 64;
}
# in the server block that serves the monolith, before other regular expressions:
location ~ "%[2]s" {
    proxy_pass http://strangler;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_next_upstream off;
}
`

const haproxy = `# in the frontend that serves the monolith, before its default_backend:
    acl %[1]s path_reg '%[2]s'
    use_backend strangler if %[1]s

backend strangler
    option forwardfor
    server strangler %[3]s
`

const caddy = "# in the site that serves the monolith:\n@%[1]s path_regexp `%[2]s`\nhandle @%[1]s {\n\treverse_proxy %[3]s\n}\n"

// Snippet has a proxy in front of the monolith send only what the proposal's paths are through Strangler.
func (p Proposal) Snippet(proxy, listen string) string {
	return fmt.Sprintf("# %s through Strangler, everything else as before. Whatever writes its tables by other paths (touches) has to\n"+
		"# come through Strangler too before a cutover. Strangler believes X-Forwarded-* of peers in proxy.trust.\n", p.Name) + lines(proxy, p.Name, p.expression(), listen)
}

// Snippet has a proxy in front of the monolith send a capability's routes and touches through Strangler, and nothing else.
func Snippet(proxy, listen string, c strangler.Capability) string {
	touches := "its routes; it has no touches"
	if len(c.Touches) > 0 {
		touches = "its routes and touches"
	}
	return fmt.Sprintf("# %s through Strangler: %s. Everything else as before.\n# Strangler believes X-Forwarded-* of peers in proxy.trust.\n", c.Name, touches) +
		lines(proxy, c.Name, exactly(c), listen)
}

func lines(proxy, name, expression, listen string) string {
	return fmt.Sprintf(map[string]string{"nginx": nginx, "haproxy": haproxy, "caddy": caddy}[proxy], name, expression, listen)
}

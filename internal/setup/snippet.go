package setup

import (
	"fmt"
	"regexp"
	"strings"
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
				parts = append(parts, regexp.QuoteMeta(s))
			}
		}
		all = append(all, strings.Join(parts, "/"))
	}
	if len(all) == 1 {
		return "^/" + all[0] + "(/|$)"
	}
	return "^/(" + strings.Join(all, "|") + ")(/|$)"
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
	text := map[string]string{"nginx": nginx, "haproxy": haproxy, "caddy": caddy}[proxy]
	return fmt.Sprintf("# %[1]s through Strangler, everything else as before. Whatever writes its tables by other paths (touches) has to\n"+
		"# come through Strangler too before a cutover. Strangler believes X-Forwarded-* of peers in proxy.trust.\n", p.Name) + fmt.Sprintf(text, p.Name, p.expression(), listen)
}

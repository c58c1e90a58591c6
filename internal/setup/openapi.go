package setup

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/strangler-fig/strangler"
)

// maxDocument bounds an OpenAPI document, in bytes.
const maxDocument = 32 << 20

// methods are those that a path may have, in the order in which they are proposed.
var methods = []string{"get", "post", "put", "patch", "delete", "options", "trace"}

// OpenAPI reads the routes of a document of version 3, in YAML or JSON, in its order. Paths that no route can say are left out.
func OpenAPI(r io.Reader) ([]strangler.Route, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxDocument:
		return nil, fmt.Errorf("it is larger than %d bytes", maxDocument)
	}
	var document struct {
		OpenAPI string
		Servers []struct{ URL string }
		Paths   yaml.Node
	}
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("it is neither YAML nor JSON: %w", err)
	}
	if !strings.HasPrefix(document.OpenAPI, "3.") {
		return nil, errors.New("it is no OpenAPI document of version 3: its key openapi does not begin with 3.")
	}
	base := ""
	if len(document.Servers) > 0 {
		if u, err := url.Parse(document.Servers[0].URL); err == nil && !strings.ContainsAny(u.Path, "{}") {
			base = strings.TrimRight(u.Path, "/")
		}
	}
	var out []strangler.Route
	for i := 0; document.Paths.Kind == yaml.MappingNode && i+1 < len(document.Paths.Content); i += 2 {
		pattern, item := document.Paths.Content[i].Value, document.Paths.Content[i+1]
		if strings.HasPrefix(pattern, "/") {
			out = append(out, operations(template(base+pattern), item)...)
		}
	}
	return out, nil
}

// operations are the routes of one path. GET answers HEAD as well.
func operations(pattern string, item *yaml.Node) (out []strangler.Route) {
	var named []string
	for i := 0; item.Kind == yaml.MappingNode && i+1 < len(item.Content); i += 2 {
		named = append(named, strings.ToLower(item.Content[i].Value))
	}
	add := func(method string) {
		if r, err := strangler.ParseRoute(strings.TrimSpace(method + " " + pattern)); err == nil {
			out = append(out, r)
		}
	}
	for _, m := range methods {
		if slices.Contains(named, m) {
			add(strings.ToUpper(m))
		}
	}
	if len(out) == 0 { // by reference: whatever it has
		add("")
	}
	return out
}

var placeholder = regexp.MustCompile(`\{([^}]*)\}`)

// template is a templated path as a pattern: a segment with a placeholder anywhere in it is one placeholder.
func template(path string) string {
	var out []string
	for _, s := range strings.Split(path, "/") {
		if m := placeholder.FindStringSubmatch(s); m != nil {
			s = unique(strings.Join(words(m[1]), "_"), out)
		}
		out = append(out, s)
	}
	if len(out) > 1 && out[len(out)-1] == "" {
		out[len(out)-1] = "{$}"
	}
	return strings.Join(out, "/")
}

var identifier = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// unique is a placeholder of a name that the pattern does not have yet.
func unique(name string, others []string) string {
	if !identifier.MatchString(name) {
		name = "id"
	}
	out := "{" + name + "}"
	for n := 2; slices.Contains(others, out); n++ {
		out = "{" + name + strconv.Itoa(n) + "}"
	}
	return out
}

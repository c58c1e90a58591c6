package config

import (
	"net/url"
	"strings"

	"github.com/strangler-fig/strangler"
)

// traces reads where spans go; the collector's token is a header.
func (r *reader) traces(f field) Traces {
	if !f.given() {
		return Traces{}
	}
	keys := r.object(f, "endpoint", "sample", "headers")
	if !keys["endpoint"].given() {
		r.problem(f, "traces need a collector; write {endpoint: http://127.0.0.1:4318}")
	}
	return Traces{Endpoint: r.collector(keys["endpoint"]), Sample: r.percent(keys["sample"], strangler.Hundred), Headers: r.headers(keys["headers"])}
}

// collector reads a base URL, which may have a path. It comes back without a slash at its end.
func (r *reader) collector(f field) string {
	s, ok := r.text(f)
	if !ok {
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		r.problem(f, "%q is not a URL; write where the collector takes OTLP over HTTP, as in http://127.0.0.1:4318", Redact(f.node.Value))
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		r.problem(f, "only scheme, host, port and path of the URL are used; a token goes into headers, as in {Authorization: \"Bearer ${TOKEN}\"}")
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/v1/traces"):
		r.problem(f, "/v1/traces is put behind the URL; write what stands before it")
	}
	return strings.TrimSuffix(s, "/")
}

// headers reads header lines. Neither a value is shown nor a name that is none, which may have one in it.
func (r *reader) headers(f field) map[string]string {
	all := map[string]string{}
	for _, e := range r.entries(f) {
		if !headerName.MatchString(e.key) {
			r.problem(field{path: f.path, line: e.value.line}, "a key is not a header's name; write name and value with a colon and a space between them, as in {Authorization: \"Bearer ${TOKEN}\"}")
			continue
		}
		value, ok := r.text(e.value)
		if ok && (value == "" || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })) {
			r.problem(e.value, "the value is empty, or has characters that a header cannot have, such as the end of a line")
		}
		all[e.key] = value
	}
	return all
}

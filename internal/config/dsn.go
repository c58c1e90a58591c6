package config

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

const dsnForms = "write sqlite:path, postgres://user:password@host/database or mysql://user:password@host:3306/database"

// dsn reads a database's DSN. A relative SQLite path becomes absolute.
func (r *reader) dsn(f field, otherwise string) string {
	s, ok := r.text(f)
	if !ok {
		return otherwise
	}
	scheme, rest, _ := strings.Cut(s, ":")
	switch scheme {
	case "sqlite":
		return r.sqlite(f, rest)
	case "postgres", "postgresql":
		if strings.HasPrefix(rest, "//") && len(rest) > 2 {
			return r.url(f, "postgres:"+rest)
		}
	case "mysql":
		_, database, found := strings.Cut(strings.TrimPrefix(rest, "//"), "/")
		if strings.HasPrefix(rest, "//") && found && database != "" && !strings.HasPrefix(database, "?") {
			return r.url(f, s)
		}
	}
	r.problem(f, "%q is not a database; %s", Redact(f.node.Value), dsnForms)
	return ""
}

// url takes a DSN that is a URL.
func (r *reader) url(f field, dsn string) string {
	if !wellFormed(dsn) {
		r.problem(f, "%q cannot be read as a URL; in a user or password, / ? # @ and %% are written %%2F %%3F %%23 %%40 and %%25", Redact(f.node.Value))
		return ""
	}
	return dsn
}

// wellFormed reports whether a DSN is a URL whose parts are where they were meant to be. An @ behind the
// host is what is left of a password with a slash, a question mark or a hash in it; the rest of that
// password would be shown as the name of a host or database.
func wellFormed(dsn string) bool {
	u, err := url.Parse(dsn)
	if err != nil || u.Fragment != "" || strings.Contains(u.EscapedPath(), "@") {
		return false
	}
	for name := range u.Query() {
		if strings.Contains(name, "@") {
			return false
		}
	}
	return true
}

func (r *reader) sqlite(f field, rest string) string {
	path, query, hasQuery := strings.Cut(rest, "?")
	switch {
	case path == "":
		r.problem(f, "the path is missing; write sqlite:path")
		return ""
	case strings.HasPrefix(path, ":memory:"), strings.HasPrefix(path, "file:"):
		r.problem(f, "a database in memory, or a file: URI, is not kept between processes; write sqlite:path")
		return ""
	case strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///"):
		r.problem(f, "two slashes say neither relative nor absolute; write sqlite:path or sqlite:/path")
		return ""
	}
	dsn := "sqlite:" + absolute(r.dir, path)
	if hasQuery {
		dsn += "?" + query
	}
	return dsn
}

func absolute(dir, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Clean(path)
}

// sameDatabase reports whether two DSNs name one database, whoever logs in. It compares texts: two
// names of one host are the engine's to notice.
func sameDatabase(a, b string) bool {
	return a != "" && b != "" && withoutUser(a) == withoutUser(b)
}

func withoutUser(dsn string) string {
	scheme, rest, found := strings.Cut(dsn, "://")
	if !found {
		path, _, _ := strings.Cut(dsn, "?")
		return path
	}
	rest = rest[strings.LastIndex(rest, "@")+1:]
	place, query, _ := strings.Cut(rest, "?")
	host, database, _ := strings.Cut(place, "/")
	host = strings.TrimSuffix(host, map[string]string{"postgres": ":5432", "mysql": ":3306"}[scheme])
	values, err := url.ParseQuery(query)
	if err != nil {
		return scheme + "://" + rest
	}
	for name := range values {
		if strings.Contains(name, "password") || name == "user" || name == "application_name" {
			values.Del(name)
		}
	}
	return scheme + "://" + host + "/" + database + "?" + values.Encode()
}

var secretValue = regexp.MustCompile(`(?i)([a-z_]*(?:pass|pwd|secret|token|key)[a-z_]*\s*=\s*)('[^']*'?|[^&\s]*)`)

// Redact hides the password of a DSN or URL, whatever its form, so that it can be shown. It rather
// hides too much: a text that it cannot take apart loses everything before its last "@".
func Redact(dsn string) string {
	scheme, rest, found := strings.Cut(dsn, "://")
	if !found {
		scheme, rest = "", dsn
	} else {
		scheme += "://"
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, _, hasPassword := strings.Cut(rest[:at], ":")
		if hasPassword {
			user += ":***"
		}
		rest = user + rest[at:]
	}
	return secretValue.ReplaceAllString(scheme+rest, "${1}***")
}

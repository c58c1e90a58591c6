package proxy

import (
	"net/url"
	"path"
	"strings"
)

// splitTarget divides a request target into its escaped path, its query with the '?', and the host of
// one that is a whole address, as net/url reads them. Only a path, an address with http or https, and
// "*" are targets for us. A target that is escaped as it should be is divided without allocation.
func splitTarget(target string) (path, query, host string, ok bool) {
	if target == "*" {
		return target, "", "", true
	}
	if end, plain := plainPath(target); plain {
		return target[:end], target[end:], "", true
	}
	u, err := url.ParseRequestURI(strings.Clone(target))
	if err != nil || u.Opaque != "" || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return "", "", "", false
	}
	if u.ForceQuery || u.RawQuery != "" {
		query = "?" + u.RawQuery
	}
	if path = u.EscapedPath(); path == "" {
		path = "/"
	}
	return path, query, u.Host, true
}

// plainPath finds where a path ends that net/url would leave as it is.
func plainPath(target string) (end int, plain bool) {
	if target[0] != '/' {
		return 0, false
	}
	for i := 0; i < len(target); i++ {
		switch c := target[i]; {
		case c == '?':
			return i, true
		case c == '%':
			if i+2 >= len(target) || !isHex(target[i+1]) || !isHex(target[i+2]) {
				return 0, false
			}
		case !inPath[c]:
			return 0, false
		}
	}
	return len(target), true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

// inPath is what may stand in a path as it is: RFC 3986, 3.3, and what net/url also leaves alone.
var inPath = func() (in [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/[]") {
		in[c] = true
	}
	return in
}()

// cleanPath is the form of an escaped path that routes are matched against: no empty and no dot
// segments, encoded dots included, so that "/x/%2e%2e//couriers" is "/couriers" for us as it is for
// the upstream behind us. A trailing slash stays: it is a different path. A path that is clean
// already is returned as it is, without allocation.
func cleanPath(escaped string) string {
	if escaped == "" {
		return "/"
	}
	if escaped == "*" || isClean(escaped) {
		return escaped
	}
	if strings.Contains(escaped, "%2") { // %2E and '.' are the same character (RFC 3986, 2.3)
		escaped = encodedDots.Replace(escaped)
	}
	clean := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

var encodedDots = strings.NewReplacer("%2e", ".", "%2E", ".")

// isClean may say false for a clean path, never true for another.
func isClean(p string) bool {
	if p[0] != '/' {
		return false
	}
	for i := 1; i < len(p); i++ {
		switch {
		case p[i-1] == '/' && (p[i] == '/' || p[i] == '.'):
			return false
		case p[i] == '%' && i+2 < len(p) && p[i+1] == '2' && p[i+2]|0x20 == 'e':
			return false
		}
	}
	return true
}

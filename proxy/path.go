package proxy

import (
	"path"
	"strings"
)

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

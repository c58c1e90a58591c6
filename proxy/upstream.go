package proxy

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/strangler-fig/strangler/proxy/h1"
)

// upstream is where one side's requests go.
type upstream struct {
	scheme, host string
	pool         *h1.Upstream // its connections, where engine h1 is in use

	roots                *x509.CertPool  // who may vouch for it; nil: the system's
	transport, shadowing *http.Transport // its connections by net/http; see secure
}

func parseUpstream(base string) (*upstream, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("%q is not of the form http://host:port", base)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%q has more than scheme, host and port; a path or a password is not forwarded", u.Redacted())
	}
	return &upstream{scheme: u.Scheme, host: u.Host}, nil
}

// foreignCookies leaves out a cookie that an upstream sets under our name.
func foreignCookies(set []string) []string {
	kept := set[:0]
	for _, line := range set {
		if !ourCookie(line) {
			kept = append(kept, line)
		}
	}
	return kept
}

func ourCookie(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), CookieName+"=") }

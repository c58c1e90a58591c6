package daemon

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/proxy"
)

// identityRounds is how often the monolith is asked with the identity that it gave before: once it may change for a good reason.
const identityRounds = 2

// IdentityAdvice is what to do where identities change with every answer.
var IdentityAdvice = []string{"name a header under identity that stays what it is, such as one in which the server before the proxy puts the user's number",
	"or leave identity out: a canary then sticks to a cookie of Strangler's own"}

// identity asks the monolith for a page of the capability as a visitor does who comes back, and warns where it gives him another identity
// with every answer. What only those who have logged in are given cannot be seen so; the proxy notices it in traffic.
func identity(ctx context.Context, c strangler.Capability) []Finding {
	header, path := http.CanonicalHeaderKey(c.IdentityHeader), pageOf(c)
	if header == "" || path == "" || len(c.Legacy.URLs) == 0 {
		return nil
	}
	given := header
	if header == "Cookie" {
		given = "Set-Cookie"
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	visitor, renewed := http.Header{}, 0
	for round := range identityRounds + 1 {
		answer, err := get(ctx, c.Legacy.URLs[0], path, c.Legacy.CA, visitor, stay)
		if err != nil {
			return nil // what is said of the upstream says so
		}
		sent := visitor.Get(header)
		changed := false
		for _, value := range answer.Header[given] {
			changed = changed || sent != "" && proxy.Renewed(header, sent, given, value)
		}
		if changed {
			renewed++
		}
		keep(visitor, header, answer)
		if visitor.Get(header) == "" || round > 0 && !changed {
			break
		}
	}
	switch {
	case renewed == identityRounds:
		return []Finding{{Capability: c.Name, Check: "identity", Warning: true, Message: fmt.Sprintf("asked for %s, %s", path, proxy.RenewedNotice(header, renewed, identityRounds)), Next: IdentityAdvice}}
	case visitor.Get(header) == "":
		return []Finding{{Capability: c.Name, Check: "identity", Message: fmt.Sprintf("the monolith gives no %s for %s; whether identities change with every answer, the proxy notices: strangler toggle get %s", header, path, c.Name)}}
	}
	return []Finding{{Capability: c.Name, Check: "identity", Message: fmt.Sprintf("asked for %s, the monolith leaves a visitor the %s that it gave", path, header)}}
}

// keep puts what an answer gives into the visitor's next request: the header itself, or its cookies.
func keep(visitor http.Header, header string, answer *http.Response) {
	if header != "Cookie" {
		if value := answer.Header.Get(header); value != "" {
			visitor.Set(header, value)
		}
		return
	}
	set := map[string]bool{}
	var pairs []string
	for _, cookie := range answer.Cookies() {
		set[cookie.Name] = true
		pairs = append(pairs, cookie.Name+"="+cookie.Value)
	}
	for pair := range strings.SplitSeq(visitor.Get("Cookie"), ";") {
		if name, _, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && !set[name] {
			pairs = append(pairs, strings.TrimSpace(pair))
		}
	}
	if len(pairs) > 0 {
		visitor.Set("Cookie", strings.Join(pairs, "; "))
	}
}

// pageOf is the path of a route of the capability that may be asked for without doing anything, or the monolith's health path.
func pageOf(c strangler.Capability) string {
	for _, r := range c.Routes {
		if r.Method == http.MethodGet && !strings.Contains(r.Pattern, "{") {
			return r.Pattern
		}
	}
	return c.Legacy.Health
}

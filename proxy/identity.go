package proxy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// CookieName is the cookie that a canary sticks to where a capability names no identity header. Its
// value is "id.signature". It stays between the client and the proxy: upstreams do not see it.
const CookieName = "strangler_id"

const (
	cookieAge     = 365 * 24 * time.Hour
	idBytes       = 16
	signedPurpose = CookieName + "\x00" // so that the secret may sign other things as well
)

// identity is who asks, as far as one capability is concerned. The zero identity is anonymous.
type identity struct {
	key    string
	minted bool // made for this request, and set with its answer
}

func (i identity) known() bool     { return i.key != "" }
func (i identity) returning() bool { return i.key != "" && !i.minted }

// identity is the header's value where the capability names a header (without one the request is
// anonymous, and a canary leaves it in the monolith), else the cookie's id.
func (c *capability) identity(r *Request, cookie identity) identity {
	if c.header != "" {
		return identity{key: r.Header.Get(c.header)}
	}
	return cookie
}

// cookieIdentity reads the cookie, or makes one up where it is going to matter: for a write, whose
// mark has to be found again, and for any request of a capability in shadow or canary. Elsewhere no
// client gets a cookie.
func (p *Proxy) cookieIdentity(s *snapshot, m *match, r *Request) identity {
	wanted := m.route != none && p.wantsCookie(s, m.route, false)
	for _, i := range m.writes {
		wanted = wanted || p.wantsCookie(s, i, true)
	}
	if !wanted {
		return identity{}
	}
	if id := p.signer.find(r.Cookies); id != "" {
		return identity{key: id}
	}
	return identity{key: newID(), minted: true}
}

// wantsCookie reports whether it matters to a capability, by index, who asks, and only our cookie tells.
func (p *Proxy) wantsCookie(s *snapshot, index int, write bool) bool {
	c, mode := p.capabilities[index], s.toggles[index].Mode
	return c.header == "" && (write && !c.stateless || mode == strangler.ModeShadow || mode == strangler.ModeCanary)
}

func newID() string {
	var b [idBytes]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// signer signs ids and reads them back. It may be used by many goroutines.
type signer struct{ macs sync.Pool }

func newSigner(secret []byte) *signer {
	return &signer{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
}

func (s *signer) signature(id string) [sha256.Size]byte {
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(signedPurpose))
	mac.Write([]byte(id))
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])
	return sum
}

func (s *signer) value(id string) string {
	sum := s.signature(id)
	return id + "." + base64.RawURLEncoding.EncodeToString(sum[:])
}

// find returns the first id with a valid signature, or nothing.
func (s *signer) find(lines []string) string {
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			value, ours := strings.CutPrefix(strings.TrimSpace(pair), CookieName+"=")
			if !ours {
				continue
			}
			id, sent, _ := strings.Cut(value, ".")
			signature, err := base64.RawURLEncoding.DecodeString(sent)
			if sum := s.signature(id); err == nil && id != "" && hmac.Equal(signature, sum[:]) {
				return id
			}
		}
	}
	return ""
}

func (s *signer) cookie(id string, secure bool) *http.Cookie {
	return &http.Cookie{
		Name: CookieName, Value: s.value(id), Path: "/", MaxAge: int(cookieAge / time.Second),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
}

// withoutCookie takes our cookie out of the lines of a Cookie header and leaves every other byte as
// it was. Lines that hold nothing else disappear.
func withoutCookie(lines []string) []string {
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if !strings.Contains(line, CookieName) {
			kept = append(kept, line)
			continue
		}
		var others []string
		for _, pair := range strings.Split(line, ";") {
			if !strings.HasPrefix(strings.TrimSpace(pair), CookieName+"=") {
				others = append(others, pair)
			}
		}
		if line = strings.TrimSpace(strings.Join(others, ";")); line != "" {
			kept = append(kept, line)
		}
	}
	return kept
}

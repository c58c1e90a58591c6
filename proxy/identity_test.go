package proxy

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// ours is the cookie that an answer sets, or nil.
func ours(a answer) *http.Cookie {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == CookieName {
			return c
		}
	}
	return nil
}

func TestCookieIsSetWhereItMatters(t *testing.T) {
	both := newBackend(t, "both", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "session=1")
		w.Header().Add("Set-Cookie", CookieName+"=forged") // stays between us and the client
	})
	p := start(t, config(both.URL, delivery(t, both.URL)))
	epoch := int64(0)
	for _, one := range []struct {
		mode    strangler.Mode
		request string
		want    bool
	}{
		{strangler.ModeLegacy, "GET /couriers/7", false},
		{strangler.ModeLegacy, "POST /couriers", true}, // the toggle may be a canary when its user comes back
		{strangler.ModeLegacy, "POST /orders/7/accept", true},
		{strangler.ModeShadow, "GET /couriers/7", true},
		{strangler.ModeCanary, "GET /couriers/7", true},
		{strangler.ModeCanary, "GET /restaurants", false},
		{strangler.ModeExtracted, "GET /couriers/7", false},
	} {
		epoch++
		apply(t, p, toggle(epoch, one.mode, 500_000))
		method, path, _ := strings.Cut(one.request, " ")
		a := ask(t, client(t), method, p.URL()+path, "")
		c := ours(a)
		if (c != nil) != one.want {
			t.Errorf("%s in %s: cookie %v", one.request, one.mode, c)
		}
		want := 1 // the upstream's own
		if one.want {
			want = 2
		}
		if set := a.header.Values("Set-Cookie"); len(set) != want && one.request != "GET /restaurants" || !slices.Contains(set, "session=1") {
			t.Errorf("%s in %s: Set-Cookie %q", one.request, one.mode, set)
		}
		if c == nil {
			continue
		}
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure || c.MaxAge != 365*24*3600 {
			t.Errorf("the cookie is %v", c)
		}
		back := ask(t, client(t), method, p.URL()+path, "", "Cookie: a=b; "+c.Name+"="+c.Value+"; c=d")
		if again := ours(back); again != nil {
			t.Errorf("a client that has its cookie got another: %v", again)
		}
		if sent := both.last(t).Header["Cookie"]; !slices.Equal(sent, []string{"a=b; c=d"}) {
			t.Errorf("the upstream was sent the cookies %q", sent)
		}
		forged := ask(t, client(t), method, p.URL()+path, "", "Cookie: "+c.Name+"=x"+c.Value)
		if ours(forged) == nil || both.last(t).Header["Cookie"] != nil {
			t.Errorf("a forged cookie was taken: %v, upstream got %q", forged.header, both.last(t).Header["Cookie"])
		}
	}
}

func TestCookieIsSecureBehindTrustedHTTPS(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	for trusted, want := range map[bool]bool{true: true, false: false} {
		conf := config(legacy.URL, delivery(t, legacy.URL))
		if trusted {
			conf.Trust = loopback
		}
		p := start(t, conf)
		apply(t, p, toggle(1, strangler.ModeLegacy, 0))
		a := ask(t, client(t), "POST", p.URL()+"/couriers", "{}", "X-Forwarded-Proto: https")
		if c := ours(a); c == nil || c.Secure != want {
			t.Errorf("trusted %v: %v", trusted, c)
		}
	}
}

// A canary's cookie keeps its user on one side, and two proxies with one secret agree.
func TestCanaryStaysWithTheCookie(t *testing.T) {
	legacy, service := newBackend(t, "legacy", nil), newBackend(t, "service", nil)
	conf := config(legacy.URL, delivery(t, service.URL))
	conf.Passed = func(string) time.Time { return time.Now().Add(time.Hour) }
	p, q := start(t, conf), start(t, conf)
	apply(t, p, toggle(1, strangler.ModeCanary, 500_000))
	apply(t, q, toggle(1, strangler.ModeCanary, 500_000))
	sides := map[string]int{}
	for range 60 {
		first := ask(t, client(t), "GET", p.URL()+"/couriers/7", "")
		sides[first.body]++
		cookie := "Cookie: " + CookieName + "=" + ours(first).Value
		for _, again := range []string{p.URL(), q.URL()} {
			if a := ask(t, client(t), "GET", again+"/couriers/8", "", cookie); a.body != first.body {
				t.Fatalf("the first answer was %s's, the next %s's", first.body, a.body)
			}
		}
	}
	if sides["legacy"] == 0 || sides["service"] == 0 {
		t.Errorf("at 50%% sixty users went to %v", sides)
	}
}

func TestSignerTellsForgeries(t *testing.T) {
	s, other := newSigner([]byte(strings.Repeat("a", 32))), newSigner([]byte(strings.Repeat("b", 32)))
	good := s.value("id-1")
	for line, want := range map[string]string{
		CookieName + "=" + good:                                 "id-1",
		"x=y;" + CookieName + "=" + good:                        "id-1",
		CookieName + "=bad.bad; " + CookieName + "=" + good:     "id-1",
		CookieName + "=" + other.value("id-1"):                  "",
		CookieName + "=id-2" + strings.TrimPrefix(good, "id-1"): "",
		CookieName + "=" + s.value(""):                          "",
		CookieName + "=id-1":                                    "",
		CookieName + "=id-1.":                                   "",
		CookieName + "x=" + good:                                "",
		"":                                                      "",
		CookieName + "=" + good + "A":                           "",
		strings.ToUpper(CookieName) + "=" + good:                "",
		CookieName + "=" + strings.Repeat("x", 5000) + "." + good[len(good)/2:]: "",
	} {
		if got := s.find([]string{"first=line", line}); got != want {
			t.Errorf("find(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestWithoutCookieLeavesTheOthers(t *testing.T) {
	for in, want := range map[string]string{
		"a=b":                           "a=b",
		CookieName + "=x":               "",
		"a=b; " + CookieName + "=x":     "a=b",
		CookieName + "=x; a=b":          "a=b",
		"a=b;" + CookieName + "=x;c=\"": "a=b;c=\"",
		"a=b;  weird ; " + CookieName + "=x; q=" + CookieName: "a=b;  weird ; q=" + CookieName,
		"my" + CookieName + "=x":                              "my" + CookieName + "=x",
	} {
		if got := strings.Join(withoutCookie([]string{in}), "|"); got != want {
			t.Errorf("withoutCookie(%q) = %q, want %q", in, got, want)
		}
	}
}

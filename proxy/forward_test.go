package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// echo is an upstream that answers with the body that it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body) // whole, before a byte is written: the server stops reading then
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Write(body)
}

// readAnswer reads one answer from a raw connection; an answer that breaks off has no status.
func readAnswer(t *testing.T, from *bufio.Reader) answer {
	res, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Errorf("reading an answer: %v", err)
		return answer{}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("reading an answer's body: %v", err)
		return answer{}
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

func TestForwardedHeaders(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	sent := "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n" +
		"Forwarded: for=203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\nStrangler-Shadow: 1\r\n" +
		"X_Forwarded_For: 6.6.6.6\r\nx_real_ip: 6.6.6.6\r\nStrangler_Shadow: 1\r\nx_user_id: root\r\nX-User_Id: root\r\n" +
		"Strangler-Owner: delivery=service;epoch=99\r\nstrangler_owner: delivery=service\r\nSTRANGLER-OWNER: twice\r\n" +
		"Connection: keep-alive, X-Private, Strangler-Owner\r\nX-Private: hop\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\n" +
		"Te: trailers, x\r\nX-User-Id: ann\r\nX-Other_Name: kept\r\nAccept-Encoding: br\r\n"
	common := map[string]string{
		"Strangler-Owner": "delivery=legacy;epoch=7", "X-User-Id": "ann", "X-Other_name": "kept", "Accept-Encoding": "br", "Te": "trailers",
	}
	for _, one := range []struct {
		trust []netip.Prefix
		want  map[string]string
	}{
		{nil, map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "store.example:81", "X-Forwarded-Proto": "http"}},
		{[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "store.example:81", "X-Forwarded-Proto": "http"}},
		{loopback, map[string]string{
			"X-Forwarded-For": "203.0.113.9, 127.0.0.1", "X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443",
			"Forwarded": "for=203.0.113.9, for=127.0.0.1", "X-Real-Ip": "203.0.113.9", "Strangler-Shadow": "1",
		}},
	} {
		capability := delivery(t, legacy.URL)
		capability.IdentityHeader = "X-User-Id"
		conf := config(legacy.URL, capability)
		conf.Trust = one.trust
		p := start(t, conf)
		apply(t, p, toggle(7, strangler.ModeLegacy, 0))
		for _, request := range []string{"GET /couriers/7", "GET /restaurants", "POST /couriers"} {
			_, answers := dial(t, p, request+" HTTP/1.1\r\nHost: store.example:81\r\n"+sent+"\r\n")
			if a := readAnswer(t, answers); a.status != 200 {
				t.Fatalf("%s: %+v", request, a)
			}
			got, want := map[string]string{}, map[string]string{}
			for name, values := range legacy.last(t).Header {
				got[name] = strings.Join(values, " | ")
			}
			for _, part := range []map[string]string{common, one.want} {
				for name, value := range part {
					want[name] = value
				}
			}
			delete(got, "Content-Length")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, trust %v: headers that the upstream got (-want +got):\n%s", request, one.trust, diff)
			}
			if host := legacy.last(t).Host; host != "store.example:81" {
				t.Errorf("%s: Host became %q", request, host)
			}
		}
	}
}

// The path that was matched is the path that is forwarded; what nobody claims goes as it came.
func TestForwardedPaths(t *testing.T) {
	legacy, service := newBackend(t, "legacy", nil), newBackend(t, "service", nil)
	p := start(t, config(legacy.URL, delivery(t, service.URL)))
	apply(t, p, toggle(1, strangler.ModeExtracted, 0))
	for _, one := range []struct {
		target, want string
		to           *backend
	}{
		{"/couriers/7?a=1;b=%zz&c", "/couriers/7?a=1;b=%zz&c", service},
		{"//couriers//7?x", "/couriers/7?x", service},
		{"/x/../couriers/%2e/a%20b%2Fc", "/couriers/a%20b%2Fc", service},
		{`/./couriers/"7`, "/couriers/%227", service}, // cleaned and escaped, as long as it was
		{"http://elsewhere.example/couriers/7", "/couriers/7", service},
		{"http://user:secret@elsewhere.example/couriers/7", "/couriers/7", service},
		{"//restaurants/./a%2fb/..?q=a;b", "//restaurants/./a%2fb/..?q=a;b", legacy},
		{"/couriers/7/", "/couriers/7/", legacy},
	} {
		_, answers := dial(t, p, "GET "+one.target+" HTTP/1.1\r\nHost: shop.example\r\n\r\n")
		if a := readAnswer(t, answers); a.status != 200 || a.body != one.to.name {
			t.Errorf("%s: %+v", one.target, a)
			continue
		}
		if got := one.to.last(t).RequestURI; got != one.want {
			t.Errorf("%s was forwarded as %s, want %s", one.target, got, one.want)
		}
		if credentials := one.to.last(t).Header["Authorization"]; credentials != nil {
			t.Errorf("%s: the target's user became credentials %q", one.target, credentials)
		}
	}
	for _, target := range []string{"x:couriers/7", "couriers/7", "*", "/couriers/%zz"} {
		_, answers := dial(t, p, "GET "+target+" HTTP/1.1\r\nHost: shop.example\r\n\r\n")
		if a := readAnswer(t, answers); a.status != 400 {
			t.Errorf("%s: %+v", target, a)
		}
	}
	for _, method := range []string{"CONNECT shop.example:443", "TRACE /couriers/7"} {
		_, answers := dial(t, p, method+" HTTP/1.1\r\nHost: shop.example:443\r\n\r\n")
		if a := readAnswer(t, answers); a.status != 405 || a.code(t) != "method_not_allowed" {
			t.Errorf("%s: %+v", method, a)
		}
	}
	_, answers := dial(t, p, "OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	if a := readAnswer(t, answers); a.status != 200 {
		t.Errorf("OPTIONS *: %+v", a)
	}
}

// Several capabilities' owners stand in one header, ordered; before anything is known there is none.
func TestOwnerHeader(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	billing := strangler.Capability{Name: "billing", Routes: routes(t, "POST /bills"), Service: strangler.Upstream{URLs: []string{legacy.URL}}, Tables: []strangler.Table{{From: "b", To: "b"}}}
	p := start(t, config(legacy.URL, delivery(t, legacy.URL), billing))
	owners := func() []string {
		ask(t, client(t), "GET", p.URL()+"/restaurants", "", strangler.OwnerHeader+": forged")
		return legacy.last(t).Header[strangler.OwnerHeader]
	}
	if got := owners(); got != nil {
		t.Errorf("before the first Apply: %q", got)
	}
	apply(t, p, toggle(3, strangler.ModeLegacy, 0))
	if got := owners(); !slices.Equal(got, []string{"delivery=legacy;epoch=3"}) {
		t.Errorf("one is known: %q", got)
	}
	apply(t, p, strangler.Toggle{Capability: "billing", Mode: strangler.ModeExtracted, Owner: strangler.Service, Epoch: 8})
	if got := owners(); !slices.Equal(got, []string{"billing=service;epoch=8, delivery=legacy;epoch=3"}) {
		t.Errorf("both are known: %q", got)
	}
}

// Only websocket is upgraded: an upgrade to h2c would carry requests past the gate.
func TestOnlyWebSocketIsUpgraded(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	p := start(t, config(legacy.URL))
	for protocol, want := range map[string]string{"h2c": "", "WebSocket": "WebSocket"} {
		_, answers := dial(t, p, fmt.Sprintf("GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", protocol))
		if a := readAnswer(t, answers); a.status != 200 {
			t.Errorf("%s: %+v", protocol, a)
		}
		if got := legacy.last(t).Header.Get("Upgrade"); got != want {
			t.Errorf("an upgrade to %s was forwarded as %q", protocol, got)
		}
	}
}

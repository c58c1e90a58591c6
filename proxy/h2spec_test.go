//go:build h2spec

package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	h2specFailure = regexp.MustCompile(`(?m)× (\d+: .*)$`)
	h2specSummary = regexp.MustCompile(`\d+ tests, \d+ passed, \d+ skipped, \d+ failed`)
)

// h2spec returns the cases that fail at an address, each with the section that it stands in.
func h2spec(t *testing.T, address string) (failed []string, summary string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("../bin/h2spec", "-h", u.Hostname(), "-p", u.Port(), "-o", "2").CombinedOutput() // it exits 1 where a case fails
	_, failures, _ := strings.Cut(string(out), "Failures:")
	for _, m := range h2specFailure.FindAllStringSubmatch(failures, -1) {
		failed = append(failed, m[1])
	}
	return failed, h2specSummary.FindString(string(out))
}

// TestH2Spec fails no case of h2spec that Go's own server passes.
func TestH2Spec(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	p := start(t, config(legacy.URL))
	plain := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "legacy")
	}))
	plain.Config.Protocols = speaking(func(p *http.Protocols) { p.SetHTTP1(true); p.SetUnencryptedHTTP2(true) })
	plain.Start()
	t.Cleanup(plain.Close)
	theirs, theirSummary := h2spec(t, plain.URL)
	ours, summary := h2spec(t, p.URL())
	t.Logf("net/http: %s; the proxy: %s", theirSummary, summary)
	if summary == "" || theirSummary == "" {
		t.Fatal("h2spec did not run")
	}
	for _, one := range ours {
		if !slices.Contains(theirs, one) {
			t.Errorf("fails with us only: %s", one)
		}
	}
}

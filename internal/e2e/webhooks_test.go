//go:build !race

package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

// hook is a webhook's receiver, which does not take its very first request.
type hook struct {
	t      *testing.T
	secret string

	mu      sync.Mutex
	refused string // the id of the event that it has not taken at first
	ids     []string
	events  []strangler.Event
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var e struct {
		ID string `json:"id"`
		strangler.Event
	}
	if err != nil || json.Unmarshal(body, &e) != nil {
		h.t.Errorf("%v; %s is no event", err, body)
	}
	at, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Strangler-Signature"), "t="), ",")
	mac := hmac.New(sha256.New, []byte(h.secret))
	fmt.Fprintf(mac, "%s.%s", at, body)
	if want := "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil)); r.Header.Get("Strangler-Signature") != want {
		h.t.Errorf("the signature of %s is %q, want %q", body, r.Header.Get("Strangler-Signature"), want)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused == "" {
		h.refused = e.ID
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	h.ids, h.events = append(h.ids, e.ID), append(h.events, e.Event)
}

// heard are the events that have come so far.
func (h *hook) heard() []strangler.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// TestWebhooksOfARun: a receiver hears of each step in order, of the approval that the run waits for, of its end, and of the way
// back; each once, each signed, and the event that it did not take at first comes again. Nobody reads its URL or its secret in what the
// daemon prints.
func TestWebhooksOfARun(t *testing.T) {
	s := newSystem(t, sqlite, 300)
	h := &hook{t: t, secret: "hunter2"}
	receiver := httptest.NewServer(h)
	defer receiver.Close()
	text, err := os.ReadFile(s.daemon.node.file)
	must(t, err)
	file := strings.Replace(string(text), "approve: []", "approve: [cutover]", 1) + "webhooks: [{url: \"" + receiver.URL + "/${HOOK_SECRET}\", secret: \"${HOOK_SECRET}\"}]\n"
	must(t, os.WriteFile(s.daemon.node.file, []byte(file), 0o600))
	s.start(s.daemon, "HOOK_SECRET=hunter2")
	c := s.client(s.daemon)
	defer c.Close()
	o := order
	o.Until = "soak"
	_, err = c.Run(t.Context(), capability, o)
	must(t, err)
	hears := func(what string, f func(strangler.Event) bool) {
		t.Helper()
		s.awaitWith("a webhook of "+what, func() bool { return slices.ContainsFunc(h.heard(), f) }, s.daemon)
	}
	hears("the approval that is waited for", func(e strangler.Event) bool {
		return e.Kind == strangler.EventWait && (e.Step == "cutover" || strings.Contains(e.Text, "cutover"))
	})
	o.Step = "cutover"
	_, err = c.Approve(t.Context(), capability, o)
	must(t, err)
	hears("the end", func(e strangler.Event) bool {
		return e.Kind == strangler.EventEnd && e.State == string(strangler.RunDone)
	})
	o.To = "cutover"
	_, err = c.RollbackRun(t.Context(), capability, o)
	must(t, err)
	hears("the end of the way back", func(e strangler.Event) bool {
		return e.Kind == strangler.EventEnd && e.State == string(strangler.RunRolledBack)
	})
	var done, undone []string
	for _, e := range h.heard() {
		if e.Capability != capability || e.Run == 0 || e.Text == "" || e.At.IsZero() {
			t.Errorf("told of %+v", e)
		}
		switch {
		case e.Kind != strangler.EventStep:
		case e.State == string(strangler.StepDone):
			done = append(done, e.Step)
		case e.State == string(strangler.StepUndone):
			undone = append(undone, e.Step)
		}
	}
	if diff := cmp.Diff(strings.Fields("expand copy verify shadow canary cutover soak"), done); diff != "" {
		t.Errorf("steps that are done (-want +got):\n%s", diff)
	}
	if len(undone) == 0 || undone[len(undone)-1] != "cutover" {
		t.Errorf("steps that are undone: %q, want cutover for the last", undone)
	}
	if h.ids[0] != h.refused {
		t.Errorf("the event %s was not taken at first, and then came %s", h.refused, h.ids[0])
	}
	slices.Sort(h.ids)
	if once := slices.Compact(slices.Clone(h.ids)); len(once) != len(h.events) {
		t.Errorf("%d events came, of which %d are different", len(h.events), len(once))
	}
	s.signal(s.daemon, syscall.SIGTERM)
	<-s.daemon.ended
	if printed := s.daemon.output.last(1 << 20); strings.Contains(printed, "hunter2") {
		t.Errorf("the daemon prints a secret:\n%s", printed)
	}
}

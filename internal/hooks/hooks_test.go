package hooks_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/hooks"
)

// TestEventsComeInOrder, each to the hooks that want it, with one id for all of them.
func TestEventsComeInOrder(t *testing.T) {
	var all, some receiver
	first, second := httptest.NewServer(&all), httptest.NewServer(&some)
	defer first.Close()
	defer second.Close()
	s := newRig(t, nil, hooks.Hook{URL: first.URL + "/a?b=c"}, hooks.Hook{URL: second.URL, On: []strangler.EventKind{strangler.EventFailure, strangler.EventEnd}, Capabilities: []string{"delivery"}})
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	var told []strangler.Event
	for i := range 40 {
		e := strangler.Event{Kind: strangler.EventStep, Capability: "delivery", Run: 7, Step: "copy", State: "done", Text: fmt.Sprint("event ", i), At: at}
		switch i % 4 {
		case 1:
			e.Kind = strangler.EventFailure
		case 2:
			e.Kind, e.Capability, e.Run, e.Step, e.State = strangler.EventEnd, "billing", 0, "", ""
		case 3:
			e.Kind = strangler.EventEnd
		}
		told = append(told, e)
	}
	tell(s.Sender, told...)
	s.Close(t.Context())
	wanted := func(e strangler.Event) bool { return e.Kind != strangler.EventStep && e.Capability == "delivery" }
	both := all.got()
	if len(both) != 40 || len(some.got()) != 20 {
		t.Fatalf("%d and %d requests, want 40 and 20", len(both), len(some.got()))
	}
	ids, forSecond := map[string]bool{}, some.got()
	for i, q := range both {
		e := told[i]
		want := body{ID: q.ID, ControlID: "c0ffee", Kind: e.Kind, Capability: e.Capability, Run: e.Run, Step: e.Step, State: e.State, Text: e.Text, At: at.UTC()}
		if diff := cmp.Diff(want, q.body); diff != "" {
			t.Fatalf("request %d (-want +got):\n%s", i, diff)
		}
		if len(q.ID) != 32 || ids[q.ID] || q.header.Get("Strangler-Event-ID") != q.ID {
			t.Errorf("request %d has the id %q, and in its header %q", i, q.ID, q.header.Get("Strangler-Event-ID"))
		}
		ids[q.ID] = true
		if wanted(e) {
			if forSecond[0].ID != q.ID {
				t.Errorf("the other hook is told of %q, want %q", forSecond[0].Text, q.Text)
			}
			forSecond = forSecond[1:]
		}
	}
	q := both[0]
	if q.method != "POST" || q.uri != "/a?b=c" || q.header.Get("Content-Type") != "application/json" || q.header.Get("User-Agent") != "strangler/"+strangler.Version || q.header.Get("Strangler-Signature") != "" {
		t.Errorf("%s %s with %v", q.method, q.uri, q.header)
	}
	if strings.Contains(string(both[2].raw), `"run"`) {
		t.Errorf("an event of no run has one: %s", both[2].raw)
	}
	if sent := s.counted(t, "sent"); sent != 40 {
		t.Errorf("%v are counted as sent", sent)
	}
}

// TestTextIsBounded: an error of any length is told in part.
func TestTextIsBounded(t *testing.T) {
	var r receiver
	server := httptest.NewServer(&r)
	defer server.Close()
	s := newRig(t, nil, hooks.Hook{URL: server.URL})
	tell(s.Sender, events(strings.Repeat("ä", 1<<20))...)
	s.Close(t.Context())
	if text := r.texts()[0]; len(text) > 5<<10 || !utf8.ValidString(text) || !strings.HasSuffix(text, "ä …") {
		t.Errorf("%d bytes, ending in %q", len(text), text[len(text)-10:])
	}
}

// TestRedirectIsNotFollowed: what is meant for one host goes to no other.
func TestRedirectIsNotFollowed(t *testing.T) {
	var elsewhere receiver
	other := httptest.NewServer(&elsewhere)
	defer other.Close()
	for _, code := range []int{http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		r := receiver{answer: func(w http.ResponseWriter, _ int) {
			w.Header().Set("Location", other.URL+"/")
			w.WriteHeader(code)
		}}
		server := httptest.NewServer(&r)
		s := newRig(t, nil, hooks.Hook{URL: server.URL, Secret: "s3cret"})
		tell(s.Sender, events("one")...)
		s.Close(t.Context())
		server.Close()
		if len(r.got()) != 1 || len(elsewhere.got()) != 0 || s.counted(t, "failed") != 1 || s.log.lines("no redirect is followed") != 1 {
			t.Errorf("%d: %d requests here, %d there; logged: %s", code, len(r.got()), len(elsewhere.got()), &s.log)
		}
	}
}

// TestNoSecretIsShown, neither in the log nor in the metrics nor in an error, whatever becomes of a request.
func TestNoSecretIsShown(t *testing.T) {
	refuses := receiver{answer: status(http.StatusForbidden)}
	plain, encrypted := httptest.NewServer(&refuses), httptest.NewTLSServer(&refuses)
	defer plain.Close()
	defer encrypted.Close()
	gone := httptest.NewServer(&refuses)
	gone.Close()
	breaks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer breaks.Close()
	var all []hooks.Hook
	for _, server := range []*httptest.Server{plain, encrypted, gone, breaks} {
		scheme, host, _ := strings.Cut(server.URL, "://")
		all = append(all, hooks.Hook{URL: scheme + "://u:hunter2@" + host + "/hunter2?key=hunter2", Secret: "hunter2"})
	}
	s := newRig(t, nil, all...)
	tell(s.Sender, events("one")...)
	s.Close(t.Context())
	families, err := s.registry.Gather()
	must(t, err)
	shown := s.log.String() + fmt.Sprint(families)
	if strings.Contains(shown, "hunter2") {
		t.Errorf("shown: %s", shown)
	}
	for _, server := range []*httptest.Server{plain, encrypted, gone, breaks} {
		if !strings.Contains(s.log.String(), "receiver="+server.URL+" ") {
			t.Errorf("%s is not named in the log: %s", server.URL, &s.log)
		}
	}
	if user, password, _ := (&http.Request{Header: refuses.got()[0].header}).BasicAuth(); user != "u" || password != "hunter2" {
		t.Errorf("the URL's user was not sent: %s %s", user, password)
	}
	for _, url := range []string{"hooks.example.com/hunter2", "ftp://h/hunter2", "http://h:hunter2/", "http:///hunter2", "http://h/%zzhunter2"} {
		if _, err := hooks.New(hooks.Config{Hooks: []hooks.Hook{{URL: url}}}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestTellBehindClose drops, and Close may be called twice.
func TestTellBehindClose(t *testing.T) {
	var r receiver
	server := httptest.NewServer(&r)
	defer server.Close()
	s := newRig(t, nil, hooks.Hook{URL: server.URL})
	s.Close(t.Context())
	tell(s.Sender, events("late")...)
	s.Close(context.Background())
	if got := r.texts(); len(got) != 0 || s.counted(t, "dropped") != 1 {
		t.Errorf("%q came", got)
	}
}

// TestManyTell at once, and nothing is lost or mixed up.
func TestManyTell(t *testing.T) {
	var r receiver
	server := httptest.NewServer(&r)
	defer server.Close()
	s := newRig(t, nil, hooks.Hook{URL: server.URL})
	done := make(chan struct{})
	for i := range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			for j := range 25 {
				tell(s.Sender, events(fmt.Sprintf("%d %02d", i, j))...)
			}
		}()
	}
	for range 8 {
		<-done
	}
	s.Close(t.Context())
	got := r.texts()
	for i := range 8 {
		own := slices.DeleteFunc(slices.Clone(got), func(text string) bool { return text[0] != byte('0'+i) })
		if len(own) != 25 || !slices.IsSorted(own) {
			t.Errorf("of the events of %d came %q", i, own)
		}
	}
}

package hooks_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/internal/hooks"
)

// pauses are between the requests.
func pauses(all []request) (out []time.Duration) {
	for i := 1; i < len(all); i++ {
		out = append(out, all[i].at.Sub(all[i-1].at))
	}
	return out
}

// TestFailuresAreTriedAgain, with growing pauses, in order, and the same event each time. One that is not taken in eight tries is
// given up, and the next one has its turn.
func TestFailuresAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receiver{answer: func(w http.ResponseWriter, n int) {
			switch {
			case n == 0:
				w.WriteHeader(http.StatusInternalServerError)
			case n == 1:
				panic(http.ErrAbortHandler) // the connection breaks
			case n >= 3 && n < 11:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}}
		_, client, end := inMemory(t, &r)
		defer end()
		s := newRig(t, client, hooks.Hook{URL: "http://receiver/hunter2"})
		tell(s.Sender, events("a", "b", "c")...)
		time.Sleep(time.Hour)
		s.Close(t.Context())
		if diff := cmp.Diff(strings.Fields("a a a b b b b b b b b c"), r.texts()); diff != "" {
			t.Fatalf("requests (-want +got):\n%s", diff)
		}
		want := []time.Duration{2, 4, 0, 2, 4, 8, 16, 32, 60, 60, 0}
		for i := range want {
			want[i] *= time.Second
		}
		if diff := cmp.Diff(want, pauses(r.got())); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		if q := r.got(); q[0].ID != q[2].ID || string(q[0].raw) != string(q[2].raw) {
			t.Errorf("another try has another body: %s, %s", q[0].raw, q[2].raw)
		}
		if s.counted(t, "sent") != 2 || s.counted(t, "failed") != 1 || s.log.lines("level=WARN") != 1 || s.log.lines("try 8: it answered 503 Service Unavailable") != 1 {
			t.Errorf("sent %v, failed %v; logged: %s", s.counted(t, "sent"), s.counted(t, "failed"), &s.log)
		}
	})
}

// TestReceiverIsBack: one that could not be reached at all gets what waited for it.
func TestReceiverIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r receiver
		network, client, end := inMemory(t, &r)
		defer end()
		network.down.Store(true)
		s := newRig(t, client, hooks.Hook{URL: "http://receiver/"})
		tell(s.Sender, events("a", "b")...)
		time.Sleep(time.Minute)
		network.down.Store(false)
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"a", "b"}, r.texts()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		s.Close(t.Context())
	})
}

// TestRefusalIsNotRepeated: what a receiver refuses it would refuse again.
func TestRefusalIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receiver{answer: status(http.StatusNotFound)}
		_, client, end := inMemory(t, &r)
		defer end()
		s := newRig(t, client, hooks.Hook{URL: "http://receiver/"})
		tell(s.Sender, events("a", "b")...)
		synctest.Wait()
		if got := r.texts(); len(got) != 2 || s.counted(t, "failed") != 2 || s.log.lines("try 1: it answered 404 Not Found") != 2 {
			t.Errorf("%q; logged: %s", got, &s.log)
		}
		s.Close(t.Context())
	})
}

// TestRetryAfterIsKept, in seconds and as a time, up to five minutes, and never for less than the pause would be.
func TestRetryAfterIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receiver{answer: func(w http.ResponseWriter, n int) {
			says := []string{"30", time.Now().Add(45 * time.Second).UTC().Format(http.TimeFormat), "86400", "1", "-5", "soon"}
			if n < len(says) {
				w.Header().Set("Retry-After", says[n])
				w.WriteHeader(http.StatusTooManyRequests)
			}
		}}
		_, client, end := inMemory(t, &r)
		defer end()
		s := newRig(t, client, hooks.Hook{URL: "http://receiver/"})
		tell(s.Sender, events("a")...)
		time.Sleep(time.Hour)
		s.Close(t.Context())
		want := []time.Duration{30 * time.Second, 45 * time.Second, 5 * time.Minute, 16 * time.Second, 32 * time.Second, time.Minute}
		if diff := cmp.Diff(want, pauses(r.got())); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
	})
}

// TestQueueIsBounded: Tell waits for nobody, what does not fit is dropped and counted, and a burst is logged once. One hook's
// receiver that hangs keeps no other waiting.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		slow, quick := receiver{answer: func(http.ResponseWriter, int) { <-release }}, receiver{}
		routes := http.NewServeMux()
		routes.Handle("/slow", &slow)
		routes.Handle("/quick", &quick)
		_, client, end := inMemory(t, routes)
		defer end()
		s := newRig(t, client, hooks.Hook{URL: "http://receiver/slow"}, hooks.Hook{URL: "http://receiver/quick"})
		begun := time.Now()
		for i := range 300 {
			tell(s.Sender, events(fmt.Sprint(i))...)
			synctest.Wait()
		}
		if time.Since(begun) != 0 {
			t.Errorf("Tell waited for %v", time.Since(begun))
		}
		if len(quick.got()) != 300 {
			t.Errorf("the other receiver was told of %d events", len(quick.got()))
		}
		// One is being sent, 256 wait.
		if s.counted(t, "dropped") != 300-257 || s.log.lines("does not keep up") != 1 {
			t.Errorf("%v dropped; logged: %s", s.counted(t, "dropped"), &s.log)
		}
		close(release)
		synctest.Wait()
		if got := slow.texts(); len(got) != 257 || got[256] != "256" {
			t.Errorf("%d came, the last of them %s", len(got), got[len(got)-1])
		}
		s.Close(t.Context())
	})
}

// TestCloseSendsWhatWaits: a pause is cut short for one more try.
func TestCloseSendsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receiver{answer: func(w http.ResponseWriter, n int) {
			if n < 5 {
				w.WriteHeader(http.StatusBadGateway)
			}
		}}
		_, client, end := inMemory(t, &r)
		defer end()
		s := newRig(t, client, hooks.Hook{URL: "http://receiver/"})
		tell(s.Sender, events("a", "b", "c")...)
		time.Sleep(35 * time.Second) // behind the fifth try
		begun := time.Now()
		s.Close(t.Context())
		if time.Since(begun) != 0 {
			t.Errorf("Close took %v", time.Since(begun))
		}
		if diff := cmp.Diff(strings.Fields("a a a a a a b c"), r.texts()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	})
}

// TestCloseTriesOnce: a receiver that fails is not asked again and again for what waits.
func TestCloseTriesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receiver{answer: status(http.StatusBadGateway)}
		_, client, end := inMemory(t, &r)
		defer end()
		s := newRig(t, client, hooks.Hook{URL: "http://receiver/"})
		tell(s.Sender, events("a", "b", "c")...)
		synctest.Wait()
		s.Close(t.Context())
		if diff := cmp.Diff(strings.Fields("a a b c"), r.texts()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		if s.counted(t, "failed") != 3 {
			t.Errorf("%v failed", s.counted(t, "failed"))
		}
	})
}

// TestCloseIsBounded: five seconds, or as long as its context, and what was lost is counted and logged in one line.
func TestCloseIsBounded(t *testing.T) {
	for _, bound := range []time.Duration{time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			r := receiver{answer: func(http.ResponseWriter, int) { <-release }}
			_, client, end := inMemory(t, &r)
			defer end()
			s := newRig(t, client, hooks.Hook{URL: "http://receiver/"})
			tell(s.Sender, events("a", "b", "c")...)
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			begun := time.Now()
			s.Close(ctx)
			if took := time.Since(begun); took != min(bound, 5*time.Second) {
				t.Errorf("Close took %v", took)
			}
			if s.counted(t, "failed") != 3 || s.log.lines("level=WARN") != 2 || s.log.lines("events=2") != 1 {
				t.Errorf("%v failed; logged: %s", s.counted(t, "failed"), &s.log)
			}
			close(release)
		})
	}
}

// TestTryIsBounded: a receiver that never answers has ten seconds.
func TestTryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := receiver{answer: func(_ http.ResponseWriter, n int) {
			if n == 0 {
				<-release
			}
		}}
		_, client, end := inMemory(t, &r)
		defer end()
		s := newRig(t, client, hooks.Hook{URL: "http://receiver/"})
		tell(s.Sender, events("a")...)
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]time.Duration{12 * time.Second}, pauses(r.got())); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		close(release)
		s.Close(t.Context())
	})
}

// TestAnswerIsBounded: of what a receiver says only a little is read.
func TestAnswerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		written := 0
		r := receiver{answer: func(w http.ResponseWriter, _ int) {
			for written < 64<<20 {
				n, err := w.Write(make([]byte, 1<<16))
				if written += n; err != nil {
					return
				}
			}
		}}
		_, client, end := inMemory(t, &r)
		defer end()
		s := newRig(t, client, hooks.Hook{URL: "http://receiver/"})
		tell(s.Sender, events("a")...)
		synctest.Wait()
		if written > 1<<20 || s.counted(t, "sent") != 1 {
			t.Errorf("%d bytes were read, and %v events count as sent", written, s.counted(t, "sent"))
		}
		s.Close(t.Context())
	})
}

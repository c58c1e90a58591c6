package proxy

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// follower is the clock of the following side.
type follower struct{ at atomic.Pointer[time.Time] }

func (f *follower) passed(string) time.Time {
	if at := f.at.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// catchUp says that everything written until now has been applied.
func (f *follower) catchUp() {
	now := time.Now().Add(time.Nanosecond)
	f.at.Store(&now)
}

func TestReadYourWrites(t *testing.T) {
	legacy, service := newBackend(t, "legacy", nil), newBackend(t, "service", nil)
	legacy.do = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Break") != "" {
			panic(http.ErrAbortHandler)
		}
		w.Write([]byte("legacy"))
	}
	for _, header := range []string{"", "X-User-Id"} {
		var f follower
		capability := delivery(t, service.URL)
		capability.IdentityHeader = header
		conf := config(legacy.URL, capability)
		conf.Passed = f.passed
		p := start(t, conf)
		apply(t, p, toggle(1, strangler.ModeCanary, strangler.Hundred))
		ann, bob := "X-User-Id: ann", "X-User-Id: bob"
		if header == "" {
			ann = "Cookie: " + CookieName + "=" + p.signer.value("ann")
			bob = "Cookie: " + CookieName + "=" + p.signer.value("bob")
		}
		c := client(t)
		reads := func(when, who, want string) {
			t.Helper()
			if a := ask(t, c, "GET", p.URL()+"/couriers/7", "", who); a.body != want {
				t.Errorf("identity %q, %s: %s reads from %q, want %s", header, when, who, a.body, want)
			}
		}
		reads("how far the follower is, is unknown", ann, "legacy")
		then := p.capabilities[0].wrote.start
		before := time.Unix(0, then)
		f.at.Store(&before)
		reads("the process began just then", ann, "legacy")
		f.catchUp()
		reads("nobody wrote", ann, "service")
		for _, write := range [][]string{
			{"POST", "/couriers"}, {"POST", "/orders/7/accept"}, {"GET", "/orders/7/refresh"}, {"POST", "/couriers", "Break: it"},
		} {
			a := ask(t, c, write[0], p.URL()+write[1], "", append(write[2:], ann)...)
			if broke := len(write) > 2; broke != (a.status == 502) {
				t.Fatalf("%v: %+v", write, a)
			}
			reads("ann wrote", ann, "legacy")
			reads("ann wrote", bob, "service")
			f.catchUp()
			reads("the follower has passed ann's write", ann, "service")
		}
		none := "X-None: none"
		if first := ask(t, c, "POST", p.URL()+"/couriers", "{}", none); header == "" {
			reads("the first write's own cookie", "Cookie: "+CookieName+"="+ours(first).Value, "legacy")
			reads("somebody without a cookie wrote", none, "legacy")
			reads("somebody without a cookie wrote", bob, "service")
			f.catchUp()
			reads("the follower has passed it", "Cookie: "+CookieName+"="+ours(first).Value, "service")
			reads("the follower has passed it", none, "service")
		} else {
			f.catchUp()
			reads("without an identity a canary moves nobody", none, "legacy")
		}
	}
}

// However many write, the memory stays the same and no mark is lost.
func TestMarksAreBoundedAndFailSafe(t *testing.T) {
	w := wrote{start: time.Unix(100, 0).UnixNano()}
	id := func(i int) (uint64, identity) {
		key := "user-" + strconv.Itoa(i)
		return hash64(1, key), identity{key: key}
	}
	const writers = 3 * wroteSlots
	w.mark(1, identity{key: "the first"}, time.Unix(101, 0))
	slots := w.slots.Load()
	for i := range writers {
		hash, who := id(i)
		w.mark(hash, who, time.Unix(200, int64(i)))
		w.mark(hash, who, time.Unix(150, 0)) // an older answer that comes late takes nothing back
	}
	for i := range writers {
		hash, who := id(i)
		if !w.recent(hash, who, time.Unix(200, int64(i))) {
			t.Fatalf("writer %d would read from a follower that has not passed his write", i)
		}
		if w.recent(hash, who, time.Unix(300, 0)) {
			t.Fatalf("writer %d is kept from a follower that has passed all writes", i)
		}
	}
	if w.slots.Load() != slots {
		t.Error("the slots became others")
	}
	if !w.recent(0, identity{}, time.Unix(100, 0)) || w.recent(0, identity{}, time.Unix(100, 1)) {
		t.Error("the anonymous, who never wrote, count as having written at the start and not later")
	}
}

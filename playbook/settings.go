package playbook

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	strangler "github.com/strangler-fig/strangler"
)

// settingsOf is what a run goes by, a line each: everything that strangler.yaml says of the capability. No line has a password
// or a token in it; a digest stands for what may have one.
func settingsOf(c strangler.Capability) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, r := range c.Routes {
		line("route %s", r)
	}
	for _, t := range c.Touches {
		line("touch %s, %s", t.Route, PlanTouch{Seam: t.Seam, Fails: t.Fails}.After())
	}
	line("legacy %s", c.Legacy)
	line("service %s", c.Service)
	if !c.Stateless() {
		line("legacy.database %s", place(c.Legacy.Database))
		line("service.database %s", place(c.Service.Database))
	}
	for _, t := range c.AtService().Tables {
		line("table %s to %s%s", t.From, t.To, PlanTable{Words: t.Words()}.How())
	}
	for _, key := range slices.Sorted(maps.Keys(c.OnDelete)) {
		line("on_delete %s: %s", key, c.OnDelete[key])
	}
	line("capture %s, retained_wal %d, throttle %+v", c.Capture, c.RetainedWAL, c.Throttle)
	line("identity %s", c.IdentityHeader)
	line("shadow %s of %s, ignore %q", c.Shadow.Sample, strings.Join(c.Shadow.Methods, ", "), c.Shadow.Ignore)
	line("guard min_requests %d, max_error_delta %s, max_p99_ratio %g", c.Guard.MinRequests, c.Guard.MaxErrorDelta, c.Guard.MaxP99Ratio)
	p := c.Playbook
	line("canary %s, hold %s, requests %d", joinPercents(p.Canary), span(p.Hold), p.Requests)
	line("shadow %s, soak %s", span(p.Shadow), span(p.Soak))
	line("approve %s", strings.Join(p.Approve, ", "))
	for _, o := range p.Own {
		where := "before " + o.Before
		if o.Before == "" {
			where = "after " + o.After
		}
		line("step %s, %s: %s [%s]", o.Name, where, o, digest(o))
	}
	return b.String()
}

// place is a DSN without its password and its options.
func place(dsn string) string {
	if u, err := url.Parse(dsn); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.User.Username() + "@" + u.Host + u.Path
	}
	if path, is := strings.CutPrefix(dsn, "sqlite:"); is {
		return "sqlite:" + strings.SplitN(path, "?", 2)[0]
	}
	return "[" + digest(dsn) + "]"
}

func digest(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		text = fmt.Append(nil, v)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))[:8]
}

// changes are the lines that one has and the other has not, as a diff shows them.
func changes(old, now string) (diff []string) {
	a, b := strings.Split(strings.TrimSpace(old), "\n"), strings.Split(strings.TrimSpace(now), "\n")
	for _, s := range a {
		if !slices.Contains(b, s) {
			diff = append(diff, "- "+s)
		}
	}
	for _, s := range b {
		if !slices.Contains(a, s) {
			diff = append(diff, "+ "+s)
		}
	}
	if diff == nil && old != now {
		diff = []string{"+ the same lines in another order"}
	}
	return diff
}

// agree has a run that goes forward wait for a person while the settings are not those that it goes by. A rollback is never held
// up by that: it takes back what is there.
func (w *worker) agree(ctx context.Context) error {
	now := settingsOf(w.capability)
	for {
		run, _, _, _ := w.view()
		switch {
		case w.pausing():
			return errPaused
		case run.Settings == "": // begun by a version that did not write them down
			return w.saveRun(ctx, func(r *strangler.Run) { r.Settings = now })
		case run.Settings == now:
			return nil
		}
		text := fmt.Sprintf("waiting for changed settings to be accepted: strangler playbook accept %s (%s)", run.Capability, strings.Join(changes(run.Settings, now), "; "))
		err := w.saveRun(ctx, func(r *strangler.Run) { r.State, r.Waiting = strangler.RunWaiting, text })
		if err != nil {
			return err
		}
		w.setPerson(-1)
		err = w.awaitApproval(ctx, -1)
		w.unsetPerson()
		if err != nil {
			return err
		}
	}
}

package config

import (
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/strangler-fig/strangler"
)

// Webhook is who is told of events. Its URL may hold a token, so it is as secret as its Secret.
type Webhook struct {
	URL          string
	On           []strangler.EventKind // all kinds unless given
	Capabilities []string              // none: all of them
	Secret       string                // what a request is signed with; empty: it is not
}

// String and GoString show where it goes, and leave out what may hold a secret.
func (w Webhook) String() string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return "a webhook"
	}
	return u.Scheme + "://" + u.Host
}

func (w Webhook) GoString() string { return w.String() }

var eventKinds = []string{
	string(strangler.EventStep), string(strangler.EventWait), string(strangler.EventTrip), string(strangler.EventFailure), string(strangler.EventEnd),
}

// webhooks reads who is told of what, behind the capabilities.
func (r *reader) webhooks(c *Config, f field) {
	for _, item := range r.list(f) {
		keys := r.object(item, "url", "on", "capabilities", "secret")
		if !keys["url"].given() {
			r.problem(keys["url"], "it is missing; write where events are posted, as in https://hooks.example.com/strangler")
		}
		w := Webhook{URL: r.hookURL(keys["url"]), On: r.kinds(keys["on"]), Capabilities: r.told(c, keys["capabilities"])}
		var ok bool
		if w.Secret, ok = r.text(keys["secret"]); ok && w.Secret == "" {
			r.problem(keys["secret"], "the secret is empty; give it a value, or remove the key to send unsigned requests")
		}
		c.Webhooks = append(c.Webhooks, w)
	}
}

// hookURL reads a URL with whatever path, query and user it has. It is never shown.
func (r *reader) hookURL(f field) string {
	s, ok := r.text(f)
	if !ok {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.ContainsFunc(s, unicode.IsSpace) || strings.Contains(s, "#") {
		r.problem(f, "it is not a URL that can be posted to; write scheme, host and path, as in https://hooks.example.com/strangler")
		return ""
	}
	return s
}

// kinds are those that are named, all where none is.
func (r *reader) kinds(f field) (all []strangler.EventKind) {
	for _, item := range r.list(f) {
		name, ok := r.text(item)
		if ok && !slices.Contains(eventKinds, name) {
			r.problem(item, "%s is no kind of event; the kinds are %s", item.raw(), strings.Join(eventKinds, ", "))
		}
		all = append(all, strangler.EventKind(name))
	}
	switch {
	case !f.given():
		for _, name := range eventKinds {
			all = append(all, strangler.EventKind(name))
		}
	case emptyList(f):
		r.problem(f, "the list is empty, so nothing would be sent; name the kinds, or remove the key for all of them")
	}
	return all
}

// told are the capabilities whose events are sent.
func (r *reader) told(c *Config, f field) (all []string) {
	for _, item := range r.list(f) {
		name, ok := r.text(item)
		if ok && !slices.ContainsFunc(c.Capabilities, func(k strangler.Capability) bool { return k.Name == name }) {
			r.problem(item, "%s is no capability of this file", item.raw())
		}
		all = append(all, name)
	}
	if emptyList(f) {
		r.problem(f, "the list is empty, so nothing would be sent; name the capabilities, or remove the key for all of them")
	}
	return all
}

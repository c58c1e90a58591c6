package playbook

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	strangler "github.com/strangler-fig/strangler"
)

// everything is a capability with all that a plan can have: tables that go in part, in pieces and one way, keys, touches of
// each kind, and own steps of each kind.
func everything() strangler.Capability {
	c := delivery()
	c.Touches = append(c.Touches,
		strangler.Touch{Route: strangler.Route{Method: "POST", Pattern: "/sweep"}},
		strangler.Touch{Route: strangler.Route{Method: "DELETE", Pattern: "/archive/{id}"}, Fails: true})
	c.Tables = append(c.Tables, strangler.Table{From: "contacts", To: "people", Drop: []string{"notes"}, Pieces: []strangler.Table{
		{From: "contacts", To: "people", Columns: map[string]string{"id": "person"}}, {From: "contacts", To: "addresses", Set: map[string]string{"kind": "1"}}}})
	c.Guard = strangler.Guard{MinRequests: 200, MaxErrorDelta: 10_000, MaxP99Ratio: 1.5}
	c.Shadow.Sample = 100_000
	below := 0.02
	c.Playbook.Canary = []strangler.Percent{10_000, 100_000, 500_000, strangler.Hundred}
	c.Playbook.Hold, c.Playbook.Shadow, c.Playbook.Soak, c.Playbook.Requests = 10*time.Minute, 30*time.Minute, 14*24*time.Hour, 1000
	c.Playbook.Own = []strangler.OwnStep{
		{Name: "warm_up", Before: Shadow, Run: &strangler.RunStep{Command: []string{"/opt/bin/warm-up", "--token", "s3cret"}}},
		{Name: "ready", Before: Shadow, HTTP: &strangler.HTTPStep{URL: "http://ops:s3cret@delivery.test/ready?key=s3cret", JSON: map[string]string{"$.status": "ok"}}},
		{Name: "no_orphans", After: Verify, SQL: &strangler.SQLStep{Side: strangler.Service, Query: "SELECT count(*) FROM orphans", Answer: "0"}},
		{Name: "errors", After: Canary, Prometheus: &strangler.PrometheusStep{URL: "http://prometheus.test", Query: "errors", Below: &below, For: 30 * time.Minute}},
		{Name: "business", Before: Cutover, Approve: &strangler.ApproveStep{By: []string{"ann", "bob"}}},
		{Name: "over_the_night", Before: Cutover, Wait: &strangler.WaitStep{For: 12 * time.Hour}},
		{Name: "tell", After: Cutover, Notify: &strangler.NotifyStep{URL: "https://hooks.test/s3cret", Text: "moved"}},
	}
	return c
}

// hostile has what would be markup wherever a configuration may name something.
func hostile() strangler.Capability {
	const evil = "a<b>&\"c\"|`d`"
	c := everything()
	c.Name = evil
	c.Legacy.URLs, c.Service.URLs = []string{"http://" + evil}, []string{"http://x.test/<script>alert(\"x\")</script>"}
	c.Routes = []strangler.Route{{Method: "GET", Pattern: "/" + evil}}
	c.Touches = []strangler.Touch{{Route: strangler.Route{Method: "POST", Pattern: "/" + evil}, Seam: true}}
	c.Tables = []strangler.Table{{From: evil, To: evil + "2", Where: evil, Drop: []string{evil}, Set: map[string]string{evil: evil}}}
	c.OnDelete = map[string]strangler.Delete{evil + "(" + evil + ")": strangler.DeleteCascade}
	for i := range c.Playbook.Own {
		c.Playbook.Own[i].Name += evil
	}
	c.Playbook.Own[4].Approve.By = []string{evil}
	c.Playbook.Own[2].SQL.Answer = evil
	return c
}

func rendered(t *testing.T, c strangler.Capability) string {
	t.Helper()
	html, err := RenderHTML(c)
	if err != nil {
		t.Fatal(err)
	}
	return html
}

var pictures = regexp.MustCompile(`(?s)<svg .*?</svg>`)

// TestDrawingsAreWellFormed: each picture is XML, says what it is to those who do not see it, and stays within itself; ids are
// the page's only ones. It holds for what is hostile, too.
func TestDrawingsAreWellFormed(t *testing.T) {
	for name, c := range map[string]strangler.Capability{"delivery": delivery(), "stateless": stateless(), "everything": everything(), "hostile": hostile()} {
		html := rendered(t, c)
		ids := map[string]bool{}
		for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(html, -1) {
			if ids[m[1]] {
				t.Errorf("%s: the id %s is there twice", name, m[1])
			}
			ids[m[1]] = true
		}
		found := pictures.FindAllString(html, -1)
		if want := map[bool]int{true: 4, false: 6}[c.Stateless()]; len(found) != want {
			t.Errorf("%s: %d pictures, not %d", name, len(found), want)
		}
		for _, picture := range found {
			decoder := xml.NewDecoder(strings.NewReader(picture))
			for {
				_, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v in %s", name, err, picture)
				}
			}
			m := regexp.MustCompile(`^<svg role="img" aria-labelledby="(\S+) (\S+)" viewBox="-2 -2 (\d+) (\d+)"`).FindStringSubmatch(picture)
			if m == nil || !strings.Contains(picture, `<title id="`+m[1]+`">`) || !strings.Contains(picture, `<desc id="`+m[2]+`">`) {
				t.Errorf("%s: a picture without a name or a description: %.200s", name, picture)
			}
		}
	}
}

// TestTheWayIsDrawn: the gates, the point of no return and how far back each rollback goes.
func TestTheWayIsDrawn(t *testing.T) {
	html := rendered(t, everything())
	for _, want := range []string{"POINT OF NO RETURN", "every row is there, and changes are followed", "1000 requests answered at each percentage",
		"10m at each percentage", "errors at most 1% above the monolith&#39;s", "lag of at most 1000 changes and 10s", "14d since the cutover", "ann or bob approves",
		"rollback --to expand", "rollback --to shadow", "12. cutover; waits for: lag of at most 1000 changes and 10s, a person approves",
		"warm-up ends well", "delivery.test answers 200, a value as asked", "the service database answers", "the metric is below 0.02 for 30m", "yours: notify"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(html, "s3cret") {
		t.Error("the page has what may be secret: an address's or a program's own")
	}
	if html := rendered(t, stateless()); strings.Contains(html, "rollback --to") || !strings.Contains(html, "passed over") {
		t.Error("without tables a rollback goes back to legacy, and steps are passed over")
	}
}

// TestTheRampIsTold: reads go up by the canary, writes all at once at the cutover; without tables both go together.
func TestTheRampIsTold(t *testing.T) {
	type at struct {
		name          string
		reads, writes strangler.Percent
		lasts         time.Duration
		open          bool
	}
	told := func(c strangler.Capability) (all []at) {
		for _, s := range Show(c).Ramp {
			all = append(all, at{s.Name, s.Reads, s.Writes, time.Duration(s.Seconds) * time.Second, s.Open})
		}
		return all
	}
	const all, ten = strangler.Hundred, 10 * time.Minute
	want := []at{{"copy, verify", 0, 0, 0, true}, {"shadow", 0, 0, 30 * time.Minute, false}, {"canary 1%", 10_000, 0, ten, false}, {"canary 10%", 100_000, 0, ten, false},
		{"canary 50%", 500_000, 0, ten, false}, {"canary 100%", all, 0, ten, false}, {"business", all, 0, 0, true}, {"over_the_night", all, 0, 12 * time.Hour, false},
		{"approval of cutover", all, 0, 0, true}, {"cutover", all, all, 0, false}, {"soak", all, all, 14 * 24 * time.Hour, false},
		{"approval of complete", all, all, 0, true}, {"complete", all, all, 0, false}}
	if diff := cmp.Diff(want, told(everything()), cmp.AllowUnexported(at{})); diff != "" {
		t.Errorf("(-want +told)\n%s", diff)
	}
	less := told(stateless())
	if less[1] != (at{"canary 1%", 10_000, 10_000, ten, false}) || less[0].name != "shadow" {
		t.Errorf("without tables: %+v", less)
	}
}

// TestTablesAreDrawn: what goes, under which name, in how many pieces, what does not come back, what is cut, what is refused.
func TestTablesAreDrawn(t *testing.T) {
	html := rendered(t, everything())
	for class, want := range map[string]int{"table": 4 * 2, "there": (5 + 1) * 2, "stays": 3 * 2, "refused": 2 * 2, "follow": 4 * 2, "seam": 2} {
		if got := strings.Count(html, ` class="`+class+`"`); got != want {
			t.Errorf("%d of %s are drawn, not %d", got, class, want)
		}
	}
}

// TestNothingOfAConfigurationIsMarkup: neither in the page nor in the Markdown.
func TestNothingOfAConfigurationIsMarkup(t *testing.T) {
	html, text := rendered(t, hostile()), Render(hostile())
	for what, s := range map[string]string{"page": html, "Markdown": outsideCode(text)} {
		if found := regexp.MustCompile(`(?:^|[^\\])<(?:b|script)>`).FindString(s); found != "" {
			t.Errorf("the %s has %q", what, found)
		}
	}
	cells := 0
	for _, line := range strings.Split(text, "\n") {
		found := len(regexp.MustCompile(`(?:^|[^\\])\|`).FindAllString(line, -1))
		switch {
		case !strings.HasPrefix(line, "|"):
			cells = 0
		case cells == 0:
			cells = found
		case found != cells:
			t.Errorf("a row is divided in another way than those above it: %s", line)
		}
	}
}

// outsideCode is a Markdown text without its code, where nothing is markup.
func outsideCode(text string) string {
	var b strings.Builder
	run := regexp.MustCompile("`+")
	for {
		open := run.FindStringIndex(text)
		if open == nil {
			return b.String() + text
		}
		fence, rest := text[open[0]:open[1]], text[open[1]:]
		b.WriteString(text[:open[0]])
		text = rest
		if strings.HasSuffix(b.String(), "\\") {
			continue
		}
		for at := 0; ; {
			end := run.FindStringIndex(rest[at:])
			if end == nil {
				break
			}
			if end[1]-end[0] == len(fence) {
				text = rest[at+end[1]:]
				break
			}
			at += end[1]
		}
	}
}

func TestMarkdownOfAnyText(t *testing.T) {
	for _, c := range []struct{ what, got, want string }{
		{"code", code("a`b"), "``a`b``"},
		{"code at its ends", code("`a`"), "`` `a` ``"},
		{"code on several lines", code("a\n# b"), "`a # b`"},
		{"plain", plain("a_b *c* <d> [e](f) `g` _h_"), "a_b \\*c\\* \\<d\\> \\[e\\](f) \\`g\\` \\_h\\_"},
		{"prose", prose("run `a | b` <now>"), "run `a | b` \\<now\\>"},
		{"prose with a stray backtick", prose("a ` b"), "a \\` b"},
		{"row", row("a|b", "`c|d`"), "| a\\|b | `c\\|d` |\n"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, not %s", c.what, c.got, c.want)
		}
	}
}

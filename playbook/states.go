package playbook

import (
	"fmt"
	"html"
	"math"
	"strings"

	strangler "github.com/strangler-fig/strangler"
)

// edge is a way from one state of a run to another.
type edge struct {
	from, to strangler.RunState // from is empty where the run begins
	by       string             // what takes it
	bend     float64            // of its line in the picture, in pixels to the left of the way
	label    float64            // how far along the line its words stand
}

// edges are all the ways there are. docs/PLAYBOOK.md shows them, and the tests walk each and take no other.
var edges = []edge{
	{"", strangler.RunRunning, "run", 0, 0.5},
	{"", strangler.RunUndoing, "rollback", 0, 0.5},
	{strangler.RunRunning, strangler.RunWaiting, "a gate is not met", 26, 0.5},
	{strangler.RunWaiting, strangler.RunRunning, "met, approved, accepted", 26, 0.5},
	{strangler.RunRunning, strangler.RunDone, "the last step is done", 56, 0.5},
	{strangler.RunWaiting, strangler.RunDone, "the last step is done", 0, 0.5},
	{strangler.RunRunning, strangler.RunFailed, "error, refusal", 0, 0.2},
	{strangler.RunWaiting, strangler.RunFailed, "error, refusal", 0, 0.5},
	{strangler.RunUndoing, strangler.RunRolledBack, "all is undone", 0, 0.5},
	{strangler.RunUndoing, strangler.RunFailed, "error, refusal", 26, 0.6},
	{strangler.RunRunning, strangler.RunPaused, "pause", 22, 0.5},
	{strangler.RunWaiting, strangler.RunPaused, "pause", 0, 0.25},
	{strangler.RunUndoing, strangler.RunPaused, "pause", 22, 0.5},
	{strangler.RunPaused, strangler.RunRunning, "continue, run", 22, 0.5},
	{strangler.RunPaused, strangler.RunUndoing, "continue, rollback", 22, 0.3},
	{strangler.RunFailed, strangler.RunRunning, "run, retry, skip, accept", 40, 0.6},
	{strangler.RunFailed, strangler.RunUndoing, "rollback, skip", 26, 0.5},
	{strangler.RunRunning, strangler.RunUndoing, "rollback", 0, 0.5},
	{strangler.RunWaiting, strangler.RunUndoing, "rollback", 0, 0.5},
	{strangler.RunDone, strangler.RunUndoing, "rollback, before complete", 0, 0.5},
	{strangler.RunAborted, strangler.RunUndoing, "rollback", 0, 0.5},
	{strangler.RunRolledBack, strangler.RunUndoing, "rollback, further", 30, 0.5},
	{strangler.RunRunning, strangler.RunAborted, "abort", 0, 0.5},
	{strangler.RunWaiting, strangler.RunAborted, "abort", 0, 0.5},
	{strangler.RunUndoing, strangler.RunAborted, "abort", 0, 0.5},
	{strangler.RunPaused, strangler.RunAborted, "abort", 0, 0.5},
	{strangler.RunFailed, strangler.RunAborted, "abort", 0, 0.5},
}

// places are where the states stand in the picture.
var places = map[strangler.RunState][2]float64{
	"":                      {70, 330},
	strangler.RunRunning:    {330, 120},
	strangler.RunWaiting:    {700, 120},
	strangler.RunDone:       {1060, 120},
	strangler.RunPaused:     {330, 330},
	strangler.RunFailed:     {700, 330},
	strangler.RunUndoing:    {330, 540},
	strangler.RunRolledBack: {700, 540},
	strangler.RunAborted:    {1060, 330},
}

// StateDiagram is docs/STATES.svg: the states of a run and what leads from one to another. Ways that most states have, abort and
// rollback, are told by a word in the state's box, so that the others can be followed.
func StateDiagram() string {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1180 640" role="img" aria-label="The states of a run" font-family="system-ui, sans-serif" font-size="13">
<style>:root{--ink:#1d2620;--soft:#5c6a60;--card:#fff;--line:#8a978d;--leaf:#2f7d4f}@media(prefers-color-scheme:dark){:root{--ink:#e6ebe4;--soft:#9aa79d;--card:#1b221d;--line:#6d7a70;--leaf:#7cc996}}
text{fill:var(--ink)}.by{fill:var(--soft);font-size:12px;paint-order:stroke;stroke:var(--card);stroke-width:5px;stroke-linejoin:round}.box{fill:var(--card);stroke:var(--line);stroke-width:1.5}.end{stroke:var(--leaf);stroke-width:2.5}.way{fill:none;stroke:var(--line);stroke-width:1.4;marker-end:url(#tip)}#tip path{fill:var(--line)}</style>
<rect x="0" y="0" width="1180" height="640" fill="var(--card)"/><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>
`)
	words := map[strangler.RunState][]string{}
	for _, e := range edges {
		if word := inBox(e); word != "" {
			words[e.from] = append(words[e.from], word)
			continue
		}
		drawEdge(&b, e)
	}
	for _, s := range []strangler.RunState{strangler.RunRunning, strangler.RunWaiting, strangler.RunDone, strangler.RunPaused, strangler.RunFailed,
		strangler.RunUndoing, strangler.RunRolledBack, strangler.RunAborted} {
		at, class := places[s], "box"
		if s == strangler.RunDone || s == strangler.RunRolledBack || s == strangler.RunAborted {
			class = "box end"
		}
		fmt.Fprintf(&b, `<rect class="%s" x="%g" y="%g" width="164" height="60" rx="10"/><text x="%g" y="%g" text-anchor="middle" font-weight="600" font-size="15">%s</text>`+"\n",
			class, at[0]-82, at[1]-30, at[0], at[1]-4, s)
		fmt.Fprintf(&b, `<text class="by" x="%g" y="%g" text-anchor="middle">%s</text>`+"\n", at[0], at[1]+16, html.EscapeString(strings.Join(words[s], " · ")))
	}
	at := places[""]
	fmt.Fprintf(&b, `<circle cx="%g" cy="%g" r="9" fill="var(--leaf)"/>`+"\n", at[0], at[1])
	b.WriteString(`<text class="by" x="590" y="622" text-anchor="middle">→ undoing: rollback turns the run back from there · → aborted: abort ends it where it stands</text>` + "\n</svg>\n")
	return b.String()
}

// inBox is the word in a state's box that stands for a way; empty: the way is drawn.
func inBox(e edge) string {
	switch {
	case e.from == "":
		return ""
	case e.to == strangler.RunAborted:
		return "→ aborted"
	case e.to == strangler.RunUndoing && e.from != strangler.RunPaused && e.from != strangler.RunFailed:
		return "→ undoing"
	}
	return ""
}

// drawEdge draws a way as a curve from box to box, with what takes it beside its middle.
func drawEdge(b *strings.Builder, e edge) {
	p, q := places[e.from], places[e.to]
	dx, dy := q[0]-p[0], q[1]-p[1]
	length := math.Hypot(dx, dy)
	nx, ny := dy/length, -dx/length // to the left, as one goes
	mx, my := (p[0]+q[0])/2+nx*e.bend*2, (p[1]+q[1])/2+ny*e.bend*2
	start := edgeOf(p, [2]float64{mx, my}, e.from == "")
	end := edgeOf(q, [2]float64{mx, my}, false)
	fmt.Fprintf(b, `<path class="way" d="M%.0f %.0fQ%.0f %.0f %.0f %.0f"/>`, start[0], start[1], mx, my, end[0], end[1])
	u := 1 - e.label
	tx, ty := u*u*start[0]+2*u*e.label*mx+e.label*e.label*end[0], u*u*start[1]+2*u*e.label*my+e.label*e.label*end[1]
	anchor, lift := "middle", 4.0
	if math.Abs(dy) < math.Abs(dx)/8 { // level: above the line
		lift = -6
	}
	if math.Abs(dx) < math.Abs(dy)/2 { // upright: the words stand beside it
		anchor = "start"
		if tx += 8; nx < 0 || e.bend < 0 {
			anchor, tx = "end", tx-16
		}
	}
	fmt.Fprintf(b, `<text class="by" x="%.0f" y="%.0f" text-anchor="%s">%s</text>`+"\n", tx, ty+lift, anchor, html.EscapeString(e.by))
}

// edgeOf is where a line from the middle of a box towards a point leaves the box.
func edgeOf(box, towards [2]float64, dot bool) [2]float64 {
	w, h := 85.0, 33.0
	if dot {
		w, h = 11, 11
	}
	dx, dy := towards[0]-box[0], towards[1]-box[1]
	f := math.Min(w/math.Max(math.Abs(dx), 1e-9), h/math.Max(math.Abs(dy), 1e-9))
	return [2]float64{box[0] + dx*f, box[1] + dy*f}
}

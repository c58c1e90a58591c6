package playbook

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// rows of the way, by how high they are.
const (
	gateRow    = 28
	stationRow = 38
	lastRow    = 46 // the point of no return
)

// drawWay draws the steps as a line from top to bottom, with what stands across it, and beside it how far back each rollback goes.
func drawWay(p Plan, width int) template.HTML {
	d := &drawing{id: fmt.Sprintf("way-%d", width), width: width, title: "The way of " + p.Capability, desc: p.wayInWords()}
	const x = 22
	tops, y, end := map[string]int{}, 8, 0
	lanes := width - 66
	if width == wide {
		lanes = width - 340
	}
	room := lanes - x - 34
	stop := func(g Gate) {
		d.path("gate", "M%d %dh26M%d %dv12M%d %dv12", x-13, y+gateRow/2, x-13, y+gateRow/2-6, x+13, y+gateRow/2-6)
		d.icon(x+28, y+gateRow/2, g.For)
		y = d.paragraph(x+42, y+gateRow/2+4, "soft", g.Words, room-18, 66) + gateRow/2 - 20
	}
	var inner strings.Builder // the line goes beneath what stands on it
	for _, s := range p.Steps {
		tops[s.Name] = y
		for _, g := range s.Gates {
			if g.Before {
				stop(g)
			}
		}
		if s.Final {
			end = y
			d.box(0, y+10, width, 24, 0, "danger")
			d.line(0, y+10, width, y+10, "edge")
			d.line(0, y+34, width, y+34, "edge")
			d.text(width/2+x, y+27, "alarm middle", lastWords(width))
			y += lastRow
		}
		drawStation(d, s, x, y+stationRow/2, room)
		y += stationRow
		for _, g := range s.Gates {
			if !g.Before {
				stop(g)
			}
		}
	}
	inner.WriteString(d.b.String())
	d.b.Reset()
	d.line(x, 12, x, y-stationRow/2, "rail")
	d.b.WriteString(inner.String())
	drawReaches(d, p, tops, lanes, end)
	d.height = y + 4
	return d.svg()
}

// drawStation draws a step on the line.
func drawStation(d *drawing, s PlannedStep, x, y, room int) {
	class, note := "station", ""
	switch {
	case s.Skipped:
		class, note = "passed", "passed over"
	case s.Final:
		class = "final"
	case s.Kind != "":
		class, note = "own", "yours: "+s.Kind
	}
	d.circle(x, y, 11, class)
	d.text(x, y+4, "number middle", fmt.Sprint(s.Number))
	fmt.Fprintf(&d.b, `<text x="%d" y="%d" class="name"><title>%s</title>%s <tspan class="soft">%s</tspan></text>`+"\n", x+22, y+5,
		template.HTMLEscapeString(s.Name), template.HTMLEscapeString(cut(s.Name, (room*10-len(note)*70)/98)), template.HTMLEscapeString(note))
}

func lastWords(width int) string {
	if width == wide {
		return "POINT OF NO RETURN: from here there is no way back"
	}
	return "POINT OF NO RETURN"
}

// drawReaches draws each rollback as an arrow from the last step that can be taken back up to the first one that it takes back.
func drawReaches(d *drawing, p Plan, tops map[string]int, x, end int) {
	reaches := p.Reaches()
	for i, r := range reaches {
		top, ok := tops[r.Step]
		if !ok {
			continue
		}
		gap, label := 14, "rollback"
		if r.Step != Cutover {
			label = "rollback --to " + r.Step
		}
		if d.width != wide {
			gap = 20
		}
		at := x + 10 + (len(reaches)-1-i)*gap
		top += 8
		d.line(at, top+6, at, end-2, "back")
		d.line(at-5, end-2, at+5, end-2, "back")
		d.head(at, top, 0, "tip")
		if d.width == wide {
			d.text(at+12, top+9, "code", label)
			d.paragraph(at+12, top+26, "soft", r.Then, d.width-at-12, 66)
		} else {
			fmt.Fprintf(&d.b, `<text x="%[1]d" y="%[2]d" transform="rotate(-90 %[1]d %[2]d)" class="code">%[3]s</text>`+"\n", at-5, end-10, label)
		}
	}
}

// wayInWords is the picture for those who do not see it.
func (p Plan) wayInWords() string {
	parts := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		parts[i] = fmt.Sprintf("%d. %s", s.Number, s.Name)
		if s.Skipped {
			parts[i] += ", passed over"
		}
		if s.Final {
			parts[i] += ", the point of no return"
		}
		for j, g := range s.Gates {
			word := "; waits for: "
			if j > 0 {
				word = ", "
			}
			parts[i] += word + g.Words
		}
	}
	for _, r := range slices.Backward(p.Reaches()) {
		parts = append(parts, r.Command+" goes back to before "+r.Step)
	}
	return strings.Join(parts, ". ") + "."
}

package playbook

import (
	"fmt"
	"html/template"
	"strings"
)

// drawTables draws what goes from one database to the other, and how: tables, keys that are cut, touches and their seams.
func drawTables(p Plan, width int) template.HTML {
	d := &drawing{id: fmt.Sprintf("tables-%d", width), width: width, title: "The tables of " + p.Capability, desc: p.tablesInWords()}
	t := &tableDrawing{drawing: d, column: 144, glyph: 79, names: "name small", y: 16}
	if width == wide {
		t.column, t.glyph, t.names = 230, 88, "name"
	}
	d.text(0, t.y, "label", "the monolith's")
	d.text(width, t.y, "label end", "the service's")
	t.y += 14
	for i := 0; i < len(p.Tables); {
		n := 1
		for i+n < len(p.Tables) && p.Tables[i+n].From == p.Tables[i].From {
			n++
		}
		t.table(p.Tables[i : i+n])
		i += n
	}
	if len(p.Keys) > 0 {
		t.heading("Foreign keys that cross, and are cut")
		for _, k := range p.Keys {
			t.key(k)
		}
	}
	if len(p.Touches) > 0 {
		t.heading("Touches: they stay, and write these tables")
		for _, touch := range p.Touches {
			t.touch(touch)
		}
	}
	d.height = t.y
	return d.svg()
}

type tableDrawing struct {
	*drawing
	column int    // how wide a table is
	names  string // how names look
	glyph  int    // how wide their characters are, in tenths
	y      int
}

const boxHeight = 34

func (t *tableDrawing) heading(s string) {
	t.y += 14
	t.line(0, t.y-8, t.width, t.y-8, "grid")
	t.text(0, t.y+12, "label", s)
	t.y += 36
}

// table draws one table of the monolith's and the one or more that its rows go to.
func (t *tableDrawing) table(to []PlanTable) {
	from, far, top := to[0], t.width-t.column, t.y
	t.box(0, top, t.column, boxHeight, 6, "table")
	if from.someRows {
		t.box(1, top+boxHeight-9, t.column-2, 8, 3, "stays")
	}
	if from.someColumns {
		t.box(t.column-15, top+1, 14, boxHeight-2, 3, "stays")
	}
	t.fitted(10, top+21, t.names, from.From, t.column-24, t.glyph)
	for i, piece := range to {
		name := piece.To
		if name == "" {
			name = piece.From
		}
		y := top + i*(boxHeight+8)
		middle := y + boxHeight/2
		t.box(far, y, t.column, boxHeight, 6, "there")
		t.fitted(far+10, y+21, t.names, name, t.column-16, t.glyph)
		t.path("flow", "M%d %dC%d %d %d %d %d %d", t.column+2, top+boxHeight/2-4, t.column+26, top+boxHeight/2-4, far-30, middle-4, far-9, middle-4)
		t.head(far-1, middle-4, 1, "flowtip")
		if piece.OneWay {
			t.path("cut", "M%d %dl8 8m0 -8l-8 8", t.column+8, top+boxHeight/2+4)
			t.line(t.column+22, middle+8, far-4, middle+8, "cutline")
		} else {
			t.path("follow", "M%d %dC%d %d %d %d %d %d", t.column+10, top+boxHeight/2+7, t.column+30, top+boxHeight/2+7, far-26, middle+7, far-2, middle+7)
			t.head(t.column+2, top+boxHeight/2+7, -1, "flowtip")
		}
	}
	t.y = top + len(to)*(boxHeight+8) + 8
	for _, piece := range to {
		if len(to) > 1 {
			t.words(fmt.Sprintf("%s: %s", piece.To, strings.Join(piece.Words, "; ")), len(piece.Words) > 0)
		} else {
			t.words(strings.Join(piece.Words, "; "), len(piece.Words) > 0)
		}
	}
	t.y += 6
}

func (t *tableDrawing) words(s string, are bool) {
	if are {
		t.y = t.paragraph(10, t.y+6, "soft", s, t.width-10, 66)
	}
}

func (t *tableDrawing) key(k PlanKey) {
	t.fitted(0, t.y+4, "code", k.Name, t.width-118, 75)
	x := t.width - 108
	t.line(x, t.y, x+14, t.y, "flow")
	t.path("cut", "M%d %dl5 -10M%d %dl5 -10", x+15, t.y+5, x+21, t.y+5)
	t.line(x+27, t.y, x+40, t.y, "flow")
	t.text(x+48, t.y+4, "label", string(k.OnDelete))
	t.y = t.paragraph(10, t.y+22, "soft", k.Words, t.width-10, 66) + 6
}

func (t *tableDrawing) touch(touch PlanTouch) {
	far, word, class := t.width-t.column, "the service", "there"
	switch {
	case touch.Seam:
	case touch.Fails:
		word, class = "fails", "refused"
	default:
		word, class = "refused", "refused"
	}
	t.box(0, t.y, t.column, boxHeight, 6, "route")
	t.fitted(10, t.y+21, "code", touch.Route, t.column-16, 75)
	middle := t.y + boxHeight/2
	t.box(far, t.y, t.column, boxHeight, 6, class)
	t.fitted(far+10, t.y+21, t.names, word, t.column-16, t.glyph)
	if touch.Seam {
		between := (t.column + far) / 2
		t.line(t.column+2, middle, between-8, middle, "flow")
		t.path("seam", "M%d %dv20M%d %dv20M%d %dh4M%d %dh4M%d %dh4",
			between-4, middle-10, between+4, middle-10, between-2, middle-6, between-2, middle, between-2, middle+6)
		t.line(between+8, middle, far-9, middle, "flow")
		t.head(far-1, middle, 1, "flowtip")
	} else {
		t.line(t.column+2, middle, far-24, middle, "cutline")
		t.path("cut", "M%d %dl10 10m0 -10l-10 10", far-18, middle-5)
	}
	after := touch.After()
	if len([]rune(touch.Route)) > (t.column-16)*10/75 {
		after = touch.Route + " " + after
	}
	t.y = t.paragraph(10, t.y+boxHeight+16, "soft", after, t.width-10, 66) + 4
}

// tablesInWords is the picture for those who do not see it.
func (p Plan) tablesInWords() string {
	var parts []string
	for _, t := range p.Tables {
		s := t.From
		if t.renamed() {
			s += " goes to " + t.To
		}
		parts = append(parts, s+t.How())
	}
	for _, k := range p.Keys {
		parts = append(parts, fmt.Sprintf("foreign key %s is cut, on delete %s: %s", k.Name, k.OnDelete, k.Words))
	}
	for _, t := range p.Touches {
		parts = append(parts, fmt.Sprintf("touch %s: stays in the monolith and writes these tables, %s", t.Route, t.After()))
	}
	return strings.Join(parts, ". ") + "."
}

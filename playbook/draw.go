package playbook

import (
	"fmt"
	"html/template"
	"strings"
)

// drawing is an SVG picture that stands in a page and takes its colours from there. Texts of it are escaped; what they take in
// width is estimated, so they are cut or wrapped to be sure.
type drawing struct {
	id            string // its own in the page
	title, desc   string // what those hear who do not see it
	width, height int
	b             strings.Builder
}

const (
	wide   = 760 // units, which are pixels where there is room
	narrow = 340 // for a telephone
)

// svg ends the drawing.
func (d *drawing) svg() template.HTML {
	esc := template.HTMLEscapeString
	return template.HTML(fmt.Sprintf(`<svg role="img" aria-labelledby="%[1]s-t %[1]s-d" viewBox="-2 -2 %[2]d %[3]d" width="%[2]d" height="%[3]d">`+
		"<title id=\"%[1]s-t\">%[4]s</title><desc id=\"%[1]s-d\">%[5]s</desc>\n%[6]s</svg>",
		d.id, d.width+4, d.height+4, esc(d.title), esc(d.desc), d.b.String()))
}

// text writes at the baseline y. class says how it looks; "middle" and "end" say to which side of x it goes.
func (d *drawing) text(x, y int, class, s string) {
	fmt.Fprintf(&d.b, `<text x="%d" y="%d" class="%s">%s</text>`+"\n", x, y, class, template.HTMLEscapeString(s))
}

// fitted writes what fits into a width, with the whole of it as its tooltip where that is not all.
func (d *drawing) fitted(x, y int, class, s string, width, glyph int) {
	short := cut(s, width*10/glyph)
	if short == s {
		d.text(x, y, class, s)
		return
	}
	fmt.Fprintf(&d.b, `<text x="%d" y="%d" class="%s"><title>%s</title>%s</text>`+"\n", x, y, class,
		template.HTMLEscapeString(s), template.HTMLEscapeString(short))
}

// paragraph writes lines of a width, 16 apart, and returns the baseline behind the last.
func (d *drawing) paragraph(x, y int, class, s string, width, glyph int) int {
	for _, line := range wrap(s, width*10/glyph) {
		d.text(x, y, class, line)
		y += 16
	}
	return y
}

func (d *drawing) line(x1, y1, x2, y2 int, class string) {
	fmt.Fprintf(&d.b, `<line x1="%d" y1="%d" x2="%d" y2="%d" class="%s"/>`+"\n", x1, y1, x2, y2, class)
}

func (d *drawing) box(x, y, w, h, round int, class string) {
	fmt.Fprintf(&d.b, `<rect x="%d" y="%d" width="%d" height="%d" rx="%d" class="%s"/>`+"\n", x, y, w, h, round, class)
}

func (d *drawing) circle(x, y, r int, class string) {
	fmt.Fprintf(&d.b, `<circle cx="%d" cy="%d" r="%d" class="%s"/>`+"\n", x, y, r, class)
}

// path takes SVG's own words, with numbers put in for its verbs.
func (d *drawing) path(class, format string, args ...any) {
	fmt.Fprintf(&d.b, `<path d="%s" class="%s"/>`+"\n", fmt.Sprintf(format, args...), class)
}

// head is the tip of an arrow that points right (1), left (-1), or up (0).
func (d *drawing) head(x, y, way int, class string) {
	if way == 0 {
		d.path(class, "M%d %dl-5 9h10z", x, y)
		return
	}
	d.path(class, "M%d %dl%d -5v10z", x, y, -9*way)
}

// icon draws what a gate waits for, around a middle.
func (d *drawing) icon(x, y int, what string) {
	switch what {
	case ForPerson:
		d.circle(x, y-3, 3, "ink")
		d.path("ink", "M%d %da5.500 5.500 0 0 1 11 0z", x-5, y+6)
	case ForTime:
		d.circle(x, y, 6, "icon")
		d.path("icon", "M%d %dv-4M%d %dh3", x, y, x, y)
	case ForRequests:
		d.path("icon", "M%d %dv-3M%d %dv-7M%d %dv-11", x-5, y+5, x, y+5, x+5, y+5)
	case ForLag:
		d.path("icon", "M%d %dq3 -4 6 0t6 0M%d %dq3 -4 6 0t6 0", x-6, y-2, x-6, y+4)
	case ForRows:
		d.path("icon", "M%d %dh12M%d %dh12M%d %dh12", x-6, y-4, x-6, y, x-6, y+4)
	default:
		d.path("icon", "M%d %dl4 4l7 -9", x-5, y+1)
	}
}

// cut keeps a text to a number of characters.
func cut(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:max(most-1, 1)]) + "…"
}

// wrap breaks a text at its spaces, and within a word where that is longer than a line.
func wrap(s string, most int) (lines []string) {
	line := []rune{}
	for _, word := range strings.Fields(s) {
		w := []rune(word)
		if len(line) > 0 && len(line)+1+len(w) > most {
			lines, line = append(lines, string(line)), nil
		}
		if len(line) > 0 {
			line = append(line, ' ')
		}
		line = append(line, w...)
		for len(line) > most {
			lines, line = append(lines, string(line[:most])), line[most:]
		}
	}
	if len(line) > 0 {
		lines = append(lines, string(line))
	}
	return lines
}

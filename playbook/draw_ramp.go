package playbook

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	strangler "github.com/strangler-fig/strangler"
)

// drawRamp draws the share of the users that the service answers: from left to right where there is room for it, and otherwise
// from top to bottom. Stretches of time are as long as the logarithm of what they last; those of unknown length are broken.
func drawRamp(p Plan, width int) template.HTML {
	d := &drawing{id: fmt.Sprintf("ramp-%d", width), width: width, title: "The ramp of " + p.Capability, desc: p.rampInWords()}
	if width == wide {
		drawRampAcross(d, p)
	} else {
		drawRampDown(d, p)
	}
	return d.svg()
}

// weight is how long a stage is drawn, as a share of the others.
func (s Stage) weight() float64 {
	if s.lasts <= 0 {
		return 5
	}
	return 4 + math.Log2(1+s.lasts.Minutes())
}

func drawRampAcross(d *drawing, p Plan) {
	const left, right, top, bottom = 46, 34, 28, 218
	longest := 0
	for _, s := range p.Ramp {
		name, long := s.labels()
		longest = max(longest, len([]rune(name+long)))
	}
	d.height = bottom + 34 + longest*4
	level := func(share strangler.Percent) int {
		return bottom - int(int64(share)*(bottom-top)/int64(strangler.Hundred))
	}
	for _, share := range []strangler.Percent{0, strangler.Hundred / 4, strangler.Hundred / 2, strangler.Hundred * 3 / 4, strangler.Hundred} {
		d.line(left, level(share), d.width-right, level(share), "grid")
		d.text(left-8, level(share)+4, "soft end", share.String())
	}
	var sum float64
	for _, s := range p.Ramp {
		sum += s.weight()
	}
	var reads, writes strings.Builder
	fmt.Fprintf(&reads, "M%d %d", left, level(0))
	fmt.Fprintf(&writes, "M%d %d", left, level(0))
	at, gone := left, 0.0
	var marks []func() // above the areas
	for i, s := range p.Ramp {
		gone += s.weight()
		to := left + int(gone/sum*float64(d.width-left-right))
		fmt.Fprintf(&reads, "V%dH%d", level(s.Reads), to)
		fmt.Fprintf(&writes, "V%dH%d", level(s.Writes), to)
		from, room := at, to-at
		marks = append(marks, func() { markStage(d, p, i, from, room, level(s.Reads), bottom) })
		at = to
	}
	d.path("area", "%sV%dz", reads.String(), bottom)
	d.path("reads", "%s", reads.String())
	if !p.Stateless {
		d.path("writes", "%s", writes.String())
	}
	for _, mark := range marks {
		mark()
	}
	d.line(left, bottom, d.width-right, bottom, "axis")
}

// markStage writes what belongs to one stage of the ramp: its break, its share, its name and how long it lasts.
func markStage(d *drawing, p Plan, i, from, room, level, bottom int) {
	s, middle := p.Ramp[i], from+room/2
	if s.Open {
		for _, x := range []int{middle - 3, middle + 3} {
			d.path("break", "M%d %dl4 -8l-8 -12l8 -12l-4 -8", x, bottom+8)
		}
	}
	switch {
	case s.Approval:
		d.icon(middle, level-12, ForPerson)
	case s.step == Shadow:
		d.path("shadow", "M%d %dh%d", from+2, bottom-10, room-4)
		d.fitted(middle, bottom-16, "soft middle", "copies", room, 62)
	case s.step == Canary:
		d.text(middle, level-7, "share middle", s.Reads.String())
	case s.step == Complete:
		d.box(from, 14, 5, bottom-14, 0, "danger")
		d.line(from, 14, from, bottom, "edge")
	}
	if i > 0 {
		d.line(from, bottom, from, bottom+5, "axis")
	}
	name, long := s.labels()
	fmt.Fprintf(&d.b, `<text x="%[1]d" y="%[2]d" transform="rotate(38 %[1]d %[2]d)" class="label">%[3]s <tspan class="soft">%[4]s</tspan></text>`+"\n",
		middle-4, bottom+17, template.HTMLEscapeString(name), long)
}

// labels are what stands below a stage.
func (s Stage) labels() (name, long string) {
	switch {
	case s.Approval && s.Name != s.step:
		return "approval", s.long()
	case s.step == Complete:
		return s.Name, ""
	}
	return cut(s.Name, 20), s.long()
}

// long is how long a stage lasts, in a word or two.
func (s Stage) long() string {
	switch {
	case s.Open:
		return "open"
	case s.step == Complete:
		return "the end"
	case s.lasts == 0:
		return "a moment"
	}
	return span(s.lasts)
}

func drawRampDown(d *drawing, p Plan) {
	const left, right = 112, 12
	full := d.width - left - right
	at := func(share strangler.Percent) int {
		return left + int(int64(share)*int64(full)/int64(strangler.Hundred))
	}
	y := 26
	for _, share := range []strangler.Percent{0, strangler.Hundred / 2, strangler.Hundred} {
		d.text(at(share), 14, "soft middle", strings.TrimSuffix(share.String(), "%"))
	}
	d.text(left+full/4, 14, "soft middle", "% there")
	first := y
	for _, s := range p.Ramp {
		h := 24 + int(s.weight()*2)
		middle := y + h/2
		name, long := s.Name, s.long()
		if asked, step, is := strings.Cut(name, " of "); is && s.Approval {
			name, long = asked, "of "+step
		}
		d.fitted(left-10, middle-2, "label end", name, left-12, 68)
		d.text(left-10, middle+12, "soft end", long)
		if s.step == Shadow {
			d.path("shadow", "M%d %dv%d", left+8, y+3, h-6)
			d.text(left+18, middle+4, "soft", "copies of requests")
		}
		d.box(left, y+2, max(at(s.Reads)-left, 1), h-4, 0, "area")
		d.line(at(s.Reads), y+2, at(s.Reads), y+h-2, "reads")
		if !p.Stateless {
			d.line(at(s.Writes), y+2, at(s.Writes), y+h-2, "writes")
		}
		switch {
		case s.Open:
			d.path("break", "M%d %dl8 -4l12 8l12 -8l8 4", left-20+full/2, middle-3)
			d.path("break", "M%d %dl8 -4l12 8l12 -8l8 4", left-20+full/2, middle+5)
			if s.Approval {
				d.icon(left+full/2+38, middle, ForPerson)
			}
		case s.step == Complete:
			d.line(0, y, d.width, y, "edge")
		}
		if s.step == Canary {
			x, class := at(s.Reads)+6, "share"
			if s.Reads > strangler.Hundred*3/4 {
				x, class = at(s.Reads)-8, "share end"
			}
			d.text(x, middle+4, class, s.Reads.String())
		}
		y += h
	}
	d.line(left, first, left, y, "axis")
	d.height = y + 8
}

// rampInWords is the picture for those who do not see it.
func (p Plan) rampInWords() string {
	parts := make([]string, len(p.Ramp))
	for i, s := range p.Ramp {
		parts[i] = fmt.Sprintf("%s, %s: the service answers %s of the reads and %s of the writes", s.Name, s.Words, s.Reads, s.Writes)
		if p.Stateless {
			parts[i] = fmt.Sprintf("%s, %s: the service answers %s of the requests", s.Name, s.Words, s.Reads)
		}
	}
	return strings.Join(parts, ". ") + "."
}

package playbook

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	strangler "github.com/strangler-fig/strangler"
)

// Plan is the playbook as one capability will run it.
type Plan struct {
	Capability string        `json:"capability"`
	Stateless  bool          `json:"stateless"`
	Legacy     string        `json:"legacy"`  // base URL
	Service    string        `json:"service"` // base URL
	Routes     []string      `json:"routes"`
	Touches    []PlanTouch   `json:"touches"`
	Tables     []PlanTable   `json:"tables"`
	Keys       []PlanKey     `json:"foreign_keys"` // of which on_delete says something
	Steps      []PlannedStep `json:"steps"`
	Ramp       []Stage       `json:"ramp"` // what share of the users the service answers, in the order of time

	guard strangler.Guard
}

// PlanTouch is a route that stays in the monolith and writes the capability's tables.
type PlanTouch struct {
	Route string `json:"route"`
	Seam  bool   `json:"seam"`
	Fails bool   `json:"fails"` // declared to fail once the service owns
}

// PlanTable is a table that moves. One whose rows go to several tables of the service's is there once for each.
type PlanTable struct {
	From   string   `json:"from"`
	To     string   `json:"to"`
	Words  []string `json:"mapping"` // how it goes, a phrase each
	OneWay bool     `json:"one_way"` // a rollback loses what the service has written there

	someRows, someColumns bool // not all of them go
}

// PlanKey is a foreign key that crosses the cut.
type PlanKey struct {
	Name     string           `json:"name"` // as in "orders(courier_id)"
	OnDelete strangler.Delete `json:"on_delete"`
	Words    string           `json:"does"`
}

// PlannedStep is a step with this capability's name and settings in it.
type PlannedStep struct {
	Description
	Number   int    `json:"number"`   // from 1
	Settings string `json:"settings"` // "1%, 10%, 50%, 100%", "14d"; empty for most
	Approval bool   `json:"approval"` // it waits for a person
	Skipped  bool   `json:"skipped"`  // nothing to do, the capability has no tables
	Gates    []Gate `json:"gates"`    // what it waits for, in the order of its waiting
}

// Show says how the playbook goes for a capability. It reads the capability's settings only.
func Show(c strangler.Capability) Plan {
	p := Plan{Capability: c.Name, Stateless: c.Stateless(), Legacy: c.Legacy.String(), Service: c.Service.String(), guard: c.Guard}
	for _, r := range c.Routes {
		p.Routes = append(p.Routes, r.String())
	}
	for _, t := range c.Touches {
		p.Touches = append(p.Touches, PlanTouch{t.Route.String(), t.Seam, t.Fails})
	}
	for _, t := range c.Tables {
		pieces := t.Pieces
		if pieces == nil {
			pieces = []strangler.Table{t}
		}
		for _, piece := range pieces {
			p.Tables = append(p.Tables, PlanTable{piece.From, piece.To, append([]string{}, piece.Words()...), piece.OneWay, t.Where != "", len(t.Drop) > 0})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.OnDelete)) {
		p.Keys = append(p.Keys, PlanKey{name, c.OnDelete[name], c.OnDelete[name].Words()})
	}
	for i, d := range StepsOf(c) {
		step := PlannedStep{Description: worded(d, c), Number: i + 1, Skipped: d.NeedsTables && c.Stateless(), Gates: []Gate{}}
		if !step.Skipped {
			step.Settings, step.Gates = settings(c, d.Name), gates(c, d.Name)
			step.Approval = slices.ContainsFunc(step.Gates, func(g Gate) bool { return g.For == ForPerson })
		}
		p.Steps = append(p.Steps, step)
	}
	p.Ramp = ramp(c)
	return p
}

var placeholder = regexp.MustCompile(`\bCAP\b`)

// named puts the capability's name where the description says CAP.
func named(d Description, capability string) Description {
	d.Back, d.ByHand, d.Commands = inProse(d.Back, capability), slices.Clone(d.ByHand), slices.Clone(d.Commands)
	for i, s := range d.ByHand {
		d.ByHand[i] = inProse(s, capability)
	}
	for i, s := range d.Commands {
		d.Commands[i] = placeholder.ReplaceAllLiteralString(s, capability)
	}
	return d
}

// inProse is put into texts whose code stands in backticks, so the name has none there.
func inProse(text, capability string) string {
	return placeholder.ReplaceAllLiteralString(text, strings.ReplaceAll(capability, "`", "'"))
}

// settings are a step's own of a capability, as a phrase; empty where it has none.
func settings(c strangler.Capability, name string) (s string) {
	switch name {
	case Shadow:
		if c.Playbook.Shadow > 0 {
			s = "at least " + span(c.Playbook.Shadow)
		}
	case Canary:
		s = joinPercents(c.Playbook.Canary)
		if c.Playbook.Hold > 0 {
			s += ", each for " + span(c.Playbook.Hold)
		}
		if c.Playbook.Requests > 0 {
			s += ", each for " + requests(c.Playbook.Requests)
		}
	case Soak:
		s = span(c.Playbook.Soak)
	}
	return s
}

func joinPercents(percents []strangler.Percent) string {
	words := make([]string, len(percents))
	for i, p := range percents {
		words[i] = p.String()
	}
	return strings.Join(words, ", ")
}

// String is the plan for a terminal: one line a step.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d routes, %d tables\n", p.Capability, len(p.Routes), len(p.Tables))
	width := 0
	for _, s := range p.Steps {
		width = max(width, len(s.Name))
	}
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%2d. %-*s %s", s.Number, width, s.Name, s.Does)
		for _, mark := range s.marks() {
			fmt.Fprintf(&b, " [%s]", mark)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// marks are what stands out of a step in a line.
func (s PlannedStep) marks() []string {
	if s.Skipped {
		return []string{noTables + ", passed over"}
	}
	var marks []string
	if s.Kind != "" {
		marks = append(marks, "a step of your own: "+s.Kind)
	}
	if s.Settings != "" {
		marks = append(marks, s.Settings)
	}
	if s.Approval {
		marks = append(marks, "waits for approval")
	}
	if s.Final {
		marks = append(marks, "point of no return")
	}
	return marks
}

// Approve is the command that lets the step go on; empty where it waits for nobody.
func (s PlannedStep) Approve(capability string) string {
	if !s.Approval {
		return ""
	}
	return "strangler playbook approve " + capability + " " + s.Name
}

// renamed reports whether the table has another name at the service.
func (t PlanTable) renamed() bool { return t.To != "" && t.To != t.From }

// OneWay reports whether there is a table that goes one way.
func (p Plan) OneWay() bool {
	return slices.ContainsFunc(p.Tables, func(t PlanTable) bool { return t.OneWay })
}

// How says how the table goes, behind a colon; empty where it goes as it is.
func (t PlanTable) How() string {
	if len(t.Words) == 0 {
		return ""
	}
	return ": " + strings.Join(t.Words, "; ")
}

// After says what becomes of the touch once the service owns.
func (t PlanTouch) After() string {
	switch {
	case t.Seam:
		return "through a seam after the cutover"
	case t.Fails:
		return "and is declared to fail after the cutover"
	}
	return "without a seam: the cutover is refused until one is declared, or that it may fail"
}

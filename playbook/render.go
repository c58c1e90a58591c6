package playbook

import (
	"fmt"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// Render writes a capability's runbook as Markdown.
func Render(c strangler.Capability) string {
	p := Show(c)
	var b strings.Builder
	name := code(p.Capability)
	fmt.Fprintf(&b, "# Playbook: %s\n\n", plain(p.Capability))
	fmt.Fprintf(&b, "%s moves from %s to %s. Start it with %s; it goes on by itself, waits where it has to, and survives a restart of the daemon. %s takes it back. "+
		"Commands in the text go behind `strangler`.\n\n",
		name, orUnset(p.Legacy), orUnset(p.Service), code("strangler playbook run "+p.Capability), code("strangler playbook rollback "+p.Capability))
	renderMoves(&b, p)
	b.WriteString("## The ramp\n\n")
	renderRamp(&b, p)
	renderList(&b, "Before you begin", p.Before())
	renderList(&b, "On the day of the cutover", p.OnTheDay())
	b.WriteString("\n## The steps\n")
	renderSteps(&b, p)
	renderRest(&b, p)
	return b.String()
}

func orUnset(url string) string {
	if url == "" {
		return "(no URL)"
	}
	return plain(url)
}

func renderMoves(b *strings.Builder, p Plan) {
	b.WriteString("## What moves\n\n")
	for _, r := range p.Routes {
		fmt.Fprintf(b, "- route %s\n", code(r))
	}
	for _, t := range p.Tables {
		there := ""
		if t.renamed() {
			there = ", there " + code(t.To)
		}
		fmt.Fprintf(b, "- table %s%s%s\n", code(t.From), there, plain(t.How()))
	}
	for _, k := range p.Keys {
		fmt.Fprintf(b, "- foreign key %s, on delete %s: %s\n", code(k.Name), k.OnDelete, plain(k.Words))
	}
	for _, t := range p.Touches {
		fmt.Fprintf(b, "- touch %s: stays in the monolith and writes these tables, %s\n", code(t.Route), t.After())
	}
	if p.Stateless {
		b.WriteString("- no tables: the toggle alone moves it\n")
	}
	b.WriteString("\n")
}

func renderRamp(b *strings.Builder, p Plan) {
	if p.Stateless {
		b.WriteString("| stage | at the service | how long |\n| --- | ---: | --- |\n")
	} else {
		b.WriteString("| stage | reads at the service | writes | how long |\n| --- | ---: | ---: | --- |\n")
	}
	for _, s := range p.Ramp {
		if p.Stateless {
			b.WriteString(row(plain(s.Name), s.Reads.String(), plain(s.Words)))
		} else {
			b.WriteString(row(plain(s.Name), s.Reads.String(), s.Writes.String(), plain(s.Words)))
		}
	}
	if guard := p.Guard(); guard != "" {
		fmt.Fprintf(b, "\n%s\n", guard)
	}
}

func renderList(b *strings.Builder, heading string, list []string) {
	fmt.Fprintf(b, "\n## %s\n\n", heading)
	for _, s := range list {
		fmt.Fprintf(b, "- [ ] %s\n", prose(s))
	}
}

func renderSteps(b *strings.Builder, p Plan) {
	for _, s := range p.Steps {
		fmt.Fprintf(b, "\n### %d. %s\n\n", s.Number, plain(s.Name))
		if marks := s.marks(); len(marks) > 0 {
			fmt.Fprintf(b, "**%s**\n\n", plain(strings.Join(marks, " · ")))
		}
		if s.Skipped {
			continue
		}
		if s.Does != "" {
			fmt.Fprintf(b, "%s\n\n", prose(s.Does))
		}
		for _, line := range []struct{ name, text string }{{"Changes", s.Changes}, {"Undo", s.Undo}} {
			if line.text != "" {
				fmt.Fprintf(b, "- **%s:** %s\n", line.name, prose(line.text))
			}
		}
		if len(s.Gates) > 0 {
			words := make([]string, len(s.Gates))
			for i, g := range s.Gates {
				words[i] = plain(g.Words)
			}
			fmt.Fprintf(b, "- **Waits for:** %s\n", strings.Join(words, "; "))
		}
		for i, s := range s.ByHand {
			if i == 0 {
				b.WriteString("- **By hand:**\n")
			}
			fmt.Fprintf(b, "  - [ ] %s\n", prose(s))
		}
		if s.Back != "" {
			fmt.Fprintf(b, "- **Back from here:** %s\n", prose(s.Back))
		}
		renderCommands(b, append(s.Commands, s.Approve(p.Capability)))
	}
}

func renderCommands(b *strings.Builder, commands []string) {
	text := strings.Join(commands, "\n")
	if strings.TrimSpace(text) == "" {
		return
	}
	fence := fenceOf(text, "```")
	fmt.Fprintf(b, "\n%ssh\n", fence)
	for _, c := range commands {
		if c = strings.TrimSpace(strings.ReplaceAll(c, "\n", " ")); c != "" {
			fmt.Fprintln(b, c)
		}
	}
	fmt.Fprintln(b, fence)
}

// renderRest is what does not belong to one step: refusals, the ways back, troubles.
func renderRest(b *strings.Builder, p Plan) {
	if refusals := p.Refusals(); len(refusals) > 0 {
		b.WriteString("\n## What a cutover is refused on\n\nBefore any write is held, a cutover is refused while\n\n")
		for _, s := range refusals {
			fmt.Fprintf(b, "- %s\n", prose(s))
		}
	}
	b.WriteString("\n## How far back\n\n| command | goes back to before | and then |\n| --- | --- | --- |\n")
	for _, r := range p.Reaches() {
		b.WriteString(row(code(r.Command), r.Step, r.Then))
	}
	b.WriteString("\nBehind complete there is none.\n\n## If this happens, do that\n\n| if | then |\n| --- | --- |\n")
	for _, t := range p.Troubles() {
		b.WriteString(row(t.If, prose(t.Then)))
	}
}

// Document is docs/PLAYBOOK.md: the playbook of any capability, with the settings that are the default.
func Document() string {
	defaults := strangler.Capability{
		Name:   "CAP",
		Tables: []strangler.Table{{}},
		Guard:  strangler.Guard{MinRequests: 200, MaxErrorDelta: strangler.Hundred / 100, MaxP99Ratio: 1.5},
		Playbook: strangler.PlaybookSettings{
			Canary:  []strangler.Percent{strangler.Hundred / 100, strangler.Hundred / 10, strangler.Hundred / 2, strangler.Hundred},
			Hold:    10 * time.Minute,
			Shadow:  10 * time.Minute,
			Soak:    14 * 24 * time.Hour,
			Approve: []string{Cutover, Complete},
		},
	}
	p := Show(defaults)
	var b strings.Builder
	b.WriteString(preface)
	renderRamp(&b, p)
	renderList(&b, "Before you begin", p.Before())
	renderList(&b, "On the day of the cutover", p.OnTheDay())
	b.WriteString("\n## The steps\n")
	renderSteps(&b, p)
	renderRest(&b, p)
	return b.String()
}

const preface = `<!-- Generated from playbook/steps.go. To change it, change that file and run: go test ./playbook -run TestDocument -update -->
# The playbook

A playbook moves one capability (here: CAP) out of the monolith in eight steps. Up to the last one all
of it can be taken back without losing a write.

` + "```sh" + `
strangler playbook show CAP                # what it will do for this capability
strangler playbook run CAP                 # begin it, or go on after a failure; --until STEP stops there
strangler playbook status CAP              # where it is, what it waits for, and when it may end
strangler playbook approve CAP STEP        # let a step that waits for a person go on
strangler playbook pause CAP               # begin nothing more; strangler playbook continue CAP goes on
strangler playbook skip CAP STEP --why …   # go on without a step; retry CAP STEP does one anew
strangler playbook abort CAP               # end it where it stands; nothing is taken back
strangler playbook rollback CAP            # take the cutover back; --to STEP goes further
strangler playbook render CAP --html FILE  # the runbook with the capability's own settings, drawn
` + "```" + `

A run belongs to the daemon: closing the terminal stops nothing, and a daemon that was killed goes on when
it starts again. Before each effect the ledger says what will be done, afterwards how it ended. A step that
is resumed first looks at the toggle and at the databases, never only at the ledger: what is done already is
recognised, the rest is done again.

A gate that is not met (lag, time, traffic) waits and says what is missing. An error or a refusal ends the run
as failed, and nothing after it runs; ` + "`strangler playbook run CAP`" + ` goes on from there. A capability without tables
passes over expand, copy and verify, and its cutover sets the toggle to extracted.

A run goes by the settings that strangler.yaml had when it began. Where they have changed when the daemon starts, it waits, says
what is different, and goes on when ` + "`strangler playbook accept CAP`" + ` has said that it is meant.

![The states of a run](STATES.svg)

The settings shown are the defaults of ` + "`playbook: {canary: …, hold: …, shadow: …, soak: …, approve: …}`" + ` in strangler.yaml.
Commands in the text go behind ` + "`strangler`" + `.

## The ramp

`

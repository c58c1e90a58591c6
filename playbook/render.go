package playbook

import (
	"fmt"
	"strings"

	strangler "github.com/strangler-fig/strangler"
)

// Render writes a capability's runbook as Markdown.
func Render(c strangler.Capability) string {
	p := Show(c)
	var b strings.Builder
	name := code(p.Capability)
	fmt.Fprintf(&b, "# Playbook: %s\n\n", plain(p.Capability))
	fmt.Fprintf(&b, "%s moves from %s to %s. Start it with %s; it goes on by itself, waits where it has to, and survives a restart of the daemon. %s sends every user back to the monolith. "+
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

package playbook

import (
	_ "embed" // the page's template
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

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
}

// PlanTouch is a route that stays in the monolith and writes the capability's tables.
type PlanTouch struct {
	Route string `json:"route"`
	Seam  bool   `json:"seam"`
	Fails bool   `json:"fails"` // declared to fail once the service owns
}

// PlanTable is a table that moves.
type PlanTable struct {
	From   string   `json:"from"`
	To     string   `json:"to"`
	Words  []string `json:"mapping"` // how it goes, a phrase each
	OneWay bool     `json:"one_way"` // a rollback loses what the service has written there
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
}

// Show says how the playbook goes for a capability. It reads the capability's settings only.
func Show(c strangler.Capability) Plan {
	p := Plan{Capability: c.Name, Stateless: c.Stateless(), Legacy: c.Legacy.String(), Service: c.Service.String()}
	for _, r := range c.Routes {
		p.Routes = append(p.Routes, r.String())
	}
	for _, t := range c.Touches {
		p.Touches = append(p.Touches, PlanTouch{t.Route.String(), t.Seam, t.Fails})
	}
	for _, t := range c.AtService().Tables {
		p.Tables = append(p.Tables, PlanTable{t.From, t.To, append([]string{}, t.Words()...), t.OneWay})
	}
	for _, name := range slices.Sorted(maps.Keys(c.OnDelete)) {
		p.Keys = append(p.Keys, PlanKey{name, c.OnDelete[name], c.OnDelete[name].Words()})
	}
	for i, d := range StepsOf(c) {
		step := PlannedStep{Description: d, Number: i + 1, Skipped: d.NeedsTables && c.Stateless()}
		step.Approval = !step.Skipped && asks(c, d)
		for j, command := range d.Commands {
			step.Commands[j] = strings.ReplaceAll(command, "CAP", c.Name)
		}
		switch d.Name {
		case Shadow:
			if c.Playbook.Shadow > 0 {
				step.Settings = "at most " + span(c.Playbook.Shadow)
			}
		case Canary:
			step.Settings = joinPercents(c.Playbook.Canary)
			if c.Playbook.Hold > 0 {
				step.Settings += ", each for " + span(c.Playbook.Hold)
			}
		case Soak:
			step.Settings = span(c.Playbook.Soak)
		}
		p.Steps = append(p.Steps, step)
	}
	return p
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
	width := 9
	for _, s := range p.Steps {
		width = max(width, len(s.Name))
	}
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%d. %-*s %s", s.Number, width, s.Name, s.Does)
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
		marks = append(marks, s.Kind)
	}
	if s.Settings != "" {
		marks = append(marks, s.Settings)
	}
	switch {
	case s.Approval && len(s.Approvers) > 0:
		marks = append(marks, "waits for approval", strings.Join(s.Approvers, " or "))
	case s.Approval:
		marks = append(marks, "waits for approval")
	}
	if s.Final {
		marks = append(marks, "point of no return")
	}
	return marks
}

// Render writes a capability's playbook as Markdown.
func Render(c strangler.Capability) string {
	p := Show(c)
	var b strings.Builder
	fmt.Fprintf(&b, "# Playbook: %s\n\n", p.Capability)
	fmt.Fprintf(&b, "`%s` moves from %s to %s. Start it with `strangler playbook run %s`; it goes on by itself, waits where it has to, and survives a restart of the daemon. `strangler playbook rollback %s` takes it back.\n\n",
		p.Capability, orUnset(p.Legacy), orUnset(p.Service), p.Capability, p.Capability)
	b.WriteString("## What moves\n\n")
	for _, r := range p.Routes {
		fmt.Fprintf(&b, "- route `%s`\n", r)
	}
	for _, t := range p.Tables {
		fmt.Fprintf(&b, "- table `%s`%s%s\n", t.From, renamed(t), t.How())
	}
	for _, k := range p.Keys {
		fmt.Fprintf(&b, "- foreign key `%s`, on delete %s: %s\n", k.Name, k.OnDelete, k.Words)
	}
	for _, t := range p.Touches {
		fmt.Fprintf(&b, "- touch `%s`: stays in the monolith and writes these tables, %s\n", t.Route, t.After())
	}
	if p.Stateless {
		b.WriteString("- no tables: the toggle alone moves it\n")
	}
	b.WriteString("\n## The steps\n")
	renderSteps(&b, p)
	return b.String()
}

func orUnset(url string) string {
	if url == "" {
		return "(no URL)"
	}
	return url
}

func renamed(t PlanTable) string {
	if t.To == "" || t.To == t.From {
		return ""
	}
	return ", there `" + t.To + "`"
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

func renderSteps(b *strings.Builder, p Plan) {
	for _, s := range p.Steps {
		fmt.Fprintf(b, "\n### %d. %s\n\n", s.Number, s.Name)
		if marks := s.marks(); len(marks) > 0 {
			fmt.Fprintf(b, "**%s**\n\n", strings.Join(marks, " · "))
		}
		if s.Skipped {
			continue
		}
		fmt.Fprintf(b, "%s\n\n- **Changes:** %s\n- **Undo:** %s\n\n```sh\n", s.Does, s.Changes, s.Undo)
		for _, command := range s.Commands {
			fmt.Fprintln(b, command)
		}
		if s.Approval {
			fmt.Fprintf(b, "strangler playbook approve %s %s\n", p.Capability, s.Name)
		}
		b.WriteString("```\n")
	}
}

// Document is docs/PLAYBOOK.md: the playbook of any capability, with the settings that are the default.
func Document() string {
	defaults := strangler.Capability{
		Name:   "CAP",
		Tables: []strangler.Table{{}},
		Playbook: strangler.PlaybookSettings{
			Canary:  []strangler.Percent{strangler.Hundred / 100, strangler.Hundred / 10, strangler.Hundred / 2, strangler.Hundred},
			Hold:    10 * time.Minute,
			Shadow:  10 * time.Minute,
			Soak:    14 * 24 * time.Hour,
			Approve: []string{Cutover, Complete},
		},
	}
	var b strings.Builder
	b.WriteString(preface)
	renderSteps(&b, Show(defaults))
	b.WriteString(ownSteps)
	return b.String()
}

const preface = `<!-- Generated from playbook/steps.go. To change it, change that file and run: go test ./playbook -run TestDocument -update -->
# The playbook

A playbook moves one capability (here: CAP) out of the monolith in eight steps. Up to the last one all
of it can be taken back without losing a write.

` + "```sh" + `
strangler playbook show CAP                # what it will do for this capability
strangler playbook run CAP                 # begin it, or go on after a failure; --until STEP stops there
strangler playbook status CAP              # where it is, and what it waits for
strangler playbook approve CAP STEP        # let a step that waits for a person go on
strangler playbook rollback CAP            # take the cutover back; --to STEP goes further
strangler playbook render CAP --html FILE  # this page with the capability's own settings
` + "```" + `

A run belongs to the daemon: closing the terminal stops nothing, and a daemon that was killed goes on when
it starts again. Before each effect the ledger says what will be done, afterwards how it ended. A step that
is resumed first looks at the toggle and at the databases, never only at the ledger: what is done already is
recognised, the rest is done again.

A gate that is not met (lag, time, traffic) waits and says what is missing. An error or a refusal ends the run
as failed, and nothing after it runs; ` + "`strangler playbook run CAP`" + ` goes on from there. A capability without tables
passes over expand, copy and verify, and its cutover sets the toggle to extracted.

The settings shown are the defaults of ` + "`playbook: {canary: …, hold: …, requests: …, shadow: …, soak: …, approve: …}`" + ` in strangler.yaml. ` + "`requests: 500`" + ` has each share of a canary
wait until the service has answered so many; without traffic it waits on, since that says nothing.

## The steps
`

// ownSteps is the part of docs/PLAYBOOK.md about steps that strangler.yaml puts between the playbook's.
const ownSteps = `
## Steps of your own

Between the playbook's steps, or before the first and after the last, strangler.yaml puts steps of your own:

` + "```yaml" + `
legacy: {url: http://127.0.0.1:9000, database: "sqlite:shop.db"}
capabilities:
  delivery:
    routes:  [POST /couriers]
    service: {url: http://127.0.0.1:9001, database: "sqlite:delivery.db"}
    tables:  [couriers]
    playbook:
      requests: 500
      steps:
        - {name: warm_caches, after: verify, run: {command: [./warm.sh, --all], check: [./is-warm.sh], undo: [./cool.sh]}, timeout: 5m, retries: 2}
        - {name: service_ready, before: cutover, http: {url: "http://127.0.0.1:9001/ready", status: 200, json: {$.state: ready}}}
        - {name: no_orphans, before: cutover, sql: {side: legacy, query: "SELECT count(*) FROM orders WHERE courier_id IS NULL", answer: "0"}}
        - {name: errors_low, after: canary, prometheus: {url: "http://127.0.0.1:9090", query: "sum(rate(errors_total[5m]))", below: 0.01, for: 10m}}
        - {name: sign_off, before: complete, approve: {by: [alice, bob]}}
        - {name: night, before: cutover, wait: {for: 2h}}
        - {name: tell, after: cutover, notify: {url: "https://chat.example.com/hook", text: "delivery has moved"}}
` + "```" + `

Each has a name of its own, one of ` + "`before` and `after`" + ` with a step of the playbook's, and one kind. Several at one place come in the
order of the file. ` + "`approve: […]`" + ` of the playbook may name them too. A capability without tables passes over expand, copy and verify, not
over what stands there.

| kind | what it does | done when |
| --- | --- | --- |
| ` + "`run`" + ` | a program with its arguments, without a shell | it exits with 0, and so does ` + "`check`" + `, if there is one |
| ` + "`http`" + ` | a GET; redirects are not followed | the status (200 unless given) and the values of ` + "`json`" + ` are as said |
| ` + "`sql`" + ` | a query of one value in one side's database, where nothing can be written | the answer, as text, is as said; ` + "`NULL`" + ` for none |
| ` + "`prometheus`" + ` | a query, now or all the while of a window (` + "`for`" + `) | every sample of every series is ` + "`above` and `below`" + ` |
| ` + "`approve`" + ` | asks a person | one of ` + "`by`" + ` has approved; anybody, where that is left out |
| ` + "`wait`" + ` | lets time pass | so much has, since the step was reached |
| ` + "`notify`" + ` | a POST of ` + "`{capability, run, step, text, at}`" + ` as JSON | it is answered 2xx; it may come twice |

**Gates** are all but run and notify. One that is not met waits, and says in ` + "`playbook status`" + ` what is missing, how far it is and
what shows more. Unreachable is not met, and no sample, or one that is no number, is inconclusive: it waits on and fails nothing. What
http, sql and prometheus gates right before the cutover have found grows old while the cutover waits for its approval, so they are
asked once more when it begins.

**Programs** get PATH, HOME, LANG, TMPDIR and the variables that ` + "`env: [NAME]`" + ` names from the daemon's environment, and STRANGLER_CAPABILITY,
STRANGLER_RUN, STRANGLER_STEP, STRANGLER_DIRECTION (forward or back) and STRANGLER_TRY. They stand in a process group of their own in
strangler.yaml's folder, read nothing, and the last 4 KiB of what they print are kept with the step. At ` + "`timeout`" + ` (10m unless given) the
group gets SIGTERM, after 5 seconds SIGKILL. A program that fails is run again ` + "`retries`" + ` times (0 unless given; notify: 2), then the run fails.

**Who may approve** is compared with the name that the command line gives: USER@host, of which ` + "`alice`" + ` is alice on any host. It keeps people
from mistakes; what keeps others out is the admin API's token.

Whether a program did its work that was cut off, because its daemon ended or was killed, nobody knows: ` + "`check`" + ` is asked if there is one.
Otherwise the run fails and leaves it to a person, unless ` + "`retries`" + ` say that running it again does no harm. ` + "`undo`" + ` is run by a rollback
when the step was begun, however far it came; it has to bear being run twice, and on what was done by half. Nothing after complete has one.
`

//go:embed page.gohtml
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"marks":   PlannedStep.marks,
	"renamed": func(t PlanTable) bool { return t.To != "" && t.To != t.From },
}).Parse(pageSource))

// RenderHTML writes a capability's playbook as one page that needs nothing from anywhere else.
func RenderHTML(c strangler.Capability) (string, error) {
	var b strings.Builder
	if err := page.Execute(&b, Show(c)); err != nil {
		return "", fmt.Errorf("rendering the playbook of %s: %w", c.Name, err)
	}
	return b.String(), nil
}

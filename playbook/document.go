package playbook

import (
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// Document is docs/PLAYBOOK.md: the playbook of any capability, with the settings that are the default.
func Document() string {
	defaults := strangler.Capability{
		Name:   "CAP",
		Routes: []strangler.Route{{}},
		Tables: []strangler.Table{{}},
		Shadow: strangler.Shadow{Sample: strangler.Hundred / 10},
		Guard:  strangler.Guard{MinRequests: 200, MaxErrorDelta: strangler.Hundred / 100, MaxP99Ratio: 1.5},
		Playbook: strangler.PlaybookSettings{
			Canary:  []strangler.Percent{strangler.Hundred / 100, strangler.Hundred / 10, strangler.Hundred / 2, strangler.Hundred},
			Hold:    10 * time.Minute,
			Shadow:  10 * time.Minute,
			Soak:    14 * 24 * time.Hour,
			Approve: []string{Cutover, Complete},

			Requests: 1,
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
strangler playbook status CAP              # where it is, what it waits for, and when it may end
strangler playbook approve CAP STEP        # let a step that waits for a person go on
strangler playbook pause CAP               # begin nothing more; strangler playbook continue CAP goes on
strangler playbook skip CAP STEP --why …   # go on without a step; retry CAP STEP does one anew
strangler playbook abort CAP               # end it where it stands; nothing is taken back
strangler playbook rollback CAP            # every user is the monolith's again; --to STEP goes further
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

The settings shown are the defaults of ` + "`playbook: {canary: …, hold: …, requests: …, shadow: …, soak: …, approve: …}`" + ` in strangler.yaml. ` + "`requests: 500`" + ` has the shadow, and each share
of a canary, wait until the service has answered so many, 1 unless given: without traffic the run waits on, since that says nothing. ` + "`requests: 0`" + `
has time alone decide, as it does where none of a capability's requests is shadowed or goes to the service before the cutover.
` + "`approve: [cutover]`" + ` names the steps that wait for a person. Where complete drops tables it always waits for one, named or not: only ` + "`approve: []`" + ` asks nobody,
and ` + "`check`" + ` warns of it.
Commands in the text go behind ` + "`strangler`" + `.

## The ramp

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
| ` + "`prometheus`" + ` | a query, now or all the while of a window (` + "`for`" + `) | every sample of every series is ` + "`above` and `below`" + `; each series reaches over the whole window, of whose 60 samples (one a second at most) three in a row may be missing |
| ` + "`approve`" + ` | asks a person | one of ` + "`by`" + ` has approved; anybody, where that is left out |
| ` + "`wait`" + ` | lets time pass | so much has, since the step was reached |
| ` + "`notify`" + ` | a POST of ` + "`{capability, run, step, text, at}`" + ` as JSON | it is answered 2xx; it may come twice |

**Gates** are all but run and notify. One that is not met waits, and says in ` + "`playbook status`" + ` what is missing, how far it is and
what shows more. Unreachable is not met, and no sample, or one that is no number, is inconclusive: it waits on and fails nothing. What
http, sql and prometheus gates right before a step of the playbook have found grows old while that waits for its approval, so they are
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

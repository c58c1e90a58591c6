package strangler

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// OwnStep is a step that strangler.yaml puts between the playbook's own. Exactly one of its kinds is set.
type OwnStep struct {
	Name    string        // its own among the steps of the capability
	Before  string        // the playbook's step that it comes right before; empty: After says where it stands
	After   string        // the playbook's step that it comes right after
	Timeout time.Duration // of one try, forward or back, or of one time that a gate asks
	Retries int           // of run and notify: how often a try that failed is repeated

	Run        *RunStep
	HTTP       *HTTPStep
	SQL        *SQLStep
	Prometheus *PrometheusStep
	Approve    *ApproveStep
	Wait       *WaitStep
	Notify     *NotifyStep
}

// Kind names what the step is, as strangler.yaml does.
func (o OwnStep) Kind() string {
	switch {
	case o.Run != nil:
		return "run"
	case o.HTTP != nil:
		return "http"
	case o.SQL != nil:
		return "sql"
	case o.Prometheus != nil:
		return "prometheus"
	case o.Approve != nil:
		return "approve"
	case o.Wait != nil:
		return "wait"
	case o.Notify != nil:
		return "notify"
	}
	return ""
}

// Gate reports whether the step only waits until something is so.
func (o OwnStep) Gate() bool { return o.Run == nil && o.Notify == nil }

// Evidence reports whether the step is a gate whose answer grows old, so that it is asked again before the writes change hands.
func (o OwnStep) Evidence() bool { return o.HTTP != nil || o.SQL != nil || o.Prometheus != nil }

// Words say what the step does, a phrase in which nothing is secret: of a program its name without the arguments, of a URL neither
// user nor query, of one that is told something its host alone.
func (o OwnStep) Words() string {
	switch {
	case o.Run != nil:
		return "runs " + program(o.Run.Command)
	case o.HTTP != nil:
		s := fmt.Sprintf("waits for GET %s to answer %d", Shown(o.HTTP.URL), o.HTTP.Status)
		for _, path := range o.HTTP.Paths() {
			s += fmt.Sprintf(", %s %q", path, o.HTTP.JSON[path])
		}
		return s
	case o.SQL != nil:
		return fmt.Sprintf("waits for the %s database to answer %q to %s", o.SQL.Side, o.SQL.Answer, strings.Join(strings.Fields(o.SQL.Query), " "))
	case o.Prometheus != nil:
		return "waits for " + o.Prometheus.Query + " to be " + o.Prometheus.Bounds()
	case o.Approve != nil:
		return "waits for the approval of " + o.Approve.Who()
	case o.Wait != nil:
		return fmt.Sprintf("waits for %v", o.Wait.For)
	case o.Notify != nil:
		return fmt.Sprintf("tells %s %q", host(o.Notify.URL), o.Notify.Text)
	}
	return ""
}

// String and GoString are Words behind the name: what the step holds may be secret.
func (o OwnStep) String() string   { return o.Name + ": " + o.Words() }
func (o OwnStep) GoString() string { return o.String() }

// Shown is a URL without what may be secret in it: user, password, query.
func Shown(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(a URL that cannot be read)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// host is what may be shown of a URL whose path may be a secret, as those of chats are.
func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(a URL that cannot be read)"
	}
	return u.Host
}

// program is what may be shown of a command: its arguments may hold secrets.
func program(command []string) string {
	if len(command) == 0 {
		return ""
	}
	return filepath.Base(command[0])
}

// RunStep runs a program, without a shell. It finds nothing on its standard input, and in its environment PATH, HOME, LANG, TMPDIR, what
// Env names, and STRANGLER_CAPABILITY, STRANGLER_RUN (the number), STRANGLER_STEP, STRANGLER_DIRECTION (forward or back) and
// STRANGLER_TRY (from 1).
type RunStep struct {
	Command []string // the program, absolute or found by PATH, and its arguments
	Check   []string // tells by exiting with 0 that the step is done; none: the ledger alone knows
	// Undo takes the step back, whatever was done of it: it is run also where the command failed half-way, and again where it failed
	// itself. None: there is nothing to take back.
	Undo []string
	Env  []string // names of variables of the daemon's own environment that all of them get too
	Dir  string   // where they are run; empty: where the daemon is
}

// Program, Checker and Undoer are what may be shown of the commands: the programs' names.
func (r RunStep) Program() string { return program(r.Command) }
func (r RunStep) Checker() string { return program(r.Check) }
func (r RunStep) Undoer() string  { return program(r.Undo) }

// HTTPStep is a gate: a GET that has to be answered as it says.
type HTTPStep struct {
	URL    string
	Status int               // that the answer has to have
	JSON   map[string]string // values that its body has to have, by their paths as in "$.status"
}

// Paths are those of JSON, in their order.
func (h HTTPStep) Paths() []string {
	paths := make([]string, 0, len(h.JSON))
	for path := range h.JSON {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// SQLStep is a gate: a query that has to be answered as it says. It is asked in a transaction that only reads.
type SQLStep struct {
	Side   Side   // whose database
	Query  string // answers one value
	Answer string // what that has to be, as text; NULL is "NULL"
}

// PrometheusStep is a gate: a query whose value has to be within its bounds, all the while of a window.
type PrometheusStep struct {
	URL   string // of the server, without /api/v1
	Query string
	Above *float64 // nil: no such bound
	Below *float64
	For   time.Duration // 0: it is asked once
}

// Bounds say what the value has to be, and how long, a phrase.
func (p PrometheusStep) Bounds() string {
	var words []string
	if p.Above != nil {
		words = append(words, fmt.Sprintf("above %g", *p.Above))
	}
	if p.Below != nil {
		words = append(words, fmt.Sprintf("below %g", *p.Below))
	}
	s := strings.Join(words, " and ")
	if p.For > 0 {
		s += fmt.Sprintf(" for %v", p.For)
	}
	return s
}

// ApproveStep is a gate: a person has to approve it.
type ApproveStep struct {
	By []string // who may, by the name that the command line gives them, as alice or alice@host; none: anybody who reaches the admin API
}

// Who says who may, a phrase.
func (a ApproveStep) Who() string {
	if len(a.By) == 0 {
		return "a person"
	}
	return strings.Join(a.By, " or ")
}

// WaitStep is a gate: time has to pass from when the step is reached.
type WaitStep struct{ For time.Duration }

// NotifyStep tells somebody that the run has come this far: once at least, and again where it is not known whether that was heard.
type NotifyStep struct {
	URL  string // takes a POST of JSON, {"capability", "run", "step", "text", "at"}, and answers 2xx
	Text string
}

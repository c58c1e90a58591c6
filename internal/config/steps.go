package config

import (
	"math"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

const (
	defaultRun    = 10 * time.Minute // timeout of a step that runs a program
	defaultAsk    = 30 * time.Second // timeout of one that asks or tells something
	defaultNotify = 2                // retries of one that tells something
)

// stepKinds are what a step of the team's own may do.
var stepKinds = []string{"run", "http", "sql", "prometheus", "approve", "wait", "notify"}

// stepName is what fits into a URL and a column of a terminal.
var stepName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,29}$`)

// steps reads the steps that come between the playbook's.
func (r *reader) steps(k strangler.Capability, f field) (all []strangler.OwnStep) {
	lines := map[string]int{}
	for _, item := range r.list(f) {
		step, name := r.step(k, item)
		if first, twice := lines[step.Name]; twice && step.Name != "" {
			r.problem(name, "the step %s stands twice, first on line %d; give one of them another name", step.Name, first)
			continue
		}
		lines[step.Name] = name.line
		all = append(all, step)
	}
	return all
}

// step reads one step, and where its name stands.
func (r *reader) step(k strangler.Capability, f field) (strangler.OwnStep, field) {
	keys := r.object(f, append([]string{"name", "before", "after", "timeout", "retries"}, stepKinds...)...)
	var o strangler.OwnStep
	o.Name = r.stepName(keys["name"])
	o.Before, o.After = r.anchor(keys["before"]), r.anchor(keys["after"])
	if keys["before"].given() == keys["after"].given() {
		r.problem(f, "say where the step stands by one of before and after, as in {before: cutover}")
	}
	var kinds []string
	for _, kind := range stepKinds {
		if keys[kind].given() {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) != 1 {
		r.problem(f, "a step is one of %s; this one has %s", strings.Join(stepKinds, ", "), orNone(kinds))
	}
	for _, kind := range kinds {
		r.kind(&o, k, kind, keys[kind])
	}
	r.patience(&o, kinds, keys)
	if o.After == "complete" && o.Run != nil && o.Run.Undo != nil {
		r.problem(keys["run"], "nothing that comes after complete can be taken back; leave undo out, or have the step come before complete")
	}
	return o, keys["name"]
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none of them"
	}
	return strings.Join(words, " and ")
}

func (r *reader) stepName(f field) string {
	name, ok := r.text(f)
	switch {
	case !f.given():
		r.problem(f, "it is missing; give the step a name, as in warm_caches")
	case !ok:
	case !stepName.MatchString(name):
		r.problem(f, "%s: write small letters, digits, - and _, at most 30, a letter first", f.raw())
	case slices.Contains(StepNames, name), name == "rollback":
		r.problem(f, "%s is the playbook's own; give the step another name", f.raw())
	}
	return name
}

// anchor reads the name of one of the playbook's steps.
func (r *reader) anchor(f field) string {
	name, ok := r.text(f)
	if ok && !slices.Contains(StepNames, name) {
		r.problem(f, "%s is not a step of the playbook; its steps are %s", f.raw(), strings.Join(StepNames, ", "))
	}
	return name
}

// patience reads how long the step may take and how often it is tried, where its kind has that.
func (r *reader) patience(o *strangler.OwnStep, kinds []string, keys map[string]field) {
	usual, retries := defaultAsk, 0
	switch {
	case len(kinds) != 1:
		return
	case kinds[0] == "run":
		usual = defaultRun
	case kinds[0] == "notify":
		retries = defaultNotify
	case kinds[0] == "approve" || kinds[0] == "wait":
		usual = 0
		if keys["timeout"].given() {
			r.problem(keys["timeout"], "a step of the kind %s waits for as long as it takes; leave it out", kinds[0])
			return
		}
	}
	if keys["timeout"].given() {
		usual = r.span(keys["timeout"], usual)
	}
	o.Timeout = usual
	if keys["retries"].given() && kinds[0] != "run" && kinds[0] != "notify" {
		r.problem(keys["retries"], "a step of the kind %s waits until it is met, and asks as often as that takes; leave it out", kinds[0])
		return
	}
	o.Retries = r.whole(keys["retries"], retries, 0)
}

// kind reads what the step does.
func (r *reader) kind(o *strangler.OwnStep, k strangler.Capability, kind string, f field) {
	switch kind {
	case "run":
		o.Run = r.runStep(f)
	case "http":
		keys := r.object(f, "url", "status", "json")
		o.HTTP = &strangler.HTTPStep{URL: r.ownURL(keys["url"]), Status: r.status(keys["status"]), JSON: r.jsonValues(keys["json"])}
	case "sql":
		o.SQL = r.sqlStep(k, f)
	case "prometheus":
		o.Prometheus = r.prometheusStep(f)
	case "approve":
		keys := r.object(f, "by")
		o.Approve = &strangler.ApproveStep{By: r.filledTexts(keys["by"])}
	case "wait":
		keys := r.object(f, "for")
		if !keys["for"].given() {
			r.problem(keys["for"], "it is missing; write how long, as in 2h")
		}
		o.Wait = &strangler.WaitStep{For: r.span(keys["for"], time.Hour)}
	case "notify":
		keys := r.object(f, "url", "text")
		o.Notify = &strangler.NotifyStep{URL: r.ownURL(keys["url"]), Text: r.needed(keys["text"], "write what is to be said")}
	}
}

// environmentName is the name of a variable of the environment.
var environmentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (r *reader) runStep(f field) *strangler.RunStep {
	keys := r.object(f, "command", "check", "undo", "env")
	s := &strangler.RunStep{Command: r.command(keys["command"]), Check: r.command(keys["check"]), Undo: r.command(keys["undo"]), Dir: r.dir}
	if !keys["command"].given() {
		r.problem(keys["command"], "it is missing; write a program and its arguments, as in [./warm.sh, --all]")
	}
	for _, item := range r.list(keys["env"]) {
		name, ok := r.text(item)
		switch {
		case !ok:
		case !environmentName.MatchString(name):
			r.problem(item, "write the name of a variable of the daemon's environment, as in KUBECONFIG")
		default:
			s.Env = append(s.Env, name)
		}
	}
	return s
}

// command reads a program with its arguments. A program that is written with a slash is relative to the file's folder; any other is
// found by PATH.
func (r *reader) command(f field) []string {
	words := r.texts(f)
	if emptyList(f) || len(words) > 0 && words[0] == "" {
		r.problem(f, "write a program and its arguments, as in [./warm.sh, --all]")
		return nil
	}
	if len(words) > 0 && strings.ContainsRune(words[0], '/') {
		words[0] = absolute(r.dir, filepath.FromSlash(words[0]))
	}
	return words
}

func (r *reader) sqlStep(k strangler.Capability, f field) *strangler.SQLStep {
	keys := r.object(f, "side", "query", "answer")
	side := strangler.Side(r.needed(keys["side"], "write legacy or service"))
	s := &strangler.SQLStep{Side: side, Query: r.needed(keys["query"], "write a query that answers one value")}
	if !keys["answer"].given() {
		r.problem(keys["answer"], "it is missing; write what the query has to answer, as in \"0\"")
	}
	s.Answer, _ = r.text(keys["answer"])
	switch {
	case side == "":
	case side != strangler.Legacy && side != strangler.Service:
		r.problem(keys["side"], "%s is no side; write legacy or service", keys["side"].raw())
	case k.Stateless():
		r.problem(f, "the capability has no tables, so no database is asked; leave the step out")
	case side == strangler.Legacy && k.Legacy.Database == "", side == strangler.Service && k.Service.Database == "":
		r.problem(keys["side"], "the %s side has no database that could be asked", side)
	}
	return s
}

// numberText is a number as a person writes one.
var numberText = regexp.MustCompile(`^-?[0-9]{1,15}(\.[0-9]{1,15})?([eE][-+]?[0-9]{1,2})?$`)

func (r *reader) prometheusStep(f field) *strangler.PrometheusStep {
	keys := r.object(f, "url", "query", "above", "below", "for")
	s := &strangler.PrometheusStep{
		URL: strings.TrimSuffix(r.ownURL(keys["url"]), "/"), Query: r.needed(keys["query"], "write one in PromQL"),
		Above: r.number(keys["above"]), Below: r.number(keys["below"]), For: r.duration(keys["for"], 0),
	}
	if !keys["above"].given() && !keys["below"].given() {
		r.problem(f, "say what the value has to be by above or below, as in {below: 0.01}")
	}
	if strings.HasSuffix(s.URL, "/api/v1") {
		r.problem(keys["url"], "/api/v1 is put behind the URL; write what stands before it")
	}
	return s
}

func (r *reader) number(f field) *float64 {
	s, ok := r.text(f)
	if !ok {
		return nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !numberText.MatchString(s) || math.IsInf(n, 0) {
		r.problem(f, "%s: write a number, as in 0.01", f.raw())
		return nil
	}
	return &n
}

// needed is a text that has to be there, and not empty.
func (r *reader) needed(f field, what string) string {
	s, ok := r.text(f)
	switch {
	case !f.given():
		r.problem(f, "it is missing; %s", what)
	case ok && strings.TrimSpace(s) == "":
		r.problem(f, "it is empty; %s", what)
	}
	return s
}

// filledTexts is a list of texts, none of them empty, nor the list.
func (r *reader) filledTexts(f field) (all []string) {
	for _, item := range r.list(f) {
		if s := r.needed(item, "write a name"); s != "" {
			all = append(all, s)
		}
	}
	if emptyList(f) {
		r.problem(f, "the list is empty; write who may, as in [alice, bob], or leave it out where anybody may")
	}
	return all
}

// ownURL reads the whole URL of something that is asked or told. A user and a password in it are sent along.
func (r *reader) ownURL(f field) string {
	s := r.needed(f, "write a URL, as in http://127.0.0.1:9001/ready")
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" || strings.ContainsAny(s, " \t\r\n") || strings.Contains(u.EscapedPath(), "@") {
		r.problem(f, "this is not a URL that can be asked; write http:// or https://, a host and a path, as in http://127.0.0.1:9001/ready")
		return ""
	}
	return s
}

func (r *reader) status(f field) int {
	s, ok := r.text(f)
	if !ok {
		return 200
	}
	n, err := strconv.Atoi(s)
	if err != nil || len(s) != 3 || n < 100 || n > 599 {
		r.problem(f, "%s: write the status that the answer has to have, as in 200", f.raw())
	}
	return n
}

// jsonPath is a way into a JSON value: names behind dots, places in brackets.
var jsonPath = regexp.MustCompile(`^\$(\.[A-Za-z0-9_-]+|\[[0-9]{1,6}\])+$`)

func (r *reader) jsonValues(f field) map[string]string {
	var out map[string]string
	for _, e := range r.entries(f) {
		text, ok := r.text(e.value)
		switch {
		case !jsonPath.MatchString(e.key):
			r.problem(e.value, "this is not a path into the answer; write names behind dots and places in brackets, as in $.checks[0].state")
		case e.value.node.Tag == "!!null":
			r.problem(e.value, "it has no value; write what has to stand there, as in ready, or \"null\"")
		case ok:
			if out == nil {
				out = map[string]string{}
			}
			out[e.key] = text
		}
	}
	return out
}

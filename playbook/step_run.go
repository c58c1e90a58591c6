package playbook

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// runStep runs a program. Whether one that was cut off, with the process that ran it, did its work is not known: its check says, or a person,
// or retries say that running it once more does no harm.
type runStep struct {
	own   strangler.OwnStep
	tries int    // of this direction, in this process
	ran   string // how the last try ended, if it ended well
}

// checkRun is the check that refuses to go on behind a program of which nobody knows what became.
const checkRun = "program"

func (s *runStep) Check(ctx context.Context, a *act) (verdict, error) {
	r := s.own.Run
	switch {
	case s.ran != "":
		return done("%s", s.ran), nil
	case a.recordedDone() && r.Check == nil:
		return done("%s", a.record.Detail), nil
	case r.Check != nil:
		is, err := s.isDone(ctx, a, "forward")
		switch {
		case err != nil:
			return verdict{}, err
		case is:
			return done("%s says so", r.Checker()), nil
		}
	case a.record.State == strangler.StepDoing && s.tries == 0 && s.own.Retries == 0:
		return verdict{}, strangler.Refuse(checkRun, fmt.Sprintf("whether %s, begun at %s, ran to its end is not known: what ran it was cut off", r.Program(), clock(a.record.Started)),
			"strangler playbook retry "+a.name()+" "+s.own.Name+" runs it once more", "strangler playbook skip "+a.name()+" "+s.own.Name+" --why … goes on without it",
			"a check in strangler.yaml would tell")
	}
	return ready("running %s", r.Program()), nil
}

// isDone asks the check. One that was ended, by its timeout or a signal, has not answered: the error is that of a probe that may pass.
func (s *runStep) isDone(ctx context.Context, a *act, direction string) (bool, error) {
	o, err := s.run(ctx, a, s.own.Run.Check, direction, 0)
	if err == nil && !o.said {
		err = again{fmt.Errorf("whether the step is done is not known: %s", o)}
	}
	return o.good(), err
}

func (s *runStep) Do(ctx context.Context, a *act) error {
	r := s.own.Run
	s.tries++
	o, err := s.run(ctx, a, r.Command, "forward", s.tries)
	if err != nil {
		return err
	}
	if o.good() && r.Check != nil {
		checked, err := s.run(ctx, a, r.Check, "forward", s.tries)
		if err != nil {
			return err
		}
		if !checked.good() {
			o.why = "ended well, and yet its check " + checked.String()
		}
	}
	if !o.good() {
		return s.failed(o)
	}
	s.ran = o.String()
	return nil
}

// Undo takes back what was begun. Of a step that this run has not begun, its check tells whether there is something to take back.
func (s *runStep) Undo(ctx context.Context, a *act) (string, error) {
	r := s.own.Run
	if r.Undo == nil {
		return "nothing to undo", nil
	}
	if !a.record.Begun && r.Check == nil {
		return "it was not begun: nothing to undo", nil
	}
	if !a.record.Begun && s.tries == 0 {
		is, err := s.isDone(ctx, a, "back")
		if err != nil {
			return "", err
		}
		if !is {
			return "it was not begun, and " + r.Checker() + " says that it is not done: nothing to undo", nil
		}
	}
	s.tries++
	o, err := s.run(ctx, a, r.Undo, "back", s.tries)
	if err != nil {
		return "", err
	}
	if !o.good() {
		return "", s.failed(o)
	}
	return o.String(), nil
}

func (s *runStep) failed(o exit) error { return fewer{again{fmt.Errorf("%s", o)}, s.own.Retries + 1} }

// run runs one command and waits for its end. Its error is that the command could not be begun, or that ctx has ended and the command was
// ended for it: then its outcome is not known.
func (s *runStep) run(ctx context.Context, a *act, command []string, direction string, try int) (exit, error) {
	o, err := execute(ctx, s.own.Timeout, s.own.Run.Dir, command, s.environment(a, direction, try))
	if err == nil {
		o.output = last(hide(o.output, a.capability.Legacy.Database, a.capability.Service.Database), maxOutput)
	}
	return o, err
}

// passed are the variables that every program gets from the daemon's environment. The rest may hold secrets that are the daemon's.
var passed = []string{"PATH", "HOME", "LANG", "TMPDIR"}

func (s *runStep) environment(a *act, direction string, try int) []string {
	env := []string{
		"STRANGLER_CAPABILITY=" + a.name(),
		"STRANGLER_RUN=" + strconv.FormatInt(a.run.ID, 10),
		"STRANGLER_STEP=" + s.own.Name,
		"STRANGLER_DIRECTION=" + direction,
		"STRANGLER_TRY=" + strconv.Itoa(max(try, 1)),
	}
	for _, names := range [][]string{passed, s.own.Run.Env} {
		for _, name := range names {
			if value, ok := os.LookupEnv(name); ok && !strings.HasPrefix(name, "STRANGLER_") {
				env = append(env, name+"="+value)
			}
		}
	}
	return env
}

// exit is how a command ended.
type exit struct {
	program string
	took    time.Duration
	why     string // it did not end well; empty: it did
	said    bool   // it has exited by itself, which of a check is an answer
	output  string // the last of what it printed
}

func (o exit) good() bool { return o.why == "" }

func (o exit) String() string {
	s := o.program + " "
	if o.good() {
		s += "exited with 0 after " + o.took.Round(time.Millisecond).String()
	} else {
		s += o.why
	}
	if o.output != "" {
		s += "; it printed: " + o.output
	}
	return s
}

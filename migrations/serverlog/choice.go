package serverlog

import (
	"fmt"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// Choice is how the changes of a side are captured, and why so.
type Choice struct {
	Log    bool // by the server's own log; otherwise by triggers
	Why    string
	Stands bool     // the scripts that make it have run: it stays until they are taken back
	Next   []string // what would make the server's log possible, where it is not
	way    string
}

// Way is the choice in the words of strangler.yaml.
func (c Choice) Way() strangler.Capture {
	if c.Log {
		return strangler.CaptureLogical
	}
	return strangler.CaptureTriggers
}

func (c Choice) String() string {
	by := "triggers"
	if c.Log {
		by = c.way
	}
	return fmt.Sprintf("changes are captured by %s: %s", by, c.Why)
}

// Chooser chooses for one side; Way is the name of capturing by the server's own log.
type Chooser struct {
	Binding migrations.Binding
	Way     string
}

// Service is the choice of the side that takes over, whose triggers the applier's rows pass.
func (c Chooser) Service() Choice {
	return Choice{Why: "the service's own always are", Stands: true, way: c.Way}
}

// Made is the choice that scripts have made.
func (c Chooser) Made(log bool) Choice {
	out := Choice{Log: log, Stands: true, Why: "so it was chosen when the scripts were made, and so it stays until they are taken back", way: c.Way}
	if b := c.Binding; b.Capture != "" && b.Capture != out.Way() {
		out.Why += fmt.Sprintf("; for capture: %s, strangler split cancel %s, then plan anew", b.Capture, b.Capability)
	}
	return out
}

// Choose is what was asked for, and without that the server's own log where it can be. Asked for where it cannot be, it is
// refused. Never is what forbids it whatever the server says; unfit says what of the server stands against it, with what would
// satisfy it.
func (c Chooser) Choose(never string, unfit func() (why string, next []string, err error)) (Choice, error) {
	asked := c.Binding.Capture
	switch {
	case never != "" && asked == strangler.CaptureLogical:
		return Choice{}, c.Refuse(never, "capture: triggers")
	case never != "":
		return Choice{Why: never, way: c.Way}, nil
	case asked == strangler.CaptureTriggers:
		return Choice{Why: "strangler.yaml says so", way: c.Way}, nil
	}
	why, next, err := unfit()
	switch {
	case err != nil:
		return Choice{}, err
	case asked == strangler.CaptureLogical && why != "":
		return Choice{}, c.Refuse(why, append(next, "capture: triggers")...)
	case asked == strangler.CaptureLogical:
		return Choice{Log: true, Why: "strangler.yaml says so", way: c.Way}, nil
	case why != "":
		return Choice{Why: why, Next: next, way: c.Way}, nil
	}
	return Choice{Log: true, Why: "the server, the role and the tables allow it; capture: triggers would choose otherwise", way: c.Way}, nil
}

// Refuse says why changes cannot be captured so.
func (c Chooser) Refuse(why string, next ...string) error {
	return strangler.Refuse("capture", fmt.Sprintf("%s cannot be captured by %s in the %s database: %s", c.Binding.Capability, c.Way, c.Binding.Side, why), next...)
}

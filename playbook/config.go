package playbook

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// Ledger is the durable record of runs. When a write returns nil it survives a kill; when it returns
// an error it may or may not have happened. ErrSuperseded from any of them means that another worker
// has the run: the Engine stops working on it and writes nothing more. Each write is worker's, and is ErrSuperseded, with nothing
// stored, where worker has lost the lease of the capability's runs (RunLease); an empty one has no lease to lose.
type Ledger interface {
	// StartRun stores a new run with its steps and returns it with its ID.
	StartRun(ctx context.Context, worker string, run strangler.Run) (strangler.Run, error)
	// LatestRun returns the newest run of a capability with its steps in order, or ErrNotFound.
	LatestRun(ctx context.Context, capability string) (strangler.Run, error)
	// ActiveRuns returns the runs that are running, waiting or undoing.
	ActiveRuns(ctx context.Context) ([]strangler.Run, error)
	// SaveRun stores a run's own fields, not its steps.
	SaveRun(ctx context.Context, worker string, run strangler.Run) error
	// SaveStep stores one step of a run, all but Approved: only Approvals writes that.
	SaveStep(ctx context.Context, worker string, runID int64, step strangler.StepRun) error
}

// Past is what the ledger has of a capability's runs, the newest first, limit at most.
type Past interface {
	Runs(ctx context.Context, capability string, limit int) ([]strangler.Run, error)
}

// Approvals records a person's consent to a step of a run, durably. Approving twice is no error.
type Approvals interface {
	Approve(ctx context.Context, runID int64, step, who string) error
}

// Toggles reads and changes where a capability's requests go.
type Toggles interface {
	Toggle(ctx context.Context, capability string) (strangler.Toggle, error)
	// Flip changes the toggle and returns when every live instance has applied it. A Flip with
	// instances Pending is not complete; the Engine calls it again until it is. A Flip to what already
	// stands keeps Since and only waits for the instances.
	Flip(ctx context.Context, capability string, change strangler.ToggleChange) (strangler.Flip, error)
}

// Splits moves a capability's rows while legacy owns them. All of it is idempotent.
type Splits interface {
	// Expand writes the scripts if there are none and runs those that come before the copy.
	Expand(ctx context.Context, capability string) error
	// Start begins or resumes the copy in the background. Once it has returned, Status says copying
	// or a later phase.
	Start(ctx context.Context, capability string) error
	// Verify compares both sides row by row.
	Verify(ctx context.Context, capability string) (strangler.Verification, error)
	// Status probes the databases and the control store.
	Status(ctx context.Context, capability string) (strangler.SplitStatus, error)
	// Cancel stops the copy and removes everything that Strangler made. Refused while the service owns.
	Cancel(ctx context.Context, capability string) error
}

// Scripts tells what the split would have the databases do.
type Scripts interface {
	// PendingScripts are those that have not run, in their order; those that are not written yet as they would be.
	PendingScripts(ctx context.Context, capability string) ([]strangler.Script, error)
	// AppliedScripts are those that have run, the way down of each, in the order in which a cancel runs them. What forbids that is a Refusal.
	AppliedScripts(ctx context.Context, capability string) ([]strangler.Script, error)
	// FenceStatement opens or closes a side's fence.
	FenceStatement(ctx context.Context, capability string, side strangler.Side, epoch int64, open bool) (string, error)
}

// Owners hands a capability's writes from one side to the other. Each call of Cutover and Rollback is
// one whole attempt: it returns with the cutover committed, or aborted together with an error. What a
// killed worker left preparing is settled by the split's own worker.
//
// A Refusal by the check "lag", "dirty", "verify", "locks", "instances" or "cutover" may pass by itself
// (after a new verification, for "verify") and is tried again; any other refusal needs a person.
type Owners interface {
	Cutover(ctx context.Context, capability, who, why string) (strangler.Cutover, error)
	Rollback(ctx context.Context, capability, who, why string) (strangler.Cutover, error)
	// Complete removes capture, fences and the legacy tables together. It cannot be undone: once it has
	// begun, Rollback refuses and only Complete goes on, called again after a kill.
	Complete(ctx context.Context, capability, who string) error
	// Settle waits until no change of the split is under way that was asked for here by a call whose context has ended: such a one goes
	// on to its end.
	Settle(ctx context.Context, capability string) error
}

// Leases say which daemon works on a capability's runs. They keep two from doing the same at once, and have one take over from one
// that is gone; what keeps a worker that has slept from doing harm is the ledger. LeaseHolder is empty where nobody has it.
type Leases interface {
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (held bool, err error)
	Unlease(ctx context.Context, name, holder string) error
	LeaseHolder(ctx context.Context, name string) (string, error)
}

// Traffic counts what all proxies have had answered. The numbers only rise; what they begin at says nothing.
type Traffic interface {
	// Requests returns how many requests a side answered, and how many of them with an error. Requests
	// that a shadow sends count on the service's side.
	Requests(capability string, side strangler.Side) (requests, errors int64)
}

// Queries asks a capability's databases for the gates of its own.
type Queries interface {
	// Query answers the one value that a query answers, as text, NULL as "NULL". It is asked where nothing can be written. ErrNotFound: it
	// answered no row. ErrConfig: it can never answer one value. Its errors show no password.
	Query(ctx context.Context, capability string, side strangler.Side, query string) (string, error)
}

// Config is what an Engine needs. Zero values stand for the defaults named here.
type Config struct {
	Capabilities []strangler.Capability // each with its Playbook settings, taken as they are

	Ledger    Ledger
	Past      Past
	Approvals Approvals
	Toggles   Toggles
	Splits    Splits  // may be nil when no capability has tables
	Owners    Owners  // may be nil when no capability has tables
	Scripts   Scripts // nil: Foretell and ForetellBack leave the statements out
	Traffic   Traffic // nil: nothing is counted, only time decides
	Queries   Queries // may be nil when no capability has a step that asks a database

	Leases Leases        // nil: no other process works on runs
	Worker string        // who holds them; needed with Leases, and not heeded without
	Lease  time.Duration // how long a silent daemon keeps its runs; default 3 s

	ShadowHold time.Duration // how long the shadow is held where the capability does not say; default 10 minutes
	CanaryHold time.Duration // how long each percentage is held where the capability does not say; default 10 minutes

	MaxLag      strangler.Lag // a cutover and the end of a soak wait until the lag is at most this; default 1,000 changes and 10 seconds
	VerifyFresh time.Duration // a verification older than this is repeated; default 1 hour
	Tries       int           // attempts of a cutover, a rollback or a flip that collides; default 5
	Poll        time.Duration // how often a gate is looked at again; default 1 second. Attempts are 1, 2, 4, … of it apart

	Tell func(strangler.Event) // hears of what people may want to hear of, and must not block; nil: nobody

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default: none
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	setDefault(&c.Lease, 3*time.Second)
	setDefault(&c.ShadowHold, 10*time.Minute)
	setDefault(&c.CanaryHold, 10*time.Minute)
	setDefault(&c.VerifyFresh, time.Hour)
	setDefault(&c.Poll, time.Second)
	setDefault(&c.Tries, 5)
	setDefault(&c.MaxLag, strangler.Lag{Changes: 1000, Seconds: 10})
	if c.Leases == nil {
		c.Worker = ""
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = strangler.Discard()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says what makes the configuration unusable. Its errors wrap strangler.ErrConfig.
func (c Config) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("playbook: %s: %w", fmt.Sprintf(format, args...), strangler.ErrConfig)
	}
	if c.Ledger == nil || c.Past == nil || c.Approvals == nil || c.Toggles == nil {
		return bad("Ledger, Past, Approvals and Toggles are needed")
	}
	if c.Leases != nil && c.Worker == "" {
		return bad("with Leases a Worker needs a name")
	}
	for _, d := range []time.Duration{c.ShadowHold, c.CanaryHold, c.VerifyFresh, c.Poll, c.Lease} {
		if d < 0 {
			return bad("the duration %v is negative", d)
		}
	}
	if c.Tries < 0 {
		return bad("Tries cannot be negative")
	}
	names := map[string]bool{}
	for _, capability := range c.Capabilities {
		name := capability.Name
		if name == "" || names[name] {
			return bad("each capability needs a name of its own; %q is empty or there twice", name)
		}
		names[name] = true
		if !capability.Stateless() && (c.Splits == nil || c.Owners == nil) {
			return bad("%s has tables: Splits and Owners are needed", name)
		}
		settings, steps := capability.Playbook, listOf(capability)
		for _, step := range settings.Approve {
			if _, ok := steps.find(step); !ok {
				return bad("%s: playbook.approve names %q; the steps are %s", name, step, steps.names())
			}
		}
		if settings.Soak < 0 || settings.Hold < 0 || settings.Shadow < 0 {
			return bad("%s: playbook.soak, hold and shadow cannot be negative", name)
		}
		if settings.Requests < 0 || settings.Requests > 0 && c.Traffic == nil {
			return bad("%s: playbook.requests is %d; it cannot be negative, nor counted without Traffic", name, settings.Requests)
		}
		if err := c.validateOwn(capability); err != nil {
			return bad("%s: playbook.steps: %v", name, err)
		}
		var last strangler.Percent
		for _, p := range settings.Canary {
			if p <= last || p > strangler.Hundred {
				return bad("%s: playbook.canary %v has to rise, from above 0%% to at most 100%%", name, settings.Canary)
			}
			last = p
		}
	}
	return nil
}

// validateOwn says what is wrong with a capability's own steps.
func (c Config) validateOwn(capability strangler.Capability) error {
	names := map[string]bool{}
	for _, e := range order {
		names[e.Name] = true
	}
	for _, o := range capability.Playbook.Own {
		place := o.Before
		if place == "" {
			place = o.After
		}
		_, known := order.find(place)
		switch {
		case o.Name == "" || names[o.Name]:
			return fmt.Errorf("each step needs a name of its own; %q is empty or there twice", o.Name)
		case !known || o.Before != "" && o.After != "":
			return fmt.Errorf("%s stands before %q and after %q; one of them has to be a step of the playbook's", o.Name, o.Before, o.After)
		case o.Kind() == "":
			return fmt.Errorf("%s does nothing", o.Name)
		case o.Retries < 0 || o.Timeout < 0 || o.Timeout == 0 && o.Wait == nil && o.Approve == nil:
			return fmt.Errorf("%s has the timeout %v and %d retries", o.Name, o.Timeout, o.Retries)
		case o.SQL != nil && c.Queries == nil:
			return fmt.Errorf("%s asks a database: Queries is needed", o.Name)
		case o.Run != nil && len(o.Run.Command) == 0:
			return fmt.Errorf("%s runs no program", o.Name)
		}
		names[o.Name] = true
	}
	return nil
}

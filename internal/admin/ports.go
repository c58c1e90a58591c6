package admin

import (
	"context"

	"github.com/strangler-fig/strangler"
)

// Toggles says and changes where requests go. Flip returns when every live instance has applied the
// change, or names in Pending which have not.
type Toggles interface {
	Snapshot(ctx context.Context) (strangler.Snapshot, error)
	Toggle(ctx context.Context, capability string) (strangler.Toggle, error)
	Flip(ctx context.Context, capability string, change strangler.ToggleChange) (strangler.Flip, error)
	History(ctx context.Context, capability string) ([]strangler.AuditEntry, error)
	Instances(ctx context.Context) ([]strangler.Instance, error)
}

// Splits moves rows while legacy owns. Start returns when the split is under way; Verify, Repair and Cancel
// return when they are done.
type Splits interface {
	Comparer
	Status(ctx context.Context, capability string) (strangler.SplitStatus, error)
	Start(ctx context.Context, capability string) error
	Cancel(ctx context.Context, capability string) error
	Writers(ctx context.Context, capability string) ([]strangler.Writer, error)
}

// Comparer compares both sides; Repair also has the owner's rows brought again where they differ.
type Comparer interface {
	Verify(ctx context.Context, capability string) (strangler.Verification, error)
	Repair(ctx context.Context, capability string) (strangler.Verification, error)
}

// Owners hands a capability's writes over. Each call returns when it is done, or with an error that
// says what stands. Complete is refused unless confirm is the capability's name. Adopt of an order without an owner shows the evidence and changes nothing.
type Owners interface {
	Cutover(ctx context.Context, capability, who, why string) (strangler.Cutover, error)
	Rollback(ctx context.Context, capability, who, why string) (strangler.Cutover, error)
	Complete(ctx context.Context, capability, who, confirm string) error
	Adopt(ctx context.Context, capability string, o Order) (Evidence, error)
}

// Runs executes playbooks. Run and Rollback return when the run is under way. An empty until means
// every step, an empty to means the cutover. Ask is pause, continue, abort, skip, retry or accept; it returns the settings that have
// changed, for accept.
type Runs interface {
	Run(ctx context.Context, capability, until, who string) (strangler.Run, error)
	Rollback(ctx context.Context, capability, to, who string) (strangler.Run, error)
	Approve(ctx context.Context, capability string, o Order) error
	Ask(ctx context.Context, action Action, capability string, o Order) (strangler.Run, []string, error)
	Status(ctx context.Context, capability string) (strangler.Run, error)
}

// Counts says what this process's proxy has had answered since it started, and how much of it with an error.
type Counts interface {
	Requests(capability string, side strangler.Side) (requests, errors int64)
}

// Health says whether the daemon is able to serve; nil means yes.
type Health interface {
	Ready(ctx context.Context) error
}

// Previews says what an operation would do, and changes nothing.
type Previews interface {
	// Fences returns the statements, each one transaction, that close the fence of a side and then open the other's.
	Fences(ctx context.Context, capability string, from strangler.Side) ([]string, error)
	// Ask fails as Runs.Ask and Runs.Approve would; for accept it returns what strangler.yaml says otherwise than the latest run goes
	// by, as a diff shows it.
	Ask(ctx context.Context, action Action, capability string, o Order) (changes []string, err error)
	// Foretell returns what a run until a step would do, in order; an empty until means every step.
	Foretell(ctx context.Context, capability, until string) ([]strangler.Planned, error)
	// ForetellBack returns what a rollback to a step would do, in order, with the run that would go back, as far as its BackTo. It fails
	// as Runs.Rollback would.
	ForetellBack(ctx context.Context, capability, to string) (strangler.Run, []strangler.Planned, error)
	// Steps returns the playbook's steps as a run would find them now. The steps come with an error,
	// too: it is the refusal that the run would meet.
	Steps(ctx context.Context, capability string) ([]strangler.StepRun, error)
}

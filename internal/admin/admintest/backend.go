// Package admintest stands behind an admin API in tests: it records what it is asked, answers what it
// is told to, and can fail or block on demand. backend.go is all of it.
package admintest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

// Backend is everything that an admin.Server depends on. Set its fields before Open; afterwards use
// its methods, from any goroutine.
type Backend struct {
	Toggle    strangler.Toggle
	Pending   []string                // instances that a flip does not reach
	Instances []strangler.Instance    // as they are
	History   []strangler.AuditEntry  // as it is
	Splits    []strangler.SplitStatus // one for each question, the last one for ever
	Runs      []strangler.Run         // likewise
	Verify    strangler.Verification
	Cutover   strangler.Cutover
	Writers   []strangler.Writer
	Evidence  []string
	Fence     []string
	Back      []strangler.Planned // what a rollback would do
	Changes   []string            // of the settings that the latest run goes by
	Steps     []strangler.StepRun
	Traffic   map[strangler.Side]admin.SideTraffic
	Ahead     func(strangler.Scene) (*strangler.Outlook, *strangler.Wait) // nil: none
	Notices   []string

	mu      sync.Mutex
	calls   []string
	fail    map[string]error
	blocked map[string]*Block
}

// Block is a call that does not return by itself.
type Block struct {
	Entered chan struct{} // closed once the call is there
	release chan struct{}
	left    chan error
}

// Release lets the call return.
func (b *Block) Release() { close(b.release) }

// Left is what the call's context said when it returned; nil while it had not ended.
func (b *Block) Left() error { return <-b.left }

// New has one capability, delivery, owned by legacy and syncing.
func New() *Backend {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &Backend{
		Toggle:    strangler.Toggle{Capability: "delivery", Mode: strangler.ModeLegacy, Owner: strangler.Legacy, Epoch: 7, Since: now},
		Instances: []strangler.Instance{{ID: "one", Admin: "http://127.0.0.1:8081", Started: now, Seen: now, Live: true, Epochs: map[string]int64{"delivery": 7}}},
		Splits: []strangler.SplitStatus{{Capability: "delivery", Phase: strangler.PhaseSyncing, Owner: strangler.Legacy, Epoch: 7,
			Tables:    []strangler.TableProgress{{Name: "couriers", RowsCopied: 10, RowsTotal: 10}},
			NextSteps: []string{"strangler split verify delivery"}}},
		Runs:    []strangler.Run{{ID: 3, Capability: "delivery", State: strangler.RunRunning, Who: "ann@laptop", Started: now, Steps: []strangler.StepRun{{Name: "expand", State: strangler.StepDoing, Started: now}}, Acts: []strangler.Act{}}},
		Verify:  strangler.Verification{Verify: strangler.Verify{At: now, Rows: 10}},
		Cutover: strangler.Cutover{ID: 1, Capability: "delivery", From: strangler.Legacy, To: strangler.Service, State: strangler.Committed, Epoch: 8, Decided: 9, Released: true},
		Fence:   []string{"UPDATE strangler_fence SET state = 'closed'", "UPDATE strangler_fence SET state = 'open'"},
		Back:    []strangler.Planned{{Step: "cutover", Where: "service's database", Do: "-- closes the fence\nUPDATE strangler_fence"}, {Step: "canary", Where: "toggle", Do: "canary 10% → legacy"}},
	}
}

// Capability is the one that New has.
func Capability() strangler.Capability {
	return strangler.Capability{
		Name:   "delivery",
		Routes: []strangler.Route{{Method: "POST", Pattern: "/couriers"}},
		Tables: []strangler.Table{{From: "couriers", To: "couriers"}},
	}
}

// Fail makes every call of a name ("flip", "cutover", "run") fail; nil lets it succeed again.
func (b *Backend) Fail(name string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail == nil {
		b.fail = map[string]error{}
	}
	b.fail[name] = err
}

// Block makes the next call of a name wait until it is released or its context ends.
func (b *Backend) Block(name string) *Block {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blocked == nil {
		b.blocked = map[string]*Block{}
	}
	block := &Block{Entered: make(chan struct{}), release: make(chan struct{}), left: make(chan error, 1)}
	b.blocked[name] = block
	return block
}

// Calls are the calls that changed something, in order: "flip delivery canary 10% ann@laptop try".
func (b *Backend) Calls() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// call records a call and meets its fate.
func (b *Backend) call(ctx context.Context, name string, arguments ...string) error {
	b.mu.Lock()
	b.calls = append(b.calls, strings.Join(append([]string{name}, arguments...), " "))
	block := b.blocked[name]
	delete(b.blocked, name)
	b.mu.Unlock()
	if block != nil {
		close(block.Entered)
		select {
		case <-block.release:
		case <-ctx.Done():
		}
		block.left <- ctx.Err()
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return b.failure(name)
}

func (b *Backend) failure(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fail[name]
}

// next takes the first of several answers, and keeps the last one.
func next[T any](b *Backend, answers *[]T) T {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := (*answers)[0]
	if len(*answers) > 1 {
		*answers = (*answers)[1:]
	}
	return first
}

// Config is an admin.Server's on a free loopback port, with this backend behind it.
func (b *Backend) Config() admin.Config {
	return admin.Config{
		Listen: "127.0.0.1:0", Capabilities: []strangler.Capability{Capability()},
		Toggles: toggles{b}, Splits: splits{b}, Owners: owners{b}, Runs: runs{b}, Health: health{b}, Previews: previews{b},
		Counts: counts{b},
		Ahead: func(s strangler.Scene) (*strangler.Outlook, *strangler.Wait) {
			if b.Ahead == nil {
				return nil, nil
			}
			return b.Ahead(s)
		},
		Notices: func(string) []string { return b.Notices },
	}
}

// Open serves a configuration until the test ends.
func Open(t *testing.T, cfg admin.Config) *admin.Server {
	t.Helper()
	server, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Errorf("closing the admin API: %v", err)
		}
	})
	return server
}

type toggles struct{ b *Backend }

func (f toggles) Snapshot(context.Context) (strangler.Snapshot, error) {
	return strangler.Snapshot{ControlID: "c0ffee", Toggles: []strangler.Toggle{f.b.Toggle}}, f.b.failure("snapshot")
}

func (f toggles) Toggle(context.Context, string) (strangler.Toggle, error) {
	return f.b.Toggle, f.b.failure("toggle")
}

func (f toggles) Flip(ctx context.Context, capability string, c strangler.ToggleChange) (strangler.Flip, error) {
	err := f.b.call(ctx, "flip", capability, string(c.Mode), c.Percent.String(), c.Who, c.Why)
	t := f.b.Toggle
	t.Mode, t.Percent, t.Epoch = c.Mode, c.Percent, t.Epoch+1
	flip := strangler.Flip{Toggle: t, Pending: f.b.Pending}
	if len(f.b.Pending) == 0 {
		flip.Applied = []string{"one"}
	}
	return flip, err
}

func (f toggles) History(context.Context, string) ([]strangler.AuditEntry, error) {
	return f.b.History, f.b.failure("history")
}

func (f toggles) Instances(context.Context) ([]strangler.Instance, error) {
	return f.b.Instances, f.b.failure("instances")
}

type splits struct{ b *Backend }

func (f splits) Status(context.Context, string) (strangler.SplitStatus, error) {
	return next(f.b, &f.b.Splits), f.b.failure("status")
}

func (f splits) Start(ctx context.Context, capability string) error {
	return f.b.call(ctx, "start", capability)
}

func (f splits) Verify(ctx context.Context, capability string) (strangler.Verification, error) {
	return f.b.Verify, f.b.call(ctx, "verify", capability)
}

func (f splits) Repair(ctx context.Context, capability string) (strangler.Verification, error) {
	return f.b.Verify, f.b.call(ctx, "repair", capability)
}

func (f splits) Cancel(ctx context.Context, capability string) error {
	return f.b.call(ctx, "cancel", capability)
}

func (f splits) Writers(context.Context, string) ([]strangler.Writer, error) {
	return f.b.Writers, f.b.failure("writers")
}

type owners struct{ b *Backend }

func (f owners) Cutover(ctx context.Context, capability, who, why string) (strangler.Cutover, error) {
	return f.b.Cutover, f.b.call(ctx, "cutover", capability, who, why)
}

func (f owners) Rollback(ctx context.Context, capability, who, why string) (strangler.Cutover, error) {
	return f.b.Cutover, f.b.call(ctx, "rollback", capability, who, why)
}

func (f owners) Complete(ctx context.Context, capability, who, confirm string) error {
	return f.b.call(ctx, "complete", append([]string{capability, who}, given(confirm)...)...)
}

func (f owners) Adopt(ctx context.Context, capability string, o admin.Order) (admin.Evidence, error) {
	parts := []string{capability, string(o.Owner), o.Who, o.Why}
	if o.Lost {
		parts = append(parts, "lost")
	}
	return admin.Evidence{Lines: f.b.Evidence, Toggle: f.b.Toggle}, f.b.call(ctx, "adopt", parts...)
}

type runs struct{ b *Backend }

func (f runs) Run(ctx context.Context, capability, until, who string) (strangler.Run, error) {
	err := f.b.call(ctx, "run", capability, until, who)
	return next(f.b, &f.b.Runs), err
}

func (f runs) Rollback(ctx context.Context, capability, to, who string) (strangler.Run, error) {
	err := f.b.call(ctx, "run rollback", capability, to, who)
	return next(f.b, &f.b.Runs), err
}

func (f runs) Approve(ctx context.Context, capability string, o admin.Order) error {
	return f.b.call(ctx, "approve", append([]string{capability, o.Step, o.Who}, given(o.Confirm)...)...)
}

func (f runs) Ask(ctx context.Context, action admin.Action, capability string, o admin.Order) (strangler.Run, []string, error) {
	words := append([]string{capability}, given(o.Step)...)
	err := f.b.call(ctx, string(action), append(append(words, o.Who), given(o.Why)...)...)
	var changes []string
	if action == admin.ActionAccept {
		changes = f.b.Changes
	}
	return next(f.b, &f.b.Runs), changes, err
}

// given is a word where there is one.
func given(word string) []string {
	if word == "" {
		return nil
	}
	return []string{word}
}

func (f runs) Status(context.Context, string) (strangler.Run, error) {
	return next(f.b, &f.b.Runs), f.b.failure("run status")
}

type counts struct{ b *Backend }

func (f counts) Requests(_ string, side strangler.Side) (requests, errors int64) {
	return f.b.Traffic[side].Requests, f.b.Traffic[side].Errors
}

type health struct{ b *Backend }

func (f health) Ready(context.Context) error { return f.b.failure("ready") }

type previews struct{ b *Backend }

func (f previews) Fences(_ context.Context, _ string, from strangler.Side) ([]string, error) {
	statements := slices.Clone(f.b.Fence)
	for i := range statements {
		statements[i] += " -- from " + string(from)
	}
	return statements, f.b.failure("fence")
}

func (f previews) Ask(_ context.Context, action admin.Action, _ string, o admin.Order) ([]string, error) {
	return f.b.Changes, f.b.failure("would " + string(action))
}

func (f previews) ForetellBack(_ context.Context, _, to string) (strangler.Run, []strangler.Planned, error) {
	return strangler.Run{BackTo: cmp.Or(to, "cutover")}, f.b.Back, f.b.failure("foretell back")
}

func (f previews) Foretell(_ context.Context, _, until string) ([]strangler.Planned, error) {
	return []strangler.Planned{{Step: "expand", Where: "legacy database", Do: "CREATE TABLE x (\n  y INTEGER\n);"}, {Step: "shadow", Where: "toggle", Do: "legacy → shadow" + until}}, f.b.failure("foretell")
}

func (f previews) Steps(context.Context, string) ([]strangler.StepRun, error) {
	return f.b.Steps, f.b.failure("steps")
}

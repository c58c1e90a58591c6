package strangler

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Side is one of the two databases and upstreams of a capability. The owner of a capability is a
// Side: the one whose database may take its writes.
type Side string

const (
	Legacy  Side = "legacy"
	Service Side = "service"
)

// Other is the opposite side.
func (s Side) Other() Side {
	if s == Legacy {
		return Service
	}
	return Legacy
}

// Mode is where a capability's requests go.
type Mode string

const (
	ModeLegacy    Mode = "legacy"    // all to the monolith
	ModeShadow    Mode = "shadow"    // all to the monolith, a sample also to the service
	ModeCanary    Mode = "canary"    // a percentage of users to the service
	ModeExtracted Mode = "extracted" // all to the service
)

// ParseMode reads one of the four modes.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case ModeLegacy, ModeShadow, ModeCanary, ModeExtracted:
		return m, nil
	}
	return "", fmt.Errorf("toggle %q: it is one of legacy, shadow, canary, extracted", s)
}

// Toggle is what the control store knows of a capability's routing and ownership. Instances serve
// from it; the databases' fences enforce Owner.
type Toggle struct {
	Capability string    `json:"capability"`
	Mode       Mode      `json:"mode"`
	Percent    Percent   `json:"percent"` // meaningful in ModeCanary
	Owner      Side      `json:"owner"`
	Epoch      int64     `json:"epoch"` // rises with every change
	Gated      bool      `json:"gated"` // a cutover is under way: writes are held
	Since      time.Time `json:"since"`
}

// Contradiction says why mode m cannot stand while side owns, or nil. A stateless capability has no
// owner to contradict.
func (t Toggle) Contradiction(m Mode) error {
	switch {
	case t.Owner == Legacy && m == ModeExtracted:
		return Refuse("toggle", fmt.Sprintf("the legacy database owns %s; sending its writes to the service would have them refused", t.Capability),
			"strangler split cutover "+t.Capability)
	case t.Owner == Service && m != ModeExtracted:
		return Refuse("toggle", fmt.Sprintf("the service's database owns %s; sending its writes to the monolith would have them refused", t.Capability),
			"strangler split rollback "+t.Capability)
	}
	return nil
}

// ToggleChange is what a person or a step asks of a toggle.
type ToggleChange struct {
	Mode    Mode    `json:"mode"`
	Percent Percent `json:"percent"`
	Who     string  `json:"who"`
	Why     string  `json:"why"` // never empty
}

// AuditEntry is one change of a toggle or an owner. It is written in the transaction of the change.
type AuditEntry struct {
	ID         int64     `json:"id"`
	Capability string    `json:"capability"`
	Epoch      int64     `json:"epoch"`
	At         time.Time `json:"at"`
	Who        string    `json:"who"`
	Why        string    `json:"why"`
	From       string    `json:"from"` // "canary 10%, owner legacy"
	To         string    `json:"to"`
}

// Describe is a toggle in the words of the audit.
func (t Toggle) Describe() string {
	s := string(t.Mode)
	if t.Mode == ModeCanary {
		s += " " + t.Percent.String()
	}
	return s + ", owner " + string(t.Owner)
}

// OwnerHeader is set by the proxy on every request to an upstream, and removed from what clients send.
// A seam in the monolith reads from it who owns a capability. One that it does not name is not legacy's: the seam asks for its toggle.
const OwnerHeader = "Strangler-Owner"

// AppendOwner appends a toggle to a value of OwnerHeader: "delivery=legacy;epoch=12, billing=service;epoch=3".
func AppendOwner(value []byte, t Toggle) []byte {
	if len(value) > 0 {
		value = append(value, ", "...)
	}
	value = append(append(append(value, t.Capability...), '='), t.Owner...)
	return strconv.AppendInt(append(value, ";epoch="...), t.Epoch, 10)
}

// Snapshot is the state of every toggle at one moment.
type Snapshot struct {
	ControlID string    `json:"control_id"`
	Toggles   []Toggle  `json:"toggles"` // ordered by capability
	At        time.Time `json:"at"`
	Stale     bool      `json:"stale"` // served from disk: the control store could not be reached
}

// Instance is one running daemon that proxies requests.
type Instance struct {
	ID      string           `json:"id"`
	Admin   string           `json:"admin"` // where it takes pushes; empty while it is not yet known
	Started time.Time        `json:"started"`
	Seen    time.Time        `json:"seen"`
	Live    bool             `json:"live"`
	Epochs  map[string]int64 `json:"epochs"` // by capability: the epoch it has applied
}

// Flip is the outcome of a toggle change: the new state, and who has applied it.
type Flip struct {
	Toggle  Toggle   `json:"toggle"`
	Applied []string `json:"applied"`
	Pending []string `json:"pending"` // instances that have not; empty when the flip is complete
}

// ToggleStore reads and changes toggles. Set is a compare-and-swap on the epoch in one transaction
// with its audit row; it fails with ErrRefused under a cutover or against the owner, and with
// ErrConflict when someone else changed the toggle at the same moment.
type ToggleStore interface {
	Toggle(ctx context.Context, capability string) (Toggle, error)
	Set(ctx context.Context, capability string, change ToggleChange) (Toggle, error)
	History(ctx context.Context, capability string) ([]AuditEntry, error)
}

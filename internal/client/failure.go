package client

import (
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

// Unreachable: no daemon answers. Nothing was sent, so nothing was changed.
type Unreachable struct {
	URL   string
	Start string // the command that starts it
	Err   error
}

func (u *Unreachable) Error() string {
	return fmt.Sprintf("no daemon answers at %s (%v); nothing was changed; start it with: %s", u.URL, u.Err, u.Start)
}

// Unwrap gives the network's error.
func (u *Unreachable) Unwrap() error { return u.Err }

// remote is an error of the daemon: its words, and the sentinel that it wrapped there.
type remote struct {
	message string
	kind    error // nil for a plain failure
}

func (r *remote) Error() string { return r.message }
func (r *remote) Unwrap() error { return r.kind }

// restored is the daemon's error as it was before it became JSON.
func restored(d admin.FailureDetail) error {
	if d.Code == admin.CodeRefused && d.Check != "" {
		return &strangler.Refusal{Check: d.Check, Why: d.Message, Next: d.Next}
	}
	message := d.Message
	if len(d.Next) > 0 {
		message += "; next: " + strings.Join(d.Next, ", or ")
	}
	return &remote{message: message, kind: d.Code.Sentinel()}
}

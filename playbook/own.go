package playbook

import (
	strangler "github.com/strangler-fig/strangler"
)

// own makes a step of the capability's own.
func own(o strangler.OwnStep) entry {
	return entry{Description: Description{Name: o.Name, Kind: o.Kind()}}
}

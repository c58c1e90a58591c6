package seam

import (
	"fmt"
	"strconv"
	"strings"
)

// OwnerHeader is set by Strangler's proxy, which strips it from what clients send.
const OwnerHeader = "Strangler-Owner"

// capability is what Strangler calls that which this seam cuts.
const capability = "delivery"

// Side is where deliveries are scheduled.
type Side string

// The two sides, in the words of Strangler.
const (
	Legacy  Side = "legacy"
	Service Side = "service"
)

// Owner is who takes deliveries, and since which change.
type Owner struct {
	Side  Side
	Epoch int64
}

// parseOwner reads header values such as "delivery=legacy;epoch=12", several capabilities being
// separated by ", ". ok is false when none of them is this seam's.
func parseOwner(values []string) (owner Owner, ok bool, err error) {
	for _, value := range values {
		for _, part := range strings.Split(value, ",") {
			name, o, err := parseOne(strings.TrimSpace(part))
			if err != nil {
				return Owner{}, false, fmt.Errorf("header %s: %q: %w", OwnerHeader, value, err)
			}
			if name != capability {
				continue
			}
			if ok {
				return Owner{}, false, fmt.Errorf("header %s names %s twice", OwnerHeader, capability)
			}
			owner, ok = o, true
		}
	}
	return owner, ok, nil
}

func parseOne(part string) (name string, owner Owner, err error) {
	assignment, epoch, found := strings.Cut(part, ";epoch=")
	name, side, assigned := strings.Cut(assignment, "=")
	if !found || !assigned || name == "" {
		return "", Owner{}, fmt.Errorf("want name=side;epoch=number")
	}
	owner.Side = Side(side)
	if owner.Side != Legacy && owner.Side != Service {
		return "", Owner{}, fmt.Errorf("the owner is %s or %s", Legacy, Service)
	}
	owner.Epoch, err = strconv.ParseInt(epoch, 10, 64)
	if err != nil || owner.Epoch < 0 {
		return "", Owner{}, fmt.Errorf("the epoch is a whole number, not %q", epoch)
	}
	return name, owner, nil
}

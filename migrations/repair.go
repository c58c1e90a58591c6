package migrations

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strangler-fig/strangler"
)

// relogKeys is how many keys one transaction logs at the owner.
const relogKeys = 1000

// repair has the owner's rows brought again where the two sides differ, and compares them behind that. It writes
// nothing at the follower: the keys are logged at the owner, and the stream does the rest. The worker logs them
// between two batches, so one batch has them all: a unique value that moves among them never meets the row that had it.
func (x *verification) repair(ctx context.Context) error {
	err := x.do(ctx, func(ctx context.Context) error {
		for t, keys := range x.found {
			for some := range slices.Chunk(keys, relogKeys) {
				if err := x.from.Relog(ctx, t, some); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if errors.Is(err, strangler.ErrSuperseded) {
		return fmt.Errorf("%w: the %s side of %s no longer takes writes, so it is not the one to repair from; run the repair again: %w", strangler.ErrConflict, x.owner, x.c.Name, err)
	}
	if err != nil {
		return fmt.Errorf("log the keys that differ at the owner: %w", err)
	}
	left := make([]map[string]bool, len(x.found))
	for t, keys := range x.found {
		differ, err := x.differing(ctx, t, keys, 0)
		if err != nil {
			return err
		}
		left[t] = map[string]bool{}
		for _, k := range differ.keys {
			left[t][string(Encode(k))] = true
		}
		repaired := int64(len(keys) - len(differ.keys))
		x.v.Repaired, x.v.Mismatches = x.v.Repaired+repaired, x.v.Mismatches-repaired
	}
	for i := range x.v.Differences {
		d := &x.v.Differences[i]
		t := slices.IndexFunc(x.c.Tables, func(c strangler.Table) bool { return c.From == d.Table })
		d.Repaired = !left[t][string(Encode(x.keys[i]))]
	}
	return nil
}

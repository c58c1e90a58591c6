package migrations

import (
	"context"
	"fmt"

	"github.com/strangler-fig/strangler"
)

// Finding is one thing about a database that a person should know, or settle, before a split runs there.
type Finding struct {
	Side    strangler.Side
	Phase   string   // what it is for: "plan", "copy", "cutover", "complete"; empty: for all of it
	Check   string   // the check's name: "grant", "pooler"…
	What    string   // what was found
	Next    []string // what would settle it; statements can be pasted
	Forbids bool     // the split cannot run as long as it stands
	Fine    bool     // it is as it should be
}

// Examiner is an engine that can say more of a database than what Inspect refuses: rights, roles, poolers,
// settings. Examine changes nothing.
type Examiner interface {
	Examine(ctx context.Context) ([]Finding, error)
}

// Examine asks both sides whose engine is an Examiner, whatever the plan says of their tables.
func (p *Planning) Examine(ctx context.Context) ([]Finding, error) {
	var out []Finding
	for _, t := range p.c.Tables {
		if t.OneWay {
			out = append(out, Finding{Side: strangler.Legacy, Phase: "cutover", Check: "reverse", What: mappingNote(t), Next: []string{"leave reverse: false out, where the mapping has a way back"}})
		}
	}
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		d, err := p.open(ctx, side)
		if err != nil {
			return out, err
		}
		e, ok := engine(d).(Examiner)
		if !ok {
			continue
		}
		found, err := e.Examine(ctx)
		if err != nil {
			return out, fmt.Errorf("examine the %s database of %s: %w", side, p.c.Name, err)
		}
		for _, f := range found {
			f.Side = side
			out = append(out, f)
		}
	}
	return out, nil
}

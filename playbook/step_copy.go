package playbook

import (
	"context"
	"fmt"

	strangler "github.com/strangler-fig/strangler"
)

// copyStep starts the copy and waits until the service's side follows. The copy itself belongs to the
// split's worker; started remembers that it was told so in this process.
type copyStep struct{ started bool }

func (s *copyStep) Check(ctx context.Context, a *act) (verdict, error) {
	st, err := a.status(ctx)
	if err != nil {
		return verdict{}, err
	}
	switch {
	case moved(st):
		return done("the service owns the rows"), nil
	case st.Phase == strangler.PhaseSyncing:
		return done("%s copied; changes are followed", progress(st.Tables)), nil
	case !s.started:
		return ready("starting the copy"), nil
	case st.Phase == strangler.PhaseStopped:
		return verdict{}, stopped(st)
	case st.Phase == strangler.PhaseCopying:
		v := missing("the copy")
		v.detail = fmt.Sprintf("%s: %s", v.text, progress(st.Tables))
		if st.Error != "" {
			v.detail += "; " + st.Error
		}
		return v, nil
	}
	return verdict{}, strangler.Refuse("phase", fmt.Sprintf("the split of %s is %q though its copy was started: somebody took it back", a.name(), st.Phase),
		"strangler playbook run "+a.name())
}

func (s *copyStep) Do(ctx context.Context, a *act) error {
	if err := a.Splits.Start(ctx, a.name()); err != nil {
		return fmt.Errorf("starting the copy of %s: %w", a.name(), err)
	}
	s.started = true
	return nil
}

func (s *copyStep) Undo(ctx context.Context, a *act) (string, error) {
	return cancelSplit(ctx, a, strangler.PhaseNone, strangler.PhasePlanned)
}

func progress(tables []strangler.TableProgress) string {
	var copied, total int64
	for _, t := range tables {
		copied += t.RowsCopied
		total += t.RowsTotal
	}
	return fmt.Sprintf("%d of %d rows in %d tables", copied, max(copied, total), len(tables))
}

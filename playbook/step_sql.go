package playbook

import (
	"context"
	"errors"
	"fmt"

	strangler "github.com/strangler-fig/strangler"
)

// sqlGate asks a database.
type sqlGate struct{ own strangler.OwnStep }

func (g sqlGate) ask(ctx context.Context, a *act) (verdict, error) {
	s := g.own.SQL
	what := fmt.Sprintf("the %s database to answer %q to the query of %s", s.Side, s.Answer, g.own.Name)
	bounded, cancel := context.WithTimeout(ctx, g.own.Timeout)
	defer cancel()
	answer, err := a.Queries.Query(bounded, a.name(), s.Side, s.Query)
	more := "strangler playbook show " + a.name()
	switch {
	case ctx.Err() != nil:
		return verdict{}, ctx.Err()
	case errors.Is(err, strangler.ErrNotFound):
		return unmet(gatePause, what, "it answered no row", more), nil
	case errors.Is(err, strangler.ErrConfig):
		return verdict{}, fmt.Errorf("the query of %s: %w", g.own.Name, err)
	case bounded.Err() != nil:
		return unmet(gatePause, what, fmt.Sprintf("it did not answer within %v", g.own.Timeout), more), nil
	case err != nil:
		return unmet(gatePause, what, clip(err.Error(), maxFound), more), nil
	case answer != s.Answer:
		return unmet(gatePause, what, fmt.Sprintf("it answered %q", clip(answer, maxFound)), more), nil
	}
	return done("the %s database answered %q", s.Side, clip(answer, maxFound)), nil
}

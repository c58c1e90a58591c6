package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strangler-fig/strangler"
)

// Status is what people and the playbook see of a split. It reads what the databases hold, not what a
// worker remembers; a database that cannot be reached leaves its part out.
func (s *Splits) Status(ctx context.Context, capability string) (strangler.SplitStatus, error) {
	x, err := s.split(capability)
	if err != nil {
		return strangler.SplitStatus{}, err
	}
	rec, err := s.cfg.Records.Split(ctx, capability)
	if err != nil {
		return strangler.SplitStatus{}, err
	}
	t, err := s.cfg.Records.Toggle(ctx, capability)
	if err != nil {
		return strangler.SplitStatus{}, err
	}
	out := strangler.SplitStatus{
		Capability: capability, Phase: rec.Phase, Error: rec.Error, Owner: t.Owner, Epoch: t.Epoch, LastVerify: rec.Verified,
		Tables: []strangler.TableProgress{}, Pause: float64(s.cfg.Gates.Pause(capability).Microseconds()) / 1000, NextSteps: nextSteps(capability, rec, t),
	}
	row, err := s.cfg.Decisions.LatestCutover(ctx, capability)
	switch {
	case err == nil:
		out.Cutover = &row
	case !errors.Is(err, strangler.ErrNotFound):
		return out, err
	}
	x.progress(ctx, &out)
	return out, nil
}

func (s *split) progress(ctx context.Context, out *strangler.SplitStatus) {
	from, to, err := s.both(ctx, out.Owner)
	if err != nil {
		out.Error = errors.Join(errors.New(out.Error), err).Error()
		return
	}
	legacy, service := from, to
	if out.Owner == strangler.Service {
		legacy, service = to, from
	}
	var marks []Mark
	if following(out.Phase) || out.Phase == strangler.PhaseStopped {
		marks, _ = service.Marks(ctx)
		out.Lag.Changes, _ = from.Pending(ctx)
		if p := s.passed.Load(); s.holding.Load() && !p.at.IsZero() {
			out.Lag.Seconds = time.Since(p.at).Seconds()
		}
	}
	for i, table := range s.c.Tables {
		p := strangler.TableProgress{Name: table.From}
		p.RowsTotal, _ = legacy.Count(ctx, i)
		if i < len(marks) {
			p.RowsCopied = marks[i].Rows
			if marks[i].Finished {
				p.RowsTotal = max(p.RowsTotal, p.RowsCopied)
			}
		}
		out.Tables = append(out.Tables, p)
	}
}

func nextSteps(c string, rec strangler.Split, t strangler.Toggle) []string {
	switch rec.Phase {
	case strangler.PhaseNone, strangler.PhaseCancelled:
		return []string{"strangler migrate plan " + c, "strangler playbook run " + c}
	case strangler.PhasePlanned:
		return []string{"strangler split start " + c, "strangler split cancel " + c}
	case strangler.PhaseCopying:
		return []string{"wait until it is syncing: strangler split status " + c, "strangler split cancel " + c}
	case strangler.PhaseSyncing:
		if rec.Verified.At.IsZero() || rec.Verified.Mismatches > 0 {
			return []string{"strangler split verify " + c, "strangler split cancel " + c}
		}
		return []string{"strangler split cutover " + c, "strangler split cancel " + c}
	case strangler.PhaseReversed:
		return []string{"strangler split rollback " + c, "strangler split complete " + c + " (the point of no return)"}
	case strangler.PhaseStopped:
		return []string{fmt.Sprintf("read the error; the %s side owns and serves", t.Owner), "strangler split start " + c + " to go on", "strangler split adopt " + c + " to see the evidence after a restore"}
	}
	return []string{}
}

// Writers tells who wrote the tables lately. SQLite and the trigger capture do not know their writers.
func (s *Splits) Writers(_ context.Context, capability string) ([]strangler.Writer, error) {
	if _, err := s.split(capability); err != nil {
		return nil, err
	}
	return nil, strangler.Refuse("writers", "SQLite does not tell who writes: there are no users, applications or addresses", "lsof on the database's file shows the processes that have it open")
}

// FenceStatement is the one statement that closes a side's fence under an epoch, for people to read.
func (s *Splits) FenceStatement(ctx context.Context, capability string, side strangler.Side, epoch int64) (string, error) {
	x, err := s.split(capability)
	if err != nil {
		return "", err
	}
	d, err := x.db(ctx, side)
	if err != nil {
		return "", err
	}
	return d.FenceStatement(epoch, FenceClosed), nil
}

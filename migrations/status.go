package migrations

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	if rec.Verifying != nil {
		v := *rec.Verifying
		v.After = nil
		out.Verifying = &v
	}
	x.progress(ctx, &out)
	if out.Differing > 0 && (rec.Phase == strangler.PhaseSyncing || rec.Phase == strangler.PhaseReversed) {
		out.NextSteps = []string{"strangler split verify " + capability + " --repair"}
	}
	return out, nil
}

// troubleShown is for how long status shows what went wrong and is tried again: longer than the next try takes.
const troubleShown = time.Minute

func (s *split) progress(ctx context.Context, out *strangler.SplitStatus) {
	if kept, _, err := s.retained(ctx); err == nil {
		out.RetainedWAL = kept.Bytes
	}
	followed := following(out.Phase) || out.Phase == strangler.PhaseStopped
	if p := s.passed.Load(); followed && s.holding.Load() && !p.at.IsZero() {
		out.Lag.Seconds = time.Since(p.at).Seconds()
	}
	from, to, err := s.both(ctx, out.Owner)
	if err != nil {
		if followed {
			out.Lag.Unknown = err.Error()
		}
		out.Error = strings.TrimSpace(out.Error + "\n" + err.Error())
		return
	}
	legacy, service := from, to
	if out.Owner == strangler.Service {
		legacy, service = to, from
	}
	if s.holding.Load() {
		why, waited := s.throttle.state()
		out.Throttled, out.ThrottledSeconds = why, waited.Seconds()
		if t := s.trouble.Load(); t != nil && time.Since(t.at) < troubleShown {
			out.Retrying = t.why
		}
	}
	var marks []Mark
	if followed {
		marks, _ = service.Marks(ctx)
		if out.Lag.Changes, err = from.Pending(ctx); err != nil {
			out.Lag.Changes, out.Lag.Unknown = 0, fmt.Sprintf("the %s database could not be asked: %v", out.Owner, err)
		}
		out.Uncompared, _ = s.kept(ctx, to, Unverified, 1000)
		out.Differing, _ = s.kept(ctx, to, Differing, 1000)
	}
	if out.Phase == strangler.PhaseCopying {
		out.Doing, _ = s.behindRows(ctx, service, marks)
	}
	for i, table := range s.c.Tables {
		p := strangler.TableProgress{Name: table.From}
		p.RowsTotal, _ = legacy.Count(ctx, i)
		for _, m := range marks {
			if m.Table == i {
				p.RowsCopied += m.Rows
			}
		}
		if standings(i, marks).finished {
			p.RowsTotal = max(p.RowsTotal, p.RowsCopied)
		} else if out.Phase == strangler.PhaseCopying && s.holding.Load() {
			if p.Rate = s.paces[i].rate(time.Now()); p.Rate > 0 {
				p.ETA = max(0, float64(p.RowsTotal-p.RowsCopied)/p.Rate)
			}
		}
		out.Tables = append(out.Tables, p)
	}
}

// behindRows says what is done between the last row and syncing.
func (s *split) behindRows(ctx context.Context, service Database, marks []Mark) (string, error) {
	loose := false
	for _, m := range marks {
		if !m.Finished {
			return "", nil
		}
		loose = loose || m.Loose
	}
	at, _, err := service.Version(ctx)
	switch {
	case err != nil || len(marks) == 0:
		return "", err
	case Stage(at) < StageIndexed:
		return "making keys and indexes", nil
	case loose:
		return "applying what changed meanwhile", nil
	case Stage(at) < StageWhole:
		return "making unique indexes and foreign keys", nil
	}
	return "", nil
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

// Scribe is an engine that can say who writes. Writers are those whose changes its capture has recorded,
// the latest first. Where no capture has been installed, the error is an ErrRefused.
type Scribe interface {
	Writers(ctx context.Context) ([]strangler.Writer, error)
}

// Writers tells who wrote the tables lately, at either side: first the owner's writers, then those of the
// side that follows, which have written while it owned, or past its fence. A database without users, such
// as SQLite, does not know: ErrRefused.
func (s *Splits) Writers(ctx context.Context, capability string) ([]strangler.Writer, error) {
	x, err := s.split(capability)
	if err != nil {
		return nil, err
	}
	t, err := s.cfg.Records.Toggle(ctx, capability)
	if err != nil {
		return nil, err
	}
	out, err := x.writers(ctx, t.Owner)
	if err != nil {
		return nil, err
	}
	more, err := x.writers(ctx, t.Owner.Other())
	if err != nil && !errors.Is(err, strangler.ErrRefused) { // it may have no capture yet
		return nil, err
	}
	return append(out, more...), nil
}

func (s *split) writers(ctx context.Context, side strangler.Side) ([]strangler.Writer, error) {
	d, err := s.db(ctx, side)
	if err != nil {
		return nil, err
	}
	scribe, ok := engine(d).(Scribe)
	if !ok {
		return nil, strangler.Refuse("writers", fmt.Sprintf("the %s database of %s does not tell who writes: it has no users, applications or addresses", side, s.c.Name), "lsof on the database's file shows the processes that have it open")
	}
	return scribe.Writers(ctx)
}

// FenceStatement is the one statement that opens or closes a side's fence under an epoch, for people to read.
func (s *Splits) FenceStatement(ctx context.Context, capability string, side strangler.Side, epoch int64, state FenceState) (string, error) {
	x, err := s.split(capability)
	if err != nil {
		return "", err
	}
	d, err := x.db(ctx, side)
	if err != nil {
		return "", err
	}
	return d.FenceStatement(epoch, state), nil
}

package control

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler"
)

// active are the states of a run that works or will go on by itself.
var active = []strangler.RunState{strangler.RunRunning, strangler.RunWaiting, strangler.RunUndoing}

// StartRun records a new run and freezes its list of steps, in their order. It sets the ID and, where
// they are empty, Started, the run's state (running) and the steps' (pending). Refused while another
// run of the capability is running, waiting or undoing; strangler.ErrConfig for steps without a name
// or with the same one; strangler.ErrNotFound for an unknown capability; strangler.ErrUnknown:
// LatestRun tells; strangler.ErrSuperseded where the lease of the capability's runs is not worker's. An empty worker works alone, without
// a lease.
func (s *Store) StartRun(ctx context.Context, worker string, run strangler.Run) (strangler.Run, error) {
	if err := checkSteps(run.Steps); err != nil {
		return strangler.Run{}, err
	}
	var started strangler.Run
	err := s.write(ctx, pointStartRun, func(tx *gorm.DB) error {
		if _, err := lockToggle(tx, run.Capability); err != nil {
			return err
		}
		if err := mayWrite(tx, run.Capability, worker); err != nil {
			return err
		}
		if err := noOtherRun(tx, run.Capability, 0); err != nil {
			return err
		}
		now, err := s.now(tx)
		if err != nil {
			return err
		}
		row := runRow{Capability: run.Capability, State: run.State, Until: run.Until, BackTo: run.BackTo, Waiting: run.Waiting,
			Error: run.Error, Paused: run.Paused, Settings: run.Settings, Acts: run.Acts, Who: run.Who, Started: stamp(run.Started), Ended: stamp(run.Ended)}
		if row.State == "" {
			row.State = strangler.RunRunning
		}
		if row.Started == 0 {
			row.Started = stamp(now)
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		for i, step := range run.Steps {
			r := stepRow{Run: row.ID, Place: i, Name: step.Name, State: step.State, Detail: step.Detail, Approved: step.Approved, Begun: step.Begun,
				Started: stamp(step.Started), Ended: stamp(step.Ended)}
			if r.State == "" {
				r.State = strangler.StepPending
			}
			if err := tx.Create(&r).Error; err != nil {
				return err
			}
		}
		started, err = withSteps(tx, row)
		return err
	})
	if err != nil {
		return strangler.Run{}, err
	}
	return started, nil
}

func checkSteps(steps []strangler.StepRun) error {
	seen := make(map[string]bool, len(steps))
	for _, step := range steps {
		if step.Name == "" || seen[step.Name] {
			return fmt.Errorf("%w: the steps of a run have names, each its own, and %q is not; nothing was changed", strangler.ErrConfig, step.Name)
		}
		seen[step.Name] = true
	}
	return nil
}

// noOtherRun refuses while a run of the capability other than this one is active.
func noOtherRun(tx *gorm.DB, capability string, this int64) error {
	var rows []runRow
	err := tx.Where("capability = ? AND state IN ? AND id <> ?", capability, active, this).Order("id").Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return err
	}
	return strangler.Refuse("run", fmt.Sprintf("run %d of %s is %s", rows[0].ID, capability, rows[0].State),
		"wait for it: strangler playbook status "+capability, "strangler playbook rollback "+capability)
}

// LatestRun reads a capability's last run with its steps, or strangler.ErrNotFound when there was none.
func (s *Store) LatestRun(ctx context.Context, capability string) (strangler.Run, error) {
	db := s.db.WithContext(ctx)
	var row runRow
	if err := db.Where("capability = ?", capability).Order("id DESC").Take(&row).Error; err != nil {
		return strangler.Run{}, readError("a run of "+capability, err)
	}
	return readSteps(db, row)
}

// Runs are a capability's runs with their steps, the newest first, limit at most.
func (s *Store) Runs(ctx context.Context, capability string, limit int) ([]strangler.Run, error) {
	db := s.db.WithContext(ctx)
	var rows []runRow
	if err := db.Where("capability = ?", capability).Order("id DESC").Limit(limit).Find(&rows).Error; err != nil {
		return nil, readError("the runs of "+capability, err)
	}
	return readAll(db, rows)
}

// ActiveRuns are the runs that are running, waiting or undoing, the oldest first.
func (s *Store) ActiveRuns(ctx context.Context) ([]strangler.Run, error) {
	db := s.db.WithContext(ctx)
	var rows []runRow
	if err := db.Where("state IN ?", active).Order("id").Find(&rows).Error; err != nil {
		return nil, readError("the active runs", err)
	}
	return readAll(db, rows)
}

func readAll(db *gorm.DB, rows []runRow) ([]strangler.Run, error) {
	runs := make([]strangler.Run, len(rows))
	for i, row := range rows {
		var err error
		if runs[i], err = readSteps(db, row); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

func readSteps(db *gorm.DB, row runRow) (strangler.Run, error) {
	run, err := withSteps(db, row)
	if err != nil {
		return strangler.Run{}, readError(fmt.Sprintf("the steps of run %d", row.ID), err)
	}
	return run, nil
}

func withSteps(db *gorm.DB, r runRow) (strangler.Run, error) {
	var rows []stepRow
	if err := db.Where("run = ?", r.ID).Order("place").Find(&rows).Error; err != nil {
		return strangler.Run{}, err
	}
	run := strangler.Run{ID: r.ID, Capability: r.Capability, State: r.State, Until: r.Until, BackTo: r.BackTo, Waiting: r.Waiting,
		Error: r.Error, Paused: r.Paused, Settings: r.Settings, Acts: r.Acts, Who: r.Who, Started: moment(r.Started), Ended: moment(r.Ended), Steps: make([]strangler.StepRun, len(rows))}
	for i, step := range rows {
		run.Steps[i] = strangler.StepRun{Name: step.Name, State: step.State, Detail: step.Detail, Approved: step.Approved, Begun: step.Begun,
			Started: moment(step.Started), Ended: moment(step.Ended)}
	}
	return run, nil
}

// SaveRun stores the run's own columns but its capability; its steps are SaveStep's. Refused when it
// would make a run active beside another; strangler.ErrNotFound; strangler.ErrSuperseded as for StartRun, so that a worker which slept
// does not write over what its successor has done. After strangler.ErrUnknown call it again with the same run.
func (s *Store) SaveRun(ctx context.Context, worker string, run strangler.Run) error {
	return s.write(ctx, pointSaveRun, func(tx *gorm.DB) error {
		row, err := readRun(tx, run.ID)
		if err != nil {
			return err
		}
		if _, err := lockToggle(tx, row.Capability); err != nil {
			return err
		}
		if err := mayWrite(tx, row.Capability, worker); err != nil {
			return err
		}
		for _, state := range active {
			if run.State != state {
				continue
			}
			if err := noOtherRun(tx, row.Capability, run.ID); err != nil {
				return err
			}
		}
		changed := runRow{State: run.State, Until: run.Until, BackTo: run.BackTo, Waiting: run.Waiting, Error: run.Error, Paused: run.Paused,
			Settings: run.Settings, Acts: run.Acts, Who: run.Who, Started: stamp(run.Started), Ended: stamp(run.Ended)}
		return tx.Model(&runRow{}).Where("id = ?", run.ID).Select("*").Omit("id", "capability").Updates(changed).Error
	})
}

// SaveStep stores one step of a run, all but its approval. strangler.ErrNotFound for a run that does
// not exist and for a step that was not in its list; strangler.ErrSuperseded as for StartRun. After strangler.ErrUnknown call it again
// with the same step.
func (s *Store) SaveStep(ctx context.Context, worker string, runID int64, step strangler.StepRun) error {
	return s.write(ctx, pointSaveStep, func(tx *gorm.DB) error {
		row, err := readRun(tx, runID)
		if err != nil {
			return err
		}
		if err := mayWrite(tx, row.Capability, worker); err != nil {
			return err
		}
		return updateStep(tx, runID, step.Name, map[string]any{
			"state": step.State, "detail": step.Detail, "begun": step.Begun, "started": stamp(step.Started), "ended": stamp(step.Ended),
		})
	})
}

// mayWrite is strangler.ErrSuperseded unless the lease of the capability's runs is worker's, or worker works alone.
func mayWrite(tx *gorm.DB, capability, worker string) error {
	if worker == "" {
		return nil
	}
	return onlyHolder(tx, strangler.RunLease(capability), worker)
}

// Approve records who approved a step, and nothing else, so that it never meets SaveStep. A second
// approval replaces the first. Refused without a name; strangler.ErrNotFound as for SaveStep;
// repeating it is safe.
func (s *Store) Approve(ctx context.Context, runID int64, step, who string) error {
	if who == "" {
		return strangler.Refuse("who", "an approval carries the name of who gives it, and there is none", "--who NAME")
	}
	return s.write(ctx, pointApprove, func(tx *gorm.DB) error {
		if _, err := readRun(tx, runID); err != nil {
			return err
		}
		return updateStep(tx, runID, step, map[string]any{"approved": who})
	})
}

// updateStep changes a step of a run that is there.
func updateStep(tx *gorm.DB, runID int64, name string, columns map[string]any) error {
	var row stepRow
	if err := forUpdate(tx).Where("run = ? AND name = ?", runID, name).Take(&row).Error; err != nil {
		return missing(fmt.Sprintf("the step %q of run %d", name, runID), err)
	}
	return tx.Model(&stepRow{}).Where("run = ? AND name = ?", runID, name).Updates(columns).Error
}

func readRun(tx *gorm.DB, id int64) (runRow, error) {
	var row runRow
	if err := tx.Where("id = ?", id).Take(&row).Error; err != nil {
		return runRow{}, missing(fmt.Sprintf("run %d", id), err)
	}
	return row, nil
}

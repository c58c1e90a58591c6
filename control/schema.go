package control

import (
	"time"

	"github.com/strangler-fig/strangler"
)

// schemaVersion rises with every change of the rows below.
const schemaVersion = 4

// tables are all tables of the store, as AutoMigrate takes them.
var tables = []any{
	&storeRow{}, &toggleRow{}, &auditRow{}, &cutoverRow{}, &leaseRow{}, &splitRow{},
	&instanceRow{}, &appliedRow{}, &trafficRow{}, &runRow{}, &stepRow{},
}

// Times are microseconds since 1970, UTC, and 0 for none: every dialect compares them alike and gives
// back what was stored. Strings that are keys are limited, since not every dialect takes text there; the others are not, which is
// longtext on MariaDB, whose text ends at 64 KiB.

type storeRow struct {
	ID        int64 `gorm:"primaryKey;autoIncrement:false"` // always 1
	ControlID string
	Version   int
	Term      int64 // the last that was given out
}

func (storeRow) TableName() string { return "control_store" }

type toggleRow struct {
	Capability string `gorm:"primaryKey;size:191"`
	Mode       strangler.Mode
	Percent    strangler.Percent
	Owner      strangler.Side
	Epoch      int64
	Gated      bool
	Stateless  bool
	Since      int64
}

func (toggleRow) TableName() string { return "control_toggles" }

func (r toggleRow) toggle() strangler.Toggle {
	return strangler.Toggle{Capability: r.Capability, Mode: r.Mode, Percent: r.Percent, Owner: r.Owner,
		Epoch: r.Epoch, Gated: r.Gated, Since: moment(r.Since)}
}

type auditRow struct {
	ID         int64  `gorm:"primaryKey"`
	Capability string `gorm:"size:191;uniqueIndex:control_audit_epoch,priority:1"`
	Epoch      int64  `gorm:"uniqueIndex:control_audit_epoch,priority:2"`
	At         int64
	Who        string
	Why        string
	From       string `gorm:"column:changed_from"`
	To         string `gorm:"column:changed_to"`
}

func (auditRow) TableName() string { return "control_audit" }

func (r auditRow) entry() strangler.AuditEntry {
	return strangler.AuditEntry{ID: r.ID, Capability: r.Capability, Epoch: r.Epoch, At: moment(r.At),
		Who: r.Who, Why: r.Why, From: r.From, To: r.To}
}

type cutoverRow struct {
	ID         int64          `gorm:"primaryKey"`
	Capability string         `gorm:"size:191;index"`
	From       strangler.Side `gorm:"column:from_side"`
	To         strangler.Side `gorm:"column:to_side"`
	State      strangler.CutoverState
	Epoch      int64
	Decided    int64
	Position   string
	Released   bool
	Who        string
	Why        string
	Started    int64
	Ended      int64
}

func (cutoverRow) TableName() string { return "control_cutovers" }

func (r cutoverRow) cutover() strangler.Cutover {
	return strangler.Cutover{ID: r.ID, Capability: r.Capability, From: r.From, To: r.To, State: r.State, Epoch: r.Epoch,
		Decided: r.Decided, Position: r.Position, Released: r.Released, Who: r.Who, Why: r.Why,
		Started: moment(r.Started), Ended: moment(r.Ended)}
}

type leaseRow struct {
	Name    string `gorm:"primaryKey;size:191"`
	Holder  string // empty: free
	Expires int64
}

func (leaseRow) TableName() string { return "control_leases" }

type splitRow struct {
	Capability   string `gorm:"primaryKey;size:191"`
	Phase        strangler.Phase
	Error        string
	VerifiedAt   int64
	VerifiedRows int64
	Mismatches   int64
	Verifying    *strangler.Verifying `gorm:"serializer:json;type:string"`
	Updated      int64
}

func (splitRow) TableName() string { return "control_splits" }

type instanceRow struct {
	ID      string `gorm:"primaryKey;size:191"`
	Admin   string
	Started int64
	Seen    int64
}

func (instanceRow) TableName() string { return "control_instances" }

type appliedRow struct {
	Instance   string `gorm:"primaryKey;size:191"`
	Capability string `gorm:"primaryKey;size:191"`
	Epoch      int64
}

func (appliedRow) TableName() string { return "control_applied" }

type trafficRow struct {
	Capability    string `gorm:"primaryKey;size:191"`
	Legacy        int64  // requests
	LegacyErrors  int64
	Service       int64 // requests
	ServiceErrors int64
}

func (trafficRow) TableName() string { return "control_traffic" }

type runRow struct {
	ID         int64  `gorm:"primaryKey"`
	Capability string `gorm:"size:191;index"`
	State      strangler.RunState
	Until      string
	BackTo     string
	Waiting    string
	Error      string
	Paused     string
	Settings   string
	Acts       []strangler.Act `gorm:"serializer:json;type:string"`
	Who        string
	Started    int64
	Ended      int64
}

func (runRow) TableName() string { return "control_runs" }

type stepRow struct {
	Run      int64  `gorm:"primaryKey;autoIncrement:false"`
	Name     string `gorm:"primaryKey;size:191"`
	Place    int    // in the run's order
	State    strangler.StepState
	Detail   string
	Approved string
	Begun    bool
	Started  int64
	Ended    int64
}

func (stepRow) TableName() string { return "control_steps" }

func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

package strangler

import "time"

// Phase is how far a split has come.
type Phase string

const (
	PhaseNone      Phase = ""          // never planned
	PhasePlanned   Phase = "planned"   // its scripts are written
	PhaseCopying   Phase = "copying"   // rows are copied while changes are followed
	PhaseSyncing   Phase = "syncing"   // legacy owns, the service follows
	PhaseReversed  Phase = "reversed"  // the service owns, legacy follows
	PhaseComplete  Phase = "complete"  // nothing of Strangler is left
	PhaseCancelled Phase = "cancelled" // taken back before the service owned
	PhaseStopped   Phase = "stopped"   // something needs a person; Error says what
)

// Split is the control store's record of one capability's split. How far its rows are is not here
// but in the target database, in the same transactions as the rows.
type Split struct {
	Capability string `json:"capability"`
	Phase      Phase  `json:"phase"`
	Error      string `json:"error,omitempty"` // why it is stopped, or what it waits for
	Verified   Verify `json:"last_verify"`
	// Verifying is how far a verification has come that has not ended.
	Verifying *Verifying `json:"verifying,omitempty"`
	Updated   time.Time  `json:"updated"`
}

// RunLease names the lease of a capability's runs. Its holder is the daemon that works on them.
func RunLease(capability string) string { return "run/" + capability }

// SplitLease names the lease of a capability's split. Its holder is the worker that changes the record.
func SplitLease(capability string) string { return "split/" + capability }

// Script is one half of a golang-migrate script: the way up of one that has not run, or the way down of one that has.
type Script struct {
	Side  Side   `json:"side"`
	Stage string `json:"stage"` // that its way up brings the side to: first, capture, indexed, whole, armed, complete
	Path  string `json:"path"`  // below the folder of the scripts
	SQL   string `json:"sql"`
}

// Verify is when both sides were compared last, and what came of it.
type Verify struct {
	At         time.Time `json:"at"`
	Rows       int64     `json:"rows"`
	Mismatches int64     `json:"mismatches"` // that are left
}

// Verifying is how far a verification has come: all before its place has been compared.
type Verifying struct {
	Started     time.Time    `json:"started"`
	Epoch       int64        `json:"epoch"`           // of the toggle; under another one it begins anew
	Table       int          `json:"table"`           // the place: a table's index,
	Back        bool         `json:"back"`            // whether the follower's rows are looked up at the owner, not the owner's at the follower,
	After       []byte       `json:"after,omitempty"` // and the last key, as the engines store it; none: the table's beginning
	Rows        int64        `json:"rows"`
	Mismatches  int64        `json:"mismatches"`
	Differences []Difference `json:"differences,omitempty"`
}

// Verification is the outcome of one, with what it found.
type Verification struct {
	Verify
	Repaired    int64        `json:"repaired,omitempty"`    // mismatches that are none any more
	Differences []Difference `json:"differences,omitempty"` // the first 20 mismatches, repaired or not
}

// DifferenceKind is in what way a row is a mismatch.
type DifferenceKind string

const (
	DifferenceMissing DifferenceKind = "missing" // the owner has it, the follower does not
	DifferenceExtra   DifferenceKind = "extra"   // the follower has it, the owner does not
	DifferenceDiffers DifferenceKind = "differs" // both have it, with other values
)

// Difference names a mismatch. It has no values: they may be personal.
type Difference struct {
	Table    string         `json:"table"` // as legacy calls it
	Key      string         `json:"key"`
	Kind     DifferenceKind `json:"kind"`
	Columns  []string       `json:"columns,omitempty"` // that differ, where both sides have the row
	Repaired bool           `json:"repaired,omitempty"`
}

// Lag is how far the following side is behind the owner.
type Lag struct {
	Changes int64   `json:"changes"` // log entries not yet applied
	Seconds float64 `json:"seconds"` // age of the oldest state that a reader of the follower may see
	// Unknown is why nobody knows how many changes there are: a database could not be asked. Empty: it is known.
	Unknown string `json:"unknown,omitempty"`
}

// TableProgress is how far one table has been copied.
type TableProgress struct {
	Name       string `json:"name"`
	RowsCopied int64  `json:"rows_copied"`
	RowsTotal  int64  `json:"rows_total"` // an estimate while copying
	// Rate and ETA are of the last seconds, and absent where the daemon that answers does not copy the table, or has
	// only begun to.
	Rate float64 `json:"rows_per_second,omitempty"`
	ETA  float64 `json:"eta_seconds,omitempty"`
}

// SplitStatus is what `split status` shows.
type SplitStatus struct {
	Capability string          `json:"capability"`
	Phase      Phase           `json:"phase"`
	Doing      string          `json:"doing,omitempty"` // what a copy does once its rows are there
	Error      string          `json:"error,omitempty"`
	Retrying   string          `json:"retrying,omitempty"` // what went wrong within the last minute, and is tried again
	Owner      Side            `json:"owner"`
	Epoch      int64           `json:"epoch"`
	Tables     []TableProgress `json:"tables"`
	Lag        Lag             `json:"lag"`
	LastVerify Verify          `json:"last_verify"`
	Verifying  *Verifying      `json:"verifying,omitempty"` // a verification that has not ended
	Uncompared int64           `json:"uncompared"`          // rows applied and not compared since; at most 1,000 of each table are counted
	Differing  int64           `json:"differing"`           // rows found different, by a verification or behind a batch, and not equal since; at most 1,000 of each table are counted
	Cutover    *Cutover        `json:"cutover,omitempty"`   // the latest
	Pause      float64         `json:"pause_ms"`            // longest hold of a write in the latest cutover, failed attempts included
	NextSteps  []string        `json:"next_steps"`
	// Throttled is why the copy waits at this moment: the limit, and what was measured. ThrottledSeconds is how long it
	// has waited so, since the daemon began. Both are absent where the daemon that answers does not copy.
	Throttled        string  `json:"throttled,omitempty"`
	ThrottledSeconds float64 `json:"throttled_seconds,omitempty"`
	// RetainedWAL is how much of its log, in bytes, the monolith's server keeps for the split; 0 where its changes are not
	// read from there.
	RetainedWAL int64 `json:"retained_wal_bytes"`
}

// Writer is somebody who wrote a capability's tables lately.
type Writer struct {
	Application string    `json:"application"`
	User        string    `json:"user"`
	Address     string    `json:"address"`
	Writes      int64     `json:"writes"`
	Last        time.Time `json:"last"`
}

package migrations

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/golang-migrate/migrate/v4/database"

	"github.com/strangler-fig/strangler"
)

// Binding says what a Database handle is for: one capability, at one side of it.
type Binding struct {
	Capability string
	Side       strangler.Side
	DSN        string
	Tables     []string                    // names at this side; a table's number is its index here, the same at both sides
	ControlID  string                      // the control store's id; every write checks it
	Capture    strangler.Capture           // how changes are recorded where the engine has the choice; empty: it chooses
	Throttle   strangler.Throttle          // limits for the legacy side's server
	Shares     []Share                     // by table, at the legacy side: what of it moves; nil: all of every table
	Common     bool                        // the other side is another kind of database, or has a mapping: values are read in the common form of their Kind
	Other      string                      // the kind of the other side's database, as its DSN names it, where it is another: "sqlite", "postgres", "mysql"
	OnDelete   map[string]strangler.Delete // at the legacy side, by foreign key that crosses, as ForeignKey.String names it
}

// Share is what of a table moves where not all of it does. The rest is the monolith's whoever owns the share: it is neither
// read nor written, no fence refuses its writes, and no capture records them (CUTOVER.md, section 12).
type Share struct {
	Stays []string // columns that stay
	Where string   // the condition of the rows that move, in the words of the database; empty: all
}

// Whole reports whether all of the table moves.
func (s Share) Whole() bool { return len(s.Stays) == 0 && s.Where == "" }

// Share is what moves of a table.
func (b Binding) Share(table int) Share {
	if b.Shares == nil {
		return Share{}
	}
	return b.Shares[table]
}

// CheckReach is the check by which Open refuses a database that cannot be reached. A command ends with it; a
// worker tries again.
const CheckReach = "database"

// Open opens one side of a capability. It reaches the database, and changes nothing.
type Open func(ctx context.Context, b Binding) (Database, error)

// Database is one side of a capability, as an engine serves it. Its methods may be called by several
// goroutines. The engines are in the folders below; enginetest holds what each of them must do.
type Database interface {
	Planner
	Scripter
	Fencer
	Holder
	Preparer
	Capture
	Reader
	Copier
	Applier
	Repairer
	// Close waits for transactions in flight.
	Close() error
}

// Planner reads a schema and writes the scripts that move it.
type Planner interface {
	// Inspect describes the tables as they are, and everything about them that forbids a split.
	Inspect(ctx context.Context) (Schema, error)
	// OwnerScripts are for the side whose tables move: fence (open), capture, the cut of crossing
	// foreign keys, and the end. In the order of their stages; a stage with nothing to do has no script.
	OwnerScripts(ctx context.Context, s Schema) ([]Script, error)
	// FollowerScripts are for the side that takes over, whose tables are made like those of s where
	// they are missing: tables and fence (closed), keys and indexes, reverse capture, and the end. What does not fit is
	// a Refusal.
	FollowerScripts(ctx context.Context, s Schema) ([]Script, error)
	// Orphans lists rows that violate foreign keys of the moved tables or to them, at most 20: of those that are in force, and
	// of keys that have crossed and are cut now.
	Orphans(ctx context.Context, cut []ForeignKey) ([]string, error)
	// Identity tells databases apart: two handles with the same identity reach the same tables.
	Identity(ctx context.Context) (string, error)
}

// Scripter gives golang-migrate its driver, and cleans up behind the last script.
type Scripter interface {
	// Scripts opens golang-migrate's driver with the capability's own version table. Closing it does
	// not close the Database.
	Scripts(ctx context.Context) (database.Driver, error)
	// Version reads the version table without making it: 0 when no script has run.
	Version(ctx context.Context) (version uint, dirty bool, err error)
	// Sweep removes what no script can: the version table, and shared tables that have become empty.
	Sweep(ctx context.Context) error
	// FenceStatement is what SetFence runs, the one statement outside of scripts, for people to read.
	FenceStatement(epoch int64, state FenceState) string
}

// FenceState is whether a side takes writes.
type FenceState string

const (
	FenceOpen   FenceState = "open"
	FenceClosed FenceState = "closed"
)

// Fence is a side's fence row.
type Fence struct {
	Installed bool // false: no script has run here
	ControlID string
	Epoch     int64
	State     FenceState
	Term      int64
	Moved     string // what has changed about the server since the row was made: a restore, a failover; empty: nothing
}

// Fencer is the database itself refusing writes (CUTOVER.md, sections 2 and 3).
type Fencer interface {
	// Fence reads the fence row.
	Fence(ctx context.Context) (Fence, error)
	// SetFence opens or closes in one transaction, guarded by the epoch, and returns only when every
	// write that it did not stop has ended. Found already as wanted, it is done. Overtaken by a higher
	// epoch: ErrSuperseded. An uncertain outcome: ErrUnknown, and the same call may be repeated.
	SetFence(ctx context.Context, epoch int64, state FenceState) error
	// RaiseTerm ends what older terms have in flight. A higher term standing there: ErrSuperseded.
	RaiseTerm(ctx context.Context, term int64) error
	// Claim writes the fence row unguarded, for a person who has named the owner after a restore.
	Claim(ctx context.Context, epoch int64, state FenceState, term int64) error
	// Mend puts back fence triggers that are missing, and says whether any was.
	Mend(ctx context.Context) (bool, error)
}

// Holder readies a fence while writes still pass.
type Holder interface {
	// Hold takes ahead what SetFence will need, and keeps away what would make it wait. Who stands in the
	// way for as long as ctx lasts is named in ErrRefused, and nothing is held. The next SetFence uses it
	// up; release, twice is safe, gives it back. Where writers cannot hold up a fence for longer than one
	// statement, there is nothing to take.
	Hold(ctx context.Context) (release func(), err error)
}

// Position is how far a capture has been applied: in the words of the owner's engine, opaque to everybody else, the
// follower's engine included. It is never empty.
type Position string

// Preparer readies a capture where its script alone does not.
type Preparer interface {
	// Ready makes what the capture needs and no script can make, before the first range is copied. Done already, or
	// nothing needed: nothing happens. What stands in its way for long is named in ErrRefused.
	Ready(ctx context.Context) error
}

// Capture reads what changed at the owner (CUTOVER.md, section 5).
type Capture interface {
	// Read opens a snapshot and returns every change that it sees behind the position applied. Before
	// it returns, the owner has made one durable commit, so nothing in the batch can vanish there.
	// Positions that cannot follow one another (a restore) and triggers that are gone: ErrStopped.
	Read(ctx context.Context, applied Position) (Batch, error)
	// Forget lets the owner drop what the batch held. The target has committed it. Where the owner's term is another than when
	// the batch was read, nothing is dropped: whoever has it reads the batch again, or has begun anew.
	Forget(ctx context.Context, b Batch) error
	// Wait returns when something may have changed since the last Read, or when ctx ends.
	Wait(ctx context.Context) error
	// End is the owner's own position, read behind its closed fence.
	End(ctx context.Context) (Position, error)
	// Pending counts changes that are not yet forgotten.
	Pending(ctx context.Context) (int64, error)
}

// Batch is what one snapshot of the owner sees: the keys that changed, and their rows.
// Its methods are called by one goroutine; Close ends the snapshot.
type Batch interface {
	Changed
	// Changes counts log entries; 0 is a batch with nothing in it.
	Changes() int64
	// Next is the position once the batch is applied.
	Next() Position
	// Started is when the snapshot was asked for: every commit before it is in the batch. Zero: more of what the
	// snapshot sees is in the next one.
	Started() time.Time
	// Close ends the snapshot; twice is safe.
	Close() error
}

// Changed is the content of a Batch.
type Changed interface {
	// Truncated reports whether the table was emptied as a whole.
	Truncated(table int) bool
	// Keys yields every key that changed, each once, and the range of ranges that holds it, as the
	// owner's own order tells: an index, or -1.
	Keys(ctx context.Context, table int, ranges []Range, yield func(k Key, at int) error) error
	// Rows yields the rows that stand now under changed keys, and likewise the range of each.
	Rows(ctx context.Context, table int, ranges []Range, yield func(r Row, at int) error) error
	// Lookup yields the rows that the snapshot sees under keys, changed or not.
	Lookup(ctx context.Context, table int, keys []Key, yield func(Row) error) error
}

// Range is a stretch of keys in the owner's order, After < key ≤ Upto. A nil After begins at the
// first key; a nil Upto ends behind the last.
type Range struct {
	After Key
	Upto  Key
}

// Reader reads rows at a side, each call in a snapshot of its own.
type Reader interface {
	// Bound is the key of the n-th row of r; nil when r has fewer.
	Bound(ctx context.Context, table int, r Range, n int) (Key, error)
	// Range yields the rows of r in the order of their keys.
	Range(ctx context.Context, table int, r Range, yield func(Row) error) error
	// Lookup yields the rows that exist under keys, all from one snapshot.
	Lookup(ctx context.Context, table int, keys []Key, yield func(Row) error) error
	// Count is the number of rows: exact where that is cheap, an estimate otherwise.
	Count(ctx context.Context, table int) (int64, error)
	// KeyOf takes the key out of a row.
	KeyOf(table int, r Row) Key
}

// Copier moves many rows at once.
type Copier interface {
	// Cut gives up to n-1 keys, in the owner's order, that cut a table into parts of about the same size; none where
	// the table has fewer than least bytes.
	Cut(ctx context.Context, table, n int, least int64) ([]Key, error)
	// Form names how Send writes the rows of a table, and Receive reads them: the encoding, the columns, their types. Sides
	// with one form pass rows on that nobody has looked into. Empty: rows cannot go so.
	Form(ctx context.Context, table int) (string, error)
	// Send writes the rows of r to w in that form; a form may be a reference, by which Receive reads them itself. Either
	// way they are of one snapshot, taken no earlier than the transaction that receives them was begun.
	Send(ctx context.Context, table int, r Range, w io.Writer) error
	// Lanes is how many transactions may write here beside each other.
	Lanes() int
}

// Applier writes at the side that follows (CUTOVER.md, sections 3 and 6).
type Applier interface {
	// Begin opens a transaction that holds the applier's pass, after checking that the term and the
	// control id are its own and the fence is closed: otherwise ErrSuperseded.
	Begin(ctx context.Context, term int64) (Apply, error)
	// Applied is the position of what has been applied here.
	Applied(ctx context.Context) (Position, error)
	// Marks are the progress of the copy, by table and part.
	Marks(ctx context.Context) ([]Mark, error)
	// Kept lists up to n keys of one kind that are kept here.
	Kept(ctx context.Context, kind KeyKind, table int, n int) ([]Key, error)
	// Sequences are the highest keys that were handed out so far, by table; 0 where none are generated. The
	// cutover sets the other side ahead of them, with headroom.
	Sequences(ctx context.Context) ([]int64, error)
}

// Repairer is what a verification needs to name a mismatch, and to have the owner's row brought again.
type Repairer interface {
	// Columns names the values of a row, in their order.
	Columns(ctx context.Context, table int) ([]string, error)
	// Relog appends keys to the owner's log as if their rows had changed, each with a nonce of its own, in one durable
	// transaction; an uncertain outcome is ErrUnknown, and the same call may be repeated. The transaction keeps the
	// fence row from changing, and finds it open and this control store's: otherwise nothing is logged, and it is
	// ErrSuperseded. In a side that does not own an entry would count as a write of its own and forbid the next
	// cutover; in one that is closing it might come behind the position that was read. The term is no guard here: what
	// an old worker logs brings the owner's row once more, and nothing else.
	Relog(ctx context.Context, table int, keys []Key) error
}

// Mark is how far the copy of one part of a table has come. A table is copied in one part, or in several beside
// each other, which follow one another in the order of its keys. Keys of the part up to Done are copied. While
// InFlight is set the stretch up to Flight is being copied (a nil Flight: to the end of the part).
type Mark struct {
	Table, Part int
	Bounds      Range // of the part
	Done        Key
	Flight      Key
	InFlight    bool
	Attempt     int64 // rises with every marking; a chunk commits by compare-and-swap on it
	Finished    bool  // every range of the part is done
	// Loose: the table has no key yet, or has it and does not hold yet what was queued before. Whatever changes in the
	// part is queued, as if all of it were in flight: without its key a row is found by reading the whole table.
	Loose bool
	Rows  int64 // copied so far
}

// Apply is one transaction at the follower. It is used by one goroutine, and ends with Commit or
// Rollback; Rollback after Commit does nothing.
type Apply interface {
	Rows
	Receiver
	Progress
	// Commit is durable when it returns nil. An uncertain outcome is ErrUnknown: read Applied back.
	Commit() error
	Rollback() error
}

// Rows are the writes of an Apply to the tables that move. An engine may collect them: an error may come
// from a later call, at the latest from Commit, which has then written nothing.
type Rows interface {
	// Delete takes the row away where it is of the table's Share. A row of which columns stay, and that is of it by a
	// condition, is not deleted: the columns that move get their defaults, and it has to be outside of it then, or that
	// is ErrMisfit.
	Delete(ctx context.Context, table int, k Key) error
	// Insert writes a new row. Where columns stay, a row that has the key already is written in place: the columns that move
	// are replaced. A row that is outside of the Share then is ErrMisfit. It fails with ErrDuplicate on a unique conflict, and with ErrMisfit on a row that the table does not take;
	// it never skips one.
	Insert(ctx context.Context, table int, r Row) error
	// Empty deletes every row.
	Empty(ctx context.Context, table int) error
	// SetSequences puts generated keys ahead of what the owner has handed out.
	SetSequences(ctx context.Context, next []int64) error
	// Get reads rows back inside the transaction.
	Get(ctx context.Context, table int, keys []Key, yield func(Row) error) error
}

// Receiver takes what a Copier's Send has written.
type Receiver interface {
	// Receive inserts rows that come in the table's Form, counts them, and fails as Insert does.
	Receive(ctx context.Context, table int, r io.Reader) (rows int64, err error)
}

// Progress is what an Apply writes beside the rows.
type Progress interface {
	// Advance moves the position by compare-and-swap; ErrSuperseded when it is not at from.
	Advance(ctx context.Context, from, to Position) error
	// Locked reads the marks, by table and part, and keeps them from changing until the transaction ends.
	Locked(ctx context.Context) ([]Mark, error)
	// SetMark replaces a part's mark where its attempt is still the one given; otherwise ErrSuperseded. Its
	// bounds stay.
	SetMark(ctx context.Context, attempt int64, m Mark) error
	// Divide makes parts of a table of one part that nothing has been copied of: each ends at the next of the keys, and
	// the last with the table. Where the part's attempt is not the one given: ErrSuperseded.
	Divide(ctx context.Context, attempt int64, table int, keys []Key) error
	// Keep remembers keys of one kind for later; Drop forgets them; Kept lists up to n.
	Keep(ctx context.Context, kind KeyKind, table int, k Key) error
	KeyList
}

// KeyList reads and clears what Keep has kept.
type KeyList interface {
	Kept(ctx context.Context, kind KeyKind, table int, n int) ([]Key, error)
	Drop(ctx context.Context, kind KeyKind, table int, k Key) error
}

// KeyKind says why a key is kept at the follower.
type KeyKind string

// Unverified keys were applied, and not compared since.
const Unverified KeyKind = "unverified"

// Differing keys were compared with both sides at one position, and were not equal.
const Differing KeyKind = "differing"

// Queued keys of a part changed while their range was in flight.
func Queued(part int) KeyKind { return KeyKind(fmt.Sprintf("queued %d", part)) }

// Schema is what Inspect found.
type Schema struct {
	Engine   string // the kind of database: sqlite, postgres, mysql
	Tables   []Table
	Crossing []ForeignKey // between tables that move and tables that stay
	Capture  string       // how the changes of tables that move are recorded, and why; empty where there is no choice
	Problems []Problem    // what forbids a split; empty when it may go on
	Notes    Notes        // what a person should know
}

// Table is one table that moves.
type Table struct {
	Name    string
	Schema  string   // in which it stands, where its database has schemas
	Columns []Column // that move
	Stays   []Column // that its Share leaves
	Key     []string // the columns of its key, in order
	DDL     []string // statements that make it at a database of the same kind, but for those below; foreign keys to tables that stay are left out
	// Indexes make its key and what rows of any moments fit into; Constraints what only the rows of one moment are
	// sure to fit into: unique indexes, foreign keys. Both may follow the rows.
	Indexes, Constraints []Behind
	// Uniques, without the key, and References are what Common needs of constraints.
	Uniques    [][]string
	References []Reference
	// Homes are the schemas of what statements of DDL make for other tables too, a type or a shared sequence; empty: any.
	Homes map[string]string
}

// Behind is a statement that makes something behind the rows, or does nothing where it is there, and the one that takes
// it back; an empty one where it goes with something else. Name is that of an index, which has to be free from the start:
// it is made hours later. Of is the moved table that it changes, where it is listed with another one.
type Behind struct{ Make, Undo, Name, Of string }

// Column is one column, in the words of its own database.
type Column struct {
	Name      string
	Type      string
	NotNull   bool
	Generated bool
	Default   bool // the database has a value, other than NULL, where none is given

	// What Common needs: the kind, empty where other databases have no such type, and its bounds; the column's place in
	// the table; whether the database makes its values.
	Kind        Kind
	Size, Scale int
	At          int
	Auto        bool
}

// ForeignKey is one that crosses the cut. A target without a name is a column of the parent's key.
type ForeignKey struct {
	Table   string   `json:"table"` // that has it
	Columns []string `json:"columns"`
	Parent  string   `json:"parent"`
	Targets []string `json:"targets"`
	// OnDelete is what the key itself does: CASCADE, SET NULL, SET DEFAULT, RESTRICT, NO ACTION.
	OnDelete string `json:"on_delete,omitempty"`
	// FromMoved and ToMoved say whether Table and Parent move; both do where one of them moves in part. At is the number of
	// a Parent that moves.
	FromMoved bool `json:"from_moved,omitempty"`
	ToMoved   bool `json:"to_moved,omitempty"`
	At        int  `json:"at,omitempty"`
	// Policy is what the scripts were made to do of it; empty: strangler.DeleteIgnore.
	Policy strangler.Delete `json:"policy,omitempty"`
}

// Problem is a reason to refuse.
type Problem struct {
	Check string // "key", "trigger", "index"…
	What  string
	Next  string // what would satisfy it
}

// Stage numbers the scripts of a side: the version of golang-migrate that a stage has run.
type Stage uint

const (
	StageNone     Stage = 0
	StageFirst    Stage = 1 // legacy: the fence; the service: the tables
	StageCapture  Stage = 2 // legacy records its changes; the service is fenced, and the copy may begin
	StageIndexed  Stage = 3 // every row was copied, and the service's tables get their keys and indexes; nothing at legacy
	StageWhole    Stage = 4 // and their unique indexes and foreign keys; nothing at legacy
	StageArmed    Stage = 5 // crossing keys are cut at legacy; the service records its own changes
	StageComplete Stage = 6 // nothing of Strangler is left
)

// Script is one golang-migrate pair.
type Script struct {
	Stage Stage
	Name  string
	Up    string
	Down  string
}

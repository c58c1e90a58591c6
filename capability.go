package strangler

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Capability is what moves: some routes, the tables that they own, the service that takes over.
type Capability struct {
	Name     string
	Routes   []Route  // served by the service once the toggle says so
	Touches  []Touch  // stay in the monolith but write this capability's tables
	Service  Upstream // the service that takes over
	Legacy   Upstream // the monolith, the same for all capabilities
	Tables   []Table  // none: the capability is stateless, and a canary moves every method
	Capture  Capture  // how the monolith's changes are recorded; empty: the engine chooses
	Throttle Throttle // of the copy
	// OnDelete says, by foreign key that crosses the cut, as in "orders(courier_id)", what becomes of rows that refer to one that
	// is deleted while the capability is out; none: DeleteIgnore.
	OnDelete map[string]Delete
	// RetainedWAL is how many bytes of its log the monolith's server may keep for the split before that stops; 0: any.
	RetainedWAL int64

	IdentityHeader string // what a canary sticks to; empty: Strangler's own signed cookie
	Shadow         Shadow
	Guard          Guard
	Playbook       PlaybookSettings
}

// AtService is the capability with every table that the service has.
func (c Capability) AtService() Capability {
	var all []Table
	for _, t := range c.Tables {
		if t.Pieces != nil {
			all = append(all, t.Pieces...)
		} else {
			all = append(all, t)
		}
	}
	c.Tables = all
	return c
}

// Stateless reports whether the capability owns no tables, so that a toggle alone moves it.
func (c Capability) Stateless() bool { return len(c.Tables) == 0 }

// Upstream is one side of a capability: where its requests go and where its rows are.
type Upstream struct {
	URLs     []string // base URLs of its servers, without a path (http, https, or for HTTP/2 h2c and h2): each serves any request; none: it is nowhere yet
	CA       string   // PEM file of those who may vouch for https and h2 URLs; empty: the system's
	Health   string   // path that answers 2xx when a server is able to serve; empty: servers are not asked
	Database string   // DSN; empty where the capability has no tables
}

// String and GoString leave the DSN out: it may hold a password.
func (u Upstream) String() string   { return strings.Join(u.URLs, ", ") }
func (u Upstream) GoString() string { return u.String() }

// Table names one table that moves.
type Table struct {
	From string // its name in the legacy database
	To   string // its name in the service's database
	// Columns are the names at the service of columns that have another one there, by their names in the legacy database.
	Columns map[string]string
	// Values are what stands at the service for values of a column, by its name in the legacy database. What is not among
	// them stands for itself.
	Values map[string]map[string]string
	// Set are columns that the service alone has, by their names there, and what stands in them for each row of the legacy
	// database's: a whole number in a column of such, or a text.
	Set map[string]string
	// Drop are columns, by their names in the legacy database, that the service does not get, and Where is the condition,
	// in the words of the legacy database, of the rows that it gets; empty: all. What the service does not get stays the
	// monolith's, which goes on writing it whoever owns the rest.
	Drop  []string
	Where string
	// Pieces are the tables of the service's that the rows go to where those are several, and nil where it is one. Each has the
	// key and columns of its own; Columns, Values and Set are theirs then, and To is the first one's. Drop is what none of them
	// has, Where what all of them have.
	Pieces []Table
	// OneWay says that nothing that the service writes comes back (`reverse: false`): a rollback leaves the monolith's table as it was
	// at the cutover, and the mapping need not have a way back.
	OneWay bool
}

// Words say how the table goes, a phrase each; none where it goes as it is.
func (t Table) Words() (out []string) {
	for _, p := range t.Pieces {
		out = append(out, p.To+": "+strings.Join(p.Words(), ", "))
	}
	if t.Pieces != nil {
		return out
	}
	if t.Where != "" {
		out = append(out, "its rows with "+t.Where)
	}
	if len(t.Drop) > 0 {
		out = append(out, "its columns but "+strings.Join(t.Drop, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Columns)) {
		out = append(out, name+" is "+t.Columns[name])
	}
	for _, name := range slices.Sorted(maps.Keys(t.Values)) {
		out = append(out, fmt.Sprintf("%d values of %s are others", len(t.Values[name]), name))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Set)) {
		out = append(out, fmt.Sprintf("%s is %s in every row", name, t.Set[name]))
	}
	if t.OneWay {
		out = append(out, "nothing of it comes back (reverse: false), so a rollback loses what the service has written there")
	}
	return out
}

// Delete is what becomes of rows that refer to one that is deleted, where their foreign key crosses the cut: while the capability
// is out no database has it, and the one side cannot reach the other's rows.
type Delete string

const (
	DeleteIgnore   Delete = "ignore"   // nothing: the rows stay, and `strangler migrate orphans` lists them
	DeleteRestrict Delete = "restrict" // the monolith's own tables keep a row to which the service's rows refer, as far as they have come back
	DeleteCascade  Delete = "cascade"  // the monolith's rows follow the service's by the key's own ON DELETE, as soon as that has come back
)

// Words say what is done, a phrase.
func (d Delete) Words() string {
	switch d {
	case DeleteRestrict:
		return "while the capability is out, the monolith's database keeps a row to which it refers"
	case DeleteCascade:
		return "while the capability is out, its ON DELETE is done to the monolith's rows as soon as a deletion comes back"
	}
	return "while the capability is out nothing is done where a row is deleted to which it refers; strangler migrate orphans lists what is left"
}

// Capture is a way to record what changes at the owner.
type Capture string

const (
	CaptureTriggers Capture = "triggers" // in the application's own transaction
	CaptureLogical  Capture = "logical"  // from the server's own log: by PostgreSQL's logical decoding, from MariaDB's binary log
)

// Throttle are limits for the legacy database's server, beyond which no rows are copied. Zero: no limit.
type Throttle struct {
	Sessions int           // others' sessions that are running a statement
	Lag      time.Duration // age of what the standby that is furthest behind has replayed
	LagBytes int64         // what it has not yet replayed
	Latency  time.Duration // of one row's reading and a durable commit
}

// Touch is a route that stays in the monolith and writes the capability's tables. It is held at the
// gate like the capability's own writes.
type Touch struct {
	Route Route
	Seam  bool // the monolith asks for the toggle and calls the service once the service owns
	Fails bool // `seam: false` is written out: it is known to fail once the service owns
}

// Shadow says which requests are sent to both sides.
type Shadow struct {
	Sample  Percent
	Methods []string
	Ignore  []string // JSON paths that a comparison leaves out
}

// Guard says on what evidence a canary is taken back.
type Guard struct {
	MinRequests   int
	MaxErrorDelta Percent
	MaxP99Ratio   float64
}

// PlaybookSettings are one capability's choices for its playbook.
type PlaybookSettings struct {
	Canary  []Percent
	Hold    time.Duration // how long each canary percentage is watched
	Shadow  time.Duration // how long the shadow is watched
	Soak    time.Duration
	Approve []string // names of steps that wait for a person
	// Requests is how many the service has to have answered in the shadow, and at each canary percentage, before the run goes on; 0: time
	// alone decides.
	Requests int64
	Own      []OwnStep // in the order of the file
	// Rehearse are the databases for the copies that a rehearsal makes.
	Rehearse Rehearse
}

// Rehearse names two empty databases, by DSN, that a rehearsal may fill and empties again. The copy of a SQLite database is a
// temporary file and has none.
type Rehearse struct{ Legacy, Service string }

// String and GoString leave the DSNs out: they may hold a password.
func (r Rehearse) String() string   { return "databases of a rehearsal" }
func (r Rehearse) GoString() string { return r.String() }

// Percent is a share in millionths: 1 % is 10 000. It counts as exactly as the canary's buckets do.
type Percent int32

// Hundred is all of it.
const Hundred Percent = 1_000_000

// ParsePercent reads "10%", "0.5%" or "10", up to four decimals.
func ParsePercent(s string) (Percent, error) {
	f, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(s), "%"), 64)
	if err != nil || !(f >= 0 && f <= 100) { // NaN too
		return 0, fmt.Errorf("percentage %q: write a number from 0 to 100, as in 10%%", s)
	}
	return Percent(f*10_000 + 0.5), nil
}

// String writes "10%" or "0.5%".
func (p Percent) String() string {
	return strconv.FormatFloat(float64(p)/10_000, 'f', -1, 64) + "%"
}

// MarshalText writes the form of String.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the form of ParsePercent.
func (p *Percent) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePercent(string(b))
	return err
}

package kit

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// timestampLayout is RFC 3339 in UTC with six digits, always: texts of it sort as the moments do.
const timestampLayout = "2006-01-02T15:04:05.000000Z"

// Timestamp is a moment to the microsecond, in UTC. SQLite keeps it as TEXT in timestampLayout,
// PostgreSQL as timestamptz, MySQL as datetime(6), and an answer shows the same text.
type Timestamp struct{ t time.Time }

// At returns t as a Timestamp; what is finer than a microsecond is cut off.
func At(t time.Time) Timestamp { return Timestamp{t.UTC().Truncate(time.Microsecond)} }

// Now returns the present moment.
func Now() Timestamp { return At(time.Now()) }

// Add returns the moment d later.
func (ts Timestamp) Add(d time.Duration) Timestamp { return At(ts.t.Add(d)) }

// After reports whether ts is later than other.
func (ts Timestamp) After(other Timestamp) bool { return ts.t.After(other.t) }

func (ts Timestamp) String() string { return ts.t.Format(timestampLayout) }

// MarshalText implements encoding.TextMarshaler, and with it the form in JSON.
func (ts Timestamp) MarshalText() ([]byte, error) { return []byte(ts.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it takes any RFC 3339 time.
func (ts *Timestamp) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return err
	}
	*ts = At(t)
	return nil
}

// Value implements driver.Valuer.
func (ts Timestamp) Value() (driver.Value, error) { return ts.String(), nil }

// GormValue implements gorm.Valuer. MySQL, which reads no RFC 3339, gets a time from its driver.
func (ts Timestamp) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	if Dialect(db.Name()) == MySQL {
		return clause.Expr{SQL: "?", Vars: []any{ts.t}}
	}
	return clause.Expr{SQL: "?", Vars: []any{ts.String()}}
}

// Scan implements sql.Scanner.
func (ts *Timestamp) Scan(value any) error {
	switch v := value.(type) {
	case string:
		return ts.UnmarshalText([]byte(v))
	case []byte:
		return ts.UnmarshalText(v)
	case time.Time:
		*ts = At(v)
		return nil
	}
	return fmt.Errorf("a timestamp column holds %T, want text or a time", value)
}

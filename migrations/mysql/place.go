package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// at is a position: the serial of the last batch applied, and, where the binary log is read, the place up to which it came.
type at struct {
	serial int64
	place  place
}

// place is one in the binary log: the number of a file, how far into it, and when the server began that file, in seconds
// since 1970, where that is known: a log that was begun anew (RESET MASTER) has other files under the same names.
type place struct{ file, pos, made int64 }

// order tells which of two places comes first. The protocol has no places behind 4 GiB; a file that comes to be so large is
// the last transaction's, and the next place is the beginning of the next one.
func (p place) order() int64 {
	if p.pos > 1<<32-1 {
		return (p.file+1)<<32 | firstPos
	}
	return p.file<<32 | p.pos
}

// ordered is the place that order tells.
func ordered(n int64) place { return place{file: n >> 32, pos: n & (1<<32 - 1)} }

// firstPos is where the first event of a file begins.
const firstPos = 4

func (p place) String() string { return fmt.Sprintf("%d:%d:%d", p.file, p.pos, p.made) }

func parsePlace(s string) (p place, err error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return p, fmt.Errorf("%q is not a place in the binary log", s)
	}
	for i, to := range []*int64{&p.file, &p.pos, &p.made} {
		if *to, err = strconv.ParseInt(parts[i], 10, 64); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (a at) position() migrations.Position {
	text := strconv.FormatInt(a.serial, 10)
	if a.place.file > 0 {
		text += "@" + a.place.String()
	}
	return migrations.Position(text)
}

func parsePosition(p migrations.Position) (out at, err error) {
	serial, where, two := strings.Cut(string(p), "@")
	if p == "" {
		return out, nil
	}
	if out.serial, err = strconv.ParseInt(serial, 10, 64); err == nil && two {
		out.place, err = parsePlace(where)
	}
	if err != nil {
		err = fmt.Errorf("%w: %q is not a position of this engine", strangler.ErrStopped, p)
	}
	return out, err
}

// current is where the binary log ends; in a transaction that was begun with a consistent snapshot, what that sees of it. It has
// no file where the server writes none, or does not tell.
func current(ctx context.Context, q querier) (p place, prefix string, err error) {
	err = each(ctx, q, "SHOW STATUS LIKE 'binlog_snapshot%'", nil, func(scan func(...any) error) error {
		var name, value string
		if err := scan(&name, &value); err != nil || value == "" {
			return err
		}
		switch strings.ToLower(name) {
		case "binlog_snapshot_file":
			p.file, prefix, err = fileNumber(value)
		case "binlog_snapshot_position":
			p.pos, err = strconv.ParseInt(value, 10, 64)
		}
		return err
	})
	return p, prefix, err
}

// fileNumber takes the name of a file of the binary log apart.
func fileNumber(name string) (n int64, prefix string, err error) {
	dot := strings.LastIndexByte(name, '.')
	if n, err = strconv.ParseInt(name[dot+1:], 10, 64); err != nil {
		return 0, "", fmt.Errorf("%q is no file of a binary log", name)
	}
	return n, name[:dot+1], nil
}

// base is the place before which the binary log is of no concern, as strangler_position keeps it.
type base string

const (
	byTriggers base = "-"    // NULL: it is not read at all
	notMade    base = ""     // Ready has not been here
	resting    base = "rest" // this side follows: what it is given is not its own, and it has given away all that was
)

func (b base) logical() bool { return b != byTriggers }

func (d *Database) base(ctx context.Context, q querier) (b base, err error) {
	err = q.QueryRowContext(ctx, "SELECT COALESCE(base, '-') FROM strangler_position WHERE capability = ?", d.b.Capability).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) || number(err) == errNoTable {
		return byTriggers, nil
	}
	return b, err
}

// rest notes in the applier's transaction that this side follows: all that was its own was applied at the other side before it
// came to follow, and what is written here since came from there.
func (a *apply) rest(ctx context.Context) error {
	if a.d.b.Side != strangler.Legacy {
		return nil
	}
	_, err := a.exec(ctx, "UPDATE strangler_position SET base = ? WHERE capability = ? AND base <> ?", string(resting), a.d.b.Capability, string(resting))
	return err
}

// wake has the binary log be read from here on, in the transaction that opens the fence of a side that has followed: its own
// writes come behind it.
func (d *Database) wake(ctx context.Context, x *tx) error {
	if d.b.Side != strangler.Legacy {
		return nil
	}
	if b, err := d.base(ctx, x.conn); err != nil || b != resting {
		return err
	}
	here, _, err := current(ctx, d.pool)
	if err == nil {
		_, err = x.exec(ctx, "UPDATE strangler_position SET base = ? WHERE capability = ?", here.String(), d.b.Capability)
	}
	return err
}

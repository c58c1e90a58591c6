package mysql

import (
	"errors"
	"fmt"
	"strings"

	client "github.com/go-sql-driver/mysql"
	"github.com/golang-migrate/migrate/v4/database"

	"github.com/strangler-fig/strangler/migrations"
)

// The server's error numbers that are told apart.
const (
	errNoRight        = 1142
	errNoTable        = 1146
	errDuplicate      = 1062
	errDuplicateInfo  = 1586
	errLockWait       = 1205
	errDeadlock       = 1213
	errTableChanged   = 1412
	errShutdown       = 1053
	errKilled         = 1927
	errKilledBefore   = 1317
	errTableFull      = 1114
	errDiskFull       = 1021
	errFromEngine     = 1030
	errWriting        = 1026
	errNoWait         = 1015 // "can't lock file", MariaDB's word for NOWAIT at some places
	errLocked         = 3572
	errSpecificDenied = 1227
)

// refused are the numbers of a login that the server does not let in: to the database, at all, since there is none of that name.
var refused = map[uint16]bool{1044: true, 1045: true, 1049: true, 1698: true}

// misfits are the numbers of a row that its table does not take: too long, out of range, NULL, not a value of the type, a
// CHECK, no default.
var misfits = map[uint16]bool{1048: true, 1264: true, 1265: true, 1292: true, 1366: true, 1364: true, 1406: true, 1411: true, 1118: true, 1690: true, 3819: true, 4025: true, 3140: true, 1416: true}

// number is the server's number of an error, or 0.
func number(err error) uint16 {
	var e *client.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// passing marks what a later attempt may not meet: a unique conflict, a lock that was not to be had, a snapshot older than
// its table; and what it will meet again, a row that the table does not take.
func passing(err error) error {
	switch n := number(err); {
	case n == errDuplicate || n == errDuplicateInfo:
		return fmt.Errorf("%w: %w", migrations.ErrDuplicate, err)
	case n == errLockWait || n == errDeadlock || n == errTableChanged:
		return fmt.Errorf("%w: %w", migrations.ErrSlow, err)
	case misfits[n]:
		return fmt.Errorf("%w: %w", migrations.ErrMisfit, err)
	}
	return err
}

// full marks what a disk without room has refused.
func (d *Database) full(err error) error {
	var wrapped *database.Error
	if errors.As(err, &wrapped) {
		err = fmt.Errorf("%s: %w", wrapped.Err, wrapped.OrigErr) // golang-migrate's error does not unwrap
	}
	var e *client.MySQLError
	if !errors.As(err, &e) || errors.Is(err, migrations.ErrFull) {
		return err
	}
	noSpace := (e.Number == errFromEngine || e.Number == errWriting) && (strings.Contains(e.Message, "error 28") || strings.Contains(e.Message, "Errcode: 28") || strings.Contains(e.Message, "No space left"))
	if e.Number == errTableFull || e.Number == errDiskFull || noSpace {
		return migrations.Full(d.b, err)
	}
	return err
}

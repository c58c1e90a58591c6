package sqlite

import (
	"context"
	"errors"
	"io"

	"github.com/strangler-fig/strangler/migrations"
)

// Cut cuts nothing: there is one lane.
func (d *Database) Cut(context.Context, int, int, int64) ([]migrations.Key, error) { return nil, nil }

// Lanes is one: SQLite has one writer.
func (d *Database) Lanes() int { return 1 }

// Form is empty: rows are read and written one by one.
func (d *Database) Form(context.Context, int) (string, error) { return "", nil }

var errUnread = errors.New("SQLite passes no rows on that nobody has read")

func (d *Database) Send(context.Context, int, migrations.Range, io.Writer) (int64, error) {
	return 0, errUnread
}

func (a *apply) Receive(context.Context, int, io.Reader) error { return errUnread }

package mysql

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// lanes is how many chunks are written at once.
const lanes = 3

// Lanes is how many transactions may write here beside each other.
func (d *Database) Lanes() int { return lanes }

// Cut takes every n-th part of the rows, by walking the key's index.
func (d *Database) Cut(ctx context.Context, i, n int, least int64) (keys []migrations.Key, err error) {
	t, err := d.table(ctx, i)
	if err != nil || n < 2 {
		return nil, err
	}
	var bytes int64
	if err := d.pool.QueryRowContext(ctx, "SELECT COALESCE(DATA_LENGTH, 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?", t.name).Scan(&bytes); err != nil || bytes < least {
		return nil, err
	}
	var rows int64
	if err := d.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+ident(t.name)).Scan(&rows); err != nil {
		return nil, passing(err)
	}
	step := max(1, int(rows)/n)
	for r := (migrations.Range{}); len(keys) < n-1; {
		k, err := d.Bound(ctx, i, r, step)
		if err != nil {
			return nil, err
		}
		if k == nil {
			break
		}
		keys = append(keys, k)
		r.After = k
	}
	return keys, nil
}

// Form is what stands between the parentheses of an INSERT. Sides whose columns have the same types write it alike.
func (d *Database) Form(ctx context.Context, i int) (string, error) {
	t, err := d.table(ctx, i)
	if err != nil || d.b.Common {
		return "", err
	}
	return "mysql literals: " + t.planned(), nil
}

// Send writes each row behind its length.
func (d *Database) Send(ctx context.Context, i int, r migrations.Range, w io.Writer) (err error) {
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	rows, err := d.pool.QueryContext(ctx, t.rangeOf(r))
	if err != nil {
		return passing(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	raw := make([]sql.RawBytes, len(t.columns))
	dest := make([]any, len(raw))
	for j := range raw {
		dest[j] = &raw[j]
	}
	var row, head []byte
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		row = row[:0]
		for j, c := range t.columns {
			if j > 0 {
				row = append(row, ',')
			}
			row = c.appendRaw(row, raw[j])
		}
		head = binary.AppendUvarint(head[:0], uint64(len(row)))
		if _, err := w.Write(head); err != nil {
			return err
		}
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	return passing(rows.Err())
}

// appendRaw appends what the server wrote of a value as SQL.
func (c column) appendRaw(b, raw []byte) []byte {
	switch {
	case raw == nil:
		return append(b, "NULL"...)
	case c.kind == kindFloat: // a DOUBLE, also where it looks like a DECIMAL
		return append(append(b, raw...), "e0"[b2i(containsE(raw))*2:]...)
	case c.kind == kindInt || c.kind == kindBit || c.kind == kindDecimal:
		return append(b, raw...)
	case c.kind == kindBytes:
		b = append(b, "_binary"...)
	}
	return append(appendEscaped(append(b, '\''), raw), '\'')
}

func containsE(raw []byte) bool {
	for _, ch := range raw {
		if ch == 'e' || ch == 'E' {
			return true
		}
	}
	return false
}

// mostBytes is the longest row that Receive takes: no server takes a longer statement.
const mostBytes = 1 << 30

// Receive inserts rows that Send has written.
func (a *apply) Receive(ctx context.Context, i int, r io.Reader) (rows int64, err error) {
	defer func() { a.failed = errors.Join(a.failed, err) }()
	w := &a.rows[i]
	if err := w.sendDeletes(ctx); err != nil {
		return 0, err
	}
	in := bufio.NewReaderSize(r, 64<<10)
	for ; ; rows++ {
		n, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			return rows, w.sendInserts(ctx)
		}
		if err != nil {
			return rows, err
		}
		if n > mostBytes {
			return rows, fmt.Errorf("%w: a row of %s has %d bytes", strangler.ErrStopped, w.t.name, n)
		}
		w.open()
		at := len(w.insert)
		w.insert = append(w.insert, make([]byte, n)...)
		if _, err := io.ReadFull(in, w.insert[at:]); err != nil {
			return rows, err
		}
		if err := w.close(ctx); err != nil {
			return rows, err
		}
	}
}

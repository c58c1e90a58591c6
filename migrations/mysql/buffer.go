package mysql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler/migrations"
)

// A statement of an Apply is sent when it has so many rows, or so many bytes: well below any max_allowed_packet.
const (
	rowsAtOnce  = 1000
	bytesAtOnce = 512 << 10
)

// rowBuffer collects the writes to one table: deletes, then inserts. A delete behind inserts sends those first.
type rowBuffer struct {
	x       *tx
	t       *table
	deletes []migrations.Key
	written []migrations.Key // rows that have to be of the table's share
	insert  []byte           // a statement that has begun; empty: none has
	rows    int
}

func (w *rowBuffer) delete(ctx context.Context, k migrations.Key) error {
	if err := w.sendInserts(ctx); err != nil {
		return err
	}
	w.deletes = append(w.deletes, k)
	if len(w.deletes) < keysAtOnce {
		return nil
	}
	return w.sendDeletes(ctx)
}

func (w *rowBuffer) add(ctx context.Context, r migrations.Row) error {
	if err := w.sendDeletes(ctx); err != nil {
		return err
	}
	if w.x.d.b.Common {
		for i, c := range w.t.columns {
			if !c.keeps(r[i]) {
				return fmt.Errorf("%w: column %s of %s is %s, which does not keep %.40q", migrations.ErrMisfit, c.Name, w.t.name, c.Type, fmt.Sprint(r[i]))
			}
		}
	}
	if !w.t.share.Whole() {
		w.written = append(w.written, w.t.keyOf(r))
		if len(w.t.share.Stays) > 0 {
			return w.place(ctx, r)
		}
	}
	w.open()
	for i, c := range w.t.columns {
		if i > 0 {
			w.insert = append(w.insert, ',')
		}
		w.insert = c.appendLiteral(w.insert, r[i])
	}
	return w.close(ctx)
}

// open begins a row.
func (w *rowBuffer) open() {
	if len(w.insert) == 0 {
		w.insert = append(w.insert, fmt.Sprintf("INSERT INTO %s (%s) VALUES (", ident(w.t.name), list(w.t.columns, func(c column) string { return ident(c.Name) }))...)
		return
	}
	w.insert = append(w.insert, ",("...)
}

// close ends it, and sends the statement where it is large enough.
func (w *rowBuffer) close(ctx context.Context) error {
	w.insert = append(w.insert, ')')
	if w.rows++; w.rows < rowsAtOnce && len(w.insert) < bytesAtOnce {
		return nil
	}
	return w.sendInserts(ctx)
}

func (w *rowBuffer) sendDeletes(ctx context.Context) error {
	if len(w.deletes) == 0 {
		return nil
	}
	these := w.t.anyOf(w.t.names(ident(w.t.name)), w.deletes)
	w.deletes = w.deletes[:0]
	if _, err := w.x.exec(ctx, w.t.removal(these)); err != nil {
		return w.refused(err)
	}
	return w.outside(ctx, these)
}

func (w *rowBuffer) sendInserts(ctx context.Context) error {
	if w.rows > 0 {
		_, err := w.x.exec(ctx, string(w.insert))
		w.insert, w.rows = w.insert[:0], 0
		if err != nil {
			return w.refused(err)
		}
	}
	return w.inside(ctx)
}

// refused tells why the table did not take a row.
func (w *rowBuffer) refused(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("table %s: %w", w.t.name, passing(err))
}

func (w *rowBuffer) flush(ctx context.Context) error {
	if err := w.sendDeletes(ctx); err != nil {
		return err
	}
	return w.sendInserts(ctx)
}

// keysOf says which keys a keyBuffer collects.
type keysOf struct {
	kind  migrations.KeyKind
	table int
}

// keyBuffer collects keys of one kind and table that are kept, or dropped; given the other, it sends those first.
type keyBuffer struct {
	keysOf
	x    *tx
	drop bool
	rows []string
}

func (w *keyBuffer) add(ctx context.Context, drop bool, k migrations.Key) error {
	if drop != w.drop {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.drop = drop
	key := migrations.Encode(k)
	hash := sha256.Sum256(key) // no index takes a key of any length
	row := "x'" + hex.EncodeToString(hash[:]) + "'"
	if !drop {
		row = fmt.Sprintf("(%s, %s, %d, %s, x'%s')", literal(w.x.d.b.Capability), literal(string(w.kind)), w.table, row, hex.EncodeToString(key))
	}
	if w.rows = append(w.rows, row); len(w.rows) < keysAtOnce {
		return nil
	}
	return w.flush(ctx)
}

func (w *keyBuffer) flush(ctx context.Context) error {
	if len(w.rows) == 0 {
		return nil
	}
	rows := strings.Join(w.rows, ", ")
	w.rows = w.rows[:0]
	statement := "INSERT IGNORE INTO strangler_key (capability, kind, tbl, hash, `key`) VALUES " + rows
	if w.drop {
		statement = fmt.Sprintf("DELETE FROM strangler_key WHERE capability = %s AND kind = %s AND tbl = %d AND hash IN (%s)", literal(w.x.d.b.Capability), literal(string(w.kind)), w.table, rows)
	}
	_, err := w.x.exec(ctx, statement)
	return passing(err)
}

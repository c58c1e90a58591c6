package postgres

import (
	"bytes"
	"context"
	"fmt"

	"github.com/strangler-fig/strangler/migrations"
)

// A buffer is sent when it holds so many keys, or so many bytes of rows.
const (
	bufferKeys  = 2000
	bufferBytes = 1 << 20
)

// rowBuffer collects one table's deletes, or its inserts: never both, so that their order is kept.
type rowBuffer struct {
	tx      *tx
	table   *table
	deletes []migrations.Key
	inserts []byte           // in COPY's text format
	rows    []migrations.Row // to be inserted, of a shared table
	keys    map[string]bool  // of rows, where columns stay: one statement writes a row once
}

func (b *rowBuffer) delete(ctx context.Context, k migrations.Key) error {
	if len(b.inserts) > 0 || len(b.rows) > 0 || len(b.deletes) == bufferKeys {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.deletes = append(b.deletes, k)
	return nil
}

func (b *rowBuffer) insert(ctx context.Context, r migrations.Row) error {
	if len(b.deletes) > 0 || len(b.inserts) >= bufferBytes || len(b.rows) == bufferKeys {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	if b.tx.d.b.Common {
		if err := b.table.keeps(r); err != nil {
			return err
		}
	}
	if b.table.shared() {
		return b.collect(ctx, r)
	}
	b.inserts = appendCopy(b.inserts, r)
	return nil
}

func (b *rowBuffer) flush(ctx context.Context) error {
	if len(b.deletes) > 0 {
		var p parameters
		which := b.table.anyOf(p.keyArrays(b.table.key(), b.deletes))
		var err error
		if b.table.shared() {
			err = b.giveUp(ctx, which, p)
		} else {
			_, err = b.tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s AS t WHERE %s", b.table.full(), which), p...)
		}
		if err != nil {
			return fmt.Errorf("delete from %s: %w", b.table.bound, passing(err))
		}
		b.deletes = b.deletes[:0]
	}
	if len(b.inserts) > 0 {
		if err := b.copyIn(ctx, b.inserts); err != nil {
			return fmt.Errorf("insert into %s: %w", b.table.bound, err)
		}
		b.inserts = b.inserts[:0]
	}
	if len(b.rows) > 0 {
		if err := b.bring(ctx, b.rows); err != nil {
			return fmt.Errorf("insert into %s: %w", b.table.bound, err)
		}
		b.rows = b.rows[:0]
		clear(b.keys)
	}
	return nil
}

// copyIn inserts rows that are in COPY's text format.
func (b *rowBuffer) copyIn(ctx context.Context, rows []byte) error {
	_, err := b.tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(rows), fmt.Sprintf("COPY %s (%s) FROM STDIN", b.table.full(), b.table.columnNames()))
	return b.tx.d.full(passing(err))
}

type keyEntry struct {
	kind  migrations.KeyKind
	table int
	key   []byte
}

// keyBuffer collects keys to keep, or keys to drop, never both.
type keyBuffer struct {
	tx      *tx
	entries []keyEntry
	drop    bool
}

func (b *keyBuffer) add(ctx context.Context, e keyEntry, drop bool) error {
	if drop != b.drop || len(b.entries) == bufferKeys {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.entries, b.drop = append(b.entries, e), drop
	return nil
}

func (b *keyBuffer) flush(ctx context.Context) error {
	if len(b.entries) == 0 {
		return nil
	}
	var kinds []string
	var tables []int32
	var keys [][]byte
	for _, e := range b.entries {
		kinds, tables, keys = append(kinds, string(e.kind)), append(tables, int32(e.table)), append(keys, e.key)
	}
	own := b.tx.d.ours("strangler_key")
	given := "unnest($2::text[], $3::integer[], $4::bytea[]) AS g (kind, tbl, key)"
	text := "INSERT INTO " + own + " (capability, kind, tbl, key) SELECT $1::text, g.kind, g.tbl, g.key FROM " + given + " ON CONFLICT DO NOTHING"
	if b.drop {
		text = "DELETE FROM " + own + " AS k USING " + given + " WHERE k.capability = $1::text AND k.kind = g.kind AND k.tbl = g.tbl AND k.key = g.key"
	}
	_, err := b.tx.Exec(ctx, text, b.tx.d.b.Capability, kinds, tables, keys)
	b.entries = b.entries[:0]
	return err
}

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// ownerSchema is the name under which a follower's transaction reads the owner's file.
const ownerSchema = "strangler_owner"

// Cut cuts nothing: there is one lane.
func (d *Database) Cut(context.Context, int, int, int64) ([]migrations.Key, error) { return nil, nil }

// Lanes is one: SQLite has one writer.
func (d *Database) Lanes() int { return 1 }

// Form is a reference to the rows, which the follower reads from the owner's file itself. That needs one text encoding
// at both sides, and the monolith's file, which rows are copied from, in write-ahead mode: the follower reads until its
// transaction ends, and in a rollback journal would keep the monolith from committing for as long.
func (d *Database) Form(ctx context.Context, i int) (string, error) {
	if d.b.Common {
		return "", nil
	}
	t, err := d.table(ctx, i)
	if err != nil {
		return "", err
	}
	var journal, encoding string
	if err := d.pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return "", err
	}
	if d.b.Side == strangler.Legacy && journal != "wal" {
		return "", nil
	}
	if err := d.pool.QueryRowContext(ctx, "PRAGMA encoding").Scan(&encoding); err != nil {
		return "", err
	}
	return "sqlite file, " + encoding + ": " + t.columnNames(), nil
}

// Send writes the file's path, what a SELECT names behind its columns to find the rows in it, and the arguments of that.
func (d *Database) Send(ctx context.Context, i int, r migrations.Range, w io.Writer) error {
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	var args []any
	from := fmt.Sprintf("FROM %s.%s AS t WHERE %s %s", ownerSchema, ident(t.name), within(t.keyList("t"), len(t.key), r, &args), t.order())
	_, err = w.Write(migrations.Encode(append([]migrations.Value{d.path, from}, args...)))
	return err
}

// Receive inserts the rows, its columns in the order in which it holds them: no other spares SQLite a copy of each value.
// The fence's trigger would have SQLite put all rows aside before it inserts
// them, so it is taken off for the one statement: nobody but this transaction ever sees the table without it. Where
// anything fails the transaction does not commit.
func (a *apply) Receive(ctx context.Context, i int, r io.Reader) (rows int64, err error) {
	path, from, args, err := reference(r)
	if err != nil {
		return 0, err
	}
	defer func() { a.failed = errors.Join(a.failed, err) }()
	if err := a.w.attach(ctx, path); err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	t := a.tables[i]
	guard := a.d.insertFence(a.d.b.Tables[i], t)
	if _, err := a.w.conn.ExecContext(ctx, "DROP TRIGGER main."+ident(guard.name)); err != nil {
		return 0, a.d.full(err)
	}
	res, err := a.w.conn.ExecContext(ctx, fmt.Sprintf("INSERT OR ABORT INTO main.%s (%s) SELECT %s %s",
		ident(t.name), list(t.stored, ident), list(t.stored, func(name string) string { return "t." + ident(name) }), from), args...)
	if err != nil {
		return 0, t.refusal(a.d.full(err))
	}
	if _, err := a.w.conn.ExecContext(ctx, guard.sql); err != nil {
		return 0, fmt.Errorf("put back the fence of %s: %w", t.name, a.d.full(err))
	}
	return res.RowsAffected()
}

// reference reads what Send wrote.
func reference(r io.Reader) (path, from string, args []any, err error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return "", "", nil, err
	}
	vs, err := migrations.Decode(b)
	if err != nil {
		return "", "", nil, err
	}
	if len(vs) >= 2 {
		path, _ = vs[0].(string)
		from, _ = vs[1].(string)
	}
	if path == "" || from == "" {
		return "", "", nil, errors.New("these are not rows of a SQLite file")
	}
	return path, from, vs[2:], nil
}

// attach lets the transaction read another file, which has to be there and is never written to, until it ends. Its
// snapshot is taken by the first statement that reads it, and is the same for all that follow.
func (w *writer) attach(ctx context.Context, path string) error {
	if w.attached == path {
		return nil
	}
	if err := w.detach(); err != nil {
		return err
	}
	uri := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=ro"}
	_, err := w.conn.ExecContext(ctx, "ATTACH ? AS "+ownerSchema, uri.String())
	if err == nil {
		w.attached = path
	}
	return err
}

// detach closes the other file, and gives up every lock on it. Where it fails the next attach tries again.
func (w *writer) detach() error {
	if w.attached == "" {
		return nil
	}
	_, err := w.conn.ExecContext(context.Background(), "DETACH "+ownerSchema)
	if err == nil {
		w.attached = ""
	}
	return err
}

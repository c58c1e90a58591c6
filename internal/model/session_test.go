package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/strangler-fig/strangler"
)

// verdict is what a database says of a statement.
type verdict string

const (
	accepted   verdict = "accepted"
	fenced     verdict = "refused by the fence"
	constraint verdict = "refused by a constraint"
	busy       verdict = "locked by somebody else"
	gone       verdict = "the table is not there"
	broken     verdict = "failed"
)

// session is a transaction of an application at one side. What its statements have done is a list of
// deltas, which is the model's once the transaction is committed.
type session struct {
	a      *application
	conn   *sql.Conn
	level  string
	deltas []delta
	ids    []int64 // keys that the database has made
}

// application is what uses one side: the monolith, or the service.
type application struct {
	side   strangler.Side
	db     *sql.DB // waits a little for locks
	probe  *sql.DB // hardly waits
	look   *sql.DB // waits
	line   string  // the name of the table of lines here
	speech *speech
}

// begin opens a transaction at a level, which the engine names.
func (a *application) begin(ctx context.Context, level level) (*session, error) {
	conn, err := a.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range level.begin {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			_, _ = conn.ExecContext(ctx, "ROLLBACK")
			return nil, errors.Join(err, conn.Close())
		}
	}
	return &session{a: a, conn: conn, level: level.name}, nil
}

// do runs one statement. Where the database takes it, it has done what the operation says, or the test
// fails; where it does not, the whole transaction is rolled back and nil is left of the session.
func (s *session) do(t *rapid.T, op operation) (verdict, error) {
	ctx := t.Context()
	before, err := s.view(ctx)
	if err != nil {
		return s.refused(ctx, err)
	}
	query := s.a.spell(op.sql)
	var how circumstance
	if op.generated {
		err = s.conn.QueryRowContext(ctx, query).Scan(&how.id)
	} else {
		_, err = s.conn.ExecContext(ctx, query)
	}
	if err != nil {
		return s.refused(ctx, err)
	}
	after, err := s.view(ctx)
	if err != nil {
		return s.refused(ctx, err)
	}
	want, cut := before.clone(), before.clone()
	how.crossing = s.a.side == strangler.Legacy
	op.effect(want, how)
	how.crossing = false
	op.effect(cut, how)
	if !want.equal(after) && !cut.equal(after) && !s.pastSnapshot(t, before, after, want, cut) {
		t.Logf("%s\nhas done, where it should have done what - says:\n%s", query, cmp.Diff(want, after))
		t.Fatalf("a statement did something else than it says")
	}
	d := between(before, after)
	if op.truncates != "" {
		d.lines.all = true
		d.invoices.all = op.truncates == "invoice"
		d.payments.all = d.invoices.all && s.a.side == strangler.Legacy
	}
	s.deltas = append(s.deltas, d)
	if op.generated {
		s.ids = append(s.ids, how.id)
	}
	return accepted, nil
}

// pastSnapshot reports whether a statement has done what it says but for rows that others have changed or removed since the
// session's snapshot was taken: what a foreign key does it does to rows as they are now, and the session goes on seeing
// them as they were.
func (s *session) pastSnapshot(t *rapid.T, before, after, want, cut rows) bool {
	now, err := s.a.view(t.Context(), s.a.look)
	must(t, err)
	others := between(now, before)
	rest := after.clone().without(others)
	return rest.equal(want.clone().without(others)) || rest.equal(cut.clone().without(others))
}

func (s *session) refused(ctx context.Context, err error) (verdict, error) {
	return s.a.speech.judge(err), errors.Join(err, s.rollback(ctx))
}

func (s *session) rollback(ctx context.Context) error {
	_, err := s.conn.ExecContext(ctx, "ROLLBACK")
	if err != nil && strings.Contains(err.Error(), "no transaction is active") {
		err = nil // the database has done it
	}
	return errors.Join(err, s.conn.Close())
}

// commit reports an error where nothing, or not surely something, was committed.
func (s *session) commit(ctx context.Context) error {
	_, err := s.conn.ExecContext(ctx, "COMMIT")
	if err != nil {
		_, _ = s.conn.ExecContext(ctx, "ROLLBACK")
	}
	return errors.Join(err, s.conn.Close())
}

// moves reports whether the session has changed what moves.
func (s *session) moves() bool {
	for _, d := range s.deltas {
		if d.moves() {
			return true
		}
	}
	return false
}

func (s *session) view(ctx context.Context) (rows, error) { return s.a.view(ctx, s.conn) }

func (a *application) spell(query string) string {
	payment := ""
	if a.side == strangler.Legacy {
		payment = ", payment"
	}
	return strings.NewReplacer("{line}", a.line, "{, payment}", payment).Replace(query)
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const (
	viewMoving = `SELECT 'invoice', id, customer, total, code FROM invoice UNION ALL SELECT 'line', invoice, n, slot, text FROM {line}`
	viewStays  = ` UNION ALL SELECT 'customer', id, NULL, NULL, name FROM customer UNION ALL SELECT 'payment', id, invoice, NULL, NULL FROM payment`
)

var errTwice = errors.New("is there twice")

// view reads every table of the side in one statement, and so in one snapshot.
func (a *application) view(ctx context.Context, q querier) (out rows, err error) {
	query := viewMoving
	if a.side == strangler.Legacy {
		query += viewStays
	}
	found, err := q.QueryContext(ctx, a.spell(query))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	out = noRows()
	for found.Next() {
		var table string
		var id int64
		var b, c sql.NullInt64
		var s sql.NullString
		if err := found.Scan(&table, &id, &b, &c, &s); err != nil {
			return out, err
		}
		there := false
		switch table {
		case "invoice":
			_, there = out.Invoices[id]
			out.Invoices[id] = invoice{b, c.Int64, s}
		case "line":
			_, there = out.Lines[lineKey{id, b.Int64}]
			out.Lines[lineKey{id, b.Int64}] = line{c, s.String}
		case "customer":
			out.Customers[id] = s.String
		case "payment":
			out.Payments[id] = b
		}
		if there {
			return out, fmt.Errorf("%s %d %w", table, id, errTwice)
		}
	}
	return out, found.Err()
}

// takes tries a write of a row in each table that moves, and takes it back.
func (a *application) takes(ctx context.Context) (verdict, error) {
	tx, err := a.probe.BeginTx(ctx, nil)
	for _, q := range []string{"INSERT INTO invoice (id, total) VALUES (-1, 0)", "INSERT INTO {line} (invoice, n, text) VALUES (-1, -1, '')"} {
		if err == nil {
			_, err = tx.ExecContext(ctx, a.spell(q))
		}
	}
	v := accepted
	if err != nil {
		v = a.speech.judge(err)
	}
	if tx != nil {
		_ = tx.Rollback() // SQLite has done so after some errors
	}
	return v, err
}

package postgres

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/jackc/pglogrepl"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

// decoder turns the messages of pgoutput into commits. Only the keys are taken: the rows are read later, as they then
// stand, so a large value that was not sent again is no concern.
type decoder struct {
	tables    []*table
	relations map[uint32]*published
	open      *serverlog.Commit
}

// published is a moved table as the stream describes it.
type published struct {
	table int
	key   []int // where the columns of the key are in a tuple
	of    []column
}

func newDecoder(tables []*table) *decoder {
	return &decoder{tables: tables, relations: map[uint32]*published{}}
}

// take takes one message, and returns the commit that it ends, if it ends one.
func (d *decoder) take(data []byte) (*serverlog.Commit, error) {
	m, err := pglogrepl.Parse(data)
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *pglogrepl.BeginMessage:
		d.open = serverlog.NewCommit(len(d.tables))
		d.open.XID = m.Xid
	case *pglogrepl.CommitMessage:
		c := d.open
		d.open = nil
		if c == nil {
			return nil, fmt.Errorf("a commit without a beginning")
		}
		c.End = int64(m.TransactionEndLSN)
		return c, nil
	case *pglogrepl.RelationMessage:
		return nil, d.describe(m)
	case *pglogrepl.InsertMessage:
		return nil, d.changed(m.RelationID, nil, m.Tuple)
	case *pglogrepl.UpdateMessage:
		return nil, d.changed(m.RelationID, m.OldTuple, m.NewTuple)
	case *pglogrepl.DeleteMessage:
		return nil, d.changed(m.RelationID, m.OldTuple, nil)
	case *pglogrepl.TruncateMessage:
		for _, id := range m.RelationIDs {
			if i := d.index(id); i >= 0 {
				d.open.Truncate(i)
			}
		}
	}
	return nil, nil
}

// close gives back what a transaction that has not ended holds.
func (d *decoder) close() error {
	if d.open == nil {
		return nil
	}
	return serverlog.CloseAll(d.open.Keys)
}

func (d *decoder) index(oid uint32) int {
	return slices.IndexFunc(d.tables, func(t *table) bool { return t.oid == oid })
}

func (d *decoder) describe(m *pglogrepl.RelationMessage) error {
	i := d.index(m.RelationID)
	if i < 0 {
		delete(d.relations, m.RelationID)
		return nil
	}
	p := &published{table: i, of: d.tables[i].key()}
	for _, c := range p.of {
		at := slices.IndexFunc(m.Columns, func(x *pglogrepl.RelationMessageColumn) bool { return x.Name == c.Name })
		if at < 0 {
			return fmt.Errorf("%w: the column %s of the key of %s is no longer published", strangler.ErrStopped, c.Name, d.tables[i].bound)
		}
		p.key = append(p.key, at)
	}
	d.relations[m.RelationID] = p
	return nil
}

// changed takes the old and the new key of a row. A key column that was not sent again stands in the old tuple.
func (d *decoder) changed(oid uint32, was, is *pglogrepl.TupleData) error {
	p := d.relations[oid]
	if p == nil {
		return nil
	}
	before, err := p.keyOf(was, nil)
	if err != nil {
		return err
	}
	after, err := p.keyOf(is, was)
	if err != nil {
		return err
	}
	if before == nil && after == nil {
		return fmt.Errorf("%w: a change of %s came without its key: its replica identity was changed", strangler.ErrStopped, d.tables[p.table].bound)
	}
	c := d.open
	c.Changes++
	if before != nil && (after == nil || !bytes.Equal(migrations.Encode(before), migrations.Encode(after))) {
		if err := c.Keys[p.table].Add(before); err != nil {
			return err
		}
	}
	if after != nil {
		return c.Keys[p.table].Add(after)
	}
	return nil
}

func (p *published) keyOf(t, other *pglogrepl.TupleData) (migrations.Key, error) {
	if t == nil {
		return nil, nil
	}
	k := make(migrations.Key, len(p.key))
	for i, at := range p.key {
		x := t.Columns[at]
		if x.DataType == pglogrepl.TupleDataTypeToast && other != nil {
			x = other.Columns[at]
		}
		if x.DataType != pglogrepl.TupleDataTypeText {
			return nil, fmt.Errorf("%w: a change came without its whole key: the replica identity of its table was changed", strangler.ErrStopped)
		}
		v, err := p.of[i].value(x.Data)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", p.of[i].Name, err)
		}
		k[i] = v
	}
	return k, nil
}

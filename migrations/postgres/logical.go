package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

// A position that has only to pass the changes of others moves after idleMove bytes of them, or idleTime.
const (
	idleMove = 16 << 20
	idleTime = 10 * time.Second
)

// feeding is the stream of the slot, where it is read.
func (d *Database) feeding() *stream {
	d.feedMu.Lock()
	defer d.feedMu.Unlock()
	return d.feed
}

// stopFeed ends the reading of the slot.
func (d *Database) stopFeed() {
	d.feedMu.Lock()
	s := d.feed
	d.feed = nil
	d.feedMu.Unlock()
	if s != nil {
		s.close()
	}
}

// readFrom is the stream of the slot behind a position; one that has ended is begun anew.
func (d *Database) readFrom(ctx context.Context, tables []*table, from pglogrepl.LSN) (*stream, error) {
	if s := d.feeding(); s != nil {
		err := s.Err()
		if err == nil && s.Forgotten() <= int64(from) {
			s.Forget(int64(from))
			return s, nil
		}
		d.stopFeed()
		if err != nil && ctx.Err() == nil && errors.Is(err, strangler.ErrStopped) {
			return nil, err
		}
	}
	s, err := d.follow(ctx, tables, from)
	if err != nil {
		return nil, err
	}
	d.feedMu.Lock()
	defer d.feedMu.Unlock()
	d.feed = s
	return s, nil
}

// forgetSlot records the batch's serial at the owner, and lets the slot go of what it held. The commit need not be
// durable: before another batch is applied the server has written out its log beyond it.
func (d *Database) forgetSlot(ctx context.Context, p at, term int64, again int) error {
	err := d.write(ctx, func(t *tx) error {
		if _, err := t.Exec(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
			return err
		}
		_, err := t.Exec(ctx, "UPDATE "+d.ours("strangler_position")+" AS p SET forgotten = greatest(forgotten, $1::bigint) FROM "+d.ours("strangler_fence")+" AS f WHERE p.capability = $2::text AND f.capability = p.capability AND f.term = $3::bigint", p.serial, d.b.Capability, term)
		return err
	})
	if err != nil {
		return err
	}
	d.again.Forget(again)
	if s := d.feeding(); s != nil {
		s.Forget(p.lsn)
		s.ask()
	}
	return nil
}

// readSlot takes from the slot what the batch's snapshot sees. The log is read up to where it ended when the snapshot
// was taken. Of that, a commit that the snapshot does not see yet (its record is written before others see it, and a
// synchronous standby makes that long) is left for a later batch, and so the position stays before it; those behind it
// that are seen are taken all the same, and again later. So the rows of the batch are what the snapshot sees of every
// key that changed, no more and no less, and no commit is passed that it does not see.
func (b *batch) readSlot(ctx context.Context, applied at, base int64) (err error) {
	d := b.d
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if err := d.published(ctx, b.tx, b.tables); err != nil {
		return err
	}
	if base == 0 {
		return fmt.Errorf("the replication slot of %s was not made yet", d.b.Capability)
	}
	from := max(applied.lsn, base)
	s, err := d.readFrom(ctx, b.tables, pglogrepl.LSN(from))
	if err != nil {
		return err
	}
	var end, flushed, next int64
	err = b.tx.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, (pg_current_wal_flush_lsn() - '0/0')::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint").Scan(&end, &flushed, &next)
	if err != nil {
		return err
	}
	if flushed < end {
		if err := d.flush(ctx); err != nil {
			return err
		}
	}
	whole, err := s.reach(ctx, end, func() error { return d.flush(ctx) })
	if err != nil {
		return err
	}
	commits := s.Held()
	seen, err := b.sees(ctx, commits, next)
	if err != nil {
		return err
	}
	b.take(commits, seen)
	if err := b.takeAgain(); err != nil {
		return err
	}
	place, passed := from, true
	for i, c := range commits {
		if passed = passed && seen[i]; !passed {
			break
		}
		place = c.End
	}
	if passed && whole {
		place = end
	}
	if b.count == 0 && (place-from > idleMove || s.Idle(idleTime) && place > from) {
		b.count = 1 // the position has to pass what others changed
	}
	if b.count > 0 {
		b.next = at{applied.serial + 1, place}
		err = d.settleForgotten(ctx, applied)
	}
	if !whole {
		b.started = time.Time{} // there is more behind it
	}
	return err
}

// endTime is how long the count of what is pending waits for the stream to come to the log's end.
const endTime = time.Second

// pendingInSlot counts what an owner's slot has told and is not forgotten.
func (d *Database) pendingInSlot(ctx context.Context) (n int64, logical bool, err error) {
	there, err := d.exists(ctx, "strangler_position")
	if err != nil || !there {
		return 0, false, err
	}
	var state migrations.FenceState
	var base, end int64
	err = d.pool.QueryRow(ctx, "SELECT f.state, "+baseColumn+", (pg_current_wal_insert_lsn() - '0/0')::bigint FROM "+d.ours("strangler_position")+" AS p JOIN "+d.ours("strangler_fence")+" AS f USING (capability) WHERE capability = $1::text", d.b.Capability).Scan(&state, &base, &end)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && base < 0 {
		return 0, false, nil
	}
	s := d.feeding()
	switch {
	case err != nil:
		return 0, true, err
	case s == nil && (base == 0 || state == migrations.FenceClosed): // nothing was written that is not known, or this side follows
		return 0, true, nil
	case s == nil:
		return 1, true, nil
	}
	bounded, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	whole, err := s.reach(bounded, end, func() error { return d.flush(bounded) })
	n = s.Pending()
	if !whole || err != nil {
		n++
	}
	return n, true, ctx.Err()
}

// takeAgain puts the keys that are told again beside those of the commits.
func (b *batch) takeAgain() error {
	sets, count, n, err := b.d.again.Told(len(b.tables))
	for i, told := range sets {
		b.told, b.keys[i] = append(b.told, told...), append(b.keys[i], told...)
	}
	b.count, b.again = b.count+count, n
	return err
}

// settleForgotten records what a crash kept from being recorded, so that serials never come to be further apart.
func (d *Database) settleForgotten(ctx context.Context, p at) error {
	_, err := d.pool.Exec(ctx, "UPDATE "+d.ours("strangler_position")+" SET forgotten = $1::bigint WHERE capability = $2::text AND forgotten + 1 = $1::bigint", p.serial, d.b.Capability)
	return d.full(err)
}

// flush makes the server write its log out, by a commit that is durable there. What a snapshot sees has been to the
// standbys already, where commits wait for them.
func (d *Database) flush(ctx context.Context) error {
	return d.write(ctx, func(t *tx) error {
		if _, err := t.Exec(ctx, "SET LOCAL synchronous_commit = local"); err != nil {
			return err
		}
		_, err := t.Exec(ctx, "UPDATE "+d.ours("strangler_position")+" SET durable = durable + 1 WHERE capability = $1::text", d.b.Capability)
		return err
	})
}

// sees says of each commit whether the batch's snapshot sees it. The stream has 32 bits of a transaction's number; next
// is the number of one that has not begun.
func (b *batch) sees(ctx context.Context, commits []*serverlog.Commit, next int64) ([]bool, error) {
	out := make([]bool, len(commits))
	if len(commits) == 0 {
		return out, nil
	}
	all := make([]string, len(commits))
	for i, c := range commits {
		full := next + int64(int32(c.XID-uint32(next))) // the nearest: they are never further apart
		all[i] = fmt.Sprint(full)
	}
	var visible []bool
	err := b.tx.QueryRow(ctx, "SELECT array_agg(pg_visible_in_snapshot(x::xid8, pg_current_snapshot()) ORDER BY n) FROM unnest($1::text[]) WITH ORDINALITY AS given (x, n)", all).Scan(&visible)
	if err != nil {
		return nil, err
	}
	copy(out, visible)
	return out, nil
}

// take collects what holds the keys of the commits that the snapshot sees.
func (b *batch) take(commits []*serverlog.Commit, seen []bool) {
	b.keys = make([][]*serverlog.Keys, len(b.tables))
	for i, c := range commits {
		if !seen[i] {
			continue
		}
		b.count += c.Changes
		for t := range b.tables {
			b.truncated[t] = b.truncated[t] || c.Truncated[t]
			if !c.Keys[t].Empty() {
				b.keys[t] = append(b.keys[t], c.Keys[t])
			}
		}
	}
}

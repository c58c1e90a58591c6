package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

const (
	// A position that has only to pass the changes of others moves after idleMove bytes of them, or idleTime, or with a new file.
	idleMove = 16 << 20
	idleTime = 10 * time.Second
	// ownTime is how long Ready waits for a commit of its own to come.
	ownTime = 10 * time.Second
	// endTime is how long the count of what is pending waits for the stream to come to the log's end.
	endTime = time.Second
)

// feeding is the stream of the binary log, where it is read.
func (d *Database) feeding() *stream {
	d.feedMu.Lock()
	defer d.feedMu.Unlock()
	return d.feed
}

// stopFeed ends the reading of the binary log.
func (d *Database) stopFeed() {
	d.feedMu.Lock()
	s := d.feed
	d.feed = nil
	d.feedMu.Unlock()
	if s != nil {
		s.close()
	}
}

// readFrom is the stream of the binary log behind a place; one that has ended is begun anew.
func (d *Database) readFrom(ctx context.Context, tables []*table, from place) (*stream, error) {
	if s := d.feeding(); s != nil {
		err := s.Err()
		if err == nil && s.Forgotten() <= from.order() {
			s.forget(from.order())
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

// here is where the binary log ends.
func (d *Database) here(ctx context.Context) (place, error) {
	p, _, err := current(ctx, d.pool)
	if s := d.feeding(); s != nil {
		p.made = s.madeAt(p.file)
	}
	return p, err
}

// Ready notes from where on the binary log is read, where the capture is by it and has not begun: everything that was committed
// before is copied. What was prepared before and is committed later would be in neither. A commit of its own has to come: the
// server may leave this database out of its log.
func (d *Database) Ready(ctx context.Context) error {
	was, err := d.base(ctx, d.pool)
	if err != nil || was != notMade {
		return err
	}
	tables, err := d.tables(ctx)
	if err != nil {
		return err
	}
	if why, next, err := d.unfit(ctx, tables); err != nil || why != "" {
		return errors.Join(err, d.chooser().Refuse(why+"; the scripts were made for it, and no row was copied", append(next, "or plan it anew: strangler split cancel "+d.b.Capability)...))
	}
	from, err := d.here(ctx)
	if err != nil {
		return err
	}
	prepared := 0
	if err := each(ctx, d.pool, "XA RECOVER", nil, func(func(...any) error) error { prepared++; return nil }); err != nil {
		return err
	}
	if prepared > 0 {
		return strangler.Refuse("transactions", fmt.Sprintf("the %s database has %d prepared transactions (XA RECOVER), whose changes the binary log has told already", d.b.Side, prepared),
			"let them be committed or rolled back, and run this again")
	}
	d.stopFeed()
	s, err := d.readFrom(ctx, tables, from)
	if err != nil {
		return err
	}
	from.made = s.madeAt(from.file)
	if err := d.commitOwn(ctx); err != nil {
		return err
	}
	to, err := d.here(ctx)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, ownTime)
	defer cancel()
	if _, err := s.Reach(bounded, to.order(), func() {}, func() error { return nil }); err != nil {
		return err
	}
	if !s.hears() {
		return d.chooser().Refuse("the server leaves it out of the log (binlog_do_db, binlog_ignore_db)", "capture: triggers, then strangler split cancel "+d.b.Capability+" and plan it anew")
	}
	_, err = d.pool.ExecContext(ctx, "UPDATE strangler_position SET base = ? WHERE capability = ? AND base = ?", from.String(), d.b.Capability, string(notMade))
	return d.full(err)
}

func (d *Database) commitOwn(ctx context.Context) error {
	return d.write(ctx, func(x *tx) error {
		_, err := x.exec(ctx, "UPDATE strangler_position SET durable = durable + 1 WHERE capability = ?", d.b.Capability)
		return err
	})
}

func (s *stream) hears() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// readLog takes from the binary log what the batch's snapshot sees: the server tells where in the log that ends, and what comes
// behind is left for a later batch. So the rows of the batch are what the snapshot sees of every key that changed, no more and no
// less. A transaction that is prepared and not ended pins the position: its changes are behind it, and are seen by nobody yet.
func (b *batch) readLog(ctx context.Context, applied at) error {
	d := b.d
	var now base
	var state migrations.FenceState
	var forgotten int64
	var format string
	if err := b.x.conn.QueryRowContext(ctx, "SELECT COALESCE(p.base, '-'), f.state, p.forgotten, @@global.binlog_format FROM strangler_position AS p JOIN strangler_fence AS f ON f.capability = p.capability WHERE p.capability = ?", d.b.Capability).Scan(&now, &state, &forgotten, &format); err != nil {
		return err
	}
	if b.sees.file == 0 || format != "ROW" {
		return fmt.Errorf("%w: the %s server no longer writes its binary log by rows (binlog_format is %s), so changes may have gone unrecorded. The owner goes on serving. To copy again: strangler split cancel %s, then run the playbook",
			strangler.ErrStopped, d.b.Side, format, d.b.Capability)
	}
	if now == notMade || now == byTriggers || now == resting {
		return fmt.Errorf("the binary log is not read yet for %s", d.b.Capability)
	}
	from, err := parsePlace(string(now))
	if err != nil {
		return fmt.Errorf("%w: %w", strangler.ErrStopped, err)
	}
	if applied.place.order() >= from.order() {
		from = applied.place
	}
	if from.order() > b.sees.order() {
		return fmt.Errorf("%w: the binary log of the %s database ends before %s, which the other side has applied: it was put back from an older copy, or begun anew (RESET MASTER); nothing was applied. Look at: strangler split adopt %s",
			strangler.ErrStopped, d.b.Side, from, d.b.Capability)
	}
	s, err := d.readFrom(ctx, b.tables, from)
	if err != nil {
		return err
	}
	end := b.sees.order()
	whole, err := s.Reach(ctx, end, func() {}, func() error { return nil })
	if err != nil {
		return err
	}
	upto := from.order()
	b.keys = make([][]*serverlog.Keys, len(b.tables))
	for _, c := range s.Held() {
		if c.End > end {
			break
		}
		upto = c.End
		b.count += c.Changes
		for t := range b.tables {
			b.truncated[t] = b.truncated[t] || c.Truncated[t]
			if !c.Keys[t].Empty() {
				b.keys[t] = append(b.keys[t], c.Keys[t])
			}
		}
	}
	if whole {
		upto = end
	}
	for _, r := range s.logged(upto) {
		b.all[r.table] = append(b.all[r.table], r.entry)
	}
	if pinned, changes := s.prepared(); pinned > 0 && pinned < upto {
		if changes && state == migrations.FenceClosed {
			return fmt.Errorf("%w: in the %s database a transaction that has changed %s is prepared and not ended (XA RECOVER)", migrations.ErrSlow, d.b.Side, d.b.Capability)
		}
		upto = pinned
	}
	if err := b.takeAgain(); err != nil {
		return err
	}
	next := ordered(upto)
	next.made = s.madeAt(next.file)
	if b.count == 0 && upto > from.order() && (next.file != from.file || next.pos-from.pos > idleMove || s.Idle(idleTime)) {
		b.count = 1 // the position has to pass what others changed
	}
	if b.count > 0 {
		b.next = at{applied.serial + 1, next}
		if forgotten+1 == applied.serial { // what a crash kept from being recorded
			if _, err := d.pool.ExecContext(ctx, "UPDATE strangler_position SET forgotten = ? WHERE capability = ? AND forgotten + 1 = ?", applied.serial, d.b.Capability, applied.serial); err != nil {
				return d.full(err)
			}
		}
	}
	if !whole {
		b.started = time.Time{} // there is more behind it
	}
	return nil
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

// forgetTold drops what the batch held, once.
func (b *batch) forgetTold() {
	b.d.again.Forget(b.again)
	b.again = 0
	if s := b.d.feeding(); s != nil {
		s.forget(b.next.place.order())
	}
}

// pendingTold counts what the binary log has told an owner and is not forgotten.
func (d *Database) pendingTold(ctx context.Context) (n int64, logical bool, err error) {
	was, err := d.base(ctx, d.pool)
	if err != nil || !was.logical() {
		return 0, false, err
	}
	f, err := d.Fence(ctx)
	s := d.feeding()
	switch {
	case err != nil:
		return 0, true, err
	case s == nil && (was == notMade || was == resting || f.State == migrations.FenceClosed): // nothing was written that is not known, or this side follows
		return 0, true, nil
	case s == nil:
		return 1, true, nil
	}
	end, err := d.here(ctx)
	if err != nil {
		return 0, true, err
	}
	bounded, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	whole, err := s.Reach(bounded, end.order(), func() {}, func() error { return nil })
	n = s.Pending()
	if !whole || err != nil {
		n++
	}
	return n, true, ctx.Err()
}

// typed selects keys as k0, k1…, of the types and with the collations that they have in the table, and the number of each as n.
func (t *table) typed(keys []migrations.Key) string {
	names := "0 AS n"
	for i, c := range t.key() {
		names += fmt.Sprintf(", %s AS k%d", ident(c.Name), i)
	}
	n := -1
	values := list(keys, func(k migrations.Key) string {
		n++
		b := strconv.AppendInt(nil, int64(n), 10)
		for i, c := range t.key() {
			b = append(b, ", "...)
			if c.data == "date" {
				b = append(b, "DATE"...)
			}
			b = c.appendLiteral(b, k[i])
		}
		return "(" + string(b) + ")"
	})
	return fmt.Sprintf("SELECT %s FROM %s WHERE FALSE UNION ALL VALUES %s", names, ident(t.name), values)
}

// chunks gives the distinct keys of sets, some at a time.
func chunks(sets []*serverlog.Keys, f func([]migrations.Key) error) error {
	var some []migrations.Key
	for k, err := range serverlog.Distinct(sets) {
		if err != nil {
			return err
		}
		if some = append(some, k); len(some) == keysAtOnce {
			if err := f(some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	if len(some) == 0 {
		return nil
	}
	return f(some)
}

// toldKeys lets the owner's own order say in which range a key is.
func (b *batch) toldKeys(ctx context.Context, i int, ranges []migrations.Range, yield func(migrations.Key, int) error) error {
	t := b.tables[i]
	return chunks(b.keys[i], func(some []migrations.Key) error {
		if len(ranges) == 0 {
			for _, k := range some {
				if err := yield(k, -1); err != nil {
					return err
				}
			}
			return nil
		}
		names := make([]string, len(t.keyAt))
		for j := range names {
			names[j] = fmt.Sprintf("k.k%d", j)
		}
		rows, err := b.x.conn.QueryContext(ctx, fmt.Sprintf("SELECT k.n, %s FROM (%s) AS k", t.locate(ranges, names), t.typed(some)))
		if err != nil {
			return passing(err)
		}
		return scan(rows, nil, 2, func(_ []migrations.Value, more []int64) error { return yield(some[more[0]], int(more[1])) })
	})
}

// toldRows reads the rows that stand under the keys, each once. Two keys that are written differently and are equal may come in two
// statements; so where there are many, the keys of the rows themselves are read first.
func (b *batch) toldRows(ctx context.Context, i int, ranges []migrations.Range, yield func(migrations.Row, int) error) error {
	t, keys := b.tables[i], b.keys[i]
	if serverlog.Added(keys) > keysAtOnce && t.collates() {
		standing, err := b.standing(ctx, i)
		defer func() { _ = standing.Close() }() // it was only read
		if err != nil {
			return err
		}
		keys = []*serverlog.Keys{standing}
	}
	names := t.names("t")
	return chunks(keys, func(some []migrations.Key) error {
		rows, err := b.x.conn.QueryContext(ctx, fmt.Sprintf("SELECT %s, %s FROM %s AS t WHERE %s", t.selectList("t"), t.locate(ranges, names), t.from(), t.anyOf(names, some)))
		if err != nil {
			return passing(err)
		}
		return scan(rows, t.columns, 1, func(vs []migrations.Value, more []int64) error { return yield(vs, int(more[0])) })
	})
}

// collates reports whether keys that are equal may be written differently.
func (t *table) collates() bool {
	for _, c := range t.key() {
		if c.kind == kindText {
			return true
		}
	}
	return false
}

// standing are the keys of the rows that stand under changed keys, as the rows have them. The caller closes it, in any case.
func (b *batch) standing(ctx context.Context, i int) (*serverlog.Keys, error) {
	t, out := b.tables[i], &serverlog.Keys{}
	names := t.names("t")
	err := chunks(b.keys[i], func(some []migrations.Key) error {
		rows, err := b.x.conn.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s AS t WHERE %s", strings.Join(names, ", "), t.from(), t.anyOf(names, some)))
		if err != nil {
			return passing(err)
		}
		return scan(rows, t.key(), 0, func(vs []migrations.Value, _ []int64) error { return out.Add(vs) })
	})
	return out, err
}

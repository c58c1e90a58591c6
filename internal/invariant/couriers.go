package invariant

import "fmt"

// checkCouriers looks for every courier that was created: those acknowledged once under the id that was
// answered, those refused not at all, those ambiguous at most once and together with their key.
func (b *book) checkCouriers(rows *rows, r *Report) {
	answered := map[int64]*Entry{}
	for who, e := range b.created {
		found := rows.people[who]
		if len(found) > 1 {
			r.duplicated(len(found)-1, "%s: there are %d such couriers", e.name(), len(found))
		}
		if e.outcome != Acknowledged {
			e.checkUntold(len(found), rows, r)
			continue
		}
		if other := answered[e.answer]; other != nil {
			r.forked("%s: the same id was answered to %s", e.name(), other.name())
		}
		answered[e.answer] = e
		if !has(found, e.answer) {
			r.lost(1, "%s: %s", e.name(), rows.instead(e.answer, found))
		}
	}
}

// checkUntold looks at what a write left whose client was not told that it happened.
func (e *Entry) checkUntold(found int, rows *rows, r *Report) {
	switch {
	case e.outcome == Refused && found > 0:
		r.forked("%s: it is there", e.name())
	case e.outcome == Ambiguous && e.write.Key != "" && (found > 0) != (rows.keys[e.write.Key] > 0):
		r.forked("%s: it is half there: %d rows, %d recorded keys", e.name(), found, rows.keys[e.write.Key])
	}
}

func has(found []courierRow, id int64) bool {
	for _, c := range found {
		if c.id == id {
			return true
		}
	}
	return false
}

// instead says what stands in the place of a lost courier.
func (r *rows) instead(id int64, found []courierRow) string {
	if c, ok := r.couriers[id]; ok {
		return fmt.Sprintf("courier %d is %s %s of %s, %s %s", id, c.person.firstName, c.person.lastName, c.person.street, c.person.zip, c.person.city)
	}
	if len(found) > 0 {
		return fmt.Sprintf("it has the id %d", found[0].id)
	}
	return "no such row"
}

// checkAvailability looks at each courier's availability: it is that of a write after which no other
// was both begun and acknowledged.
func (b *book) checkAvailability(rows *rows, r *Report) {
	for id, c := range rows.couriers {
		writes := b.statuses[id]
		if e := b.created[c.person]; e != nil && (e.outcome == Ambiguous || e.answer == id) {
			writes = append([]*Entry{e}, writes...)
		}
		possible := last(writes, rows)
		if len(possible) == 0 {
			continue // only refused ones: it stands as it stood
		}
		matches := false
		for _, e := range possible {
			matches = matches || same(e.write.Courier.Available, c)
		}
		if !matches {
			r.lost(1, "%s: courier %d is %s", possible[len(possible)-1].name(), id, availability(c))
		}
	}
	for id, writes := range b.statuses {
		if _, ok := rows.couriers[id]; !ok && len(last(writes, rows)) > 0 && !b.creates(id) {
			r.lost(1, "%s: there is no courier %d", writes[len(writes)-1].name(), id)
		}
	}
}

// creates reports whether the log has the courier's creation, whose loss counts for all of it.
func (b *book) creates(id int64) bool {
	for _, e := range b.created {
		if e.outcome == Acknowledged && e.answer == id {
			return true
		}
	}
	return false
}

// last are the writes of one courier's availability that may be the last one.
func last(writes []*Entry, rows *rows) []*Entry {
	var possible []*Entry
	for _, e := range writes {
		if !e.happened(rows) {
			continue
		}
		over := false
		for _, later := range writes {
			over = over || later.outcome == Acknowledged && e.before(later)
		}
		if !over {
			possible = append(possible, e)
		}
	}
	return possible
}

func same(want *bool, c courierRow) bool {
	return (want != nil) == c.available.Valid && (want == nil || *want == c.available.Bool)
}

func availability(c courierRow) string {
	switch {
	case !c.available.Valid:
		return "neither available nor not"
	case c.available.Bool:
		return "available"
	}
	return "not available"
}

package invariant

import "slices"

// settled are the states of an order that was accepted and may have gone on since, in their order.
var settled = []string{"ACCEPTED", "PREPARING", "READY_FOR_PICKUP", "PICKED_UP", "DELIVERED"}

// checkPlaced looks for every order that was placed, as checkCouriers does for couriers.
func (b *book) checkPlaced(rows *rows, r *Report) {
	answered := map[int64]*Entry{}
	for where, e := range b.placed {
		found := rows.targets[where]
		if len(found) > 1 {
			r.duplicated(len(found)-1, "%s: there are %d such orders", e.name(), len(found))
		}
		for _, o := range found {
			if len(b.accepted[o.id]) == 0 && (len(rows.actions[o.id]) > 0 || slices.Contains(settled, o.state)) {
				r.forked("%s: nobody accepted it, and it is %s with %d courier actions", e.name(), o.state, len(rows.actions[o.id]))
			}
		}
		if e.outcome != Acknowledged {
			e.checkUntold(len(found), rows, r)
			continue
		}
		if other := answered[e.answer]; other != nil {
			r.forked("%s: the same id was answered to %s", e.name(), other.name())
		}
		answered[e.answer] = e
		at := slices.IndexFunc(found, func(o orderRow) bool { return o.id == e.answer })
		switch {
		case at < 0:
			r.lost(1, "%s: no such row", e.name())
		case found[at].consumer != e.write.Order.Consumer || found[at].restaurant != e.write.Order.Restaurant:
			r.lost(1, "%s: it is of consumer %d at restaurant %d, not of %d at %d", e.name(),
				found[at].consumer, found[at].restaurant, e.write.Order.Consumer, e.write.Order.Restaurant)
		}
	}
}

// checkAccepted looks at every order that somebody tried to accept: at its state in the monolith, and
// at its courier's two actions at the owner of deliveries.
func (b *book) checkAccepted(rows *rows, r *Report) {
	for id, tries := range b.accepted {
		told := tries[:0:0]
		maybe := false
		for _, e := range tries {
			if e.outcome == Acknowledged {
				told = append(told, e)
			}
			maybe = maybe || e.outcome == Ambiguous
		}
		o, there := rows.orders[id]
		if len(told) > 0 {
			acknowledgedAcceptance(told, o, there, rows.actions[id], r)
			continue
		}
		accepted := there && slices.Contains(settled, o.state)
		plan := rows.actions[id]
		switch {
		case !maybe && (accepted || len(plan) > 0):
			r.forked("%s: the order is %s with %d courier actions", tries[0].name(), o.state, len(plan))
		case accepted && (!o.courier.Valid || !planned(plan, o.courier.Int64)):
			r.forked("%s: the order is %s, and its courier's plan does not have it twice", tries[0].name(), o.state)
		case !accepted && len(plan) > 0 && !planned(plan, plan[0].courier):
			r.forked("%s: the order is on a plan with %d actions, not with a pick-up and a drop-off", tries[0].name(), len(plan))
		}
	}
}

// acknowledgedAcceptance checks an acceptance that was answered 2xx. The answers' courier is the one
// that the order has and that has the order.
func acknowledgedAcceptance(told []*Entry, o orderRow, there bool, plan []actionRow, r *Report) {
	e := told[0]
	courier := e.answer
	if len(told) > 1 {
		r.duplicated(len(told)-1, "%s: it was acknowledged %d times", e.name(), len(told))
	}
	switch {
	case !there:
		r.lost(1, "%s: no such order", e.name())
		return
	case !slices.Contains(settled, o.state) || !o.courier.Valid:
		r.lost(1, "%s: the order is %s", e.name(), o.state)
		return
	case o.courier.Int64 != courier:
		r.forked("%s: courier %d was answered, and the order has courier %d", e.name(), courier, o.courier.Int64)
		return
	}
	if len(plan) > 2 {
		r.duplicated(len(plan)-2, "%s: it has %d courier actions", e.name(), len(plan))
		return
	}
	if len(plan) < 2 {
		r.lost(1, "%s: %d of its two courier actions are there", e.name(), len(plan))
		return
	}
	if !planned(plan, courier) {
		r.forked("%s: courier %d has it, and its actions are %s of courier %d and %s of courier %d", e.name(), courier,
			plan[0].kind, plan[0].courier, plan[1].kind, plan[1].courier)
	}
}

// checkMoved looks at every order that somebody tried to move on. It is where the last acknowledged move brought it, or one that may
// have happened.
func (b *book) checkMoved(rows *rows, r *Report) {
	for id, moves := range b.moved {
		reached, most := slices.Index(settled, rows.orders[id].state), 0
		for _, e := range moves {
			to := slices.Index(settled, e.write.Order.State)
			if e.happened(rows) {
				most = max(most, to)
			}
			if e.outcome == Acknowledged && reached < to {
				r.lost(1, "%s: the order is %q", e.name(), rows.orders[id].state)
			}
		}
		if reached > most {
			r.forked("%s: the order is %s, and nobody moved it there", moves[0].name(), rows.orders[id].state)
		}
	}
}

// planned reports whether a plan is a pick-up and a drop-off by this courier.
func planned(plan []actionRow, courier int64) bool {
	if len(plan) != 2 || plan[0].courier != courier || plan[1].courier != courier {
		return false
	}
	kinds := []string{plan[0].kind, plan[1].kind}
	return slices.Contains(kinds, "PICKUP") && slices.Contains(kinds, "DROPOFF")
}

// checkNewIDs looks for answered ids that were in use before.
func (b *book) checkNewIDs(before Baseline, r *Report) {
	for _, e := range b.created {
		if e.outcome == Acknowledged && e.answer <= before.Couriers.Last {
			r.forked("%s: the id was in use before", e.name())
		}
	}
	for _, e := range b.placed {
		if e.outcome == Acknowledged && e.answer <= before.Orders.Last {
			r.forked("%s: the id was in use before", e.name())
		}
	}
}

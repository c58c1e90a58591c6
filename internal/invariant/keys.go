package invariant

// checkKeys holds the recorded Idempotency-Keys against the log. A key is recorded in the transaction
// of its effect, so it tells whether an ambiguous write happened.
func (b *book) checkKeys(rows *rows, r *Report) {
	for key, e := range b.byKey {
		n := rows.keys[key]
		switch {
		case n > 1:
			r.duplicated(n-1, "%s: its key is recorded %d times", e.name(), n)
		case n == 0 && e.outcome == Acknowledged:
			r.lost(1, "%s: its key is not recorded; sent again, it would be done twice", e.name())
		case n > 0 && e.outcome == Refused:
			r.forked("%s: its key is recorded, so it was done", e.name())
		}
	}
}

// happened reports whether a write took effect, as far as its outcome and its key tell. What is
// ambiguous and had no key may have.
func (e *Entry) happened(rows *rows) bool {
	switch e.outcome {
	case Acknowledged:
		return true
	case Refused:
		return false
	}
	return e.write.Key == "" || rows.keys[e.write.Key] > 0
}

package strangler

// Traffic is what both sides have answered of a capability, or how much more than before.
type Traffic struct {
	Capability string
	Legacy     Answers
	Service    Answers // requests that a shadow sent included
}

// Answers count one side's.
type Answers struct {
	Requests int64
	Errors   int64 // of the requests
}

// Of is one side's.
func (t Traffic) Of(side Side) Answers {
	if side == Service {
		return t.Service
	}
	return t.Legacy
}

// Since is what has come since before.
func (t Traffic) Since(before Traffic) Traffic {
	t.Legacy.Requests -= before.Legacy.Requests
	t.Legacy.Errors -= before.Legacy.Errors
	t.Service.Requests -= before.Service.Requests
	t.Service.Errors -= before.Service.Errors
	return t
}

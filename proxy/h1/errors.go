package h1

import "errors"

// Why a request was not answered, or its answer not to its end. Forward wraps one of them.
var (
	ErrUnreachable = errors.New("the upstream cannot be reached")                  // nothing was sent
	ErrNoAnswer    = errors.New("the upstream did not answer")                     // or with what is no answer
	ErrSlow        = errors.New("the upstream did not answer in time")             // and may still carry it out
	ErrUpload      = errors.New("the client broke off within its request")         // the upstream saw it broken as well
	ErrSlowClient  = errors.New("the client did not send its request in time")     // likewise
	ErrLeft        = errors.New("the client left before the answer")               // so the upstream's work was cut
	ErrBroken      = errors.New("the upstream broke off within its answer")        // and the client saw it broken
	ErrClient      = errors.New("the client did not take the answer to its end")   // whatever it is, the upstream gave it
	errNothing     = errors.New("the upstream closed before a byte of the answer") // on a connection used before: stale
	errStale       = errors.New("the upstream has closed the connection, and nothing was sent")
	errUnsent      = errors.New("not all of the request could be sent")
	errInterim     = malformed("the upstream sent too many interim answers")
	errUnasked     = malformed("the upstream changed the protocol, and nobody asked for it")
)

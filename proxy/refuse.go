package proxy

import (
	"encoding/json"
	"net/http"

	"github.com/strangler-fig/strangler"
)

// retryAfter is what Retry-After says, in seconds: a gate is closed for far less.
const retryAfter = "1"

// refusal is an answer of the proxy itself: {"error":{"code","message"}}.
type refusal struct {
	status  int
	code    string // stable, for programs
	message string // what happened, what was not done, what to do next
	retry   bool   // it is safe to send the request again
}

// own is an answer of the proxy itself, as an engine sends it.
type own struct {
	status int
	text   []byte // JSON
	retry  bool   // with Retry-After
	cookie string // Set-Cookie; empty: none
}

// refuse answers with a refusal. It does nothing once the head of an answer was passed on.
func (x *exchange) refuse(why refusal) {
	x.done = true
	if x.status != 0 {
		return
	}
	x.status, x.refused = why.status, why.code
	a := own{status: why.status, text: why.json(), retry: why.retry}
	if x.cookie.minted {
		a.cookie = x.p.signer.cookie(x.cookie.key, x.peer.https).String()
	}
	if !x.via.answer(a) {
		x.status = statusGone
		return
	}
	x.sent = int64(len(a.text))
}

func (why refusal) json() []byte {
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = why.code, why.message
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // two strings always marshal
	}
	return text
}

// failure is why there is no answer to pass on.
type failure int

const (
	noAnswer    failure = iota // or one that is none
	unreachable                // nothing was sent
	clientLeft
	uploadBroke // the client broke off within its request
	tooSlow
)

// failed answers for an upstream that did not. A write that may have been carried out is marked like
// one that was, and its answer does not invite to repeat it.
func (x *exchange) failed(how failure, err error) {
	repeatable := how == unreachable || len(x.match.writes) == 0 && safe(x.request.Method)
	if how != unreachable {
		x.wrote()
	}
	if how == noAnswer || how == tooSlow {
		x.fared = fareIll
	}
	why := refusal{http.StatusBadGateway, "upstream_failed", "the upstream did not answer", repeatable}
	switch how {
	case clientLeft:
		x.refuse(refusal{statusGone, "client_left", "the client left before the answer", false})
		return
	case uploadBroke:
		why = refusal{http.StatusBadRequest, "request_broken", "the request's body could not be read to its end", false}
	case unreachable:
		why = refusal{http.StatusBadGateway, "upstream_unreachable", "the upstream cannot be reached; nothing was sent, try again shortly", true}
	case tooSlow:
		why = refusal{http.StatusGatewayTimeout, "upstream_timeout", "the upstream did not answer in time", repeatable}
	}
	if !repeatable {
		why.message += "; the request may or may not have been carried out and was not sent again: read back before you repeat it"
	}
	x.p.config.Log.Warn("no answer from the upstream", strangler.LogCapability, x.capabilityName(), "side", x.side(),
		"method", x.request.Method, "path", x.request.Path, "code", why.code, strangler.LogError, err)
	x.refuse(why)
}

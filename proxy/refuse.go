package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
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

// refuse answers with a refusal. It does nothing once the head of an answer was passed on.
func (x *exchange) refuse(why refusal) {
	x.done = true
	if x.status != 0 {
		return
	}
	x.status = why.status
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
	// The server reads what is left of a body before it sends the answer; a slow client may not keep
	// it waiting for ever. It takes the deadline back with the next request.
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(x.p.config.Timeouts.Head))
	header := x.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	if why.retry {
		header.Set("Retry-After", retryAfter)
	}
	x.w.WriteHeader(why.status)
	if _, err := x.w.Write(text); err != nil {
		x.status = statusGone
	}
}

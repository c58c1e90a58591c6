package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/strangler-fig/strangler/internal/invariant"
)

// answerLimit is the longest answer that is read, in bytes.
const answerLimit = 1 << 20

// answer is a status and a body.
type answer struct {
	status int
	body   []byte
}

// read is a GET whose answer has to be 200 and is read into to.
func (v *visitor) read(path string, to any) bool {
	a, err := v.exchange(http.MethodGet, path, "", nil)
	return v.understand("GET "+path, a, err, http.StatusOK, to)
}

// write is a POST that is in the log before it is sent. acknowledged reads the id from an answer of 2xx.
func (v *visitor) write(path string, w invariant.Write, body, to any, acknowledged func() int64) bool {
	w.Key = fmt.Sprintf("%s-%d", v.crowd.run, v.crowd.next())
	if !v.turn() {
		return false
	}
	entry := v.crowd.log.Begin(w)
	began := time.Now()
	a, err := v.send(http.MethodPost, path, w.Key, body)
	v.crowd.slow(time.Since(began))
	want := http.StatusOK
	if w.Kind == invariant.CreateCourier || w.Kind == invariant.PlaceOrder {
		want = http.StatusCreated
	}
	name := "POST " + path + " (key " + w.Key + ")"
	if !v.understand(name, a, err, want, to) {
		if err == nil && a.status >= 400 && a.status < 500 {
			entry.Refuse()
		}
		return false
	}
	entry.Acknowledge(acknowledged())
	return true
}

// turn waits for the client's next turn. False: the crowd goes home.
func (v *visitor) turn() bool {
	select {
	case <-v.crowd.closing:
		v.gone = true
		return false
	default:
	}
	select {
	case <-v.pace.C:
		return true
	case <-v.crowd.closing:
		v.gone = true
		return false
	}
}

// exchange is one request in its turn.
func (v *visitor) exchange(method, path, key string, body any) (answer, error) {
	if !v.turn() {
		return answer{}, nil
	}
	return v.send(method, path, key, body)
}

func (v *visitor) send(method, path, key string, body any) (answer, error) {
	// It belongs to the visitor, who waits for it also when the crowd goes home.
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, v.crowd.base+path, content)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", key)
	}
	v.crowd.sent.Add(1)
	response, err := v.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	return answer{status: response.StatusCode, body: text}, err
}

// understand reads an answer. What is not the wanted status is a failure.
func (v *visitor) understand(name string, a answer, err error, want int, to any) bool {
	switch {
	case v.gone:
		return false
	case err != nil:
		v.crowd.fail("%s: %v", name, err)
		return false
	case a.status != want:
		v.crowd.fail("%s: status %d: %.200s", name, a.status, a.body)
		return false
	}
	if err := json.Unmarshal(a.body, to); err != nil {
		v.crowd.fail("%s: the answer cannot be read: %v", name, err)
		return false
	}
	return true
}

// slow keeps the longest that a write took.
func (c *crowd) slow(took time.Duration) {
	for {
		old := c.slowest.Load()
		if int64(took) <= old || c.slowest.CompareAndSwap(old, int64(took)) {
			return
		}
	}
}

package kit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"
)

const (
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotency-Replayed"
	keyLimit       = 200
)

// Once makes a request that carries an Idempotency-Key happen once. Its answer is recorded in
// Table, in the transaction of its effect, and given again to whoever sends the same request with
// the same key: so a client may repeat a request whose answer it never got.
//
// Only success is recorded. A refusal has changed nothing, and the next try may fare better.
// Table has the columns of the type recorded.
type Once struct {
	DB    *Database
	Table string
}

// Answer is a status and a JSON body.
type Answer struct {
	Status int
	Body   []byte
}

// JSON returns v as an answer.
func JSON(status int, v any) (Answer, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Answer{}, fmt.Errorf("write the answer as JSON: %w", err)
	}
	return Answer{Status: status, Body: body}, nil
}

// Send sends the answer.
func (a Answer) Send(c echo.Context) error { return c.JSONBlob(a.Status, a.Body) }

type recorded struct {
	IdempotencyKey string
	Request        string // method and path, such as "POST /couriers"
	BodyHash       string // SHA-256 of the body, in hex
	Status         int
	Answer         string
	RecordedAt     Timestamp
}

// Do answers a request whose whole effect is one transaction. effect may run a second time, in a
// new transaction, when another request with the same key committed first.
func (o Once) Do(c echo.Context, body []byte, effect func(tx *gorm.DB) (Answer, error)) error {
	call, err := o.Call(c, body)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	write := func() error {
		return o.DB.Write(ctx, func(tx *gorm.DB) error { return call.Within(tx, effect) })
	}
	err = write()
	if IsDuplicate(err) {
		err = write()
	}
	if err != nil {
		return err
	}
	return call.Send(c)
}

// Call is one request, with or without a key, and the answer to it once there is one. A request
// whose effect is more than one transaction uses it directly; others use Do.
type Call struct {
	once     Once
	request  recorded
	answer   Answer
	replayed bool
}

// Call reads the request's key. A request without one is never recorded.
func (o Once) Call(c echo.Context, body []byte) (*Call, error) {
	key := c.Request().Header.Get(keyHeader)
	if len(key) > keyLimit {
		return nil, Invalid(keyHeader, fmt.Sprintf("may have %d characters at most", keyLimit))
	}
	for _, b := range []byte(key) {
		if b < ' ' || b > '~' {
			return nil, Invalid(keyHeader, "may hold printable ASCII only")
		}
	}
	sum := sha256.Sum256(body)
	return &Call{once: o, request: recorded{
		IdempotencyKey: key,
		Request:        c.Request().Method + " " + c.Request().URL.Path,
		BodyHash:       hex.EncodeToString(sum[:]),
	}}, nil
}

// Key is the request's Idempotency-Key; empty: it has none.
func (k *Call) Key() string { return k.request.IdempotencyKey }

// Answered reports whether the answer is recorded already; Send then sends it. It is a Problem
// with status 422 when the key belongs to another request.
func (k *Call) Answered(ctx context.Context) (bool, error) {
	err := k.once.DB.Read(ctx, k.replay)
	return k.replayed, err
}

// Within gives the answer inside tx: the recorded one, or else that of effect, which it records.
// The answer counts from the moment that tx commits.
func (k *Call) Within(tx *gorm.DB, effect func(tx *gorm.DB) (Answer, error)) error {
	if err := k.replay(tx); err != nil || k.replayed {
		return err
	}
	answer, err := effect(tx)
	if err != nil {
		return err
	}
	k.answer = answer
	if k.request.IdempotencyKey == "" {
		return nil
	}
	row := k.request
	row.Status, row.Answer, row.RecordedAt = answer.Status, string(answer.Body), Now()
	return tx.Table(k.once.Table).Create(&row).Error
}

func (k *Call) replay(tx *gorm.DB) error {
	k.replayed = false
	if k.request.IdempotencyKey == "" {
		return nil
	}
	var rows []recorded
	if err := tx.Table(k.once.Table).Where("idempotency_key = ?", k.request.IdempotencyKey).Find(&rows).Error; err != nil {
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	if rows[0].Request != k.request.Request || rows[0].BodyHash != k.request.BodyHash {
		return &Problem{Status: http.StatusUnprocessableEntity, Code: "key_reused", Field: keyHeader,
			Message: keyHeader + " was used before for another request; take a new key"}
	}
	k.answer = Answer{Status: rows[0].Status, Body: []byte(rows[0].Answer)}
	k.replayed = true
	return nil
}

// Send sends the answer.
func (k *Call) Send(c echo.Context) error {
	if k.replayed {
		c.Response().Header().Set(replayedHeader, "true")
	}
	return k.answer.Send(c)
}

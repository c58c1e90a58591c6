package seam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
)

const (
	callTime = 5 * time.Second
	undoTime = 10 * time.Second
	lookTime = time.Second // people wait for it
)

// remote schedules at the delivery service.
//
// The service commits before the monolith does, so an acceptance that fails in between leaves a
// delivery without one. That is mended by accepting again, which finds the delivery, or undone here
// when the order turns out to be cancelled. It is never undone for an order that is still approved:
// another acceptance of the same order may be about to commit on the same delivery.
type remote struct {
	url    string
	db     *kit.Database
	whole  bool
	client *http.Client
	log    *slog.Logger
}

func newRemote(base string, db *kit.Database, transport http.RoundTripper, log *slog.Logger) *remote {
	return &remote{url: strings.TrimRight(base, "/"), db: db, client: newClient(transport, callTime), log: log}
}

// Schedule implements Scheduler.
func (r *remote) Schedule(ctx context.Context, w Wanted, accept func(tx *gorm.DB, d Delivery) error) error {
	body, err := json.Marshal(map[string]any{"order_id": w.OrderID, "ready_by": w.ReadyBy})
	if err != nil {
		return err
	}
	status, answer, err := r.call(ctx, http.MethodPost, deliveries, "", body)
	if err != nil {
		return kit.Unavailable("delivery_unknown",
			"the delivery service did not answer, so the delivery may or may not be scheduled; send the request again, it is never scheduled twice", err)
	}
	d, err := understand(w.OrderID, status, answer)
	if err != nil {
		return err
	}
	d.Here = r.whole
	err = r.db.Write(ctx, func(tx *gorm.DB) error { return accept(tx, *d) })
	if late := (*NotApproved)(nil); errors.As(err, &late) && late.Cancelled {
		r.undo(ctx, w.OrderID)
	}
	return err
}

// GoOn implements Scheduler. The service keeps the key, too, so that a step whose recording here failed may be sent again.
func (r *remote) GoOn(ctx context.Context, orderID int64, step Step, key string, record func(tx *gorm.DB, d Delivery) error) error {
	if r.whole {
		return (&local{db: r.db}).GoOn(ctx, orderID, step, key, record)
	}
	status, answer, err := r.call(ctx, http.MethodPost, step.path(orderID), key, nil)
	if err != nil {
		return kit.Unavailable("delivery_unknown",
			"the delivery service did not answer, so the step may or may not be done; read the order, or send the request again with the same Idempotency-Key", err)
	}
	d, err := understand(orderID, status, answer)
	if err != nil {
		return err
	}
	return r.db.Write(ctx, func(tx *gorm.DB) error { return record(tx, *d) })
}

// get is nil for an order that has no delivery.
func (r *remote) get(ctx context.Context, orderID int64) (*Delivery, error) {
	status, answer, err := r.call(ctx, http.MethodGet, pathOf(orderID), "", nil)
	if err != nil || status == http.StatusNotFound {
		return nil, err
	}
	return understand(orderID, status, answer)
}

// understand reads an answer of the service about an order's delivery.
func understand(orderID int64, status int, answer []byte) (*Delivery, error) {
	var said struct {
		OrderID       int64          `json:"order_id"`
		CourierID     int64          `json:"courier_id"`
		PickedUpTime  *kit.Timestamp `json:"picked_up_time"`
		DeliveredTime *kit.Timestamp `json:"delivered_time"`
		Delivery                     // what is shown
		Error         kit.Problem    `json:"error"`
	}
	err := json.Unmarshal(answer, &said)
	switch {
	case err == nil && status == http.StatusOK && said.OrderID == orderID && said.CourierID > 0 && len(said.Actions) == 2:
		return &Delivery{CourierID: &said.CourierID, PickedUpTime: said.PickedUpTime, DeliveredTime: said.DeliveredTime, Courier: said.Courier, Actions: said.Actions}, nil
	case err == nil && status == http.StatusConflict && said.Error.Code != "":
		return nil, kit.Conflict(said.Error.Code, said.Error.Message)
	case err == nil && status == http.StatusServiceUnavailable && said.Error.Code != "":
		return nil, kit.Unavailable(said.Error.Code, said.Error.Message, errors.New("the delivery service refuses"))
	}
	return nil, kit.Unavailable("delivery_unknown",
		"the delivery service gave an answer that is not understood; send the request again, nothing is done twice",
		fmt.Errorf("of the delivery of order %d it answers %d: %.200q", orderID, status, answer))
}

// undo takes the delivery of a cancelled order back. The client's request may be over by then.
func (r *remote) undo(ctx context.Context, orderID int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	var err error
	for range 3 {
		var status int
		status, _, err = r.call(ctx, http.MethodDelete, pathOf(orderID), "", nil)
		if err == nil && status == http.StatusNoContent {
			return
		}
		if err == nil {
			err = fmt.Errorf("the delivery service answers %d", status)
		}
	}
	r.log.Error("a cancelled order is still on a courier's plan: DELETE it at the delivery service", "order_id", orderID, "err", err)
}

// deliveries is the path of all deliveries at the service.
const deliveries = "/deliveries"

func pathOf(orderID int64) string { return deliveries + "/" + strconv.FormatInt(orderID, 10) }

// path is where the service does the step.
func (s Step) path(orderID int64) string { return pathOf(orderID) + "/" + string(s) }

// call sends a request with a key, or without.
func (r *remote) call(ctx context.Context, method, path, key string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, r.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, answerLimit))
	return response.StatusCode, answer, err
}

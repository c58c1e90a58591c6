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
	client *http.Client
	log    *slog.Logger
}

func newRemote(base string, db *kit.Database, transport http.RoundTripper, log *slog.Logger) *remote {
	return &remote{url: strings.TrimRight(base, "/") + "/deliveries", db: db, client: newClient(transport, callTime), log: log}
}

// Schedule implements Scheduler.
func (r *remote) Schedule(ctx context.Context, d Delivery, accept func(tx *gorm.DB, courierID int64) error) error {
	courierID, err := r.schedule(ctx, d)
	if err != nil {
		return err
	}
	err = r.db.Write(ctx, func(tx *gorm.DB) error { return accept(tx, courierID) })
	if late := (*NotApproved)(nil); errors.As(err, &late) && late.Cancelled {
		r.undo(ctx, d.OrderID)
	}
	return err
}

func (r *remote) schedule(ctx context.Context, d Delivery) (courierID int64, err error) {
	body, err := json.Marshal(map[string]any{"order_id": d.OrderID, "ready_by": d.ReadyBy})
	if err != nil {
		return 0, err
	}
	status, answer, err := r.call(ctx, http.MethodPost, r.url, body)
	if err != nil {
		return 0, kit.Unavailable("delivery_unknown",
			"the delivery service did not answer, so the delivery may or may not be scheduled; send the request again, it is never scheduled twice", err)
	}
	var delivery struct {
		OrderID   int64             `json:"order_id"`
		CourierID int64             `json:"courier_id"`
		Actions   []json.RawMessage `json:"actions"`
		Error     kit.Problem       `json:"error"`
	}
	err = json.Unmarshal(answer, &delivery)
	switch {
	case err == nil && status == http.StatusOK && delivery.OrderID == d.OrderID && delivery.CourierID > 0 && len(delivery.Actions) == 2:
		return delivery.CourierID, nil
	case err == nil && status == http.StatusConflict && delivery.Error.Code != "":
		return 0, kit.Conflict(delivery.Error.Code, delivery.Error.Message)
	case err == nil && status == http.StatusServiceUnavailable && delivery.Error.Code != "":
		return 0, kit.Unavailable(delivery.Error.Code, delivery.Error.Message, errors.New("the delivery service refuses"))
	}
	return 0, kit.Unavailable("delivery_unknown",
		"the delivery service gave an answer that is not understood; send the request again, it is never scheduled twice",
		fmt.Errorf("%s answers %d: %.200q", r.url, status, answer))
}

// undo takes the delivery of a cancelled order back. The client's request may be over by then.
func (r *remote) undo(ctx context.Context, orderID int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	var err error
	for range 3 {
		var status int
		status, _, err = r.call(ctx, http.MethodDelete, r.url+"/"+strconv.FormatInt(orderID, 10), nil)
		if err == nil && status == http.StatusNoContent {
			return
		}
		if err == nil {
			err = fmt.Errorf("the delivery service answers %d", status)
		}
	}
	r.log.Error("a cancelled order is still on a courier's plan: DELETE it at the delivery service", "order_id", orderID, "err", err)
}

func (r *remote) call(ctx context.Context, method, target string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
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

package client

import (
	"context"
	"net/http"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

// SplitStatus is how far a split has come.
func (c *Client) SplitStatus(ctx context.Context, capability string) (strangler.SplitStatus, error) {
	return ask[strangler.SplitStatus](ctx, c, http.MethodGet, path("splits", capability), nil)
}

// Writers are those who wrote the capability's tables lately.
func (c *Client) Writers(ctx context.Context, capability string) ([]strangler.Writer, error) {
	w, err := ask[admin.Writers](ctx, c, http.MethodGet, path("splits", capability, "writers"), nil)
	return w.Writers, err
}

// Start begins or resumes a split, and returns its status once it is under way.
func (c *Client) Start(ctx context.Context, capability string, o admin.Order) (strangler.SplitStatus, error) {
	return ask[strangler.SplitStatus](ctx, c, http.MethodPost, path("splits", capability, "start"), o)
}

// Verify compares both sides row by row.
func (c *Client) Verify(ctx context.Context, capability string, o admin.Order) (strangler.Verification, error) {
	return ask[strangler.Verification](ctx, c, http.MethodPost, path("splits", capability, "verify"), o)
}

// Cutover hands the writes to the service.
func (c *Client) Cutover(ctx context.Context, capability string, o admin.Order) (strangler.Cutover, error) {
	return ask[strangler.Cutover](ctx, c, http.MethodPost, path("splits", capability, "cutover"), o)
}

// Rollback hands the writes back to legacy.
func (c *Client) Rollback(ctx context.Context, capability string, o admin.Order) (strangler.Cutover, error) {
	return ask[strangler.Cutover](ctx, c, http.MethodPost, path("splits", capability, "rollback"), o)
}

// Complete ends a split for good.
func (c *Client) Complete(ctx context.Context, capability string, o admin.Order) (strangler.SplitStatus, error) {
	return ask[strangler.SplitStatus](ctx, c, http.MethodPost, path("splits", capability, "complete"), o)
}

// Cancel takes a split back before the service owns.
func (c *Client) Cancel(ctx context.Context, capability string, o admin.Order) (strangler.SplitStatus, error) {
	return ask[strangler.SplitStatus](ctx, c, http.MethodPost, path("splits", capability, "cancel"), o)
}

// Adopt shows the evidence of who owns a capability, and with o.Owner lets a person decide.
func (c *Client) Adopt(ctx context.Context, capability string, o admin.Order) (admin.Evidence, error) {
	return ask[admin.Evidence](ctx, c, http.MethodPost, path("splits", capability, "adopt"), o)
}

// PreviewSplit says what a verb of a split (start, verify, cutover, rollback, complete, cancel) would do.
func (c *Client) PreviewSplit(ctx context.Context, capability, verb string, o admin.Order) (admin.Preview, error) {
	return ask[admin.Preview](ctx, c, http.MethodPost, path("splits", capability, verb)+query(true), o)
}

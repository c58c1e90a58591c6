package client

import (
	"context"
	"net/http"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

// RunStatus is the latest run of a capability's playbook.
func (c *Client) RunStatus(ctx context.Context, capability string) (strangler.Run, error) {
	return ask[strangler.Run](ctx, c, http.MethodGet, path("runs", capability), nil)
}

// WholeRun is the latest run of a capability's playbook with what surrounds it.
func (c *Client) WholeRun(ctx context.Context, capability string) (admin.RunStatus, error) {
	return ask[admin.RunStatus](ctx, c, http.MethodGet, path("runs", capability), nil)
}

// Run begins or resumes a run, and returns it as it stands.
func (c *Client) Run(ctx context.Context, capability string, o admin.Order) (strangler.Run, error) {
	return ask[strangler.Run](ctx, c, http.MethodPost, path("runs", capability), o)
}

// RollbackRun begins to undo a run down to o.To.
func (c *Client) RollbackRun(ctx context.Context, capability string, o admin.Order) (strangler.Run, error) {
	return ask[strangler.Run](ctx, c, http.MethodPost, path("runs", capability, "rollback"), o)
}

// Approve lets the step o.Step go on.
func (c *Client) Approve(ctx context.Context, capability string, o admin.Order) (strangler.Run, error) {
	return ask[strangler.Run](ctx, c, http.MethodPost, path("runs", capability, "approve"), o)
}

// AskRun asks something of a run that is there: pause, continue, abort, skip, retry or accept.
func (c *Client) AskRun(ctx context.Context, capability, verb string, o admin.Order) (admin.Asked, error) {
	return ask[admin.Asked](ctx, c, http.MethodPost, path("runs", capability, verb), o)
}

// PreviewRun says what a verb of a playbook would do: "" for a run, rollback, approve, and those of AskRun.
func (c *Client) PreviewRun(ctx context.Context, capability, verb string, o admin.Order) (admin.Preview, error) {
	segments := []string{"runs", capability}
	if verb != "" {
		segments = append(segments, verb)
	}
	return ask[admin.Preview](ctx, c, http.MethodPost, path(segments...)+query(true), o)
}

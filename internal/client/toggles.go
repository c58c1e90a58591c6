package client

import (
	"context"
	"net/http"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

// Snapshot is the state of every toggle.
func (c *Client) Snapshot(ctx context.Context) (strangler.Snapshot, error) {
	return ask[strangler.Snapshot](ctx, c, http.MethodGet, path("toggles"), nil)
}

// Toggle is one capability's toggle.
func (c *Client) Toggle(ctx context.Context, capability string) (strangler.Toggle, error) {
	return ask[strangler.Toggle](ctx, c, http.MethodGet, path("toggles", capability), nil)
}

// Noticed is one capability's toggle, and what the daemon's proxy has noticed of it.
func (c *Client) Noticed(ctx context.Context, capability string) (admin.Noticed, error) {
	return ask[admin.Noticed](ctx, c, http.MethodGet, path("toggles", capability), nil)
}

// Flip changes a toggle. Where Pending is not empty, the change stands but is not applied everywhere.
// With dryRun it says what the toggle would be, and Pending who would have to apply it.
func (c *Client) Flip(ctx context.Context, capability string, change strangler.ToggleChange, dryRun bool) (strangler.Flip, error) {
	return ask[strangler.Flip](ctx, c, http.MethodPut, path("toggles", capability)+query(dryRun), change)
}

// History is who changed a toggle or an owner, and why.
func (c *Client) History(ctx context.Context, capability string) ([]strangler.AuditEntry, error) {
	h, err := ask[admin.History](ctx, c, http.MethodGet, path("toggles", capability, "history"), nil)
	return h.History, err
}

// Instances are the daemons that proxy requests.
func (c *Client) Instances(ctx context.Context) ([]strangler.Instance, error) {
	i, err := ask[admin.Instances](ctx, c, http.MethodGet, path("instances"), nil)
	return i.Instances, err
}

func query(dryRun bool) string {
	if dryRun {
		return "?dry_run=true"
	}
	return ""
}

package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/proxy"
)

// probeTimeout bounds one health probe of an upstream.
const probeTimeout = 2 * time.Second

// healthy asks an upstream for its health path; one without a path is taken at its word.
func healthy(ctx context.Context, c strangler.Capability, side strangler.Side) error {
	up := c.Service
	if side == strangler.Legacy {
		up = c.Legacy
	}
	return probe(ctx, up)
}

func probe(ctx context.Context, up strangler.Upstream) error {
	if up.Health == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(up.URL, "/")+up.Health, nil)
	if err != nil {
		return err
	}
	c, err := clientOf(up)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return answered{fmt.Errorf("GET %s%s answered %s", up.URL, up.Health, resp.Status)}
	}
	return nil
}

// clientOf asks an upstream for which its own CA vouches, or the system's. It keeps no connection of the former.
func clientOf(up strangler.Upstream) (*http.Client, error) {
	roots, err := proxy.ReadCA(up.CA)
	if err != nil || roots == nil {
		return http.DefaultClient, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig, t.DisableKeepAlives = &tls.Config{RootCAs: roots}, true
	return &http.Client{Transport: t}, nil
}

// answered is an upstream that can be reached and does not say that it is well.
type answered struct{ error }

func unreachable(err error) bool { return !errors.As(err, &answered{}) }

// Ready is the daemon's readiness: the control store answers, or the proxy serves a known state.
func (d *Daemon) Ready(ctx context.Context) error {
	if d.fleet.Stale() {
		return fmt.Errorf("the control store cannot be read; serving what is known, stale")
	}
	return d.store.Ping(ctx)
}

package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/hooks"
)

// makeHooks comes before whoever tells of events, and so ends behind them.
func (d *Daemon) makeHooks() (err error) {
	cfg := hooks.Config{ControlID: d.store.ID(), Registerer: d.registry, Log: d.log}
	for _, w := range d.cfg.Webhooks {
		cfg.Hooks = append(cfg.Hooks, hooks.Hook(w))
	}
	d.hooks, err = hooks.New(cfg)
	if err != nil {
		return err
	}
	d.onClose("webhooks", func() error {
		d.hooks.Close(context.Background()) // it has a bound of its own
		return nil
	})
	return nil
}

// receiver says whether a webhook's host takes connections. Nothing is posted: nobody is to be told of a check.
func receiver(ctx context.Context, i int, w config.Webhook) Finding {
	found := Finding{Check: "webhooks", Message: fmt.Sprintf("webhooks[%d], %s, takes connections", i, w)}
	if err := connect(ctx, w); err != nil {
		found.Warning, found.Message = true, fmt.Sprintf("webhooks[%d], %s, cannot be reached: %v", i, w, err)
		found.Next = []string{"see that it can be reached from here; until then it is told of nothing, and runs go on"}
	}
	return found
}

// connect dials the webhook's host, or the HTTP proxy that leads to it.
func connect(ctx context.Context, w config.Webhook) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, nil)
	if err != nil {
		return errors.New("its URL cannot be used")
	}
	to := req.URL
	switch through, err := http.ProxyFromEnvironment(req); {
	case err != nil:
		return errors.New("the HTTP proxy that the environment names cannot be used")
	case through != nil:
		to = through
	}
	port := map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[to.Scheme]
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(to.Hostname(), cmp.Or(to.Port(), port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

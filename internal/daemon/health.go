package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

// probeTimeout bounds one health probe of an upstream.
const probeTimeout = 2 * time.Second

// healthy asks the servers of an upstream for its health path: one of them has to be well. Where there is no path, or no server,
// they are taken at their word.
func healthy(ctx context.Context, c strangler.Capability, side strangler.Side) error {
	up := c.Service
	if side == strangler.Legacy {
		up = c.Legacy
	}
	if up.Health == "" {
		return nil
	}
	var errs []error
	for _, url := range up.URLs {
		err := probe(ctx, url, up.Health)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// probe asks one server for a path.
func probe(ctx context.Context, url, path string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	asked, client := url, http.DefaultClient
	if scheme, host, _ := strings.Cut(url, "://"); strings.HasPrefix(scheme, "h2") {
		asked, client = map[string]string{"h2c": "http", "h2": "https"}[scheme]+"://"+host, overHTTP2()
		defer client.CloseIdleConnections()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(asked, "/")+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return answered{fmt.Errorf("GET %s%s answered %s", url, path, resp.Status)}
	}
	return nil
}

// overHTTP2 speaks nothing else.
func overHTTP2() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
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

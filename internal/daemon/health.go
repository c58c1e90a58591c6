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
		err := probe(ctx, url, up.Health, up.CA)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// probe asks one server for a path; ca is the file of those who may vouch for it, or empty.
func probe(ctx context.Context, url, path, ca string) error {
	resp, err := get(ctx, url, path, ca, nil, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return answered{fmt.Errorf("GET %s%s answered %s", url, path, resp.Status)}
	}
	return nil
}

// get asks one server for a path, and returns the answer's head; its body is closed. Redirect says what becomes of a redirect, as
// http.Client's CheckRedirect; nil: it is followed.
func get(ctx context.Context, url, path, ca string, header http.Header, redirect func(*http.Request, []*http.Request) error) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	scheme, host, _ := strings.Cut(url, "://")
	client, err := clientOf(strings.HasPrefix(scheme, "h2"), ca)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	client.CheckRedirect = redirect
	asked := map[string]string{"http": "http", "https": "https", "h2c": "http", "h2": "https"}[scheme] + "://" + host
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(asked, "/")+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	return resp, resp.Body.Close()
}

// clientOf speaks one protocol, with a server for which its own CA vouches, or the system's.
func clientOf(http2 bool, ca string) (*http.Client, error) {
	roots, err := proxy.ReadCA(ca)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
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

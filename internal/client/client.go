package client

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

const (
	connecting = 3 * time.Second // until a connection stands
	maxAnswer  = 16 << 20        // bytes
)

// Config is where the daemon is.
type Config struct {
	URL   string // base URL of the admin API, without a path
	Token string // empty where the daemon has none
	Start string // the command that starts the daemon, for errors; default "strangler serve"
}

// Validate says what makes the configuration unusable. Its errors wrap strangler.ErrConfig.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("%w: the admin API's address is not a URL of scheme, host and port, as in http://127.0.0.1:8081", strangler.ErrConfig)
	}
	return nil
}

// Client asks one daemon. Its methods may be called by many goroutines. A method that changes
// something returns when the daemon has done it, however long that takes, or when its context ends;
// the operation belongs to the daemon and goes on without its client.
//
// Errors satisfy errors.Is for the root package's sentinels as the daemon's own errors did; a
// *strangler.Refusal comes back whole. An answer that did not arrive is strangler.ErrUnknown where
// something may have been changed. A daemon that cannot be reached is an *Unreachable.
type Client struct {
	base  string
	token string
	start string
	http  *http.Client
}

// New checks the configuration; it does not connect. Its errors wrap strangler.ErrConfig.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Start == "" {
		cfg.Start = "strangler serve"
	}
	dialer := &net.Dialer{Timeout: connecting, KeepAlive: 15 * time.Second}
	return &Client{
		base:  strings.TrimRight(cfg.URL, "/"),
		token: cfg.Token,
		start: cfg.Start,
		http: &http.Client{
			Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: connecting, MaxIdleConns: 4, IdleConnTimeout: time.Minute},
			// A redirect would carry the token to another place.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close gives back idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

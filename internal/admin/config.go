package admin

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"

	"github.com/strangler-fig/strangler"
)

// Config is what a Server needs. Counts, Ahead, Previews, Notices, Metrics and Log may be left out.
type Config struct {
	Listen       string                                              // host:port; port 0 takes a free one
	Listener     func(network, address string) (net.Listener, error) // makes the listener; nil: net.Listen
	Token        string                                              // the bearer token; may be empty only on a loopback address
	Capabilities []strangler.Capability

	Toggles  Toggles
	Splits   Splits
	Owners   Owners
	Runs     Runs
	Health   Health
	Counts   Counts                           // nil: this daemon has no proxy that would count requests
	Previews Previews                         // nil: a dry run says in words what would be done, without statements and steps
	Notices  func(capability string) []string // what this instance's proxy has noticed; nil: nothing
	Metrics  http.Handler                     // nil: /metrics answers 404
	Log      *slog.Logger                     // nil: discarded
	// Ahead says when a run may end and what it waits for, either nil where there is nothing to say; nil: it is not said.
	Ahead func(strangler.Scene) (*strangler.Outlook, *strangler.Wait)
}

// Validate says what makes the configuration unusable. Its errors wrap strangler.ErrConfig.
func (c Config) Validate() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("%w: admin API: the address %q is not host:port", strangler.ErrConfig, c.Listen)
	}
	if c.Token == "" && !loopback(host) {
		return fmt.Errorf("%w: admin API: %s can be reached from other machines; set admin.token, or listen on 127.0.0.1", strangler.ErrConfig, c.Listen)
	}
	if c.Toggles == nil || c.Splits == nil || c.Owners == nil || c.Runs == nil || c.Health == nil {
		return fmt.Errorf("%w: admin API: Toggles, Splits, Owners, Runs and Health are needed", strangler.ErrConfig)
	}
	return nil
}

// loopback reports whether a host is this machine and nothing else.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

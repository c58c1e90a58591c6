package proxy

import (
	"fmt"
	"log/slog"
	"math/bits"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strangler-fig/strangler"
)

// Config is what a Proxy is made of. Legacy and Secret are required.
type Config struct {
	Listen       string // host:port; port 0 takes a free one
	Legacy       string // base URL of the monolith, without a path: what no capability claims goes there
	Capabilities []strangler.Capability
	Trust        []netip.Prefix // peers whose X-Forwarded-*, Forwarded and X-Real-IP are believed
	Secret       []byte         // signs our cookie (HMAC-SHA256); at least 32 bytes, the same on every instance

	// Passed says up to when the following side of a capability holds every write: all that were
	// acknowledged before this instant, by this machine's clock. Zero, or a nil Passed, is unknown,
	// and then reads go to the owner. It is called for each read that a canary would move, by many
	// goroutines, and must not block.
	Passed func(capability string) time.Time

	Hold       HoldLimits
	Timeouts   Timeouts
	Registerer prometheus.Registerer // nil: metrics are kept but shown nowhere
	Log        *slog.Logger          // nil: discarded
}

// HoldLimits bound what a closed gate keeps waiting, per capability. Zero fields take the defaults.
type HoldLimits struct {
	Requests int           // held at once, the rest is answered 503; default 1000
	Wait     time.Duration // one request's longest hold, then 503; default 10 s
	Drain    time.Duration // how long Apply waits for writes in flight; default 2 s
}

// Timeouts bound what may take long. Zero fields take the defaults.
type Timeouts struct {
	Head   time.Duration // a client's request head; default 10 s
	Dial   time.Duration // connecting to an upstream; default 3 s
	Answer time.Duration // from a request's last byte to the head of its answer; default 2 min
	Idle   time.Duration // a client's kept-alive connection; default 2 min
}

const (
	secretBytes     = 32
	maxCapabilities = bits.UintSize // a set of capabilities is one machine word
	maxHeadBytes    = 64 << 10
)

// A name stands in OwnerHeader, in metrics and in the names of scripts.
var capabilityName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// withDefaults fills what was left zero, and orders capabilities by name.
func (c Config) withDefaults() Config {
	setDefault(&c.Listen, "127.0.0.1:0")
	setDefault(&c.Hold.Requests, 1000)
	setDefault(&c.Hold.Wait, 10*time.Second)
	setDefault(&c.Hold.Drain, 2*time.Second)
	setDefault(&c.Timeouts.Head, 10*time.Second)
	setDefault(&c.Timeouts.Dial, 3*time.Second)
	setDefault(&c.Timeouts.Answer, 2*time.Minute)
	setDefault(&c.Timeouts.Idle, 2*time.Minute)
	if c.Passed == nil {
		c.Passed = func(string) time.Time { return time.Time{} }
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	if c.Log == nil {
		c.Log = strangler.Discard()
	}
	c.Capabilities = slices.Clone(c.Capabilities)
	slices.SortFunc(c.Capabilities, func(a, b strangler.Capability) int { return strings.Compare(a.Name, b.Name) })
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says what is unusable, as an ErrConfig. Routes that contradict each other are found by New.
func (c Config) Validate() error {
	if _, err := parseUpstream(c.Legacy); err != nil {
		return fmt.Errorf("%w: the monolith's address: %w", strangler.ErrConfig, err)
	}
	if len(c.Secret) < secretBytes {
		return fmt.Errorf("%w: the secret that signs cookies has %d bytes; give it at least %d random ones", strangler.ErrConfig, len(c.Secret), secretBytes)
	}
	if c.Hold.Requests < 0 || c.Hold.Wait < 0 || c.Hold.Drain < 0 {
		return fmt.Errorf("%w: a bound of the gate is negative: %+v; leave it 0 for its default", strangler.ErrConfig, c.Hold)
	}
	if c.Timeouts.Head < 0 || c.Timeouts.Dial < 0 || c.Timeouts.Answer < 0 || c.Timeouts.Idle < 0 {
		return fmt.Errorf("%w: a timeout is negative: %+v; leave it 0 for its default", strangler.ErrConfig, c.Timeouts)
	}
	if len(c.Capabilities) > maxCapabilities {
		return fmt.Errorf("%w: %d capabilities; one proxy takes at most %d", strangler.ErrConfig, len(c.Capabilities), maxCapabilities)
	}
	names := make(map[string]bool)
	for _, one := range c.Capabilities {
		if err := validateCapability(one); err != nil {
			return fmt.Errorf("%w: capability %q: %w", strangler.ErrConfig, one.Name, err)
		}
		if names[one.Name] {
			return fmt.Errorf("%w: two capabilities are named %q; rename one", strangler.ErrConfig, one.Name)
		}
		names[one.Name] = true
	}
	return nil
}

func validateCapability(c strangler.Capability) error {
	if !capabilityName.MatchString(c.Name) {
		return fmt.Errorf("a name is made of letters, digits, '-', '_' and '.'")
	}
	if c.Service.URL != "" {
		if _, err := parseUpstream(c.Service.URL); err != nil {
			return fmt.Errorf("the service's address: %w", err)
		}
	}
	for _, m := range c.Shadow.Methods {
		if m != "GET" && m != "HEAD" && m != "OPTIONS" {
			return fmt.Errorf("shadow method %q would write twice; only GET, HEAD and OPTIONS can be shadowed", m)
		}
	}
	if c.Shadow.Sample < 0 || c.Shadow.Sample > strangler.Hundred {
		return fmt.Errorf("shadow sample %s is not between 0%% and 100%%", c.Shadow.Sample)
	}
	return nil
}

// upstream is where one side's requests go.
type upstream struct{ scheme, host string }

func parseUpstream(base string) (*upstream, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("%q is not of the form http://host:port", base)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%q has more than scheme, host and port; a path or a password is not forwarded", u.Redacted())
	}
	return &upstream{scheme: u.Scheme, host: u.Host}, nil
}

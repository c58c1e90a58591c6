package proxy

import (
	"fmt"
	"log/slog"
	"math/bits"
	"net/netip"
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

	// LegacyCA is a PEM file of those who may vouch for an https Legacy; empty: the system's.
	LegacyCA string

	// ProxyProtocol says that connections of the peers in Trust begin with a PROXY header, which names the client: it is the
	// peer then.
	ProxyProtocol bool

	// Passed says up to when the following side of a capability holds every write: all that were
	// acknowledged before this instant, by this machine's clock. Zero, or a nil Passed, is unknown,
	// and then reads go to the owner. It is called for each read that a canary would move, by many
	// goroutines, and must not block.
	Passed func(capability string) time.Time

	Engine     Engine // empty: EngineH1
	TLS        TLS    // zero: in the clear
	Access     AccessLog
	Hold       HoldLimits
	Limits     Limits
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

// TLS names two PEM files. They are read again when they change; a pair that cannot be read leaves the
// one before in use, and is logged.
type TLS struct{ Cert, Key string }

// Limits bound what clients may ask for. Zero fields take the defaults.
type Limits struct {
	Head        int // bytes of a request's head, then 431; default 64 KiB
	Lines       int // header lines of a request (engine h1), then 431; default 200
	Connections int // of clients at once; past them one that waits for a request is closed, or else the new one; default 10,000
	Requests    int // of one capability at once, and of what nobody claims, then 503; default 4096
}

// Timeouts bound what may take long. Zero fields take the defaults.
type Timeouts struct {
	Head   time.Duration // a client's request head; default 10 s
	Body   time.Duration // without a byte of a request's body (engine h1); default 1 min
	Idle   time.Duration // a client's kept-alive connection; default 2 min
	Dial   time.Duration // connecting to an upstream; default 3 s
	Answer time.Duration // from a request's last byte to the head of its answer, and (engine h1) to each further byte; default 2 min
}

const (
	secretBytes     = 32
	maxCapabilities = bits.UintSize // a set of capabilities is one machine word
	maxAnswerHead   = 1 << 20       // as net/http has it
	maxAnswerLines  = 2000

	// Connections to upstreams that nobody used for a few seconds are closed by us, before the
	// upstream closes them under a write: common servers do so after 5 seconds.
	idleUpstream = 4 * time.Second
	mostIdle     = 1024
)

// Engine is what reads requests from clients and carries them to upstreams.
type Engine string

// The engines. Both do the same; docs/PROXY.md lists where they differ.
const (
	EngineH1      Engine = "h1"      // our own data plane
	EngineNetHTTP Engine = "nethttp" // Go's net/http and httputil.ReverseProxy
)

// A name stands in OwnerHeader, in metrics and in the names of scripts.
var capabilityName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// withDefaults fills what was left zero, and orders capabilities by name.
func (c Config) withDefaults() Config {
	setDefault(&c.Listen, "127.0.0.1:0")
	setDefault(&c.Engine, EngineH1)
	setDefault(&c.Hold.Requests, 1000)
	setDefault(&c.Hold.Wait, 10*time.Second)
	setDefault(&c.Hold.Drain, 2*time.Second)
	setDefault(&c.Limits.Head, 64<<10)
	setDefault(&c.Limits.Lines, 200)
	setDefault(&c.Limits.Connections, 10_000)
	setDefault(&c.Limits.Requests, 4096)
	setDefault(&c.Timeouts.Head, 10*time.Second)
	setDefault(&c.Timeouts.Dial, 3*time.Second)
	setDefault(&c.Timeouts.Answer, 2*time.Minute)
	setDefault(&c.Timeouts.Idle, 2*time.Minute)
	setDefault(&c.Timeouts.Body, time.Minute)
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
	if c.ProxyProtocol && len(c.Trust) == 0 {
		return fmt.Errorf("%w: nobody is trusted to send a PROXY header; name the load balancers in Trust", strangler.ErrConfig)
	}
	if len(c.Secret) < secretBytes {
		return fmt.Errorf("%w: the secret that signs cookies has %d bytes; give it at least %d random ones", strangler.ErrConfig, len(c.Secret), secretBytes)
	}
	if c.Engine != "" && c.Engine != EngineH1 && c.Engine != EngineNetHTTP {
		return fmt.Errorf("%w: engine %q; it is %s or %s", strangler.ErrConfig, c.Engine, EngineH1, EngineNetHTTP)
	}
	if c.Hold.Requests < 0 || c.Hold.Wait < 0 || c.Hold.Drain < 0 {
		return fmt.Errorf("%w: a bound of the gate is negative: %+v; leave it 0 for its default", strangler.ErrConfig, c.Hold)
	}
	if c.Limits.Head < 0 || c.Limits.Lines < 0 || c.Limits.Connections < 0 || c.Limits.Requests < 0 {
		return fmt.Errorf("%w: a limit is negative: %+v; leave it 0 for its default", strangler.ErrConfig, c.Limits)
	}
	if f := c.Access.Format; f != "" && f != AccessJSON && f != AccessCombined {
		return fmt.Errorf("%w: access log format %q; it is %s or %s", strangler.ErrConfig, f, AccessJSON, AccessCombined)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return fmt.Errorf("%w: TLS needs a certificate and a key", strangler.ErrConfig)
	}
	if c.Timeouts.Head < 0 || c.Timeouts.Dial < 0 || c.Timeouts.Answer < 0 || c.Timeouts.Idle < 0 || c.Timeouts.Body < 0 {
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

package proxy

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/proxy/h1"
)

// Proxy sends each request to the side that its capability's toggle names. Make one with New. Its
// methods may be called by many goroutines.
type Proxy struct {
	config       Config
	capabilities []*capability // by index, ordered by name
	byName       map[string]*capability
	passed       func(capability string) time.Time
	router       *router
	routes       []*routeMetrics // by the router's patterns
	signer       *signer
	forwarding   forwarding
	legacy       *upstream
	unclaimed    *capabilityMetrics
	reverse      *httputil.ReverseProxy

	applying sync.Mutex // serialises changes of snapshot
	snapshot atomic.Pointer[snapshot]

	watch  *h1.Watch // nil with engine nethttp
	access *access   // nil: there is no log
	traces *traces   // nil: there are none

	complained atomic.Int64 // when a balancer's connection was last said to be closed, in nanoseconds

	ctx      context.Context // ends what outlasts a drain
	cancel   context.CancelFunc
	running  sync.RWMutex  // held for reading by every request, so that Close can wait for them
	closing  chan struct{} // closed when Close begins
	retiring atomic.Bool
	work     sync.WaitGroup
	mu       sync.Mutex // guards what follows
	listener net.Listener
	http     *http.Server // serves what engine h1 does not: TLS, HTTP/2, or with engine nethttp everything
	h1       *h1.Server   // nil where it serves nothing
	handed   *handed
	direct   *clients
	taken    chan struct{} // closed when direct has given its last connection; nil in engine h1
	closed   bool
	close    sync.Once
	closeErr error
}

// capability is one capability with what the proxy keeps about it. What every decision needs comes first, and is near.
type capability struct {
	salt      uint64 // the name's hash, never the epoch: raising a percentage must only add users
	header    string // that the identity is in, canonical; empty: our cookie
	stateless bool
	wrote     wrote
	gate      gate
	service   *upstream // nil: none is configured yet
	metrics   *capabilityMetrics
	shadow    *shadow
	index     int
	renewals  renewals
	strangler.Capability
}

func (c *capability) hash(key string) uint64 { return hash64(c.salt, key) }

// New checks the configuration and puts a proxy together. It starts nothing. Errors wrap ErrConfig,
// except those of the Registerer.
func New(config Config) (*Proxy, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	rt, err := newRouter(config.Capabilities)
	if err != nil {
		return nil, err
	}
	metrics, err := newMetrics(config.Registerer)
	if err != nil {
		return nil, err
	}
	legacy, err := newUpstream(config.Legacy, "", strangler.Legacy)
	if err != nil {
		return nil, err
	}
	traces, err := newTraces(config)
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		config:     config,
		byName:     make(map[string]*capability),
		passed:     config.Passed,
		router:     rt,
		signer:     newSigner(config.Secret),
		forwarding: newForwarding(config),
		legacy:     legacy,
		unclaimed:  metrics.of(""),
		traces:     traces,
		closing:    make(chan struct{}),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background()) // lives until Close, not until some caller's end
	started := time.Now().UnixNano()
	for i, conf := range config.Capabilities {
		c := &capability{
			Capability: conf, index: i, salt: hash64(0, conf.Name), stateless: conf.Stateless(), metrics: metrics.of(conf.Name),
			header: unique.Make(http.CanonicalHeaderKey(conf.IdentityHeader)).Value(), wrote: wrote{start: started},
		}
		if len(conf.Service.URLs) > 0 {
			if c.service, err = newUpstream(conf.Service, conf.Name, strangler.Service); err != nil {
				return nil, err
			}
		}
		if err := observeRenewals(config.Registerer, c); err != nil {
			return nil, err
		}
		c.shadow = newShadow(p, c)
		p.capabilities = append(p.capabilities, c)
		p.byName[c.Name] = c
	}
	for _, r := range rt.patterns {
		p.routes = append(p.routes, metrics.ofRoute(p.capabilities[r.capability].Name, r.text))
	}
	p.snapshot.Store(&snapshot{toggles: make([]*strangler.Toggle, len(p.capabilities))})
	for _, u := range p.upstreams() {
		if err := u.equip(p, metrics); err != nil {
			return nil, err
		}
	}
	p.reverse = newReverseProxy(p)
	return p, nil
}

// upstream is where a side of a capability is; c is nil for what nobody claims.
func (p *Proxy) upstream(c *capability, side strangler.Side) *upstream {
	if side == strangler.Service {
		return c.service
	}
	return p.legacy
}

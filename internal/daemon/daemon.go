package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/internal/hooks"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/playbook"
	"github.com/strangler-fig/strangler/proxy"
)

const (
	closeTimeout    = 20 * time.Second // how long requests in flight may take when the daemon ends
	retireTimeout   = 10 * time.Second // how long clients that ask for nothing keep their connection when another process has taken over
	succeedPatience = 30 * time.Second // how long a successor waits for the control store; less than it is itself waited for
)

// Options are what the file does not say.
type Options struct {
	Proxy  bool // role proxy: requests are served
	Worker bool // role worker: splits and playbooks are worked on
	// Fault reaches every durable statement of this process, for tests; see migrations.Config and
	// control.Config. Nil: none.
	Fault func(point string) error
	Log   *slog.Logger
	// Ready is called once, when everything listens. An error ends the daemon in good order, and Run returns it. May be nil.
	Ready func(*Daemon) error
	// Successor says that another process serves until Ready has told it that this one does. This one serves no snapshot meanwhile.
	Successor bool
	// Listen makes the listeners of the proxy and the admin API; nil: net.Listen.
	Listen func(network, address string) (net.Listener, error)
	// Replaced is closed when another process, which has inherited the listeners, serves in this one's place. Nil: never.
	Replaced <-chan struct{}
}

// Daemon is one process of `strangler serve`.
type Daemon struct {
	cfg  *config.Config
	opts Options
	log  *slog.Logger
	id   string

	store    *control.Store
	proxy    *proxy.Proxy // nil without the role
	fleet    *fleet
	hooks    *hooks.Sender
	splits   *migrations.Splits
	followed atomic.Pointer[migrations.Splits] // splits, once they are there: a proxy that serves stale asks before
	playbook *playbook.Engine
	admin    *admin.Server
	registry *prometheus.Registry
	cleanups []cleanup // run in reverse
}

// Run serves until ctx ends, then closes. To be ended while it still begins is no error.
func Run(ctx context.Context, cfg *config.Config, opts Options) error {
	d := newDaemon(cfg, opts)
	err := d.begin(ctx)
	switch {
	case err == nil:
		err = d.serve(ctx)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		err = nil
	}
	return errors.Join(err, d.Close())
}

// Start brings everything up and returns. On an error it has closed what it had opened.
func Start(ctx context.Context, cfg *config.Config, opts Options) (*Daemon, error) {
	d := newDaemon(cfg, opts)
	if err := d.begin(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func newDaemon(cfg *config.Config, opts Options) *Daemon {
	if opts.Log == nil {
		opts.Log = strangler.Discard()
	}
	return &Daemon{cfg: cfg, opts: opts, log: opts.Log, id: instanceID(), registry: prometheus.NewRegistry()}
}

// serve says that everything listens, and returns when ctx ends, when another process has taken over, or when it cannot go on.
func (d *Daemon) serve(ctx context.Context) error {
	if d.opts.Ready != nil {
		if err := d.opts.Ready(d); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
	case err := <-d.admin.Failed():
		return err
	case <-d.opts.Replaced:
		if ctx.Err() == nil {
			return d.retire(ctx)
		}
	}
	return nil
}

// begin brings everything up. Close ends what it has begun, on an error too.
func (d *Daemon) begin(ctx context.Context) error {
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := os.MkdirAll(d.cfg.State(), 0o700); err != nil {
		return err
	}
	// The proxy is put together first: without the control store it serves the last good snapshot.
	if d.opts.Proxy {
		if err := d.makeProxy(); err != nil {
			return err
		}
	}
	if err := d.openStore(ctx); err != nil {
		return err
	}
	if err := d.store.Ensure(ctx, d.cfg.Capabilities); err != nil {
		return err
	}
	if err := d.makeHooks(); err != nil {
		return err
	}
	// Register, then read the state: a cutover that begins in between waits for this instance.
	if err := d.joinFleet(ctx); err != nil {
		return err
	}
	if err := d.makeWorker(ctx); err != nil {
		return err
	}
	if d.proxy != nil {
		if err := d.startProxy(); err != nil {
			return err
		}
	}
	return d.startAdmin()
}

func instanceID() string {
	b := make([]byte, 4)
	rand.Read(b) // never fails
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), hex.EncodeToString(b))
}

// cleanup ends one part of the daemon.
type cleanup struct {
	part string
	f    func() error
}

// The parts whose order matters: a successor takes over all of them but the proxy at once.
const (
	partAdmin    = "admin"
	partPlaybook = "playbook"
	partSplits   = "splits"
	partProxy    = "proxy"
)

// onClose adds what ends a part before those that began before it. A proxy that began without the control store ends before what came
// after it, the admin API excepted: its gates work until its last request.
func (d *Daemon) onClose(part string, f func() error) {
	at := len(d.cleanups)
	if at > 0 && d.cleanups[at-1].part == partProxy && part != partAdmin {
		at--
	}
	d.cleanups = slices.Insert(d.cleanups, at, cleanup{part, f})
}

// retire leaves everything to the process that serves in this one's place: commands, runs and splits at once, clients with the next
// answer of each. This process's gates work until the last has left.
func (d *Daemon) retire(ctx context.Context) error {
	d.log.Info("another process has taken over; this one ends when its clients have left")
	var errs []error
	for _, c := range slices.Backward(d.cleanups) {
		if c.part == partAdmin || c.part == partPlaybook || c.part == partSplits {
			errs = append(errs, c.f())
		}
	}
	d.cleanups = slices.DeleteFunc(d.cleanups, func(c cleanup) bool { return c.part == partAdmin || c.part == partPlaybook || c.part == partSplits })
	if d.proxy != nil {
		bounded, cancel := context.WithTimeout(ctx, retireTimeout)
		defer cancel()
		d.proxy.Retire(bounded)
	}
	return errors.Join(errs...)
}

// Close ends what Start began, last first: the admin API, the proxy after its requests, the playbook,
// the splits after a cutover in flight, the webhooks after what they tell of, the control store.
func (d *Daemon) Close() error {
	var errs []error
	for _, c := range slices.Backward(d.cleanups) {
		errs = append(errs, c.f())
	}
	d.cleanups = nil
	return errors.Join(errs...)
}

// ProxyURL and AdminURL are where this process listens; empty without the role.
func (d *Daemon) ProxyURL() string {
	if d.proxy == nil {
		return ""
	}
	return d.proxy.URL()
}

func (d *Daemon) AdminURL() string { return d.admin.URL() }

func (d *Daemon) makeProxy() (err error) {
	secret, err := cookieSecret(filepath.Join(d.cfg.State(), "cookie.key"))
	if err != nil {
		return err
	}
	d.proxy, err = proxy.New(proxy.Config{
		Listen: d.cfg.Proxy.Listen, Listener: d.opts.Listen, Engine: proxy.Engine(d.cfg.Proxy.Engine), Legacy: d.cfg.Legacy, Capabilities: d.cfg.Capabilities, Trust: d.cfg.Proxy.Trust, ProxyProtocol: d.cfg.Proxy.ProxyProtocol,
		Access: proxy.AccessLog{File: d.cfg.Proxy.Access.File, Format: proxy.AccessFormat(d.cfg.Proxy.Access.Format)},
		Traces: proxy.Traces(d.cfg.Proxy.Traces),
		TLS:    proxy.TLS(d.cfg.Proxy.TLS), Limits: proxy.Limits(d.cfg.Proxy.Limits), Timeouts: proxy.Timeouts(d.cfg.Proxy.Timeouts),
		Secret: secret, Health: d.cfg.Proxy.Health, Hold: proxy.HoldLimits{Requests: d.cfg.Proxy.Hold.Requests, Wait: d.cfg.Proxy.Hold.Wait, Drain: d.cfg.Proxy.Hold.Drain},
		Passed: d.passed, Registerer: d.registry, Log: d.log,
	})
	return err
}

// cookieSecret reads the key that signs our cookies, and makes it when it is missing.
func cookieSecret(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key = make([]byte, 32)
		rand.Read(key)
		return key, os.WriteFile(path, key, 0o600)
	}
	if err == nil && len(key) < 32 {
		err = fmt.Errorf("%w: %s is shorter than 32 bytes; delete it to have it made anew (canary users are then bucketed afresh)", strangler.ErrConfig, path)
	}
	return key, err
}

// passed is asked for every read that a canary would move.
func (d *Daemon) passed(capability string) time.Time {
	splits := d.followed.Load()
	if splits == nil {
		return time.Time{} // this process does not follow the split: whoever wrote reads from the owner
	}
	return splits.Passed(capability)
}

func (d *Daemon) snapshotPath() string { return filepath.Join(d.cfg.State(), "snapshot.json") }

// openStore waits for the control store. Meanwhile the proxy serves the last good snapshot, stale;
// without one nothing is served: an unknown state never means legacy. A successor serves nothing meanwhile, and does not wait for ever:
// the process before serves, and its gates are closed where a cutover needs it.
func (d *Daemon) openStore(ctx context.Context) error {
	last, errLast := control.LoadSnapshot(d.snapshotPath())
	bounded := ctx
	if d.opts.Successor {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, succeedPatience)
		defer cancel()
	}
	for {
		store, err := control.Open(bounded, control.Config{DSN: d.cfg.Control, Log: d.log, Fault: d.opts.Fault})
		if err == nil {
			d.store = store
			d.onClose("store", store.Close)
			if errLast == nil && last.ControlID != store.ID() {
				return strangler.Refuse("control", fmt.Sprintf("%s is another control store (%s) than the one this daemon served before (%s)", config.Redact(d.cfg.Control), store.ID(), last.ControlID),
					"put the old store back", "delete "+d.snapshotPath()+" if the new one is meant")
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		refused := errors.Is(err, strangler.ErrRefused) && d.ProxyURL() == "" // by a newer version's store; who serves already goes on
		if errLast != nil || d.proxy == nil || errors.Is(err, strangler.ErrConfig) || refused {
			return fmt.Errorf("open the control store: %w", err)
		}
		if d.opts.Successor {
			d.log.Error("the control store cannot be reached; this process serves nothing until it is, the one before serves", strangler.LogError, err)
		} else {
			if err := d.serveStale(ctx, last); err != nil {
				return err
			}
			d.log.Error("the control store cannot be reached; serving the last good snapshot, stale", "at", last.At, strangler.LogError, err)
		}
		if !pause(bounded, time.Second) && ctx.Err() == nil {
			return fmt.Errorf("the control store could not be reached for %s; nothing was changed, and the process before serves: %w", succeedPatience, err)
		}
	}
}

// serveStale has the proxy serve by a snapshot, if it does not yet.
func (d *Daemon) serveStale(ctx context.Context, last strangler.Snapshot) error {
	if d.proxy.URL() != "" {
		return nil
	}
	for _, t := range last.Toggles {
		if err := d.proxy.Apply(ctx, t); err != nil {
			d.log.Warn("snapshot", strangler.LogCapability, t.Capability, strangler.LogError, err)
		}
	}
	return d.startProxy()
}

func (d *Daemon) startProxy() error {
	if d.proxy.URL() != "" {
		return nil
	}
	if err := d.proxy.Start(); err != nil {
		return err
	}
	d.onClose(partProxy, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return d.proxy.Close(ctx)
	})
	d.log.Info("proxy listening", "url", d.proxy.URL())
	return nil
}

func (d *Daemon) joinFleet(ctx context.Context) error {
	d.fleet = newFleet(d.store, d.proxy, d.id, d.cfg.Admin.Advertise, d.snapshotPath(), d.log)
	if err := d.fleet.start(ctx); err != nil {
		return err
	}
	d.onClose("fleet", d.fleet.close)
	return nil
}

// makeWorker puts splits and playbook together; only the worker role sets them going.
func (d *Daemon) makeWorker(ctx context.Context) (err error) {
	d.splits, err = migrations.New(migrations.Config{
		Capabilities: d.cfg.Capabilities, Open: engines.Open, Dir: d.cfg.Migrations(), ControlID: d.store.ID(),
		Decisions: d.store, Records: d.store, Leases: d.store, Adopter: d.store, Gates: d.fleet, Healthy: healthy,
		Worker: d.id, Fault: d.opts.Fault, Log: d.log,
	})
	if err != nil {
		return err
	}
	d.followed.Store(d.splits)
	d.onClose(partSplits, d.splits.Close)
	d.playbook, err = playbook.New(playbook.Config{
		Capabilities: d.cfg.Capabilities, Ledger: d.store, Past: d.store, Approvals: d.store, Toggles: d.fleet, Splits: splitsPort{d.splits},
		Owners: d.splits, Scripts: scriptsPort{d.splits}, Traffic: d.fleet.tally, Queries: queriesPort(d.cfg.Capabilities), Leases: runLeases{d}, Worker: d.id, Poll: 250 * time.Millisecond, Tell: d.hooks.Tell, Log: d.log,
	})
	if err != nil {
		return err
	}
	d.registry.MustRegister(newSplitMetrics(d.splits, d.cfg.Capabilities))
	if !d.opts.Worker {
		return nil
	}
	d.splits.Start(context.WithoutCancel(ctx))
	if err := d.playbook.Start(ctx); err != nil {
		return err
	}
	d.onClose(partPlaybook, d.playbook.Close)
	return nil
}

func (d *Daemon) startAdmin() (err error) {
	d.admin, err = admin.New(admin.Config{
		Listen: d.cfg.Admin.Listen, Listener: d.opts.Listen, Token: d.cfg.Admin.Token, Capabilities: d.cfg.Capabilities,
		Toggles: togglesPort{d.store, d.fleet}, Splits: splitsPort{d.splits}, Owners: ownersPort{d}, Runs: runsPort{d}, Health: d, Previews: previewsPort{d}, Notices: d.notices,
		Counts: d.counts(), Ahead: playbook.Ahead, Metrics: promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{}), Log: d.log,
	})
	if err != nil {
		return err
	}
	if err := d.admin.Open(); err != nil {
		return err
	}
	d.onClose(partAdmin, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return d.admin.Close(ctx)
	})
	d.log.Info("admin listening", "url", d.admin.URL())
	return nil
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

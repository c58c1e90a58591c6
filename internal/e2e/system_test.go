//go:build !race

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/internal/invariant"
)

// programs is the folder of the three programs, built once.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "strangler-e2e-")
	if err != nil {
		return "", err
	}
	built = dir
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/strangler", "./legacy-monolith", "./extracted/delivery")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})

// system is the whole thing: a seeded monolith, its service and the daemon, each a process.
type system struct {
	*pair
	t                         testing.TB
	legacyPort, servicePort   int
	monolith, service, daemon *program
	log                       *invariant.Log
	before                    invariant.Baseline
	legacyDB, serviceDB       *sql.DB
	settings                  string // of the playbook; empty: the quick ones
	mark                      string // a file that a step of the playbook makes and its undo removes; empty: there is no such step
}

// quick are settings of a playbook that goes on by itself.
const quick = "{canary: [50%, 100%], requests: 0, hold: 20ms, shadow: 20ms, soak: 20ms, approve: []}"

// node is one daemon's file and addresses.
type node struct {
	file                 string
	proxyPort, adminPort int
}

const capability = "delivery"

func init() { beside = "5" }

// newSystem starts the monolith, with so many rows, and the service, on databases of a kind.
func newSystem(t testing.TB, k *kind, rows int) *system {
	t.Helper()
	s := &system{pair: k.pair(t), t: t, legacyPort: freePort(t), servicePort: freePort(t)}
	n := s.node("strangler.yaml")
	s.monolith = &program{name: "legacy-monolith", ready: s.url(s.legacyPort) + "/readyz", args: []string{
		"--listen", fmt.Sprintf("127.0.0.1:%d", s.legacyPort), "--database", s.shopDSN, "--seed", fmt.Sprint(rows),
		"--delivery", s.url(s.servicePort), "--toggles", s.url(n.adminPort), fmt.Sprintf("--whole-orders=%t", s.wholeOrders())}}
	s.service = &program{name: "delivery", ready: s.url(s.servicePort) + "/readyz", args: []string{
		"--listen", fmt.Sprintf("127.0.0.1:%d", s.servicePort), "--database", s.deliveryDSN}}
	s.daemon = s.newDaemon(n)
	s.start(s.monolith)
	s.start(s.service)
	s.legacyDB, s.serviceDB = s.opened(t)
	if s.wholeOrders() { // deliveries stay where they are, and couriers come and go
		s.run(t, s.serviceDB, "ALTER TABLE deliveries DROP CONSTRAINT deliveries_courier_id_fkey")
	}
	s.newLog()
	return s
}

// newLog begins to record writes: what stands now was there before.
func (s *system) newLog() {
	s.t.Helper()
	var err error
	s.before, err = invariant.Measure(s.t.Context(), s.legacyDB)
	must(s.t, err)
	s.log = &invariant.Log{}
}

func (s *system) newDaemon(n node) *program {
	return &program{name: "strangler", node: n, ready: s.url(n.adminPort) + "/readyz", args: []string{"serve", "-c", n.file}}
}

func (s *system) url(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

// node writes a file for one daemon; several share the control store beside them.
func (s *system) node(name string) node {
	s.t.Helper()
	n := node{file: filepath.Join(s.dir, name), proxyPort: freePort(s.t), adminPort: freePort(s.t)}
	text := fmt.Sprintf(`
control: %q
proxy: {listen: 127.0.0.1:%d, engine: %s}
admin: {listen: 127.0.0.1:%d}
legacy: {url: "http://127.0.0.1:%d", health: /healthz, database: %q}
capabilities:
  delivery:
    routes: [POST /couriers, "GET /couriers/{id}", "POST /couriers/{id}/availability"]
    touches: [{route: "POST /orders/{id}/accept", seam: true}, {route: "POST /orders/{id}/pickedup", seam: true}, {route: "POST /orders/{id}/delivered", seam: true}]
    service: {url: "http://127.0.0.1:%d", health: /healthz, database: %q}
    tables:
      - couriers
      - courier_actions
      - courier_requests%s
    capture: %s
    playbook: %s
`, s.controlDSN, n.proxyPort, cmp.Or(os.Getenv("STRANGLER_ENGINE"), "h1"), n.adminPort, s.legacyPort, s.legacyDSN, s.servicePort, s.serviceDSN, s.deliveries(), s.kind.capture(), cmp.Or(s.settings, quick))
	must(s.t, os.WriteFile(n.file, []byte(text), 0o600))
	return n
}

// deliveries is what moves of the monolith's orders. Logical decoding tells of whole tables only, so couriers move alone there.
func (s *system) deliveries() string {
	if s.wholeOrders() {
		return ""
	}
	return `
      - from: orders
        to: deliveries
        columns: {id: order_id, assigned_courier_id: courier_id}
        drop: [version, consumer_id, restaurant_id, order_state, order_minimum_cents, payment_token, delivery_time, delivery_street,
          delivery_city, delivery_zip, ready_by, accept_time, preparing_time, ready_for_pickup_time]
        where: assigned_courier_id IS NOT NULL`
}

func (s *system) wholeOrders() bool { return s.kind.capture() == strangler.CaptureLogical }

// lastPort is the one that was handed out last. They are none of those that the kernel gives to whoever asks for any or
// connects somewhere, so nobody else has one between here and the program that is to listen on it, and no two systems, which run
// side by side, have the same.
var lastPort atomic.Int32

func init() { lastPort.Store(10_000 + rand.Int32N(5_000)) }

func freePort(t testing.TB) int {
	t.Helper()
	for {
		port := int(lastPort.Add(1))
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		must(t, err)
		must(t, l.Close())
		return port
	}
}

// program is a process that can be killed and started again.
type program struct {
	name, ready string
	args        []string
	node        node
	cmd         *exec.Cmd
	output      output
	ended       chan struct{}
}

// output is what a program has printed, while it may still print.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// last gives up to n bytes from the end.
func (o *output) last(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.b.String()
	return out[max(0, len(out)-n):]
}

// start runs a program and waits until it is ready, or has ended (a fault may kill it at once).
func (s *system) start(p *program, env ...string) {
	s.t.Helper()
	dir, err := programs()
	must(s.t, err)
	p.cmd = exec.Command(filepath.Join(dir, p.name), p.args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p.ended = make(chan struct{})
	started := make(chan error, 1)
	go func() { // owned by the process: it ends when the process does, and kill waits for it
		runtime.LockOSThread() // the system kills the child when the thread that started it ends
		defer close(p.ended)
		started <- p.cmd.Start()
		if p.cmd.Process != nil {
			p.cmd.Wait() // how it ended is for the test to judge
		}
	}()
	must(s.t, <-started)
	s.t.Cleanup(func() { s.kill(p) })
	await(s.t, p.name+" to be ready", func() bool { return p.dead() || get(p.ready) == http.StatusOK })
}

func (p *program) dead() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (s *system) signal(p *program, sig syscall.Signal) {
	if !p.dead() {
		if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			s.t.Error(err)
		}
	}
}

func (s *system) kill(p *program) {
	s.signal(p, syscall.SIGKILL)
	<-p.ended
}

func get(url string) int {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (s *system) client(p *program) *client.Client {
	c, err := client.New(client.Config{URL: s.url(p.node.adminPort)})
	must(s.t, err)
	return c
}

var order = admin.Order{Who: "test", Why: "end to end"}

// drive brings the playbook to where done is true, whatever happens to the daemon on the way: a dead one
// is started again, and goes on by itself or by another call of begin.
func (s *system) drive(p *program, what string, begin func(*client.Client) error, done func(strangler.Run) bool) (died bool) {
	s.t.Helper()
	c := s.client(p)
	defer c.Close()
	begun := false
	s.awaitWith(what, func() bool {
		if p.dead() {
			died = true
			s.start(p)
		}
		if !begun {
			begun = begin(c) == nil
		}
		run, err := c.RunStatus(s.t.Context(), capability)
		if err != nil || !begun {
			return false
		}
		if run.State == strangler.RunFailed {
			s.t.Logf("run failed, beginning again: %s", run.Error)
			begun = false
		}
		return done(run)
	}, p)
	return died
}

func (s *system) awaitWith(what string, f func() bool, p *program) {
	s.t.Helper()
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s printed:\n%s", p.name, p.output.last(6000))
		}
	})
	await(s.t, what, f)
}

func (s *system) forward(p *program) bool {
	s.t.Helper()
	return s.drive(p, "the run forward", func(c *client.Client) error {
		o := order
		o.Until = "soak"
		_, err := c.Run(s.t.Context(), capability, o)
		return err
	}, func(r strangler.Run) bool {
		return r.State == strangler.RunDone && stepState(r, "soak") == strangler.StepDone
	})
}

func (s *system) back(p *program, to string) bool {
	s.t.Helper()
	return s.drive(p, "the way back", func(c *client.Client) error {
		o := order
		o.To = to
		_, err := c.RollbackRun(s.t.Context(), capability, o)
		return err
	}, func(r strangler.Run) bool { return r.State == strangler.RunRolledBack })
}

func stepState(r strangler.Run, name string) strangler.StepState {
	i := slices.IndexFunc(r.Steps, func(s strangler.StepRun) bool { return s.Name == name })
	if i < 0 {
		return ""
	}
	return r.Steps[i].State
}

// caughtUp waits until the follower has everything.
func (s *system) caughtUp(p *program) {
	s.t.Helper()
	c := s.client(p)
	defer c.Close()
	quiet := 0
	await(s.t, "the stream to catch up", func() bool {
		st, err := c.SplitStatus(s.t.Context(), capability)
		if err == nil && st.Lag.Changes == 0 && st.Lag.Unknown == "" && (st.Phase == strangler.PhaseSyncing || st.Phase == strangler.PhaseReversed) {
			quiet++
		} else {
			quiet = 0
		}
		return quiet >= 3
	})
}

// check holds the databases against the clients' log.
func (s *system) check(owner strangler.Side, oneSided bool) {
	s.t.Helper()
	r, err := invariant.Check(context.WithoutCancel(s.t.Context()), invariant.Config{Log: s.log, Legacy: s.legacyDB, Service: s.serviceDB, Owner: owner,
		Dialect: s.dialect, Before: &s.before, WholeOrders: s.wholeOrders(), OneSided: oneSided})
	must(s.t, err)
	if err := r.Err(); err != nil {
		s.t.Fatalf("%v", err)
	}
	if r.Acknowledged == 0 {
		s.t.Fatal("no write was acknowledged, so nothing was shown")
	}
	s.t.Logf("%d writes acknowledged, %d refused, %d ambiguous; %d rows compared", r.Acknowledged, r.Refused, r.Ambiguous, r.Rows)
}

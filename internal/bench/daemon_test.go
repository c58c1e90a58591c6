package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
)

const (
	capability = "accounts"
	table      = "pgbench_accounts"
)

// patience is how long something is waited for that has to come; what is measured takes a small part of it.
const patience = 30 * time.Minute

var order = admin.Order{Who: "bench", Why: "to measure it"}

// built is the folder of the program; empty while no figure has needed it.
var built string

// program builds it once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "strangler-bench-")
	if err != nil {
		return "", err
	}
	built = dir
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/strangler")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return filepath.Join(dir, "strangler"), nil
})

// move is what a daemon is to do. Empty addresses are those where nobody listens: a copy needs no upstream.
type move struct {
	capture         strangler.Capture
	throttle        string // as strangler.yaml has it; empty: none
	table           string // as strangler.yaml has it; empty: pgbench_accounts as a whole
	legacy, service string // databases
	legacyURL       string
	serviceURL      string
}

func (m move) yaml() string {
	or := func(url string) string {
		if url == "" {
			return "http://127.0.0.1:9"
		}
		return url
	}
	if m.throttle != "" {
		m.throttle = "\n    throttle: " + m.throttle
	}
	return fmt.Sprintf(`
control: sqlite:control.db
proxy: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
legacy: {url: %q, database: %q}
capabilities:
  accounts:
    routes: ["POST /accounts/{id}"]
    service: {url: %q, database: %q}
    tables: [%s]
    capture: %s%s
    playbook: {approve: []}
`, or(m.legacyURL), m.legacy, or(m.serviceURL), m.service, cmp.Or(m.table, "pgbench_accounts"), m.capture, m.throttle)
}

// daemon is a `strangler serve` in a process of its own, with a folder of its own.
type daemon struct {
	t      testing.TB
	dir    string
	cmd    *exec.Cmd
	log    bytes.Buffer // read when it has ended
	ended  chan struct{}
	proxy  string
	client *client.Client
}

// newDaemon starts one whose scripts have run: the split can start.
func newDaemon(t testing.TB, m move) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: t.TempDir()}
	must(t, os.WriteFile(filepath.Join(d.dir, "strangler.yaml"), []byte(m.yaml()), 0o600))
	d.start()
	t.Cleanup(d.stop)
	d.run("migrate", "plan", capability)
	d.run("migrate", "up", capability)
	return d
}

// run is one command of the command line.
func (d *daemon) run(args ...string) {
	d.t.Helper()
	path, err := program()
	must(d.t, err)
	cmd := exec.Command(path, args...)
	cmd.Dir = d.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("strangler %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// start returns when the daemon listens.
func (d *daemon) start() {
	d.t.Helper()
	path, err := program()
	must(d.t, err)
	d.cmd = exec.Command(path, "serve", "-o", "json")
	d.cmd.Dir = d.dir
	d.log.Reset()
	d.cmd.Stderr = &d.log
	if testing.Verbose() && os.Getenv("STRANGLER_BENCH_LOG") != "" {
		d.cmd.Stderr = os.Stderr
	}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := d.cmd.StdoutPipe()
	must(d.t, err)
	d.ended = make(chan struct{})
	started := make(chan error, 1)
	var serving struct{ Proxy, Admin string }
	go func() { // owned by the process: it ends when that does, and stop waits for it
		runtime.LockOSThread() // the system kills the child when the thread that started it ends
		defer close(d.ended)
		if err := d.cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- json.NewDecoder(out).Decode(&serving)
		_, _ = io.Copy(io.Discard, out)
		_ = d.cmd.Wait() // how it ended is for those who wait for an answer of it
	}()
	if err := <-started; err != nil {
		<-d.ended
		d.t.Fatalf("the daemon did not start: %v\n%s", err, d.log.String())
	}
	d.proxy = serving.Proxy
	d.client, err = client.New(client.Config{URL: serving.Admin})
	must(d.t, err)
}

// stop ends it as an administrator does, and waits until it is gone. Twice is safe.
func (d *daemon) stop() {
	d.t.Helper()
	d.client.Close()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Error(err)
	}
	<-d.ended
	if d.t.Failed() {
		d.t.Logf("the daemon's log ends with:\n%s", d.log.Bytes()[max(0, d.log.Len()-4000):])
	}
}

// copy starts the split and returns how long it took until it was syncing.
func (d *daemon) copy() time.Duration {
	d.t.Helper()
	took, _ := d.foretold()
	return took
}

// foretold does so, and returns by which share of the truth the time that was left for the rows was told wrong at half-way;
// NaN where none was told.
func (d *daemon) foretold() (took time.Duration, wrong float64) {
	d.t.Helper()
	began := time.Now()
	var half, end time.Time
	told := math.NaN()
	_, err := d.client.Start(context.Background(), capability, order)
	must(d.t, err)
	d.until(func(s strangler.SplitStatus) bool {
		for _, t := range s.Tables {
			switch {
			case half.IsZero() && t.ETA > 0 && 2*t.RowsCopied >= t.RowsTotal:
				half, told = time.Now(), t.ETA
			case end.IsZero() && t.RowsTotal > 0 && t.RowsCopied >= t.RowsTotal: // the whole is an estimate
				end = time.Now()
			}
		}
		return s.Phase == strangler.PhaseSyncing
	})
	if half.IsZero() || end.IsZero() {
		return time.Since(began), math.NaN()
	}
	left := end.Sub(half).Seconds()
	return time.Since(began), math.Abs(told-left) / left
}

// caughtUp waits until the follower has all that the owner has.
func (d *daemon) caughtUp() {
	d.t.Helper()
	d.until(func(s strangler.SplitStatus) bool { return s.Phase == strangler.PhaseSyncing && s.Lag.Changes == 0 })
}

// follows waits until the follower is less than a second's writes behind, while these go on at a rate.
func (d *daemon) follows(rate float64) {
	d.t.Helper()
	d.until(func(s strangler.SplitStatus) bool {
		return s.Phase == strangler.PhaseSyncing && float64(s.Lag.Changes) < rate
	})
}

func (d *daemon) until(done func(strangler.SplitStatus) bool) {
	d.t.Helper()
	await(d.t, "the split", 25*time.Millisecond, func() bool {
		s, err := d.client.SplitStatus(context.Background(), capability)
		must(d.t, err)
		if s.Phase == strangler.PhaseStopped {
			d.t.Fatal(s.Error)
		}
		return done(s)
	})
}

// cancel takes the split back, and stops the daemon.
func (d *daemon) cancel() {
	d.t.Helper()
	_, err := d.client.Cancel(context.Background(), capability, order)
	must(d.t, err)
	d.stop()
}

// peak is the most memory that the process has had in use, in MB, as the kernel counts it.
func (d *daemon) peak() float64 {
	d.t.Helper()
	text := after(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid), "VmHWM")
	kb, err := strconv.ParseFloat(strings.TrimSuffix(text, " kB"), 64)
	must(d.t, err)
	return kb / 1024
}

// await asks every now and then until f is true.
func await(t testing.TB, what string, every time.Duration, f func() bool) {
	t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("%s: what was waited for has not come in %s", what, patience)
		}
	}
}

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The other tables of pgbench's own transaction, which stay. Its accounts are as many as the branches say.
const others = `CREATE TABLE pgbench_branches (bid integer NOT NULL PRIMARY KEY, bbalance integer, filler character(88)) WITH (fillfactor = 100);
	CREATE TABLE pgbench_tellers (tid integer NOT NULL PRIMARY KEY, bid integer, tbalance integer, filler character(84)) WITH (fillfactor = 100);
	CREATE TABLE pgbench_history (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler character(22));
	INSERT INTO pgbench_branches SELECT i, 0 FROM generate_series(1, %[1]d) AS i;
	INSERT INTO pgbench_tellers SELECT i, (i - 1) / 10 + 1, 0 FROM generate_series(1, 10 * %[1]d) AS i`

const clients, threads = 8, 2

// scaled is a rig with pgbench's tables, and so many accounts as were asked for, rounded up to a whole branch.
func scaled(t testing.TB) (*rig, int) {
	t.Helper()
	r, scale := newRig(t), (rows(t)+99_999)/100_000
	r.fill(0, scale*100_000)
	r.app(r.source, shop, fmt.Sprintf(others, scale))
	r.exec(r.source, shop, "VACUUM ANALYZE")
	return r, scale * 100_000
}

func (r *rig) pgbenchCommand(args ...string) *exec.Cmd {
	usual := []string{"-n", "-c", strconv.Itoa(clients), "-j", strconv.Itoa(threads)}
	return exec.Command("pgbench", append(append(usual, args...), r.source.As("app", shop))...)
}

var tpsLine = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// transactions runs pgbench to its end, and returns how many transactions a second it has made.
func (r *rig) transactions(args ...string) float64 {
	r.t.Helper()
	out, err := r.pgbenchCommand(args...).CombinedOutput()
	m := tpsLine.FindSubmatch(out)
	if err != nil || m == nil {
		r.t.Fatalf("pgbench: %v\n%s", err, out)
	}
	tps, err := strconv.ParseFloat(string(m[1]), 64)
	must(r.t, err)
	return tps
}

// pgbench is one that runs at a rate, and logs each transaction.
type pgbench struct {
	t      testing.TB
	prefix string
	cmd    *exec.Cmd
	ended  chan struct{}
	output bytes.Buffer // read when it has ended
}

func (r *rig) pgbench(rate float64) *pgbench {
	r.t.Helper()
	p := &pgbench{t: r.t, prefix: filepath.Join(r.t.TempDir(), "log"), ended: make(chan struct{})}
	p.cmd = r.pgbenchCommand("-R", strconv.FormatFloat(rate, 'f', 1, 64), "-T", "86400", "-l", "--log-prefix", p.prefix)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() { // owned by the process: it ends when that does, and stop waits for it
		runtime.LockOSThread() // the system kills the child when the thread that started it ends
		defer close(p.ended)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // it is ended by a signal
		}
	}()
	must(r.t, <-started)
	r.t.Cleanup(p.stop)
	return p
}

// stop ends it; twice is safe.
func (p *pgbench) stop() {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	<-p.ended
}

// warm returns when it has kept up with its rate for a second: what it has missed is made up for.
func (p *pgbench) warm() {
	p.t.Helper()
	p.upTo(time.Now().Add(time.Second))
	await(p.t, "pgbench to keep to its rate", 200*time.Millisecond, func() bool {
		all := p.log()
		last := all[len(all)-1]
		recent := windowOf(all, last.at.Add(-time.Second), last.at)
		return recent.lag < 100*time.Millisecond && time.Since(last.at) < 2*time.Second
	})
}

// watch measures a stretch of so many seconds.
func (p *pgbench) watch(d time.Duration) window {
	p.t.Helper()
	from := time.Now()
	return p.between(from, from.Add(d))
}

// during is what it did beside a copy, whose own time, the last of that of the call, is what copy returns.
func (p *pgbench) during(copy func() time.Duration) window {
	p.t.Helper()
	took := copy()
	to := time.Now()
	return p.between(to.Add(-took), to)
}

// between is what it did in a stretch of time; where that is not over, it waits for its end.
func (p *pgbench) between(from, to time.Time) window {
	p.t.Helper()
	p.upTo(to)
	return windowOf(p.log(), from, to)
}

// upTo waits until the log goes on behind a moment.
func (p *pgbench) upTo(at time.Time) {
	p.t.Helper()
	await(p.t, "pgbench's log", 200*time.Millisecond, func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("pgbench has ended:\n%s", p.output.Bytes())
		default:
		}
		if time.Now().Before(at) {
			return false
		}
		all := p.log()
		return len(all) > 0 && all[len(all)-1].at.After(at)
	})
}

// transaction is one line of the log.
type transaction struct {
	at        time.Time     // its end
	took, lag time.Duration // from when it was due, and how much of that it had to wait for its turn
}

// log is what all threads have written, in the order of time.
func (p *pgbench) log() (all []transaction) {
	p.t.Helper()
	names, err := filepath.Glob(p.prefix + ".*")
	must(p.t, err)
	for _, name := range names {
		b, err := os.ReadFile(name)
		must(p.t, err)
		all = append(all, parseLog(string(b))...)
	}
	slices.SortFunc(all, func(a, b transaction) int { return a.at.Compare(b.at) })
	return all
}

// parseLog reads lines "client transaction µs script seconds µs lag"; the last may still be in the writing.
func parseLog(text string) (all []transaction) {
	end := strings.LastIndexByte(text, '\n')
	for line := range strings.Lines(text[:end+1]) {
		f := strings.Fields(line)
		var n [7]int64
		var err error
		for i := range min(len(f), 7) {
			if n[i], err = strconv.ParseInt(f[i], 10, 64); err != nil {
				break
			}
		}
		if err == nil && len(f) >= 7 { // another is one that failed or was left out
			all = append(all, transaction{time.Unix(n[4], n[5]*1000), time.Duration(n[2]) * time.Microsecond, time.Duration(n[6]) * time.Microsecond})
		}
	}
	return all
}

// window is what pgbench did in a stretch of time.
type window struct {
	tps          float64
	average, p95 time.Duration // of the latency, from when a transaction was due
	lag          time.Duration // average
}

func windowOf(all []transaction, from, to time.Time) (w window) {
	var took []time.Duration
	var sum, lag time.Duration
	for _, x := range all {
		if x.at.After(from) && !x.at.After(to) {
			took = append(took, x.took)
			sum, lag = sum+x.took, lag+x.lag
		}
	}
	if len(took) == 0 {
		return w
	}
	slices.Sort(took)
	n := time.Duration(len(took))
	return window{float64(len(took)) / to.Sub(from).Seconds(), sum / n, took[len(took)*95/100], lag / n}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

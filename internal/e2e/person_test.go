//go:build !race

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/internal/localdb"
)

// patient are settings of a playbook that goes on when people say so.
const patient = "{canary: [50%, 100%], requests: 0, hold: 1h, shadow: 1h, soak: 14d}"

// resettle gives the daemon's file other settings of the playbook.
func (s *system) resettle(settings string) {
	s.t.Helper()
	s.settings = settings
	text, err := os.ReadFile(s.daemon.node.file)
	must(s.t, err)
	must(s.t, os.WriteFile(s.daemon.node.file, []byte(strings.Replace(string(text), quick, settings, 1)), 0o600))
}

// unhurried gives the daemon settings that wait, and returns its client.
func (s *system) unhurried(settings string) *client.Client {
	s.t.Helper()
	s.resettle(settings)
	s.start(s.daemon)
	c := s.client(s.daemon)
	s.t.Cleanup(c.Close)
	return c
}

// waits has the run wait at a step.
func (s *system) waits(c *client.Client, step string) (run strangler.Run) {
	s.t.Helper()
	s.awaitWith("the run to wait at "+step, func() (yes bool) {
		got, err := c.RunStatus(s.t.Context(), capability)
		run = got
		if err == nil && run.State == strangler.RunFailed {
			s.t.Fatalf("it failed: %s", run.Error)
		}
		return err == nil && run.State == strangler.RunWaiting && stepState(run, step) == strangler.StepWaiting
	}, s.daemon)
	return run
}

// advance brings a run that waits behind a step.
func (s *system) advance(c *client.Client, step string) {
	s.t.Helper()
	s.waits(c, step)
	o := admin.Order{Who: "ann", Why: "no time", Step: step, Confirm: capability}
	var err error
	if step == "cutover" || step == "complete" {
		_, err = c.Approve(s.t.Context(), capability, o)
	} else {
		_, err = c.AskRun(s.t.Context(), capability, "skip", o)
	}
	must(s.t, err)
}

// TestAbortAtEachStep: a run is aborted at each place where it can be found, and rolled back. Both catalogs, the toggle and every row
// are as before, under traffic.
func TestAbortAtEachStep(t *testing.T) { eachKind(t, abortAtEachStep) }

func abortAtEachStep(t *testing.T, k *kind) {
	s := newSystem(t, k, 300)
	c := s.unhurried(patient)
	legacy, service := k.schema(t, s.legacyDB), k.schema(t, s.serviceDB)
	for _, at := range []string{"", "shadow", "canary", "cutover", "soak"} {
		w := s.traffic(s.daemon, 2)
		_, err := c.Run(t.Context(), capability, order)
		must(t, err)
		for _, step := range []string{"shadow", "canary", "cutover"} {
			if at == "" || at == step {
				break
			}
			s.advance(c, step)
		}
		if at != "" {
			s.waits(c, at)
		}
		w.awaitWrites(5)
		run, err := c.AskRun(t.Context(), capability, "abort", order)
		if err != nil || run.State != strangler.RunAborted {
			t.Fatalf("aborted at %q, the run is %s, %v", at, run.State, err)
		}
		w.awaitWrites(5)
		s.back(s.daemon, "all")
		w.stop()
		s.check(strangler.Legacy, true)
		toggle, err := c.Toggle(t.Context(), capability)
		if err != nil || toggle.Mode != strangler.ModeLegacy || toggle.Owner != strangler.Legacy {
			t.Errorf("aborted at %q, the toggle is %s, %v", at, toggle.Describe(), err)
		}
		if diff := cmp.Diff(legacy, k.schema(t, s.legacyDB)) + cmp.Diff(service, k.schema(t, s.serviceDB)); diff != "" {
			t.Fatalf("aborted at %q, the catalogs differ (-before +after):\n%s", at, diff)
		}
	}
}

// TestPauseOutlivesTheDaemon: a run that a person has paused begins nothing when the daemon is killed and started again, and goes on
// when it is continued; nor does one whose settings have changed in the file, until a person has accepted them.
func TestPauseOutlivesTheDaemon(t *testing.T) {
	s := newSystem(t, sqlite, 300)
	c := s.unhurried(patient)
	_, err := c.Run(t.Context(), capability, order)
	must(t, err)
	s.advance(c, "shadow")
	s.waits(c, "canary")
	run, err := c.AskRun(t.Context(), capability, "pause", order)
	if err != nil || run.State != strangler.RunPaused {
		t.Fatalf("paused, the run is %s, %v", run.State, err)
	}
	s.kill(s.daemon)
	text, err := os.ReadFile(s.daemon.node.file)
	must(t, err)
	must(t, os.WriteFile(s.daemon.node.file, []byte(strings.Replace(string(text), "hold: 1h", "hold: 20ms", 1)), 0o600))
	s.start(s.daemon)
	if run, err := c.RunStatus(t.Context(), capability); err != nil || run.State != strangler.RunPaused {
		t.Errorf("after the restart the run is %s, %v", run.State, err)
	}
	s.awaitWith("the lease of the daemon that was killed to end", func() bool {
		_, err = c.AskRun(t.Context(), capability, "continue", order)
		return err == nil
	}, s.daemon)
	s.awaitWith("the run to show what has changed", func() bool {
		run, err := c.RunStatus(t.Context(), capability)
		return err == nil && strings.Contains(run.Waiting, "hold 1h") && strings.Contains(run.Waiting, "hold 20ms") && strings.Contains(run.Waiting, "playbook accept")
	}, s.daemon)
	accepted, err := c.AskRun(t.Context(), capability, "accept", order)
	if err != nil || len(accepted.Changes) != 2 {
		t.Errorf("accepting says %q, %v", accepted.Changes, err)
	}
	s.waits(c, "cutover")
}

// TestDryRunTellsTheStatements that the run then has in its scripts, and changes nothing.
func TestDryRunTellsTheStatements(t *testing.T) { eachKind(t, dryRun) }

func dryRun(t *testing.T, k *kind) {
	s := newSystem(t, k, 10)
	c := s.unhurried(patient)
	legacy, service := k.schema(t, s.legacyDB), k.schema(t, s.serviceDB)
	told, err := c.PreviewRun(t.Context(), capability, "", order)
	must(t, err)
	if diff := cmp.Diff(legacy, k.schema(t, s.legacyDB)) + cmp.Diff(service, k.schema(t, s.serviceDB)); diff != "" {
		t.Fatalf("a dry run changed the catalogs:\n%s", diff)
	}
	var all strings.Builder
	steps := map[string]bool{}
	for _, p := range told.Planned {
		steps[p.Step] = true
		all.WriteString(p.Do + "\n")
	}
	for _, step := range []string{"expand", "copy", "verify", "shadow", "canary", "cutover", "soak", "complete"} {
		if !steps[step] {
			t.Errorf("nothing is told of %s", step)
		}
	}
	_, err = c.Run(t.Context(), capability, order)
	must(t, err)
	s.waits(c, "shadow")
	written := 0
	files, err := filepath.Glob(filepath.Join(s.dir, "migrations", capability, "*", "*.up.sql"))
	must(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		written++
		if !strings.Contains(all.String(), strings.TrimSpace(string(text))) {
			t.Errorf("%s was not told:\n%.400s", file, text)
		}
	}
	if written < 4 {
		t.Errorf("%d scripts", written)
	}
	after, err := c.PreviewRun(t.Context(), capability, "", admin.Order{Who: "ann", Until: "cutover"})
	must(t, err)
	for _, p := range after.Planned {
		if p.Step == "expand" || p.Step == "copy" || p.Step == "complete" {
			t.Errorf("until the cutover, at shadow, it tells %+v", p)
		}
	}
}

// TestControlStoreGoneForAWhile: its server is killed in the run, forward and back, and is gone for longer than any lease. Reads and
// writes go on as the last snapshot has it, and the run goes on when the server is back.
func TestControlStoreGoneForAWhile(t *testing.T) {
	controlGone(t, 5*time.Second, "shadow", "canary", "cutover", "soak")
}

func controlGone(t *testing.T, length time.Duration, at ...string) {
	server, err := localdb.Postgres(t.Context(), localdb.Config{Durable: true})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	must(t, errors.Join(server.Role(t.Context(), "strangler"), server.Create(t.Context(), "control", "strangler")))
	k := *sqlite
	k.make = func(t testing.TB) *pair {
		p := sqlite.make(t)
		p.controlDSN = server.As("strangler", "control")
		return p
	}
	s := newSystem(t, &k, 300)
	c := s.unhurried(patient)
	w := s.traffic(s.daemon, 2)
	gone := func(step string) {
		t.Helper()
		if !slices.Contains(at, step) {
			return
		}
		must(t, server.Kill())
		w.awaitWrites(10)
		time.Sleep(length) // it is the length that is tried
		w.awaitWrites(10)
		must(t, server.Restart(context.WithoutCancel(t.Context())))
	}
	_, err = c.Run(t.Context(), capability, order)
	must(t, err)
	for _, step := range []string{"shadow", "canary", "cutover"} {
		s.waits(c, step)
		gone(step)
		s.advance(c, step)
	}
	s.waits(c, "soak")
	gone("soak")
	s.waits(c, "soak")
	s.back(s.daemon, "all")
	w.awaitWrites(10)
	w.stop()
	s.check(strangler.Legacy, true)
}

// TestGuardTakesACanaryBack: the service dies while half of the users read from it. The guard sends them back to the monolith by itself,
// the audit says why, and the run fails with the evidence.
func TestGuardTakesACanaryBack(t *testing.T) {
	s := newSystem(t, sqlite, 300)
	c := s.unhurried(patient + "\n    guard: {min_requests: 20, max_error_delta: 5%}")
	_, err := c.Run(t.Context(), capability, order)
	must(t, err)
	s.advance(c, "shadow")
	s.waits(c, "canary")
	read := func() (failed int) {
		for range 100 {
			if get(s.url(s.daemon.node.proxyPort)+"/couriers/1") != http.StatusOK {
				failed++
			}
		}
		return failed
	}
	if failed := read(); failed > 0 {
		t.Fatalf("%d readers were answered with an error", failed)
	}
	s.kill(s.service)
	if failed := read(); failed == 0 {
		t.Fatal("no reader noticed that the service is gone")
	}
	s.awaitWith("the guard", func() bool {
		run, err := c.RunStatus(t.Context(), capability)
		return err == nil && run.State == strangler.RunFailed && strings.Contains(run.Error, `the check "guard"`)
	}, s.daemon)
	if failed := read(); failed > 0 {
		t.Errorf("behind the guard %d readers were answered with an error", failed)
	}
	history, err := c.History(t.Context(), capability)
	must(t, err)
	if newest := history[len(history)-1]; newest.Who != "guard" || !strings.HasPrefix(newest.To, "legacy") || !strings.Contains(newest.Why, "errors are more than 5% above the monolith's") {
		t.Errorf("the audit has %+v", newest)
	}
}

// TestDryRunTellsTheWayBack: what is told of a rollback is what then happens: to the fences, to the toggle, to the scripts that have run.
func TestDryRunTellsTheWayBack(t *testing.T) { eachKind(t, dryRunBack) }

func dryRunBack(t *testing.T, k *kind) {
	s := newSystem(t, k, 10)
	c := s.unhurried(patient)
	legacy, service := k.schema(t, s.legacyDB), k.schema(t, s.serviceDB)
	told := func(to string) (all []strangler.Planned) {
		t.Helper()
		before := k.schema(t, s.legacyDB)
		p, err := c.PreviewRun(t.Context(), capability, "rollback", admin.Order{Who: "ann", To: to})
		must(t, err)
		if diff := cmp.Diff(before, k.schema(t, s.legacyDB)); diff != "" {
			t.Fatalf("a dry run changed the catalog:\n%s", diff)
		}
		return p.Planned
	}
	if got := told("all"); len(got) != 0 {
		t.Errorf("before the first run there is to take back: %+v", got)
	}
	_, err := c.Run(t.Context(), capability, order)
	must(t, err)
	for _, step := range []string{"shadow", "canary", "cutover"} {
		s.advance(c, step)
	}
	s.waits(c, "soak")

	// Back to the cutover: the fences go to the epochs that their statements name, and the script that is told has run down.
	hand := told("")
	fences := func(where string) (at int, epoch int64) {
		t.Helper()
		verb := map[string]string{"legacy database": "-- opens the fence\n", "service's database": "-- closes the fence\n"}[where]
		at = slices.IndexFunc(hand, func(p strangler.Planned) bool { return p.Where == where && strings.HasPrefix(p.Do, verb) })
		if at < 0 {
			t.Fatalf("no fence of the %s is told of: %+v", where, hand)
		}
		if _, err := fmt.Sscanf(hand[at].Do[strings.Index(hand[at].Do, "epoch ="):], "epoch = %d", &epoch); err != nil {
			t.Fatalf("%q names no epoch: %v", hand[at].Do, err)
		}
		return at, epoch
	}
	closes, closed := fences("service's database")
	opens, opened := fences("legacy database")
	last := hand[len(hand)-1]
	if closes > opens || last.Where != "legacy database" || !strings.HasPrefix(last.Do, "-- "+capability+"/legacy/") || !strings.Contains(last.Do, ".down.sql\n") {
		t.Errorf("it tells %+v", hand)
	}
	_, err = c.RollbackRun(t.Context(), capability, order)
	must(t, err)
	s.rolledBack(c)
	toggle, err := c.Toggle(t.Context(), capability)
	must(t, err)
	if toggle.Epoch != opened || closed != opened-1 || toggle.Mode != strangler.ModeLegacy {
		t.Errorf("the fences were told to go to %d and %d, and the toggle is %s at %d", closed, opened, toggle.Describe(), toggle.Epoch)
	}
	for _, f := range []struct {
		dsn, state string
		epoch      int64
	}{{s.serviceDSN, "closed", closed}, {s.legacyDSN, "open", opened}} {
		var state string
		var epoch int64
		must(t, s.open(t, f.dsn).QueryRow("SELECT state, epoch FROM strangler_fence").Scan(&state, &epoch))
		if state != f.state || epoch != f.epoch {
			t.Errorf("a fence is %s at epoch %d, and was told to be %s at %d", state, epoch, f.state, f.epoch)
		}
	}

	// All the way: the scripts are those on the disk, the last first, and with them everything is as it was.
	var ran []string
	for _, p := range told("all") {
		if path, is := strings.CutPrefix(p.Do, "-- "); is {
			path, text, _ := strings.Cut(path, "\n")
			ran = append(ran, path)
			if onDisk, err := os.ReadFile(filepath.Join(s.dir, "migrations", path)); err != nil || strings.TrimSpace(string(onDisk)) != text {
				t.Errorf("%s is told as %q, %v", path, text, err)
			}
		}
	}
	if have := s.applied(); !slices.Equal(ran, have) {
		t.Errorf("told to run down: %v, have run: %v", ran, have)
	}
	s.back(s.daemon, "all")
	if diff := cmp.Diff(legacy, k.schema(t, s.legacyDB)) + cmp.Diff(service, k.schema(t, s.serviceDB)); diff != "" {
		t.Errorf("the catalogs differ (-before +after):\n%s", diff)
	}
}

// rolledBack waits until the run is.
func (s *system) rolledBack(c *client.Client) {
	s.t.Helper()
	s.awaitWith("the run to be rolled back", func() bool {
		run, err := c.RunStatus(s.t.Context(), capability)
		return err == nil && run.State == strangler.RunRolledBack
	}, s.daemon)
}

// applied are the ways down of the scripts that have run, the service's first, the last of each side first, by what golang-migrate has
// in its table.
func (s *system) applied() (paths []string) {
	s.t.Helper()
	for _, side := range []struct{ name, dsn string }{{"service", s.serviceDSN}, {"legacy", s.legacyDSN}} {
		var version int64
		must(s.t, s.open(s.t, side.dsn).QueryRow("SELECT version FROM strangler_"+capability+"_scripts").Scan(&version))
		files, err := filepath.Glob(filepath.Join(s.dir, "migrations", capability, side.name, "*.down.sql"))
		must(s.t, err)
		slices.Reverse(files)
		for _, file := range files {
			var n int64
			if _, err := fmt.Sscanf(filepath.Base(file), "%06d_", &n); err == nil && n <= version {
				paths = append(paths, capability+"/"+side.name+"/"+filepath.Base(file))
			}
		}
	}
	return paths
}

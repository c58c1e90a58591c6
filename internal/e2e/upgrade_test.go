//go:build !race

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/invariant"
)

// TestUpgrade replaces the daemon by new processes while clients read and write, on connections that they keep and on new ones: not
// one request fails, though none is repeated, and the run that is under way comes to its end. A process that does not come up
// changes nothing.
func TestUpgrade(t *testing.T) {
	s := newSystem(t, sqlite, 300)
	pidFile := filepath.Join(s.dir, "run", "pid")
	must(t, os.Mkdir(filepath.Dir(pidFile), 0o700))
	s.daemon.args = append(s.daemon.args, "--pid-file", pidFile)
	s.start(s.daemon)
	t.Cleanup(func() {
		for _, pid := range s.daemons() {
			must(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	})
	ready := func() int {
		text, err := os.ReadFile(pidFile)
		must(t, err)
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		must(t, err)
		return n
	}
	await(t, "the number of the process, which is written once it serves", func() bool {
		_, err := os.Stat(pidFile)
		return err == nil
	})
	load := s.onceEach(8)
	defer load.stop()
	forward := make(chan struct{})
	go func() {
		defer close(forward)
		s.forward(s.daemon)
	}()
	for range 3 {
		before := ready()
		must(t, syscall.Kill(before, syscall.SIGUSR2))
		await(t, "a new process", func() bool { return ready() != before })
		load.more(200)
		await(t, "the one before to end", func() bool { return slices.Equal(s.daemons(), []int{ready()}) })
	}
	<-forward

	good, err := os.ReadFile(s.daemon.node.file)
	must(t, err)
	last := ready()
	said := func(words string) int { return strings.Count(s.daemon.output.last(1<<20), words) }
	goesOn := func(after int) {
		t.Helper()
		await(t, "the log to say that it goes on", func() bool { return said("this one goes on as before") == after })
		load.more(200)
		if now := s.daemons(); !slices.Equal(now, []int{last}) {
			t.Errorf("the daemons are %d, want %d", now, last)
		}
	}
	must(t, os.WriteFile(s.daemon.node.file, []byte("legacy: {}\n"), 0o600))
	must(t, syscall.Kill(last, syscall.SIGUSR2))
	goesOn(1)
	must(t, os.WriteFile(s.daemon.node.file, good, 0o600))
	must(t, os.Rename(filepath.Dir(pidFile), filepath.Join(s.dir, "away")))
	must(t, syscall.Kill(last, syscall.SIGUSR2))
	goesOn(2)
	if said("exit status 2") != 2 {
		t.Error("one that could not write its number did not end at once")
	}
	must(t, os.Rename(filepath.Join(s.dir, "away"), filepath.Dir(pidFile)))
	s.back(s.daemon, "expand")
	load.stop()

	// One that waits for its control store takes no request meanwhile, so that none fails when it ends.
	must(t, os.WriteFile(s.daemon.node.file, regexp.MustCompile(`(?m)^control: .*$`).ReplaceAll(good, []byte(`control: "postgres://nobody@127.0.0.1:1/none"`)), 0o600))
	must(t, syscall.Kill(last, syscall.SIGUSR2))
	await(t, "a process that waits for its control store", func() bool { return said("the control store cannot be reached") > 0 })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	before := s.taken()
	for range 50 {
		resp, err := client.Get(s.url(s.daemon.node.proxyPort) + "/couriers/1")
		must(t, err)
		must(t, resp.Body.Close())
	}
	if taken := s.taken() - before; taken != 50 {
		t.Errorf("the daemon that serves took %d of 50 requests", taken)
	}
	load = s.onceEach(8)
	defer load.stop()
	load.more(200)
	for _, pid := range s.daemons() {
		if pid != last {
			must(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	goesOn(3)
	load.stop()
	s.check(strangler.Legacy, true)

	// One that never comes up ends with the one that it was to replace.
	must(t, syscall.Kill(last, syscall.SIGUSR2))
	await(t, "a process that waits for its control store", func() bool { return len(s.daemons()) == 2 })
	must(t, syscall.Kill(last, syscall.SIGTERM))
	await(t, "both to end", func() bool { return len(s.daemons()) == 0 })
}

// taken is how many requests for the capability the process that answers for the daemon has had.
func (s *system) taken() (n int) {
	s.t.Helper()
	resp, err := http.Get(s.url(s.daemon.node.adminPort) + "/metrics")
	must(s.t, err)
	text, err := io.ReadAll(resp.Body)
	must(s.t, errors.Join(err, resp.Body.Close()))
	for _, m := range regexp.MustCompile(`(?m)^strangler_proxy_requests_total\{capability="delivery",[^}]*\} (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		of, err := strconv.Atoi(m[1])
		must(s.t, err)
		n += of
	}
	return n
}

// daemons are the processes that serve the system's file.
func (s *system) daemons() (pids []int) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(s.t, err)
	for _, one := range all {
		line, err := os.ReadFile(one) // fails where it has ended meanwhile
		if err == nil && strings.Contains(string(line), "serve\x00-c\x00"+s.daemon.node.file+"\x00") {
			pid, err := strconv.Atoi(strings.Split(one, "/")[2])
			must(s.t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// once is clients that send each request once, and for whom one that fails is an error.
type once struct {
	s        *system
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	answered atomic.Int64
}

func (s *system) onceEach(n int) *once {
	ctx, cancel := context.WithCancel(s.t.Context())
	o := &once{s: s, cancel: cancel}
	for i := range n {
		transport := &http.Transport{DisableKeepAlives: i%2 == 1}
		o.wg.Go(func() {
			defer transport.CloseIdleConnections()
			o.client(ctx, &http.Client{Transport: transport, Timeout: 20 * time.Second})
		})
	}
	return o
}

func (o *once) stop() {
	o.cancel()
	o.wg.Wait()
}

// more returns when n more requests were answered.
func (o *once) more(n int64) {
	o.s.t.Helper()
	goal := o.answered.Load() + n
	await(o.s.t, "answers", func() bool { return o.answered.Load() >= goal || o.s.t.Failed() })
}

func (o *once) client(ctx context.Context, c *http.Client) {
	base := o.s.url(o.s.daemon.node.proxyPort)
	for ctx.Err() == nil {
		n := keys.Add(1)
		courier := invariant.Courier{FirstName: fmt.Sprintf("O%d", n), LastName: "Test", Street: "Quay", City: "Bruges", Zip: "8000"}
		wr := invariant.Write{Kind: invariant.CreateCourier, Courier: courier, Key: fmt.Sprintf("key-%d", n)}
		text, err := json.Marshal(map[string]any{"first_name": courier.FirstName, "last_name": courier.LastName,
			"address": map[string]any{"street": courier.Street, "city": courier.City, "zip": courier.Zip}})
		must(o.s.t, err)
		entry := o.s.log.Begin(wr)
		var answer struct{ ID int64 }
		err = o.ask(c, http.MethodPost, base+"/couriers", wr.Key, text, &answer)
		if err == nil {
			entry.Acknowledge(answer.ID)
			err = o.ask(c, http.MethodGet, base+"/orders/1", "", nil, new(struct{}))
		}
		if err != nil {
			o.s.t.Errorf("a request that was sent once: %v", err)
			return
		}
	}
}

func (o *once) ask(c *http.Client, method, url, key string, body []byte, answer any) error {
	req, err := http.NewRequest(method, url, struct{ io.Reader }{bytes.NewReader(body)}) // which net/http cannot send again
	if err != nil {
		return err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header["idempotency-key"] = []string{key} // nor would it see that it may
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %.200s", method, url, resp.Status, text)
	}
	o.answered.Add(1)
	return json.Unmarshal(text, answer)
}

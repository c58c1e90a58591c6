package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/internal/invariant"
)

const (
	readyTime = 30 * time.Second
	readyPoll = 50 * time.Millisecond
	blameTime = 500 * time.Millisecond // for a dying program to be seen dead
)

// system is the three programs and what asks them.
type system struct {
	files   *folder
	at      addresses
	data    *databases
	admin   *client.Client
	shop    *sql.DB // the monolith's database, for the check
	service *sql.DB // the service's

	fail      context.CancelCauseFunc // called when a program ends that should not
	processes []*process              // in the order of starting
	watchers  sync.WaitGroup
}

// launch starts everything and returns when it serves. On an error nothing is left running.
func launch(ctx context.Context, fail context.CancelCauseFunc, o Options, files *folder) (*system, error) {
	s := &system{files: files, fail: fail}
	if err := s.launch(ctx, o); err != nil {
		err = s.blame(ctx, err)
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *system) launch(ctx context.Context, o Options) error {
	token, err := s.files.secret()
	if err != nil {
		return err
	}
	if s.data, err = prepareDatabases(ctx, o, s.files); err != nil {
		return err
	}
	env := append([]string{"STRANGLER_TOKEN=" + token}, s.data.env...)
	programs, err := filepath.Abs(o.Programs)
	if err != nil {
		return fmt.Errorf("the folder of the programs: %w", err)
	}
	run := func(name, program string, args ...string) (*process, error) {
		return s.start(command{name: name, path: filepath.Join(programs, program), args: args, dir: s.files.dir, env: env, log: s.files.path(program + ".log")})
	}
	// The monolith and the file name the daemon's addresses before it runs, so they are chosen here.
	ports, err := reserve(&s.at.proxy, &s.at.admin)
	if err != nil {
		return err
	}
	defer ports.Close()
	delivery, err := run("service", "delivery", "--listen", "127.0.0.1:0", "--database", s.data.delivery)
	if err != nil {
		return err
	}
	if s.at.service, err = listening(ctx, delivery); err != nil {
		return err
	}
	monolith, err := run("monolith", "legacy-monolith", "--listen", "127.0.0.1:0", "--database", s.data.monolith,
		"--seed", strconv.Itoa(o.Rows), "--delivery", "http://"+s.at.service, "--toggles", "http://"+s.at.admin)
	if err != nil {
		return err
	}
	if s.at.legacy, err = listening(ctx, monolith); err != nil {
		return err
	}
	if err := s.files.write("strangler.yaml", yaml(s.at, s.data)); err != nil {
		return err
	}
	if s.admin, err = client.New(client.Config{URL: "http://" + s.at.admin, Token: token}); err != nil {
		return err
	}
	if s.shop, _, err = invariant.Open(s.data.shop); err != nil {
		return err
	}
	if s.service, _, err = invariant.Open(s.data.deliveries); err != nil {
		return err
	}
	if err := ports.Close(); err != nil {
		return fmt.Errorf("giving the daemon's ports free: %w", err)
	}
	daemon, err := run("daemon", "strangler", "serve", "-c", "strangler.yaml", "--log-format", "json")
	if err != nil {
		return err
	}
	return ready(ctx, daemon, "http://"+s.at.admin+"/readyz", "http://"+s.at.proxy+"/consumers/1")
}

// start runs a program and watches it: when it ends by itself, the demo is over.
func (s *system) start(c command) (*process, error) {
	p, err := start(c)
	if err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	s.watchers.Go(func() {
		<-p.done
		if !p.stopping.Load() {
			s.fail(s.death(p))
		}
	})
	return p, nil
}

// death is the error of a program that ended by itself.
type death struct{ text string }

func (d *death) Error() string { return d.text }

func (s *system) death(p *process) error {
	how := "with exit code 0"
	if p.err != nil {
		how = "(" + p.err.Error() + ")"
	}
	return &death{fmt.Sprintf("the %s ended by itself %s; the last lines of its log, %s:\n%s", p.name, how, s.logOf(p), p.log.Last())}
}

func (s *system) logOf(p *process) string {
	return shown("", s.files.path(map[string]string{"monolith": "legacy-monolith", "service": "delivery", "daemon": "strangler"}[p.name]+".log"))
}

// blame makes an error say whose fault it is: the person's who interrupted, or of a program that died.
// Otherwise the daemon's last lines come with it.
func (s *system) blame(work context.Context, err error) error {
	if work.Err() == nil {
		// Its connections break before a program is seen dead.
		timer := time.NewTimer(blameTime)
		defer timer.Stop()
		select {
		case <-work.Done():
		case <-timer.C:
		}
	}
	if work.Err() != nil {
		return explain(work, err)
	}
	for _, p := range s.processes {
		if p.name == "daemon" {
			return fmt.Errorf("%w; the last lines of the daemon's log, %s:\n%s", err, s.logOf(p), p.log.Last())
		}
	}
	return err
}

// Close stops everything, the daemon first, and returns when all of it is gone.
func (s *system) Close() error {
	var errs []error
	for i := len(s.processes) - 1; i >= 0; i-- {
		errs = append(errs, s.processes[i].Stop())
	}
	s.watchers.Wait()
	if s.admin != nil {
		s.admin.Close()
	}
	for _, db := range []*sql.DB{s.shop, s.service} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.data != nil {
		errs = append(errs, s.data.Close())
	}
	return errors.Join(errs...)
}

// introduce tells a person what runs and what to try.
func (s *system) introduce(o Options) {
	out := o.Stdout
	if o.JSON {
		out = o.Stderr
	}
	fmt.Fprintf(out, `
It goes on until Ctrl-C; the service owns %[1]s.

  the shop    http://%[2]s   (GET /couriers/1, GET /orders/1)
  the daemon  http://%[3]s
  its files   %[4]s

  export STRANGLER_TOKEN=$(cat %[5]s)
%[9]s  %[7]s split status %[1]s -c %[6]s
  %[7]s playbook rollback %[1]s -c %[6]s
%[8]s`, capability, s.at.proxy, s.at.admin, shown("", s.files.dir), shown("", s.files.path("token")), shown("", s.files.path("strangler.yaml")),
		shown("./", filepath.Join(o.Programs, "strangler")), s.data.tour, s.data.exports)
}

// listening waits until a program says where it listens.
func listening(ctx context.Context, p *process) (string, error) {
	select {
	case address := <-p.log.listening:
		return address, nil
	case <-p.done:
		return "", fmt.Errorf("the %s ended before it listened", p.name)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// ready waits until every address answers 200.
func ready(ctx context.Context, p *process, urls ...string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	asker := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for _, url := range urls {
		for {
			answer := ask200(ctx, asker, url)
			if answer == nil {
				break
			}
			select {
			case <-poll.C:
			case <-p.done:
				return fmt.Errorf("the %s ended before it served", p.name)
			case <-ctx.Done():
				return fmt.Errorf("the %s was not ready within %v: %w", p.name, readyTime, answer)
			}
		}
	}
	return nil
}

func ask200(ctx context.Context, asker *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := asker.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// reserved are ports that nobody else gets until Close.
type reserved []net.Listener

// reserve finds a free port on this machine for each address.
func reserve(addresses ...*string) (reserved, error) {
	var r reserved
	for _, address := range addresses {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("finding a free port: %w", err), r.Close())
		}
		r = append(r, listener)
		*address = listener.Addr().String()
	}
	return r, nil
}

// Close may be called again.
func (r reserved) Close() error {
	var errs []error
	for _, listener := range r {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

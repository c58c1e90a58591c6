package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/invariant"
)

const (
	capability = "delivery"
	minRows    = 1_000 // fewer are not enough couriers for everybody

	defaultRows    = 100_000
	defaultClients = 12
	defaultRate    = 400
)

// Options are how the demo runs. Zero fields take the defaults named here.
type Options struct {
	Database string // "sqlite", the default, or "postgres" or "mysql" (MariaDB) on a private server; others are refused
	Dir      string // the folder of its files, made anew; default .strangler/demo below the working folder
	Programs string // the folder of strangler, legacy-monolith and delivery
	Rows     int    // in the tables that move, at least 1,000; default 100,000
	Clients  int    // at once; default 12
	Rate     int    // requests a second, all clients together; default 400

	Exit bool // stop when everything has been shown; otherwise it runs until the context ends
	JSON bool // one object on Stdout at the end, and nothing else there

	Stdout   io.Writer // the result, and on a terminal the live view
	Stderr   io.Writer // elsewhere a line for everything that happens
	Terminal bool      // Stdout is one that takes cursor movements
	Color    bool
}

func (o Options) withDefaults() Options {
	setDefault(&o.Database, string(invariant.SQLite))
	setDefault(&o.Dir, ".strangler/demo")
	setDefault(&o.Rows, defaultRows)
	setDefault(&o.Clients, defaultClients)
	setDefault(&o.Rate, defaultRate)
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says what is unusable, with the defaults filled in. Its errors wrap strangler.ErrConfig.
func (o Options) Validate() error {
	o = o.withDefaults()
	switch {
	case !slices.Contains([]invariant.Dialect{invariant.SQLite, invariant.Postgres, invariant.MySQL}, invariant.Dialect(o.Database)):
		return fmt.Errorf("%w: the demo does not run on %s; nothing was started; use --database sqlite, postgres or mysql", strangler.ErrConfig, o.Database)
	case o.Programs == "":
		return fmt.Errorf("%w: the folder of the programs strangler, legacy-monolith and delivery is not known; nothing was started", strangler.ErrConfig)
	case o.Rows < minRows:
		return fmt.Errorf("%w: %d rows are too few for the demo; nothing was started; take at least %d", strangler.ErrConfig, o.Rows, minRows)
	case o.Clients < 0 || o.Rate < 0:
		return fmt.Errorf("%w: the number of clients and their rate cannot be negative; nothing was started", strangler.ErrConfig)
	case o.JSON && o.Terminal:
		return fmt.Errorf("%w: stdout shows either the live view or JSON", strangler.ErrConfig)
	}
	return nil
}

// Run shows the demo and returns its result. The error is nil only when no request failed and no write
// was lost or done twice; a result that could be had comes with the error. Whatever happens, and when ctx
// ends, every process that it started is gone when Run returns; its files stay in Options.Dir, but for those
// of a private database server. Where no such server is installed, the error wraps strangler.ErrConfig.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	o = o.withDefaults()
	files, err := prepare(o.Dir)
	if err != nil {
		return Result{}, err
	}
	defer files.Close()
	s := newStage(o)
	result, err := perform(ctx, o, files, s)
	s.Close()
	return result, err
}

// perform is Run with a folder and a stage.
func perform(ctx context.Context, o Options, files *folder, s *stage) (result Result, err error) {
	work, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	began := time.Now()
	server := map[string]string{string(invariant.Postgres): "a private PostgreSQL server, ", string(invariant.MySQL): "a private MariaDB server, "}[o.Database]
	s.Act("starting %sthe monolith with %s rows of couriers and their plans, the service and the daemon", server, thousands(int64(o.Rows)))
	sys, err := launch(work, fail, o, files)
	if err != nil {
		return Result{}, explain(work, err)
	}
	defer func() { err = errors.Join(err, sys.Close()) }()
	s.Follow(sys)
	result, err = play(work, o, sys, s)
	s.Close()
	if err != nil {
		return result, sys.blame(work, err)
	}
	result.Seconds = time.Since(began).Seconds()
	if err := result.write(o); err != nil {
		return result, err
	}
	if o.Exit || result.Err() != nil {
		return result, result.Err()
	}
	sys.introduce(o)
	<-work.Done()
	if ctx.Err() != nil {
		return result, nil
	}
	return result, sys.blame(work, work.Err())
}

// play is the demo itself, on a system that runs.
func play(ctx context.Context, o Options, sys *system, s *stage) (Result, error) {
	before, err := invariant.Measure(ctx, sys.shop)
	if err != nil {
		return Result{}, err
	}
	result := Result{Capability: capability, Database: o.Database, Steps: []Step{}}
	town, err := readTown(ctx, sys.shop)
	if err != nil {
		return Result{}, err
	}
	crowd := newCrowd("http://"+sys.at.proxy, town, o)
	s.Count(crowd)
	crowd.Open()
	defer crowd.Close()
	for _, act := range []func(context.Context) error{
		func(ctx context.Context) error { return sys.forward(ctx, s, &result, "moving %s to the service") },
		func(ctx context.Context) error { return sys.back(ctx, s, &result) },
		func(ctx context.Context) error { return sys.forward(ctx, s, &result, "moving %s again") },
	} {
		if err := act(ctx); err != nil {
			return result, err
		}
	}
	s.Act("looking for every acknowledged write")
	crowd.Close()
	result.Requests, result.failures = crowd.Requests(), crowd.Failures()
	err = sys.verify(ctx, crowd.log, before, &result)
	return result, err
}

// explain is an error of the demo's work in words: whether it was interrupted, or a program died.
func explain(work context.Context, err error) error {
	if work.Err() == nil {
		return err
	}
	if d := (*death)(nil); errors.As(context.Cause(work), &d) {
		return d
	}
	return fmt.Errorf("the demo was interrupted; everything that it started is stopped: %w", work.Err())
}

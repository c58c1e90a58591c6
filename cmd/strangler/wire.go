package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/daemon"
	"github.com/strangler-fig/strangler/internal/demo"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/internal/rehearse"
	"github.com/strangler-fig/strangler/migrations"
)

// connected joins the verbs that work without a daemon to the packages that do the work.
func connected(env func(string) (string, bool)) hooks {
	return hooks{
		Serve: func(ctx context.Context, cfg *config.Config, o ServeOptions) error {
			fault, err := faults(env)
			if err != nil {
				return err
			}
			return upgradable(ctx, o.PIDFile, o.Log, func(all daemon.Options) error { return daemon.Run(ctx, cfg, all) }, daemon.Options{
				Proxy: slices.Contains(o.Roles, "proxy"), Worker: slices.Contains(o.Roles, "worker"), Fault: fault, Log: o.Log,
				Ready: func(d *daemon.Daemon) error {
					if o.Ready != nil {
						o.Ready(Serving{Proxy: d.ProxyURL(), Admin: d.AdminURL(), Roles: o.Roles})
					}
					return nil
				},
			})
		},
		Demo: func(ctx context.Context, o DemoOptions) error {
			_, err := demo.Run(ctx, demo.Options{
				Database: o.Database, Dir: o.Dir, Programs: o.Programs, Rows: o.Rows, Exit: o.Exit, JSON: o.JSON,
				Stdout: o.Stdout, Stderr: o.Stderr, Terminal: o.Terminal, Color: o.Color,
			})
			return err
		},
		Catalog: engines.Catalog,
		Check: func(ctx context.Context, cfg *config.Config) ([]Finding, error) {
			found, err := daemon.Check(ctx, cfg)
			var out []Finding
			for _, f := range found {
				level := LevelOK
				switch {
				case f.Missing:
					level = LevelMissing
				case f.Warning:
					level = LevelWarning
				}
				out = append(out, Finding{Level: level, Capability: f.Capability, Check: f.Check, Message: f.Message, Next: f.Next})
			}
			return out, err
		},
		Migrator: func(cfg *config.Config) (Migrator, error) { return migrator{cfg}, nil },
		Rehearse: func(ctx context.Context, o rehearse.Options, dry bool) (*rehearse.Report, error) {
			if dry {
				return rehearse.Preview(ctx, o)
			}
			return rehearse.Run(ctx, o)
		},
	}
}

// faults reads STRANGLER_FAULT, by which the kill tests end this process at a durable statement:
// "decide.after:2" kills it behind the second decision, and "record:FILE" writes every statement's name
// to a file instead. Nobody else sets it.
func faults(env func(string) (string, bool)) (func(string) error, error) {
	spec, ok := env("STRANGLER_FAULT")
	if !ok || spec == "" {
		return nil, nil
	}
	var mu sync.Mutex
	point, rest, _ := strings.Cut(spec, ":")
	if point == "record" {
		return func(p string) error {
			mu.Lock()
			defer mu.Unlock()
			f, err := os.OpenFile(rest, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(f, p)
			return errors.Join(err, f.Close())
		}, nil
	}
	left, err := strconv.Atoi(rest)
	if err != nil || left < 1 {
		return nil, unusable("STRANGLER_FAULT %q: write a point and a count from 1, as in decide.after:1", spec)
	}
	return func(p string) error {
		mu.Lock()
		defer mu.Unlock()
		if p != point {
			return nil
		}
		if left--; left > 0 {
			return nil
		}
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {} // until the signal arrives
	}, nil
}

// migrator works on the scripts of one capability after the other, by opening its databases each time.
type migrator struct{ cfg *config.Config }

func (m migrator) with(ctx context.Context, c strangler.Capability, f func(*migrations.Planning) error) (err error) {
	store, err := control.Open(ctx, control.Config{DSN: m.cfg.Control})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p, closeAll, err := migrations.NewPlanning(ctx, engines.Open, m.cfg.Migrations(), store.ID(), c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	return f(p)
}

func (m migrator) Plan(ctx context.Context, c strangler.Capability, dryRun bool) (out PlanResult, err error) {
	err = m.with(ctx, c, func(p *migrations.Planning) error {
		plan, err := p.Make(ctx)
		if err != nil {
			return err
		}
		if !dryRun {
			if err := p.Write(ctx, plan); err != nil {
				return err
			}
		}
		out.Capture, out.Notes = plan.Capture, plan.Notes.Texts()
		for _, f := range plan.Files {
			path := filepath.Join(m.cfg.Migrations(), f.Path)
			out.Files = append(out.Files, path)
			out.SQL = append(out.SQL, Script{Path: path, SQL: f.SQL})
		}
		return nil
	})
	return out, err
}

// Up runs what comes before the copy. What comes last before a gate, and the point of no return, are
// run by the cutover and by complete.
func (m migrator) Up(ctx context.Context, c strangler.Capability) ([]ScriptStatus, error) {
	return m.to(ctx, c, migrations.StageCapture)
}

func (m migrator) Down(ctx context.Context, c strangler.Capability) ([]ScriptStatus, error) {
	return m.to(ctx, c, migrations.StageNone)
}

func (m migrator) to(ctx context.Context, c strangler.Capability, stage migrations.Stage) (out []ScriptStatus, err error) {
	err = m.with(ctx, c, func(p *migrations.Planning) error {
		now, err := p.Status(ctx)
		if err != nil {
			return err
		}
		for _, s := range now {
			if stage > migrations.StageNone && migrations.Stage(s.Version) > stage {
				return strangler.Refuse("scripts", fmt.Sprintf("the scripts of %s are past what `up` runs", c.Name), "strangler split status "+c.Name)
			}
		}
		run := p.Up
		if stage == migrations.StageNone {
			run = p.To
		}
		if err := run(ctx, stage); err != nil {
			return err
		}
		out, err = statuses(ctx, p)
		return err
	})
	return out, err
}

func (m migrator) Status(ctx context.Context, c strangler.Capability) (out []ScriptStatus, err error) {
	err = m.with(ctx, c, func(p *migrations.Planning) error {
		out, err = statuses(ctx, p)
		return err
	})
	return out, err
}

func (m migrator) Force(ctx context.Context, c strangler.Capability, side strangler.Side, version int) error {
	return m.with(ctx, c, func(p *migrations.Planning) error { return p.Force(ctx, side, version) })
}

func (m migrator) Orphans(ctx context.Context, c strangler.Capability) (out []string, err error) {
	err = m.with(ctx, c, func(p *migrations.Planning) error {
		out, err = p.Orphans(ctx)
		return err
	})
	return out, err
}

func statuses(ctx context.Context, p *migrations.Planning) ([]ScriptStatus, error) {
	found, err := p.Status(ctx)
	out := make([]ScriptStatus, len(found))
	for i, s := range found {
		out[i] = ScriptStatus(s)
	}
	return out, err
}

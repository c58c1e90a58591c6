package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/rehearse"
	"github.com/strangler-fig/strangler/migrations"
)

// hooks are what the verbs without a daemon call. One that is nil makes its verb fail.
type hooks struct {
	Serve    func(context.Context, *config.Config, ServeOptions) error
	Demo     func(context.Context, DemoOptions) error
	Catalog  func(ctx context.Context, dsn string) (migrations.Catalog, error)
	Check    func(context.Context, *config.Config) ([]Finding, error)
	Migrator func(*config.Config) (Migrator, error)
	Rehearse func(ctx context.Context, o rehearse.Options, dry bool) (*rehearse.Report, error)
}

// ServeOptions are the daemon's. It returns nil when its context ends.
type ServeOptions struct {
	Roles   []string // "proxy", "worker"
	Log     *slog.Logger
	PIDFile string        // where the process's number is written when it is ready; empty: nowhere
	Ready   func(Serving) // called once, when everything listens
}

// Serving is where a daemon listens.
type Serving struct {
	Proxy string   `json:"proxy"` // base URL; empty without that role
	Admin string   `json:"admin"` // base URL
	Roles []string `json:"roles"`
}

// DemoOptions are the demo's.
type DemoOptions struct {
	Database string // sqlite, postgres or mysql
	Exit     bool   // stop when it is shown; otherwise go on serving until the context ends
	JSON     bool   // one object on Stdout at the end, nothing else there
	Rows     int    // in the tables that move
	Dir      string // where its files go
	Programs string // the folder of the three programs
	Stdout   io.Writer
	Stderr   io.Writer
	Terminal bool // Stdout is one, and takes cursor movements
	Color    bool
}

// Finding is one thing that check says.
type Finding struct {
	Level      Level    `json:"level"`
	Capability string   `json:"capability,omitempty"`
	Check      string   `json:"check"`
	Message    string   `json:"message"`
	Next       []string `json:"next,omitempty"` // commands or changes that settle it
}

// Level says how much a finding matters.
type Level string

const (
	LevelOK      Level = "ok"
	LevelWarning Level = "warning" // works, but should be known
	LevelMissing Level = "missing" // has to be settled before a capability can move
)

// Migrator makes and runs a capability's golang-migrate scripts. A dry Plan writes nothing. Orphans are rows, at most 20, that
// foreign keys would forbid, those that the scripts have cut included.
type Migrator interface {
	Scripter
	Plan(ctx context.Context, c strangler.Capability, dryRun bool) (PlanResult, error)
	Orphans(ctx context.Context, c strangler.Capability) ([]string, error)
}

// Scripter runs the scripts. Up, Down and Force return how they stand afterwards.
type Scripter interface {
	Up(ctx context.Context, c strangler.Capability) ([]ScriptStatus, error)
	Down(ctx context.Context, c strangler.Capability) ([]ScriptStatus, error)
	Status(ctx context.Context, c strangler.Capability) ([]ScriptStatus, error)
	Force(ctx context.Context, c strangler.Capability, side strangler.Side, version int) error
}

// PlanResult is what `migrate plan` made, or would make.
type PlanResult struct {
	Files   []string `json:"files"`             // paths, in the order in which they run
	SQL     []Script `json:"sql"`               // their text, in the same order
	Capture string   `json:"capture,omitempty"` // how the monolith's changes are recorded, and why; empty where there is no choice
	Notes   []string `json:"notes"`             // what a person should know before they run
}

// Script is the text of one file.
type Script struct {
	Path string `json:"path"`
	SQL  string `json:"sql"`
}

// ScriptStatus is how far the scripts of one side have run.
type ScriptStatus struct {
	Side    strangler.Side `json:"side"`
	Version uint           `json:"version"` // 0: none has run
	Dirty   bool           `json:"dirty"`   // a script ended half-way
	Pending []string       `json:"pending"` // names of the files that have not run
}

func notConnected(verb string) error {
	return fmt.Errorf("this build of strangler has no %s; nothing was done", verb)
}

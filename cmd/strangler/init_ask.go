package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/setup"
)

// secretVariable holds a DSN that has a password in it.
const secretVariable = "STRANGLER_LEGACY_DATABASE"

// noDatabase says that there is none, or none to be named.
const noDatabase = "none"

type initOptions struct {
	url, database      string
	openapi, accessLog string // files
	snippet            string
	yes, dry           bool
}

// monolith is what the flags, a person and the database say of it.
func (a *app) monolith(ctx context.Context, o initOptions) (m setup.Monolith, result begun, err error) {
	if err := a.complete(ctx, &o); err != nil {
		return m, result, err
	}
	result.Variables = []string{}
	m = setup.Monolith{URL: o.url, Database: o.database, Lookup: a.env}
	if o.database == noDatabase {
		m.Database = ""
	}
	dsn, err := a.named(m)
	if err != nil {
		return m, result, err
	}
	switch given := m.Database; {
	case strings.Contains(given, "${"):
	case config.Redact(given) != given:
		m.Database = "${" + secretVariable + "}"
		m.Lookup = func(name string) (string, bool) {
			if name == secretVariable {
				return given, true
			}
			return a.env(name)
		}
		if value, set := a.env(secretVariable); !set || value != given {
			result.Variables = append(result.Variables, secretVariable)
		}
	default:
		m.Database = a.beside(given)
	}
	if err := a.routes(o, &m, &result); err != nil {
		return m, result, err
	}
	if dsn != "" {
		if a.hooks.Catalog == nil {
			return m, result, notConnected("init")
		}
		if m.Catalog, err = a.hooks.Catalog(ctx, dsn); err != nil {
			return m, result, unread(err)
		}
	}
	result.Found.Tables, result.Found.ForeignKeys, result.Found.Routes = len(m.Catalog.Tables), len(m.Catalog.Keys), len(m.Routes)
	return m, result, nil
}

// unread says of a database that cannot be read what a first command has to: there is no file to correct.
func unread(err error) error {
	var r *strangler.Refusal
	if errors.As(err, &r) {
		return strangler.Refuse(r.Check, r.Why, "start it, or correct --legacy-database", "--legacy-database none, to begin without it")
	}
	return fmt.Errorf("reading the tables of the monolith's database: %w; nothing was written", err)
}

// complete asks a person for what no flag has said.
func (a *app) complete(ctx context.Context, o *initOptions) error {
	ask := !o.yes && a.terminal(a.stdin)
	answers := bufio.NewReader(a.stdin)
	for _, q := range []struct {
		answer            *string
		flag, what, empty string
	}{
		{&o.url, "--legacy-url", "where the monolith listens, as in http://127.0.0.1:9000", ""},
		{&o.database, "--legacy-database", "its database: sqlite:path, postgres://user@host/name or mysql://user@host:3306/name (empty: none)", noDatabase},
	} {
		if *q.answer != "" {
			continue
		}
		if !ask {
			return unusable("%s is missing: %s", q.flag, strings.Replace(q.what, "empty:", "or:", 1))
		}
		fmt.Fprintf(a.stderr, "%s: ", q.what)
		line, err := answer(ctx, answers)
		if err != nil {
			return err
		}
		if *q.answer = line; line == "" {
			*q.answer = q.empty
		}
		if *q.answer == "" {
			return unusable("%s is missing: %s", q.flag, q.what)
		}
	}
	return nil
}

// answer reads a line. Ctrl-C ends the wait; the process ends behind it, and with it the read.
func answer(ctx context.Context, r *bufio.Reader) (string, error) {
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := r.ReadString('\n')
		done <- read{line, err}
	}()
	select {
	case got := <-done:
		if got.err != nil && !errors.Is(got.err, io.EOF) {
			return "", fmt.Errorf("reading the answer: %w; nothing was changed", got.err)
		}
		return strings.TrimSpace(got.line), nil
	case <-ctx.Done():
		return "", fmt.Errorf("interrupted; nothing was changed: %w", ctx.Err())
	}
}

// flags are what says a key of the file.
var flags = map[string]string{"legacy.url": "--legacy-url", "legacy.database": "--legacy-database"}

// named reads what was said as the file would be, and returns the DSN with its variables replaced.
func (a *app) named(m setup.Monolith) (string, error) {
	cwd, err := filepath.Abs(defaultFile)
	if err != nil {
		return "", err
	}
	cfg, err := config.Parse(cwd, []byte(setup.Legacy(m.URL, m.Database)), a.env)
	var wrong *config.Error
	if errors.As(err, &wrong) {
		var says []string
		for _, p := range wrong.Problems {
			key, _, _ := strings.Cut(p.Key, "[")
			says = append(says, strings.TrimSpace(flags[key]+": "+p.Message))
		}
		return "", unusable("%s", strings.Join(says, "; "))
	}
	if err != nil {
		return "", err
	}
	return cfg.Legacy.Database, nil
}

var relativeFile = regexp.MustCompile(`^sqlite:([^/?][^?]*)`)

// beside has the path of a SQLite file be relative to the file instead of to where the command runs.
func (a *app) beside(dsn string) string {
	at := relativeFile.FindStringSubmatch(dsn)
	if at == nil {
		return dsn
	}
	from, err := filepath.Abs(filepath.Dir(a.file))
	to, errTo := filepath.Abs(at[1])
	path, errRel := filepath.Rel(from, to)
	if errors.Join(err, errTo, errRel) != nil {
		return dsn
	}
	return "sqlite:" + path + strings.TrimPrefix(dsn, at[0])
}

// routes reads the document and the log, where they are given.
func (a *app) routes(o initOptions, m *setup.Monolith, result *begun) error {
	var known []strangler.Route
	err := given("--openapi", o.openapi, func(r io.Reader) (err error) {
		known, err = setup.OpenAPI(r)
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range known {
		m.Routes = append(m.Routes, setup.Route{Route: r})
	}
	return given("--access-log", o.accessLog, func(r io.Reader) error {
		seen, err := setup.AccessLog(r, known)
		m.Routes, result.Found.Requests, result.Found.UnreadLines = seen.Routes, seen.Requests, seen.Unread
		return err
	})
}

// given reads a flag's file, where there is one.
func given(flag, name string, read func(io.Reader) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return unusable("%s: %v", flag, err)
	}
	defer f.Close()
	if err := read(f); err != nil {
		return unusable("%s %s: %v", flag, name, err)
	}
	return nil
}

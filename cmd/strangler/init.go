package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/setup"
)

// begun is what `init` prints as JSON.
type begun struct {
	File      string   `json:"file"`
	Written   bool     `json:"written"`
	Text      string   `json:"text,omitempty"` // with --dry-run
	Schema    string   `json:"schema"`         // the file's, beside it
	Schemed   bool     `json:"schema_written"` // by this call
	Found     found    `json:"found"`
	Variables []string `json:"variables"` // that the file reads, and the environment does not have yet
	setup.Proposals
	Snippet   string   `json:"snippet"`
	NextSteps []string `json:"next_steps"`
}

// found is what init has read.
type found struct {
	Tables      int `json:"tables"`
	ForeignKeys int `json:"foreign_keys"`
	Routes      int `json:"routes"`
	Requests    int `json:"requests"`
	UnreadLines int `json:"unread_lines"` // of the access log
}

func (a *app) init() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first strangler.yaml for a monolith, with proposals of what may leave it",
		Long: `Reads the tables and foreign keys of the monolith's database, and the routes of an OpenAPI
document and of an access log where they are given, and writes a strangler.yaml in which
every key is explained. It passes everything through; capabilities that may leave stand in it
as comments, the best first, each with the foreign keys that its cut would cross.

It changes nothing in any database, and never overwrites a file: where there is one, the exit
code is 3. Beside it goes its JSON Schema, which it names for editors, unless there is one. On
a terminal it asks for the monolith's address and database where no flag says them. A DSN with
a password in it is not written: the file names an environment variable instead, and init says
which. To keep it from the command line too: --legacy-database '${SHOP_DATABASE}'.

It prints the lines for the proxy in front that fit the first proposal; "strangler snippet CAP"
prints them for any capability of the file, its touches included.`,
		Example: `  strangler init
  strangler init --legacy-url http://127.0.0.1:9000 --legacy-database sqlite:shop.db --yes
  strangler init --openapi openapi.yaml --access-log access.log --snippet haproxy`,
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.begin(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.url, "legacy-url", "", "where the monolith listens, as in http://127.0.0.1:9000")
	cmd.Flags().StringVar(&o.database, "legacy-database", "", "the `DSN` of its database, or none")
	cmd.Flags().StringVar(&o.openapi, "openapi", "", "a `file`: its OpenAPI document of version 3, in YAML or JSON")
	cmd.Flags().StringVar(&o.accessLog, "access-log", "", "a `file`: requests in the combined format, or in Strangler's own JSON")
	cmd.Flags().StringVar(&o.snippet, "snippet", "nginx", "what to print lines for that send one capability through Strangler: nginx, haproxy or caddy")
	offer(cmd, "snippet", setup.Proxies...)
	cmd.Flags().BoolVar(&o.yes, "yes", false, "never ask")
	dryRunFlag(cmd, &o.dry)
	return cmd
}

// begin does all of it, the writing last.
func (a *app) begin(ctx context.Context, o initOptions) error {
	if err := known(o.snippet, "--snippet"); err != nil {
		return err
	}
	if _, err := os.Lstat(a.file); err == nil {
		return a.there()
	}
	m, result, err := a.monolith(ctx, o)
	if err != nil {
		return err
	}
	text, proposals := setup.Make(m)
	file, err := filepath.Abs(a.file)
	if err != nil {
		return err
	}
	cfg, err := config.Parse(file, []byte(text), m.Lookup)
	if err != nil {
		return err
	}
	result.File, result.Written, result.Proposals = file, !o.dry, proposals
	if len(proposals.Proposals) > 0 {
		result.Snippet = proposals.Proposals[0].Snippet(o.snippet, cfg.Proxy.Listen)
	}
	result.NextSteps, result.Schema = a.then(result.Variables), filepath.Join(filepath.Dir(file), setup.SchemaFile)
	if o.dry {
		result.Text = text
	} else if result.Schemed, err = a.create(text, result.Schema); err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) { writeBegun(w, result) })
}

// there refuses to write over a file.
func (a *app) there() error {
	return strangler.Refuse("file", a.file+" is there already, and init never writes over a file", "strangler check"+a.flag(), "name another with -c FILE")
}

// flag is how a command names the file, where it has to.
func (a *app) flag() string {
	if a.file == defaultFile {
		return ""
	}
	return " -c " + a.file
}

func (a *app) then(variables []string) (next []string) {
	for _, v := range variables {
		next = append(next, "set "+v+" in the environment of strangler to the database's DSN")
	}
	return append(next, "strangler check"+a.flag(), "strangler serve"+a.flag())
}

// create writes the file, unless there is one by now, and its schema, unless there is one, which may be of another version.
func (a *app) create(text, schema string) (schemed bool, err error) {
	err = createFile(a.file, text)
	if errors.Is(err, os.ErrExist) {
		return false, a.there()
	}
	if err != nil {
		return false, err
	}
	err = createFile(schema, config.Schema())
	if err != nil && !errors.Is(err, os.ErrExist) {
		return false, errors.Join(err, os.Remove(a.file))
	}
	return err == nil, nil
}

// createFile writes a file whole, or leaves none; os.ErrExist: there is one.
func createFile(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	switch {
	case errors.Is(err, os.ErrExist):
		return err
	case err != nil:
		return unusable("%s cannot be written: %v", name, errors.Unwrap(err))
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w; it was removed again", name, err), os.Remove(name))
	}
	return nil
}

func writeBegun(w io.Writer, b begun) {
	if b.Written {
		fmt.Fprintf(w, "wrote %s\n", b.File)
	} else {
		fmt.Fprintf(w, "dry run: nothing was written; %s would be, unless it is there, and %s:\n\n%s\n", b.Schema, b.File, b.Text)
	}
	if b.Schemed {
		fmt.Fprintf(w, "wrote %s\n", b.Schema)
	}
	fmt.Fprintf(w, "found %d tables with %d foreign keys, %d routes with %d requests\n", b.Found.Tables, b.Found.ForeignKeys, b.Found.Routes, b.Found.Requests)
	if b.Found.UnreadLines > 0 {
		fmt.Fprintf(w, "%d lines of the access log are no requests in a known format\n", b.Found.UnreadLines)
	}
	if len(b.Proposals.Proposals) > 0 {
		rows := [][]string{{"MAY LEAVE", "ROUTES", "REQUESTS", "TABLES", "KEYS ACROSS"}}
		for _, p := range b.Proposals.Proposals {
			rows = append(rows, []string{p.Name, strconv.Itoa(len(p.Routes)), strconv.Itoa(p.Requests), strconv.Itoa(len(p.Tables)), strconv.Itoa(len(p.Crossing))})
		}
		table(w, rows...)
		if b.Found.Routes == 0 {
			fmt.Fprintln(w, "their routes are guessed from the tables' names; --openapi and --access-log tell which there are")
		}
		fmt.Fprintf(w, "\n%s\nfor another, once it stands in the file: strangler snippet CAP\n", b.Snippet)
	} else {
		fmt.Fprintln(w, "nothing is proposed to leave: give init an --openapi document or an --access-log")
	}
	nextSteps(w, b.NextSteps)
}

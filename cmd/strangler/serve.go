package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) serve() *cobra.Command {
	var roles []string
	var level, format, pidFile string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon: proxy, split workers, playbook engine, admin API",
		Long: `Runs the daemon in the foreground until it is interrupted. It starts though an upstream
is down. What was under way when it was killed goes on when it starts again.

--roles divides it over machines: "proxy" takes requests, "worker" moves rows and runs
playbooks. The admin API is always there. The log goes to stderr.

SIGTERM ends it when the requests under way have their answers; so does a terminal that is
closed, unless it was started with nohup. SIGUSR2 (kill -USR2) has the program's file, as it is
then, take over with the same arguments: no connection is refused, and what was under way is
finished here. A process that cannot take over changes nothing.`,
		Example: `  strangler serve
  strangler serve --roles proxy --log-format json
  strangler serve -c /etc/strangler/strangler.yaml --pid-file /run/strangler.pid`,
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, role := range roles {
				if !slices.Contains(roleNames, role) {
					return unusable("--roles %q: they are proxy and worker", role)
				}
			}
			log, err := logger(a.stderr, level, format)
			if err != nil {
				return err
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if err := writable(pidFile); err != nil {
				return err
			}
			if a.hooks.Serve == nil {
				return notConnected("daemon")
			}
			return a.hooks.Serve(cmd.Context(), cfg, ServeOptions{Roles: roles, Log: log, PIDFile: pidFile, Ready: a.announce})
		},
	}
	cmd.Flags().StringSliceVar(&roles, "roles", roleNames, "what this instance does: proxy, worker")
	cmd.Flags().StringVar(&pidFile, "pid-file", "", "where the number of the process that serves is written once it does")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.Flags().StringVar(&format, "log-format", "text", "text or json")
	offerList(cmd, "roles", roleNames...)
	offer(cmd, "log-level", logLevels...)
	offer(cmd, "log-format", formats...)
	return cmd
}

// writable refuses a pid file that could not be written once the daemon serves. It is put in its place whole, so its folder is what matters.
func writable(pidFile string) error {
	if pidFile == "" {
		return nil
	}
	if at, err := os.Stat(pidFile); err == nil && at.IsDir() {
		return unusable("--pid-file %s is a folder; name a file in it", pidFile)
	}
	try, err := os.CreateTemp(filepath.Dir(pidFile), filepath.Base(pidFile))
	if err == nil {
		err = errors.Join(try.Close(), os.Remove(try.Name()))
	}
	if err != nil {
		return unusable("--pid-file %s cannot be written: %v; make its folder, or name another; nothing was started", pidFile, err)
	}
	return nil
}

// announce says where the daemon listens. A stdout that is gone does not stop it.
func (a *app) announce(s Serving) {
	err := a.print(s, func(w io.Writer) {
		if s.Proxy != "" {
			fmt.Fprintf(w, "proxy      %s\n", s.Proxy)
		}
		fmt.Fprintf(w, "admin API  %s\nroles      %s\n", s.Admin, strings.Join(s.Roles, ", "))
	})
	if err != nil {
		fmt.Fprintf(a.stderr, "strangler: %v; the daemon goes on\n", err)
	}
}

func logger(w io.Writer, level, format string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, unusable("--log-level %q: it is debug, info, warn or error", level)
	}
	options.Level = l
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, unusable("--log-format %q: it is text or json", format)
}

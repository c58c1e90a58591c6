package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/daemon"
)

// checked is what `check` prints as JSON.
type checked struct {
	File      string    `json:"file"`
	Findings  []Finding `json:"findings"`
	NextSteps []string  `json:"next_steps"`
}

func (a *app) check() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say everything that is missing before anything runs",
		Long: `Reads strangler.yaml and looks at the upstreams and databases that it names: reach,
versions, poolers, rights (with the GRANTs to run), settings, tables, touches without a seam,
who writes without a route, identities that change. It changes nothing and needs no daemon;
of one that runs it tells what its proxy has noticed. Findings are ok, warning or missing,
and what is not ok comes with what to do; with anything missing the exit code is 3, with an
unusable file 2.`,
		Example: "  strangler check\n  strangler check -c shop/strangler.yaml -o json",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if a.hooks.Check == nil {
				return notConnected("check")
			}
			findings, err := a.hooks.Check(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			findings = append(findings, a.noticed(cmd.Context(), cfg)...)
			refusal, next := verdict(findings)
			result := checked{File: cfg.File, Findings: filled(findings), NextSteps: filled(next)}
			if err := a.print(result, func(w io.Writer) { writeFindings(w, result) }); err != nil {
				return err
			}
			return refusal
		},
	}
}

// noticed are what the proxy of a running daemon has noticed; without one, nothing.
func (a *app) noticed(ctx context.Context, cfg *config.Config) (out []Finding) {
	c, err := client.New(client.Config{URL: cfg.Admin.URL(), Token: cfg.Admin.Token})
	if err != nil {
		return nil
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, capability := range cfg.Capabilities {
		if capability.IdentityHeader == "" {
			continue
		}
		found, err := c.Noticed(ctx, capability.Name)
		if err != nil {
			return out
		}
		for _, notice := range found.Notices {
			out = append(out, Finding{Level: LevelWarning, Capability: capability.Name, Check: "identity", Message: notice, Next: daemon.IdentityAdvice})
		}
	}
	return out
}

// verdict is a refusal where something is missing, and what to do next in either case.
func verdict(findings []Finding) (refusal error, next []string) {
	var names []string
	for _, f := range findings {
		if f.Level == LevelMissing {
			if !slices.Contains(names, f.Check) {
				names = append(names, f.Check)
			}
			next = append(next, f.Next...)
		}
	}
	if len(names) == 0 {
		return nil, []string{"strangler serve"}
	}
	return strangler.Refuse("check", "missing: "+strings.Join(names, ", "), next...), next
}

func writeFindings(w io.Writer, result checked) {
	rows := [][]string{{"LEVEL", "CAPABILITY", "CHECK", "FOUND"}}
	for _, f := range result.Findings {
		capability := f.Capability
		if capability == "" {
			capability = "-"
		}
		rows = append(rows, []string{string(f.Level), capability, f.Check, f.Message})
		if f.Level != LevelOK {
			for _, step := range f.Next {
				rows = append(rows, []string{"", "", "", "  - " + step})
			}
		}
	}
	fmt.Fprintln(w, result.File+" can be used.")
	if len(rows) > 1 {
		table(w, rows...)
	}
	nextSteps(w, result.NextSteps)
}

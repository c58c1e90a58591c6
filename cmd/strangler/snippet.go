package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler/internal/setup"
)

// snippet is what `snippet` prints as JSON.
type snippet struct {
	Capability string   `json:"capability"`
	For        string   `json:"for"`
	Snippet    string   `json:"snippet"`
	NextSteps  []string `json:"next_steps"`
}

func (a *app) snippet() *cobra.Command {
	var proxy string
	cmd := &cobra.Command{
		Use:   "snippet CAP",
		Short: "Print what has nginx, HAProxy or Caddy send a capability through Strangler",
		Long: `Prints lines for the proxy in front of the monolith that send the capability's routes and
touches, as strangler.yaml has them, through Strangler, and everything else to the monolith as
before. Paths are told apart, not methods: what is no route is passed through. It writes
nothing, and needs no daemon.`,
		Example:           "  strangler snippet delivery\n  strangler snippet delivery --for haproxy",
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := known(proxy, "--for"); err != nil {
				return err
			}
			cfg, capability, err := a.capability(args[0])
			if err != nil {
				return err
			}
			result := snippet{args[0], proxy, setup.Snippet(proxy, cfg.Proxy.Address(), capability), []string{"strangler serve" + a.flag()}}
			return a.print(result, func(w io.Writer) { fmt.Fprint(w, result.Snippet) })
		},
	}
	cmd.Flags().StringVar(&proxy, "for", setup.Proxies[0], "nginx, haproxy or caddy")
	offer(cmd, "for", setup.Proxies...)
	return cmd
}

// known refuses a proxy that there are no lines for.
func known(proxy, flag string) error {
	if !slices.Contains(setup.Proxies, proxy) {
		return unusable("%s %q: it is %s", flag, proxy, strings.Join(setup.Proxies, ", "))
	}
	return nil
}

package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler/internal/config"
)

func (a *app) schema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print what strangler.yaml may hold, for editors",
		Long: `Prints a JSON Schema of strangler.yaml: its keys, what each takes, its default and what it is
for. An editor with a YAML language server completes and checks the file by it where the file
begins with

    # yaml-language-server: $schema=strangler.schema.json

What several keys say together only "strangler check" tells. No daemon is needed.`,
		Example: "  strangler schema > strangler.schema.json",
		Args:    needs(),
		RunE: func(*cobra.Command, []string) error {
			schema := config.Schema()
			return a.print(json.RawMessage(schema), func(w io.Writer) { fmt.Fprint(w, schema) })
		},
	}
}

package demo

import (
	"testing"

	yamlnode "go.yaml.in/yaml/v3"

	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/config/schematest"
)

// TestSchemaTakesTheFile: an editor that knows the schema finds nothing wrong in the demo's strangler.yaml.
func TestSchemaTakesTheFile(t *testing.T) {
	at := addresses{proxy: "127.0.0.1:1", admin: "127.0.0.1:2", legacy: "127.0.0.1:3", service: "127.0.0.1:4"}
	for _, data := range []*databases{
		{control: "sqlite:.strangler/control.db", legacy: "sqlite:shop.db", service: "sqlite:delivery.db"},
		{control: "postgres://strangler@127.0.0.1:5/control", legacy: "postgres://strangler@127.0.0.1:5/shop", service: "postgres://strangler@127.0.0.1:5/delivery"},
		{control: "mysql://strangler@127.0.0.1:5/control", legacy: "mysql://strangler@127.0.0.1:5/shop", service: "mysql://strangler@127.0.0.1:5/delivery"},
	} {
		var root yamlnode.Node
		if err := yamlnode.Unmarshal([]byte(yaml(at, data)), &root); err != nil {
			t.Fatal(err)
		}
		if err := schematest.Compile(t, config.Schema())(&root); err != nil {
			t.Errorf("%s: %v", data.legacy, err)
		}
	}
}

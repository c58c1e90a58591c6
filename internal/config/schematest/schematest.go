// Package schematest asks a validator of somebody else's what a JSON Schema says of a YAML document, as an editor does.
package schematest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Compile returns what judges a document by a schema: nil where it is valid.
func Compile(t *testing.T, schema string) func(document *yaml.Node) error {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatalf("the schema is not JSON: %v", err)
	}
	const name = "strangler.schema.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile(name)
	if err != nil {
		t.Fatalf("the schema is none: %v", err)
	}
	return func(document *yaml.Node) error {
		var v any
		if err := document.Decode(&v); err != nil {
			return err
		}
		return compiled.Validate(plain(v))
	}
}

// plain has the keys of all objects as texts, which JSON knows only.
func plain(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	case map[any]any:
		out := map[string]any{}
		for k, value := range v {
			out[fmt.Sprint(k)] = plain(value)
		}
		return out
	}
	return v
}

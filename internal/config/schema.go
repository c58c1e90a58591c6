package config

import (
	"bytes"
	"encoding/json"
	"strings"
)

// schema is a part of the file as JSON Schema (draft 7) says it, which is what editors take. A keyword holds for values of its own
// type only, so one node may say how a number is bounded and how a text is written.
type schema struct {
	Dialect       string     `json:"$schema,omitempty"`
	Title         string     `json:"title,omitempty"`
	Description   string     `json:"description,omitempty"`
	Type          []string   `json:"type,omitempty"`
	AnyOf         []*schema  `json:"anyOf,omitempty"`
	AllOf         []*schema  `json:"allOf,omitempty"`
	Enum          []any      `json:"enum,omitempty"`
	Pattern       string     `json:"pattern,omitempty"`
	Minimum       *float64   `json:"minimum,omitempty"`
	Maximum       *float64   `json:"maximum,omitempty"`
	Default       any        `json:"default,omitempty"`
	Properties    properties `json:"properties,omitempty"`
	PropertyNames *schema    `json:"propertyNames,omitempty"`
	Additional    any        `json:"additionalProperties,omitempty"` // false, or the schema of what stands behind any name
	Required      []string   `json:"required,omitempty"`
	Items         *schema    `json:"items,omitempty"`
	MinItems      int        `json:"minItems,omitempty"`
	MaxItems      int        `json:"maxItems,omitempty"`
}

// properties are an object's keys in the order in which the reader names them.
type properties []property

type property struct {
	key string
	schema
}

func (all properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, p := range all {
		key, err := json.Marshal(p.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(p.schema)
		if err != nil {
			return nil, err
		}
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Schema is the JSON Schema of strangler.yaml, indented, with a line feed at its end. What two keys say together (a token where
// admin is not on a loopback address, a database where there are tables) it leaves to Load.
func Schema() string {
	root := fileSchema()
	root.Dialect, root.Title = "http://json-schema.org/draft-07/schema#", "strangler.yaml"
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(root); err != nil {
		panic(err) // texts and numbers always marshal
	}
	return b.String()
}

// The patterns of what scalar.go reads. Each text may be a ${VAR}, or have one in it.
const (
	variableIn   = `\$\{`
	hostText     = `(\[[0-9A-Fa-f:.]+\]|[^\[\]/?#@:\s]+)(:[0-9]*)?`
	addressText  = `^([^\[\]:]*|\[[^\[\]]*\]):[0-9]{1,5}$`
	baseURLText  = `^https?://` + hostText + `/?$`
	upstreamText = `^(https?|h2c?)://` + hostText + `/?$`
	askedText    = `^https?://([^/?#\s]*@)?` + hostText + `(/[^?#@\s]*)?(\?[^#\s]*)?$`
	tracesText   = `^https?://` + hostText + `(/[^?#\s]*)?$`
	hookText     = `^https?://([^/?#@\s]*@)?` + hostText + `([/?][^#\s]*)?$`
	dsnText      = `^(sqlite:.+|postgres(ql)?://.+|mysql://[^/]*/[^?].*)$`
	prefixText   = `^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(/[0-9]{1,3})?$`
	routeText    = `^\s*([A-Z]+\s+/|/\S*\s*$)`
	tableText    = "\"|^[^\\s'`\\[\\];]([^'`\\[\\];\\r\\n\\t]*[^\\s'`\\[\\];])?$"
	percentRange = `^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)%$`
	durationText = `^(0|[0-9]{1,5}d|([0-9]{1,5}d)?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h))+)$`
	aboveZero    = `[1-9]`
)

func or(patterns ...string) string { return strings.Join(append(patterns, variableIn), "|") }

func number(f float64) *float64 { return &f }

// text is a scalar that is written in one of some ways.
func text(description string, patterns ...string) schema {
	return schema{Description: description, Type: []string{"string"}, Pattern: or(patterns...)}
}

// anyText is a scalar as it stands, also one that YAML takes for a number or a boolean.
func anyText(description string) schema {
	return schema{Description: description, Type: []string{"string", "number", "boolean"}}
}

// filledText is one that is not empty, or as a pattern says.
func filledText(description string, patterns ...string) schema {
	s := anyText(description)
	s.Pattern = `.`
	if len(patterns) > 0 {
		s.Pattern = or(patterns...)
	}
	return s
}

func wholeNumber(description string, least float64) schema {
	digits := `^[0-9]+$`
	if least > 0 {
		digits = `^0*[1-9][0-9]*$`
	}
	return schema{Description: description, Type: []string{"integer", "string"}, Minimum: &least, Pattern: or(digits)}
}

// size and length are a number of bytes and a time; 0 needs no unit.
func size(description string) schema   { return unlessZero(text(description, bytesText.String(), `^0$`)) }
func length(description string) schema { return unlessZero(text(description, durationText)) }

func unlessZero(s schema) schema {
	s.Type, s.Minimum, s.Maximum = []string{"string", "integer"}, number(0), number(0)
	return s
}

// pace is a time above zero.
func pace(description string) schema {
	s := text(description, durationText)
	s.AllOf = []*schema{{Pattern: or(aboveZero)}}
	return s
}

func share(description string) schema { return text(description, percentRange) }

// choice is one of some words.
func choice(description string, words ...string) schema {
	s := schema{Description: description, AnyOf: []*schema{{}, {Type: []string{"string"}, Pattern: variableIn}}}
	for _, word := range words {
		s.AnyOf[0].Enum = append(s.AnyOf[0].Enum, word)
	}
	return s
}

func yesOrNo(description string) schema {
	s := choice(description)
	s.AnyOf[0].Enum = []any{true, false, "true", "false"}
	return s
}

func listOf(description string, item schema) schema {
	return schema{Description: description, Type: []string{"array"}, Items: &item}
}

// object has the keys that are named, and no other.
func object(description string, keys ...property) schema {
	return schema{Description: description, Type: []string{"object"}, Properties: keys, Additional: false}
}

// named is an object whose keys are names of the reader's own.
func named(description string, value schema) schema {
	return schema{Description: description, Type: []string{"object"}, Additional: value}
}

func either(description string, forms ...schema) schema {
	s := schema{Description: description}
	for i := range forms {
		s.AnyOf = append(s.AnyOf, &forms[i])
	}
	return s
}

func key(name string, s schema) property { return property{name, s} }

func (s schema) needs(keys ...string) schema { s.Required = keys; return s }
func (s schema) otherwise(value any) schema  { s.Default = value; return s }
func (s schema) filled() schema              { s.MinItems = 1; return s }

package sqlite

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/strangler-fig/strangler/migrations"
)

// A declared type tells how SQLite converts what is stored, and little of what a column holds: any value may stand in any
// column. So the type is taken at its word for the column's kind, and a value that is not of that kind is a misfit.

// ours are the types of tables that the plan makes for kinds that SQLite has no type for. By the word TEXT it stores values
// exactly as they are given.
var ours = map[migrations.Kind]string{
	migrations.KindDecimal: "DECIMAL TEXT", migrations.KindDate: "DATE TEXT", migrations.KindTime: "TIME TEXT",
	migrations.KindTimestamp: "TIMESTAMP TEXT", migrations.KindUUID: "UUID TEXT", migrations.KindJSON: "JSON TEXT",
}

// words tell the kind of any other type; the first that is part of it counts. SQLite's own are before those at which it
// stores as a number whatever looks like one. Dates and the like are text there, in whatever form the application writes.
var words = []struct {
	word    string
	kind    migrations.Kind
	numeric bool
}{
	{"INT", migrations.KindInteger, false},
	{"CHAR", migrations.KindText, false}, {"CLOB", migrations.KindText, false}, {"TEXT", migrations.KindText, false},
	{"BLOB", migrations.KindBytes, false},
	{"REAL", migrations.KindFloat, false}, {"FLOA", migrations.KindFloat, false}, {"DOUB", migrations.KindFloat, false},
	{"BOOL", migrations.KindBoolean, true},
	{"NUMERIC", migrations.KindDecimal, true}, {"NUMBER", migrations.KindDecimal, true}, {"DEC", migrations.KindDecimal, true}, {"MONEY", migrations.KindDecimal, true},
	{"JSON", migrations.KindJSON, true},
	{"DATE", migrations.KindText, true}, {"TIME", migrations.KindText, true}, {"STRING", migrations.KindText, true},
	{"UUID", migrations.KindText, true}, {"GUID", migrations.KindText, true},
}

const (
	widest   = 8 // bytes: SQLite has one size of integers, and one of floats
	fraction = 6 // digits of a second, where a type does not say how many
)

// describeKind completes a column by its declared type, and reports whether SQLite stores text that looks like a number as
// one there. The kind stays empty where the type says nothing of what stands in the column. Lengths that SQLite does not
// enforce are none.
func describeKind(c *migrations.Column) (numeric bool) {
	name, arguments, _ := strings.Cut(strings.ToUpper(c.Type), "(")
	name = strings.Join(strings.Fields(name), " ")
	for kind, own := range ours {
		if name == own {
			c.Kind = kind
			c.Size, c.Scale = bounds(arguments, kind)
			return false
		}
	}
	for _, w := range words {
		if strings.Contains(name, w.word) {
			c.Kind = w.kind
			if c.Kind == migrations.KindInteger || c.Kind == migrations.KindFloat {
				c.Size = widest
			}
			return w.numeric
		}
	}
	return false
}

// bounds reads the arguments of one of our types.
func bounds(arguments string, k migrations.Kind) (size, scale int) {
	first, second, _ := strings.Cut(strings.TrimRight(arguments, ") "), ",")
	size, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil && (k == migrations.KindTime || k == migrations.KindTimestamp) {
		size = fraction
	}
	scale, _ = strconv.Atoi(strings.TrimSpace(second))
	return size, scale
}

// typed is the type of a column that the plan makes for one of another kind of database.
func typed(c migrations.Column) string {
	switch c.Kind {
	case migrations.KindInteger:
		return "INTEGER"
	case migrations.KindBoolean:
		return "BOOLEAN"
	case migrations.KindFloat:
		return "REAL"
	case migrations.KindBytes:
		return "BLOB"
	case migrations.KindText:
		if c.Size > 0 {
			return fmt.Sprintf("VARCHAR(%d)", c.Size)
		}
		return "TEXT"
	case migrations.KindTime, migrations.KindTimestamp:
		return fmt.Sprintf("%s(%d)", ours[c.Kind], c.Size)
	case migrations.KindDecimal:
		if c.Size > 0 {
			return fmt.Sprintf("%s(%d, %d)", ours[c.Kind], c.Size, c.Scale)
		}
	}
	return ours[c.Kind]
}

// common puts a row's values, or a key's, into the common form of their columns' kinds.
func (t *table) common(columns []migrations.Column, vs []migrations.Value) (err error) {
	for i, c := range columns {
		if vs[i], err = common(c, vs[i]); err != nil {
			return fmt.Errorf("table %s, column %s, which is %s: %w", t.name, c.Name, c.Type, err)
		}
	}
	return nil
}

func common(c migrations.Column, v migrations.Value) (migrations.Value, error) {
	decimal := c.Kind == migrations.KindDecimal || c.Kind == migrations.KindJSON // a JSON document may be one number
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return commonText(c, v)
	case int64:
		switch {
		case c.Kind == migrations.KindInteger, c.Kind == migrations.KindBoolean && (v == 0 || v == 1):
			return v, nil
		case decimal:
			return commonText(c, strconv.FormatInt(v, 10))
		}
	case float64:
		switch {
		case c.Kind == migrations.KindFloat:
			return v, nil
		case decimal:
			return commonText(c, written(v))
		}
	case []byte:
		if c.Kind == migrations.KindBytes {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%w: %s is not %s", migrations.ErrMisfit, shown(v), c.Kind)
}

// shown is a value as a message names it.
func shown(v migrations.Value) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the text %.40q", v)
	case []byte:
		return fmt.Sprintf("a blob of %d bytes", len(v))
	}
	return fmt.Sprintf("the number %v", v)
}

// written is a number without an exponent.
func written(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// commonText is the common form of a text. SQLite compares byte by byte, so what may be a key has to stand in that form
// already: a row is not found by another one.
func commonText(c migrations.Column, s string) (migrations.Value, error) {
	switch c.Kind {
	case migrations.KindText:
		return s, nil
	case migrations.KindDecimal:
		out, err := migrations.CommonDecimal(s)
		if err == nil && c.Size > 0 && !holds(c.Size, c.Scale, out) {
			err = fmt.Errorf("%w: %.40q has more digits", migrations.ErrMisfit, s)
		}
		return out, err
	case migrations.KindDate, migrations.KindTime, migrations.KindTimestamp:
		out, err := migrations.CommonMoment(c.Kind, s)
		if _, behind, _ := strings.Cut(out, "."); err == nil && len(behind) > c.Size {
			err = fmt.Errorf("%w: %.40q has more than %d digits behind its seconds", migrations.ErrMisfit, s, c.Size)
		}
		return out, err
	case migrations.KindUUID:
		if !uuid.MatchString(s) {
			return nil, fmt.Errorf("%w: %.40q is not a UUID in lower case, with hyphens", migrations.ErrMisfit, s)
		}
		return s, nil
	case migrations.KindJSON:
		return migrations.CommonJSON(s)
	}
	return nil, fmt.Errorf("%w: %s is not %s", migrations.ErrMisfit, shown(s), c.Kind)
}

// holds reports whether a type of so many digits has a decimal, given in its common form. What is not a number passes.
func holds(size, scale int, s string) bool {
	whole, behind, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if s == "0" || strings.Trim(whole, "0123456789") != "" {
		return true
	}
	above, below := len(whole), len(behind)
	if whole == "0" {
		above = len(strings.TrimLeft(behind, "0")) - len(behind)
	}
	if behind == "" {
		below = len(strings.TrimRight(whole, "0")) - len(whole)
	}
	return above <= size-scale && below <= scale
}

// native is a row of common values as the table stores them, none of them changed.
func (t *table) native(r migrations.Row) ([]any, error) {
	out := make([]any, len(r))
	for i, v := range r {
		stored, ok := v, true
		switch v := v.(type) {
		case float64:
			ok = !math.IsNaN(v) && (v != 0 || !math.Signbit(v)) // SQLite makes NULL and 0 of them
		case string:
			if t.numeric[i] && numeral.MatchString(v) {
				stored, ok = numeric(t.columns[i].Kind, v)
			}
		}
		if !ok {
			c := t.columns[i]
			return nil, fmt.Errorf("table %s: %w: column %s, which is %s, would not keep %s as it is", t.name, migrations.ErrMisfit, c.Name, c.Type, shown(v))
		}
		out[i] = stored
	}
	return out, nil
}

// numeral is a text that SQLite stores as a number in a column of numeric affinity.
var numeral = regexp.MustCompile(`^[\s\v]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[\s\v]*$`)

// numeric is the number that a text stands for, where SQLite has exactly that one and the kind is of numbers.
func numeric(k migrations.Kind, s string) (v any, exact bool) {
	if k != migrations.KindDecimal && k != migrations.KindJSON {
		return nil, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && written(f) == s
}

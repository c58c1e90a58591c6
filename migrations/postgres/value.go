package postgres

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler/migrations"
)

// Types whose values are not carried as text.
const (
	oidBytea = 17
	oidInt8  = 20
	oidInt2  = 21
	oidInt4  = 23
)

// textFormat asks for every column as the server writes it.
var textFormat = pgx.QueryResultFormats{pgx.TextFormatCode}

// value is the canonical value of what the server wrote: whole numbers and bytes as such, all else as text; or its common
// form.
func (c column) value(raw []byte) (migrations.Value, error) {
	if raw == nil {
		return nil, nil
	}
	if c.common {
		return c.commonValue(raw)
	}
	switch c.base {
	case oidInt2, oidInt4, oidInt8:
		return strconv.ParseInt(string(raw), 10, 64)
	case oidBytea:
		b := make([]byte, max(0, (len(raw)-2)/2))
		_, err := hex.Decode(b, raw[min(2, len(raw)):])
		return b, err
	}
	return string(raw), nil
}

// text is a value as the server reads it; never called with nil.
func text(v migrations.Value) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []byte:
		return `\x` + hex.EncodeToString(v)
	case string:
		return v
	}
	panic(fmt.Sprintf("postgres: a value of type %T is not canonical", v))
}

// scan reads every row as canonical values; of the extra last columns, whole numbers, it gives the values apart.
func scan(rows pgx.Rows, columns []column, extra int, yield func(vs []migrations.Value, more []int64) error) error {
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		vs, more := make([]migrations.Value, len(columns)), make([]int64, extra)
		for i, c := range columns {
			v, err := c.value(raw[i])
			if err != nil {
				return fmt.Errorf("column %s: %w", c.Name, err)
			}
			vs[i] = v
		}
		for i := range more {
			n, err := strconv.ParseInt(string(raw[len(columns)+i]), 10, 64)
			if err != nil {
				return err
			}
			more[i] = n
		}
		if err := yield(vs, more); err != nil {
			return err
		}
	}
	return rows.Err()
}

// parameters collects a statement's arguments, each given as text and cast by the server.
type parameters []any

// add returns the placeholder of one more value of a column.
func (p *parameters) add(c column, v migrations.Value) string {
	if v == nil {
		*p = append(*p, nil)
	} else {
		*p = append(*p, text(v))
	}
	return fmt.Sprintf("$%d::text::%s", len(*p), c.typed)
}

// literals are the values of a statement that takes no parameters.
type literals struct{}

func (literals) add(c column, v migrations.Value) string {
	if v == nil {
		return "NULL::" + c.typed
	}
	return literal(text(v)) + "::" + c.typed
}

// keyArrays appends one array for each column of the key, and returns what selects the keys from them: columns
// k0, k1… of the key's own types and collations.
func (p *parameters) keyArrays(key []column, keys []migrations.Key) string {
	var arrays, names, casts []string
	for j, c := range key {
		vs := make([]string, len(keys))
		for i, k := range keys {
			vs[i] = text(k[j])
		}
		*p = append(*p, vs)
		arrays = append(arrays, fmt.Sprintf("$%d::text[]", len(*p)))
		names = append(names, fmt.Sprintf("t%d", j))
		cast := fmt.Sprintf("t%d::%s", j, c.typed)
		if c.collation != "" {
			cast += " COLLATE " + c.collation
		}
		casts = append(casts, fmt.Sprintf("%s AS k%d", cast, j))
	}
	return fmt.Sprintf("SELECT %s FROM unnest(%s) AS given (%s)", strings.Join(casts, ", "), strings.Join(arrays, ", "), strings.Join(names, ", "))
}

// maxName is the length in bytes at which the server cuts a name.
const maxName = 63

// short keeps a name that the server would cut, and so might confuse with another, apart by a hash.
func short(name string) string {
	if len(name) <= maxName {
		return name
	}
	return hashed(name, name)
}

// hashed is a name with the hash of a text, cut where it would be too long.
func hashed(name, text string) string {
	h := fnv.New32a()
	h.Write([]byte(text))
	return fmt.Sprintf("%s_%08x", strings.ToValidUTF8(name[:min(len(name), maxName-9)], ""), h.Sum32())
}

// appendCopy appends a row as COPY's text format has it.
func appendCopy(b []byte, r migrations.Row) []byte {
	for i, v := range r {
		if i > 0 {
			b = append(b, '\t')
		}
		switch v := v.(type) {
		case nil:
			b = append(b, `\N`...)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case []byte:
			b = append(b, `\\x`...)
			b = hex.AppendEncode(b, v)
		default:
			s := text(v)
			for j := range len(s) {
				switch c := s[j]; c {
				case '\\':
					b = append(b, `\\`...)
				case '\n':
					b = append(b, `\n`...)
				case '\r':
					b = append(b, `\r`...)
				case '\t':
					b = append(b, `\t`...)
				default:
					b = append(b, c)
				}
			}
		}
	}
	return append(b, '\n')
}

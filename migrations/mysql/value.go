package mysql

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/strangler-fig/strangler/migrations"
)

// kind is how a column's values are read and written.
type kind byte

const (
	kindNone    kind = iota
	kindInt          // whole numbers; beyond an int64 they are text
	kindDecimal      // text, written bare
	kindFloat        // a FLOAT is read as a DOUBLE, which shows all of it
	kindBit          // a number
	kindText
	kindTime // dates and times, text
	kindBytes
)

// kinds are those of DATA_TYPE.
var kinds = map[string]kind{
	"tinyint": kindInt, "smallint": kindInt, "mediumint": kindInt, "int": kindInt, "bigint": kindInt, "year": kindInt,
	"decimal": kindDecimal, "float": kindFloat, "double": kindFloat, "bit": kindBit,
	"char": kindText, "varchar": kindText, "tinytext": kindText, "text": kindText, "mediumtext": kindText, "longtext": kindText, "enum": kindText, "set": kindText,
	"json": kindText, "uuid": kindText, "inet4": kindText, "inet6": kindText,
	"date": kindTime, "time": kindTime, "datetime": kindTime, "timestamp": kindTime,
	"binary": kindBytes, "varbinary": kindBytes, "tinyblob": kindBytes, "blob": kindBytes, "mediumblob": kindBytes, "longblob": kindBytes,
	"geometry": kindBytes, "point": kindBytes, "linestring": kindBytes, "polygon": kindBytes, "multipoint": kindBytes, "multilinestring": kindBytes, "multipolygon": kindBytes,
	"geometrycollection": kindBytes, "geomcollection": kindBytes,
}

// read is the expression that reads a column's value whole.
func (c column) read(alias string) string {
	name := alias + "." + ident(c.Name)
	switch c.kind {
	case kindFloat:
		return name + " + 0e0"
	case kindBit:
		return name + " + 0"
	}
	return name
}

// value is the canonical value of what the driver gives: the server's text, or for a number that. Whole numbers beyond an
// int64 are text.
func (c column) value(text sql.RawBytes, number any) (v migrations.Value, err error) {
	switch {
	case !c.number() && text == nil:
		return nil, nil
	case !c.number() && c.kind == kindBytes:
		v = append([]byte{}, text...)
	case !c.number():
		v = string(text)
	default:
		v = number
		if n, unsigned := number.(uint64); unsigned {
			if v = int64(n); n > math.MaxInt64 {
				v = strconv.FormatUint(n, 10)
			}
		}
	}
	if c.common {
		return c.commonValue(v)
	}
	return v, nil
}

// number reports whether the driver makes a number of the column's values.
func (c column) number() bool { return c.kind == kindInt || c.kind == kindBit || c.kind == kindFloat }

// appendLiteral appends a value of the column as SQL. A number is written bare: as a text it would be compared as a
// DOUBLE.
func (c column) appendLiteral(b []byte, v migrations.Value) []byte {
	switch v := v.(type) {
	case nil:
		if c.zero {
			return append(b, "'0000-00-00'"...)
		}
		return append(b, "NULL"...)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		if v == 0 && math.Signbit(v) {
			return append(b, "-0e0"...)
		}
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	case []byte:
		return append(appendEscaped(append(b, "_binary'"...), v), '\'')
	case string:
		if c.kind != kindText && c.kind != kindTime && numeric(v) {
			return append(b, v...)
		}
		return append(appendEscaped(append(b, '\''), v), '\'')
	}
	panic(fmt.Sprintf("mysql: a value of type %T is not canonical", v))
}

func (c column) literal(v migrations.Value) string { return string(c.appendLiteral(nil, v)) }

func numeric(s string) bool {
	digits := strings.Trim(strings.TrimPrefix(s, "-"), "0123456789")
	return s != "" && s != "-" && s != "." && (digits == "" || digits == "." || strings.HasPrefix(digits, ".") && len(digits) == 1)
}

// appendEscaped appends what stands between quotes in a session with backslashes.
func appendEscaped[T string | []byte | sql.RawBytes](b []byte, s T) []byte {
	for i := range len(s) {
		switch ch := s[i]; ch {
		case 0:
			b = append(b, '\\', '0')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case 0x1a:
			b = append(b, '\\', 'Z')
		case '\\', '\'', '"':
			b = append(b, '\\', ch)
		default:
			b = append(b, ch)
		}
	}
	return b
}

// literal quotes a text of ours, whatever the session says of backslashes.
func literal(s string) string {
	if strings.ContainsAny(s, "\\") || !utf8.ValidString(s) {
		return "_utf8mb4 x'" + hex.EncodeToString([]byte(s)) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// scan reads every row as canonical values; of the extra last columns, whole numbers, it gives the values apart.
func scan(rows *sql.Rows, columns []column, extra int, yield func(vs []migrations.Value, more []int64) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	raw, numbers := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	more := make([]int64, extra)
	dest := make([]any, 0, len(columns)+extra)
	for i, c := range columns {
		if c.number() {
			dest = append(dest, &numbers[i])
		} else {
			dest = append(dest, &raw[i])
		}
	}
	for i := range more {
		dest = append(dest, &more[i])
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		vs := make([]migrations.Value, len(columns))
		for i, c := range columns {
			if vs[i], err = c.value(raw[i], numbers[i]); err != nil {
				return fmt.Errorf("column %s: %w", c.Name, err)
			}
		}
		if err := yield(vs, more); err != nil {
			return err
		}
	}
	return rows.Err()
}

// maxName is the length in characters beyond which the server refuses a name.
const maxName = 64

// short is a name that the server takes, told from others by a hash where it had to be cut.
func short(name string) string {
	if utf8.RuneCountInString(name) <= maxName {
		return name
	}
	h := sha256.Sum256([]byte(name))
	return string([]rune(name)[:maxName-9]) + "_" + hex.EncodeToString(h[:4])
}

// unix is a time that the server gives in seconds.
func unix(s float64) time.Time { return time.Unix(int64(s), 0).UTC() }

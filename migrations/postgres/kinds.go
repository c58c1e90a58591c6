package postgres

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/strangler-fig/strangler/migrations"
)

// Types that are treated apart from others of their kind.
const (
	oidName        = 19
	oidText        = 25
	oidVarchar     = 1043
	oidChar        = 1042
	oidTimestamptz = 1184
)

// kindByType are the types of the server that every kind of database has an equal of.
var kindByType = map[uint32]migrations.Kind{
	16: migrations.KindBoolean, oidBytea: migrations.KindBytes, oidName: migrations.KindText, oidInt8: migrations.KindInteger, oidInt2: migrations.KindInteger, oidInt4: migrations.KindInteger,
	oidText: migrations.KindText, 114: migrations.KindJSON, 700: migrations.KindFloat, 701: migrations.KindFloat, oidChar: migrations.KindText, oidVarchar: migrations.KindText,
	1082: migrations.KindDate, 1083: migrations.KindTime, 1114: migrations.KindTimestamp, oidTimestamptz: migrations.KindTimestamp,
	1700: migrations.KindDecimal, 2950: migrations.KindUUID, 3802: migrations.KindJSON,
}

// bytesOf are the types of numbers that differ only in their size.
var bytesOf = map[uint32]int{oidInt2: 2, oidInt4: 4, oidInt8: 8, 700: 4, 701: 8}

// nameBytes are what a column of the type name holds; it cuts off the rest.
const nameBytes = 63

// fraction is the number of digits behind the second where the type names none.
const fraction = 6

// setKind says what the column holds; typmod and name are those of its type below domains. A numeric that rounds before its
// point, or has fewer digits than stand behind it, has no equal elsewhere.
func (c *column) setKind(typmod int, name string) {
	c.Kind, c.Size = kindByType[c.base], bytesOf[c.base]
	if c.baseKind == "e" || c.baseKind == "b" && name == "citext" {
		c.Kind = migrations.KindText
	}
	switch {
	case c.base == oidName:
		c.Size = nameBytes
	case c.Kind == migrations.KindText:
		c.Size = max(0, typmod-4)
	case c.Kind == migrations.KindTime || c.Kind == migrations.KindTimestamp:
		c.Size = fraction
		if typmod >= 0 {
			c.Size = typmod
		}
	case c.Kind == migrations.KindDecimal && typmod >= 0:
		c.Size, c.Scale = (typmod-4)>>16, (typmod-4)&0x7ff^0x400-0x400
		if c.Scale < 0 || c.Scale > c.Size {
			c.Kind, c.Size, c.Scale = "", 0, 0
		}
	}
	c.Auto = c.Kind == migrations.KindInteger && c.sequence != ""
}

// commonValue is the common form of what the server wrote, which is not NULL.
func (c column) commonValue(raw []byte) (migrations.Value, error) {
	s := string(raw)
	switch c.Kind {
	case migrations.KindInteger:
		return strconv.ParseInt(s, 10, 64)
	case migrations.KindBoolean:
		if s == "t" {
			return int64(1), nil
		}
		return int64(0), nil
	case migrations.KindDecimal:
		return migrations.CommonDecimal(s)
	case migrations.KindFloat:
		f, err := strconv.ParseFloat(s, 8*c.Size)
		return f + 0, err // no minus before zero
	case migrations.KindText:
		if c.base == oidChar {
			s = strings.TrimRight(s, " ")
		}
		return s, nil
	case migrations.KindBytes:
		return hex.DecodeString(strings.TrimPrefix(s, `\x`))
	case migrations.KindDate, migrations.KindTime, migrations.KindTimestamp:
		if c.base == oidTimestamptz {
			s = strings.TrimSuffix(s, "+00")
		}
		if c.ends && !c.NotNull && strings.TrimPrefix(s, "-") == "infinity" {
			return nil, nil
		}
		return migrations.CommonMoment(c.Kind, s)
	case migrations.KindUUID:
		return s, nil
	case migrations.KindJSON:
		return migrations.CommonJSON(s)
	}
	return nil, fmt.Errorf("%w: other kinds of database have no %s", migrations.ErrMisfit, c.Type)
}

// keeps refuses a row of which the server would take a value and round it, or cut its end off. The other side's table may
// have been made with wider columns.
func (t *table) keeps(r migrations.Row) error {
	for i, c := range t.columns {
		if !c.keeps(r[i]) {
			return fmt.Errorf("%w: column %s of %s is %s, which does not keep %.40q", migrations.ErrMisfit, c.Name, t.bound, c.Type, fmt.Sprint(r[i]))
		}
	}
	return nil
}

func (c column) keeps(v migrations.Value) bool {
	switch v := v.(type) {
	case float64:
		return c.Size != 4 || math.IsNaN(v) || float64(float32(v)) == v
	case string:
		switch {
		case c.base == oidName:
			return len(v) <= nameBytes
		case c.Kind == migrations.KindText:
			return (c.base != oidChar || !strings.HasSuffix(v, " ")) && (c.Size == 0 || len(v) <= c.Size || utf8.RuneCountInString(v) <= c.Size)
		case c.Kind == migrations.KindDecimal && c.Size > 0:
			return behindPoint(v) <= c.Scale
		case c.Kind == migrations.KindTime || c.Kind == migrations.KindTimestamp:
			return behindPoint(v) <= c.Size
		}
	}
	return true
}

// behindPoint counts the digits of a fraction.
func behindPoint(s string) int {
	_, digits, _ := strings.Cut(s, ".")
	return len(digits)
}

// typed is the type that holds every value of another database's column, as format_type writes it.
func typed(c migrations.Column) string {
	switch c.Kind {
	case migrations.KindInteger:
		switch {
		case c.Size <= 2:
			return "smallint"
		case c.Size <= 4:
			return "integer"
		}
		return "bigint"
	case migrations.KindBoolean:
		return "boolean"
	case migrations.KindDecimal:
		if c.Size == 0 || c.Size > maxDigits {
			return "numeric"
		}
		return fmt.Sprintf("numeric(%d,%d)", c.Size, c.Scale)
	case migrations.KindFloat:
		if c.Size == 4 {
			return "real"
		}
		return "double precision"
	case migrations.KindText:
		if c.Size == 0 || c.Size > maxVarchar {
			return "text"
		}
		return fmt.Sprintf("character varying(%d)", c.Size)
	case migrations.KindBytes:
		return "bytea"
	case migrations.KindDate:
		return "date"
	case migrations.KindTime, migrations.KindTimestamp:
		return fmt.Sprintf("%s(%d) without time zone", c.Kind, min(c.Size, fraction))
	case migrations.KindUUID:
		return "uuid"
	case migrations.KindJSON:
		return "jsonb"
	}
	panic(fmt.Sprintf("postgres: no type for a column of kind %q", c.Kind))
}

// The largest sizes that numeric and varchar may name.
const (
	maxDigits  = 1000
	maxVarchar = 10_485_760
)

package mysql

import (
	"database/sql"
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/strangler-fig/strangler/migrations"
)

// measures are what the catalog says of a column's bounds.
type measures struct {
	characters, precision, scale, fraction sql.NullInt64
}

// bytesOf are the sizes of whole numbers.
var bytesOf = map[string]int{"tinyint": 1, "smallint": 2, "year": 2, "mediumint": 3, "int": 4, "bigint": 8}

// settle gives the column its kind. A BIGINT UNSIGNED, which most generated keys are, is a whole number, and what is
// beyond 64 bits with a sign is a misfit.
func (c *column) settle(m measures) {
	switch c.data {
	case "tinyint", "smallint", "year", "mediumint", "int", "bigint":
		c.Kind, c.Size = migrations.KindInteger, bytesOf[c.data]
		if strings.Contains(c.Type, "unsigned") {
			c.Size = min(8, 2*c.Size)
		}
		if c.Type == "tinyint(1)" {
			c.Kind, c.Size = migrations.KindBoolean, 0
		}
	case "bit":
		c.Kind, c.Size = migrations.KindInteger, 8
		if c.Type == "bit(1)" {
			c.Kind, c.Size = migrations.KindBoolean, 0
		}
	case "decimal":
		c.Kind, c.Size, c.Scale = migrations.KindDecimal, int(m.precision.Int64), int(m.scale.Int64)
	case "float":
		c.Kind, c.Size = migrations.KindFloat, 4
	case "double":
		c.Kind, c.Size = migrations.KindFloat, 8
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set":
		c.Kind, c.Size = migrations.KindText, bounded(m.characters)
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		c.Kind, c.Size = migrations.KindBytes, bounded(m.characters)
	case "date":
		c.Kind = migrations.KindDate
	case "time":
		c.Kind, c.Size = migrations.KindTime, int(m.fraction.Int64)
	case "datetime", "timestamp":
		c.Kind, c.Size = migrations.KindTimestamp, int(m.fraction.Int64)
	case "uuid":
		c.Kind = migrations.KindUUID
	case "json":
		c.Kind = migrations.KindJSON
	}
}

// bounded is a length, 0 for that of a LONGTEXT or a LONGBLOB.
func bounded(n sql.NullInt64) int {
	if n.Int64 >= 1<<32-1 {
		return 0
	}
	return int(n.Int64)
}

// jsonCheck is how MariaDB writes that a column was declared JSON.
var jsonCheck = regexp.MustCompile("(?m)^  `((?:[^`]|``)*)` longtext .*CHECK \\(json_valid\\(`((?:[^`]|``)*)`\\)\\),?$")

// documents gives the columns that MariaDB knows as JSON by a check only their kind.
func (t *table) documents() {
	for _, m := range jsonCheck.FindAllStringSubmatch(t.ddl, -1) {
		for i, c := range t.columns {
			if m[1] == m[2] && c.Name == strings.ReplaceAll(m[1], "``", "`") {
				t.columns[i].Kind = migrations.KindJSON
			}
		}
	}
}

// moment reports whether the column holds days.
func (c column) moment() bool {
	return c.Kind == migrations.KindDate || c.Kind == migrations.KindTimestamp
}

// zeroDay is a date that no calendar has.
var zeroDay = regexp.MustCompile(`^(0000-|....-00|....-..-00)`)

// commonValue is the common form of a value.
func (c column) commonValue(v migrations.Value) (out migrations.Value, err error) {
	switch s, text := v.(string); {
	case v == nil:
	case c.Kind == migrations.KindInteger && text:
		err = fmt.Errorf("%w: %s is more than other databases' whole numbers hold", migrations.ErrMisfit, s)
	case c.Kind == migrations.KindBoolean && v != int64(0) && v != int64(1):
		err = fmt.Errorf("%w: %v is neither 0 nor 1", migrations.ErrMisfit, v)
	case c.Kind == migrations.KindDecimal:
		v, err = migrations.CommonDecimal(s)
	case c.abroad && c.moment() && zeroDay.MatchString(s):
		if c.NotNull && !c.zero {
			return nil, fmt.Errorf("%w: %s is a day of no calendar", migrations.ErrMisfit, s)
		}
		v = nil
	case c.moment() || c.Kind == migrations.KindTime:
		v, err = migrations.CommonMoment(c.Kind, s)
	case c.Kind == migrations.KindFloat:
		v = v.(float64) + 0 // no minus before zero
	case c.Kind == migrations.KindJSON:
		v, err = migrations.CommonJSON(s)
	}
	return v, err
}

// keeps reports whether the server takes a value as it is. It rounds numbers and fractions of seconds, cuts blanks off and
// fills up with zeros, and says nothing of it.
func (c column) keeps(v migrations.Value) bool {
	switch v := v.(type) {
	case int64:
		return c.data != "year" || v == 0 || v > 1900
	case float64:
		return !math.IsNaN(v) && !math.IsInf(v, 0) && (c.data != "float" || float64(float32(v)) == v)
	case []byte:
		return c.data != "binary" || len(v) == c.Size
	case string:
		_, fraction, _ := strings.Cut(v, ".")
		switch c.Kind {
		case migrations.KindDecimal:
			return len(fraction) <= c.Scale
		case migrations.KindTime, migrations.KindTimestamp:
			return len(fraction) <= c.Size
		case migrations.KindText:
			return (c.data != "char" || !strings.HasSuffix(v, " ")) && (c.Size == 0 || len(v) <= c.Size || c.data != "varchar" || utf8.RuneCountInString(v) <= c.Size)
		}
	}
	return true
}

// Lengths of text in a table that the plan makes: what an index takes, also with a second column, and from where on a
// row's own page would be too small.
const (
	longestKey    = 255
	longestInline = 1000
)

// typed is a column's type, as the catalog writes it, for one of another kind of database; short: an index has it.
func (d *Database) typed(c migrations.Column, short bool) string {
	width := func(name string, digits int) string {
		if d.mariadb {
			return fmt.Sprintf("%s(%d)", name, digits)
		}
		return name
	}
	size := c.Size
	if short && (size == 0 || size > 3*longestKey) {
		size = longestKey
	}
	fraction := func(name string) string {
		if c.Size > 0 {
			return fmt.Sprintf("%s(%d)", name, min(c.Size, 6))
		}
		return name
	}
	switch c.Kind {
	case migrations.KindInteger:
		switch {
		case c.Size > 4:
			return width("bigint", 20)
		case c.Size > 2:
			return width("int", 11)
		}
		return width("smallint", 6)
	case migrations.KindBoolean:
		return "tinyint(1)"
	case migrations.KindDecimal:
		if c.Size == 0 {
			return "decimal(65,30)"
		}
		return fmt.Sprintf("decimal(%d,%d)", c.Size, c.Scale)
	case migrations.KindFloat:
		if c.Size == 4 {
			return "float"
		}
		return "double"
	case migrations.KindText:
		return sized(size, "varchar", "text", "longtext") + d.exact()
	case migrations.KindBytes:
		return sized(size, "varbinary", "blob", "longblob")
	case migrations.KindDate:
		return "date"
	case migrations.KindTime:
		return fraction("time")
	case migrations.KindTimestamp:
		return fraction("datetime")
	case migrations.KindUUID:
		if d.mariadb {
			return "uuid"
		}
		return "char(36)" + d.exact()
	case migrations.KindJSON:
		if d.mariadb {
			return "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
		}
		return "json"
	}
	return ""
}

func sized(n int, short, middle, long string) string {
	switch {
	case n == 0 || n > (1<<16-1)/4:
		return long
	case n > longestInline:
		return middle
	}
	return fmt.Sprintf("%s(%d)", short, n)
}

// exact is the character set and the collation by which only equal texts are equal.
func (d *Database) exact() string {
	if d.mariadb {
		return " CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
	}
	return " CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
}

package migrations

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is what a column holds, in words that all kinds of database share. Between two databases of one kind rows go as
// that database writes them, and kinds are not asked for; between others (Binding.Common) every value is read in the
// common form of its column's kind, and written as such.
type Kind string

// The common form of each kind.
const (
	KindInteger   Kind = "integer"   // int64; Size is its bytes
	KindBoolean   Kind = "boolean"   // int64, 0 or 1
	KindDecimal   Kind = "decimal"   // text, by CommonDecimal; Size is its digits, Scale those behind the point
	KindFloat     Kind = "float"     // float64, no minus before zero; Size is its bytes, 4 or 8
	KindText      Kind = "text"      // text; Size is its characters, 0: any number
	KindBytes     Kind = "bytes"     // bytes; Size is their number, 0: any
	KindDate      Kind = "date"      // text, 2006-01-02
	KindTime      Kind = "time"      // text, 15:04:05 and a fraction of Size digits at most, without zeros at its end
	KindTimestamp Kind = "timestamp" // text, 2006-01-02 15:04:05 and such a fraction; one with a time zone is in UTC
	KindUUID      Kind = "uuid"      // text, in lower case, with hyphens
	KindJSON      Kind = "json"      // text, by CommonJSON
)

// keyKinds are those of which every kind of database finds a value again by its common form.
var keyKinds = []Kind{KindInteger, KindText, KindBytes, KindUUID, KindDate}

// Reference is a foreign key between two tables that move.
type Reference struct {
	Name               string
	Columns, Targets   []string
	Parent             int    // index of the table that it refers to
	OnDelete, OnUpdate string // CASCADE or SET NULL, which all kinds of database have; empty: it refuses
}

// Acts is what follows the names in the making of r: " ON DELETE CASCADE" or the like.
func (r Reference) Acts() (s string) {
	if r.OnDelete != "" {
		s += " ON DELETE " + r.OnDelete
	}
	if r.OnUpdate != "" {
		s += " ON UPDATE " + r.OnUpdate
	}
	return s
}

// Action is what a foreign key does, where every kind of database can do it; empty: it refuses, or does what some cannot.
func Action(rule string) string {
	if rule == "CASCADE" || rule == "SET NULL" {
		return rule
	}
	return ""
}

// CommonDecimal is the shortest writing of a number: no exponent, no zeros at its ends, no minus before zero. NaN, Infinity
// and -Infinity stay.
func CommonDecimal(s string) (string, error) {
	if s == "NaN" || s == "Infinity" || s == "-Infinity" {
		return s, nil
	}
	rest, negative := strings.CutPrefix(s, "-")
	digits, exponent, scientific := strings.Cut(strings.ToLower(strings.TrimPrefix(rest, "+")), "e")
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return "", fmt.Errorf("%w: %.40q is not a number", ErrMisfit, s)
	}
	if scientific {
		const most = 20_000 // digits of PostgreSQL's largest number and its smallest
		by, err := strconv.Atoi(exponent)
		if err != nil || by > most || by < -most {
			return "", fmt.Errorf("%w: %.40q is not a number", ErrMisfit, s)
		}
		all, point := whole+fraction, len(whole)+by
		if point < 0 {
			all, point = strings.Repeat("0", -point)+all, 0
		}
		if point > len(all) {
			all += strings.Repeat("0", point-len(all))
		}
		whole, fraction = all[:point], all[point:]
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if negative && whole != "0" {
		whole = "-" + whole
	}
	return whole, nil
}

// shapes are what a moment looks like, each digit a 0.
var shapes = map[Kind]string{KindDate: "0000-00-00", KindTime: "00:00:00", KindTimestamp: "0000-00-00 00:00:00"}

// CommonMoment is a date, a time or a timestamp in its common form. Infinity and -infinity, in small letters, stay.
func CommonMoment(k Kind, s string) (string, error) {
	if s == "infinity" || s == "-infinity" {
		return s, nil
	}
	head, fraction, fractioned := strings.Cut(s, ".")
	shape := []byte(head)
	for i, c := range shape {
		if c >= '0' && c <= '9' {
			shape[i] = '0'
		}
	}
	if string(shape) != shapes[k] || strings.Trim(fraction, "0123456789") != "" || fractioned && (k == KindDate || fraction == "") {
		return "", fmt.Errorf("%w: %.40q is not a %s", ErrMisfit, s, k)
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > 6 {
		return "", fmt.Errorf("%w: %.40q has more than microseconds", ErrMisfit, s)
	}
	if fraction != "" {
		head += "." + fraction
	}
	return head, nil
}

// CommonJSON is a document without spaces, its names sorted, of names that come twice the last one, its numbers by
// CommonDecimal.
func CommonJSON(s string) (string, error) {
	if !utf8.ValidString(s) || halfCharacter(s) {
		return "", fmt.Errorf("%w: %.40q has half a character", ErrMisfit, s)
	}
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	if _, end := d.Token(); err == nil && end != io.EOF {
		err = fmt.Errorf("something follows it")
	}
	if err == nil {
		v, err = plainNumbers(v)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %.40q is not JSON: %w", ErrMisfit, s, err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("%w: %.40q: %w", ErrMisfit, s, err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

var (
	escape    = regexp.MustCompile(`\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}`)
	character = len(`\ud83d\ude00`)
)

// halfCharacter finds one of the two escapes of a character alone. A reader of JSON makes another character of it.
func halfCharacter(s string) bool {
	return slices.ContainsFunc(escape.FindAllString(s, -1), func(e string) bool { return e != `\\` && len(e) < character })
}

func plainNumbers(v any) (_ any, err error) {
	switch x := v.(type) {
	case json.Number:
		s, err := CommonDecimal(x.String())
		return json.Number(s), err
	case []any:
		for i := range x {
			if x[i], err = plainNumbers(x[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range x {
			if x[name], err = plainNumbers(x[name]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// words name the column's type for people who know another kind of database.
func (c Column) words() string {
	switch {
	case c.Kind == "":
		return c.Type
	case c.Kind == KindDecimal && c.Size > 0:
		return fmt.Sprintf("%s (%s of %d digits, %d behind the point)", c.Type, c.Kind, c.Size, c.Scale)
	case c.Size > 0:
		return fmt.Sprintf("%s (%s of %d)", c.Type, c.Kind, c.Size)
	}
	return fmt.Sprintf("%s (%s)", c.Type, c.Kind)
}

// takes reports whether every value of a column of another database goes into c.
func (c Column) takes(of Column) bool {
	if c.Kind != of.Kind {
		return false
	}
	switch c.Kind {
	case KindDecimal:
		return c.Size == 0 || of.Size > 0 && c.Scale >= of.Scale && c.Size-c.Scale >= of.Size-of.Scale
	case KindText, KindBytes:
		return c.Size == 0 || of.Size > 0 && c.Size >= of.Size
	}
	return c.Size >= of.Size
}

// FitsKinds says what keeps the rows of a table from going into one of another kind of database; nothing where they go.
func FitsKinds(from, into Table) (wrong []string) {
	has := map[string]Column{}
	for _, c := range into.Columns {
		has[c.Name] = c
	}
	for _, c := range from.Columns {
		h, ok := has[c.Name]
		switch {
		case !ok:
			wrong = append(wrong, "it has no column "+c.Name+" that takes values")
		case !h.takes(c):
			wrong = append(wrong, fmt.Sprintf("column %s is %s there and %s in the monolith", c.Name, h.words(), c.words()))
		case h.NotNull && !c.NotNull && !slices.Contains(from.Key, c.Name):
			wrong = append(wrong, fmt.Sprintf("column %s refuses NULL, the monolith's does not", c.Name))
		}
		delete(has, c.Name)
	}
	for _, c := range into.Columns {
		if _, more := has[c.Name]; more {
			wrong = append(wrong, "it has a column more: "+c.Name)
		}
	}
	if !slices.Equal(from.Key, into.Key) {
		wrong = append(wrong, fmt.Sprintf("its key is (%s), the monolith's (%s)", strings.Join(into.Key, ", "), strings.Join(from.Key, ", ")))
	}
	return wrong
}

// carried is what forbids that the tables of a side go to, or come from, another kind of database.
func carried(s Schema) (out []Problem) {
	for _, t := range s.Tables {
		for _, c := range t.Columns {
			switch {
			case c.Kind == "":
				out = append(out, Problem{"type", fmt.Sprintf("column %s of %s is of a type that other kinds of database do not have (%s)", c.Name, t.Name, cmp.Or(c.Type, "none")), "give it another type, or the service a " + s.Engine + " database"})
			case slices.Contains(t.Key, c.Name) && !slices.Contains(keyKinds, c.Kind):
				out = append(out, Problem{"key", fmt.Sprintf("column %s of the key of %s is %s; between two kinds of database a key is whole numbers, text, bytes, UUIDs or dates", c.Name, t.Name, c.words()), "give the table such a key"})
			}
		}
	}
	return out
}

package enginetest

import (
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler/migrations"
)

// Plain is every row of a table, given as its database quotes it, in words that are the same in all kinds of database: each
// column with its name, in the order of these; NULL is ∅. The rows are sorted.
func Plain(t testing.TB, db *sql.DB, table string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatalf("read %s: %v", table, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	for err == nil && rows.Next() {
		values, dest, row := make([]any, len(names)), make([]any, len(names)), make([]string, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		err = rows.Scan(dest...)
		for i, name := range names {
			row[i] = name + " " + word(values[i])
		}
		slices.Sort(row)
		out = append(out, strings.Join(row, " | "))
	}
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		t.Fatalf("read %s: %v", table, err)
	}
	slices.Sort(out)
	return out
}

// word is a value as a text in which numbers, moments and documents are written one way.
func word(v any) string {
	text := fmt.Sprint(v)
	switch v := v.(type) {
	case nil:
		return "∅"
	case bool:
		return map[bool]string{true: "1", false: "0"}[v]
	case time.Time:
		return strings.TrimSuffix(v.UTC().Format("2006-01-02 15:04:05.999999"), " 00:00:00")
	case []byte:
		text = string(v)
	case float64:
		text = strconv.FormatFloat(v, 'e', -1, 64)
	}
	forms := []func(string) (string, error){migrations.CommonDecimal}
	for _, k := range []migrations.Kind{migrations.KindDate, migrations.KindTime, migrations.KindTimestamp} {
		forms = append(forms, func(s string) (string, error) {
			s, err := migrations.CommonMoment(k, s)
			return strings.TrimSuffix(s, " 00:00:00"), err
		})
	}
	if strings.HasPrefix(text, "{") {
		forms = append(forms, migrations.CommonJSON)
	}
	for _, form := range forms {
		if s, err := form(text); err == nil {
			return s
		}
	}
	return fmt.Sprintf("%q", text)
}

package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// fits refuses a table of the service into which the monolith's rows do not go unchanged.
func (d *Database) fits(source migrations.Table, t *table) error {
	wrong := unfit
	if d.b.Common {
		wrong = func(source migrations.Table, t *table) []string { return migrations.FitsKinds(source, t.described()) }
	}
	if found := wrong(source, t); len(found) > 0 {
		return strangler.Refuse("fit", fmt.Sprintf("the service's table %s does not take the monolith's rows: %s", t.bound, strings.Join(found, "; ")), "change it, or drop it and let the plan make it")
	}
	return nil
}

// unfit says what keeps the rows of another PostgreSQL database out. Columns go by their names, whatever their order;
// generated ones do not travel.
func unfit(source migrations.Table, t *table) (wrong []string) {
	has := map[string]column{}
	for _, c := range t.columns {
		has[c.Name] = c
	}
	for _, c := range source.Columns {
		h, ok := has[c.Name]
		switch {
		case !ok:
			wrong = append(wrong, "it has no column "+c.Name+" that takes values")
		case h.Type != c.Type:
			wrong = append(wrong, fmt.Sprintf("column %s is %s there and %s in the monolith", c.Name, h.Type, c.Type))
		case h.NotNull && !c.NotNull:
			wrong = append(wrong, fmt.Sprintf("column %s refuses NULL, the monolith's does not", c.Name))
		}
		delete(has, c.Name)
	}
	for _, c := range t.columns {
		if _, more := has[c.Name]; more {
			wrong = append(wrong, "it has a column more: "+c.Name)
		}
	}
	var key []string
	for _, c := range t.key() {
		key = append(key, c.Name)
	}
	if !slices.Equal(key, source.Key) {
		wrong = append(wrong, fmt.Sprintf("its key is (%s), the monolith's (%s)", strings.Join(key, ", "), strings.Join(source.Key, ", ")))
	}
	return wrong
}

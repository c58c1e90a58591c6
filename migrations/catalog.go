package migrations

import "strings"

// Catalog is what tables a database has, and how they hang together, for who proposes what may leave it. Strangler's own are
// not in it.
type Catalog struct {
	Tables []string     // as strangler.yaml names them, by name
	Keys   []ForeignKey // Table, Columns, Parent, Targets and OnDelete; a Parent of another database is in no Tables
}

// Own reports whether a table is Strangler's.
func Own(table string) bool { return strings.HasPrefix(strings.ToLower(table), "strangler_") }

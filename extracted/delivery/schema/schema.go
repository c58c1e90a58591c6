// Package schema holds the delivery service's tables as golang-migrate scripts, a folder per
// dialect. They are the monolith's tables of the same names, column by column, but for the foreign
// keys to tables that stay there.
package schema

import "embed"

// Scripts has the folders sqlite, postgres and mysql.
//
//go:embed sqlite/*.sql postgres/*.sql mysql/*.sql
var Scripts embed.FS

// VersionTable is where golang-migrate keeps the version these scripts have reached.
const VersionTable = "delivery_schema_version"

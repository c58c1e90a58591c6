// Package schema holds the monolith's tables as golang-migrate scripts, a folder per dialect.
package schema

import "embed"

// Scripts has the folders sqlite, postgres and mysql.
//
//go:embed sqlite/*.sql postgres/*.sql mysql/*.sql
var Scripts embed.FS

// VersionTable is where golang-migrate keeps the version these scripts have reached.
const VersionTable = "shop_schema_version"

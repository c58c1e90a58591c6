package kit

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/database/mysql"
	"github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

// Migrate runs the golang-migrate scripts that scripts holds in a folder per Dialect, from the
// version that the database is at to the newest. versionTable is where that version is kept: each
// program names its own, since a database may carry the scripts of several.
func (d *Database) Migrate(scripts fs.FS, versionTable string) (err error) {
	source, err := iofs.New(scripts, string(d.dialect))
	if err != nil {
		return fmt.Errorf("read the schema scripts for %s: %w", d.dialect, err)
	}
	driver, err := d.schemaDriver(versionTable)
	if err != nil {
		return errors.Join(fmt.Errorf("prepare the schema: %w", err), source.Close())
	}
	m, err := migrate.NewWithInstance("iofs", source, string(d.dialect), driver)
	if err != nil {
		return errors.Join(fmt.Errorf("prepare the schema: %w", err), source.Close(), driver.Close())
	}
	defer func() {
		sourceErr, driverErr := m.Close()
		err = errors.Join(err, sourceErr, driverErr)
	}()
	err = m.Up()
	dirty := migrate.ErrDirty{}
	switch {
	case errors.Is(err, migrate.ErrNoChange):
		return nil
	case errors.As(err, &dirty):
		return fmt.Errorf("schema script %d stopped half-way: repair the tables, then set its version in %s: %w", dirty.Version, versionTable, err)
	case err != nil:
		return fmt.Errorf("bring the schema up to date (version table %s): %w", versionTable, err)
	}
	return nil
}

// schemaDriver opens connections of its own, because golang-migrate closes those it is given.
func (d *Database) schemaDriver(versionTable string) (database.Driver, error) {
	pool, err := d.schemaPool()
	if err != nil {
		return nil, err
	}
	var driver database.Driver
	switch d.dialect {
	case SQLite:
		driver, err = sqlite.WithInstance(pool, &sqlite.Config{MigrationsTable: versionTable})
	case Postgres:
		driver, err = pgx.WithInstance(pool, &pgx.Config{MigrationsTable: versionTable})
	case MySQL:
		driver, err = mysql.WithInstance(pool, &mysql.Config{MigrationsTable: versionTable})
	}
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return driver, nil
}

func (d *Database) schemaPool() (*sql.DB, error) {
	switch d.dialect {
	case SQLite:
		return sql.Open("sqlite", sqliteURL(d.dsn, "_txlock=immediate"))
	case MySQL:
		config, err := mysqlConfig(d.dsn)
		if err != nil {
			return nil, err
		}
		config.MultiStatements = true // a script has many
		connector, err := mysqldriver.NewConnector(config)
		if err != nil {
			return nil, err
		}
		return sql.OpenDB(connector), nil
	}
	return sql.Open("pgx", d.dsn)
}

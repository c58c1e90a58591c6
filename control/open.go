package control

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/strangler-fig/strangler"
)

// Store is an open control store. Its methods may be called by any number of goroutines, and any
// number of processes may have the same store open.
type Store struct {
	db      *gorm.DB
	pool    *sql.DB
	dialect dialect
	id      string
	log     *slog.Logger
	clock   func() time.Time // nil: the dialect's
	fault   func(point string) error
	turn    chan struct{} // holds one token while a write runs; nil where the server queues writers
}

// Open opens the store, and makes it when it is not there. It refuses one that a newer version has
// made (strangler.ErrRefused) and a configuration that it cannot use (strangler.ErrConfig).
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := newDialect(c.DSN)
	if err != nil {
		return nil, err
	}
	s := &Store{dialect: d, log: c.Log, clock: c.Clock, fault: c.Fault}
	if s.log == nil {
		s.log = strangler.Discard()
	}
	if s.fault == nil {
		s.fault = func(string) error { return nil }
	}
	if d.oneWriter {
		s.turn = make(chan struct{}, 1)
	}
	s.db, err = gorm.Open(d.Dialector, &gorm.Config{
		SkipDefaultTransaction: true, // write is the only transaction
		DisableAutomaticPing:   true,
		Logger:                 logger.Discard, // errors are returned
	})
	if err != nil {
		return nil, fmt.Errorf("the control store cannot be opened: %w", explain(err))
	}
	if s.pool, err = s.db.DB(); err != nil {
		return nil, fmt.Errorf("the control store cannot be opened: %w", err)
	}
	if d.sessions > 0 {
		s.pool.SetMaxOpenConns(d.sessions)
		s.pool.SetMaxIdleConns(d.sessions)
		s.pool.SetConnMaxIdleTime(idleSession)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.pool.Close())
	}
	s.warn(ctx)
	return s, nil
}

// warn says in the log what a server is set to that loses what it has acknowledged. A server that does not answer that
// is not asked again: the store can be used.
func (s *Store) warn(ctx context.Context) {
	if s.dialect.durable == "" {
		return
	}
	var durable bool
	if err := s.db.WithContext(ctx).Raw(s.dialect.durable).Scan(&durable).Error; err == nil && !durable {
		s.log.Warn("the control store's server can lose its last commits in a crash or a power cut, and with them who owns a capability; " +
			"set innodb_flush_log_at_trx_commit = 1, and sync_binlog = 1 where it writes a binlog")
	}
}

// prepare makes the schema where it is missing or old, and reads the store's id.
func (s *Store) prepare(ctx context.Context) error {
	if row, err := readStore(s.db.WithContext(ctx)); err == nil && row.Version == schemaVersion {
		s.id = row.ControlID
		return nil
	}
	if s.dialect.makeAlone != nil {
		release, err := s.dialect.makeAlone(ctx, s.pool)
		if err != nil {
			return notDone(pointOpen, err)
		}
		defer release()
	}
	return s.write(ctx, pointOpen, func(tx *gorm.DB) error {
		if s.dialect.lockSchema != "" {
			if err := tx.Exec(s.dialect.lockSchema).Error; err != nil {
				return err
			}
		}
		row := storeRow{ID: 1, ControlID: rand.Text(), Version: schemaVersion}
		if tx.Migrator().HasTable(&storeRow{}) {
			there, err := readStore(tx)
			switch {
			case err == nil && there.Version > schemaVersion:
				return strangler.Refuse("control store", fmt.Sprintf("it was made by a newer version (its schema is %d, this binary knows %d)",
					there.Version, schemaVersion), "install the version of strangler that the other daemons run")
			case err == nil && there.Version == schemaVersion:
				s.id = there.ControlID
				return errUnchanged
			case err == nil:
				row.ControlID, row.Term = there.ControlID, there.Term
			case !errors.Is(err, gorm.ErrRecordNotFound):
				return err
			}
		}
		if err := tx.Set("gorm:table_options", s.dialect.tables).AutoMigrate(tables...); err != nil {
			return err
		}
		if s.dialect.afterMake != "" {
			if err := tx.Exec(s.dialect.afterMake).Error; err != nil {
				return err
			}
		}
		s.id = row.ControlID
		return tx.Clauses(clause.OnConflict{UpdateAll: true}).Create(&row).Error
	})
}

func readStore(db *gorm.DB) (storeRow, error) {
	var row storeRow
	err := db.Where("id = ?", 1).Take(&row).Error
	return row, err
}

// ID is the store's random id, made with it. Both databases of a split carry it, so that two stores
// cannot own one capability.
func (s *Store) ID() string { return s.id }

// Ping says whether the store answers and is still the one that was opened.
func (s *Store) Ping(ctx context.Context) error {
	row, err := readStore(s.db.WithContext(ctx))
	if err != nil {
		return readError("the store's id", err)
	}
	if row.ControlID != s.id {
		return fmt.Errorf("%w: the control store %s was replaced by %s; nothing was changed; restart this process if that was meant",
			strangler.ErrSuperseded, s.id, row.ControlID)
	}
	return nil
}

// Close closes the connections. Calls that are under way fail. Closing twice is safe.
func (s *Store) Close() error { return s.pool.Close() }

// local is the clock of this process.
func (s *Store) local() time.Time {
	if s.clock != nil {
		return s.clock()
	}
	return time.Now()
}

// now is the clock that all processes of a store share.
func (s *Store) now(db *gorm.DB) (time.Time, error) {
	if s.clock != nil || s.dialect.now == "" {
		return moment(stamp(s.local())), nil
	}
	var micros int64
	err := db.Raw(s.dialect.now).Scan(&micros).Error
	return moment(micros), err
}

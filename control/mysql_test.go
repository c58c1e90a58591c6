package control

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
)

// A server that is set to lose what it has acknowledged is told of, and one that is not is not.
func TestAServerThatLosesCommitsIsToldOf(t *testing.T) {
	durable := must(localdb.MariaDB(t.Context(), localdb.Config{Durable: true}))(t)
	t.Cleanup(func() { noError(t, durable.Close()) })
	noError(t, durable.Create(t.Context(), "control", ""))
	for dsn, told := range map[string]bool{mariadbPlace.dsn(t): true, durable.DSN("control"): false} {
		var log bytes.Buffer
		openStore(t, Config{DSN: dsn, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if strings.Contains(log.String(), "innodb_flush_log_at_trx_commit = 1") != told {
			t.Errorf("told %t; the log: %s", told, log.String())
		}
	}
}

// Names that a collation takes for the same are two.
func TestNamesAreComparedByteByByte(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		s := newStore(t, at)
		others := []string{"Delivery", "d\u00e9livery", "DELIVERY"}
		for _, name := range others {
			noError(t, s.Ensure(t.Context(), []strangler.Capability{{Name: name}}))
			must(set(t.Context(), s, name, strangler.ModeShadow, 0))(t)
		}
		if toggle := must(s.Toggle(t.Context(), "delivery"))(t); toggle.Mode != strangler.ModeLegacy {
			t.Errorf("another capability's change reached it: %+v", toggle)
		}
		if toggles := must(s.Snapshot(t.Context()))(t).Toggles; len(toggles) != len(others)+2 {
			t.Errorf("%d toggles, want %d", len(toggles), len(others)+2)
		}
	})
}

// A write that the server gives up so that another one can go on is done behind that one.
func TestAWriteThatADeadlockRolledBackIsDone(t *testing.T) {
	dsn := mariadbPlace.dsn(t)
	s := openStore(t, Config{DSN: dsn})
	ensure(t, s)
	other, looker := onMariaDB.administrator(t, dsn), onMariaDB.administrator(t, dsn)
	tx := must(other.Begin())(t)
	must(tx.Exec("UPDATE control_store SET term = term + 10"))(t) // so that it is not the one to be rolled back
	must(tx.Exec("SELECT 1 FROM control_toggles WHERE capability = 'search' FOR UPDATE"))(t)
	done := make(chan error, 1)
	go func() { // it takes delivery and waits for search
		done <- s.Ensure(t.Context(), []strangler.Capability{{Name: "delivery"}, {Name: "search", Tables: delivery.Tables}})
	}()
	for waiting := 0; waiting == 0; {
		noError(t, looker.QueryRow("SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'").Scan(&waiting))
	}
	must(tx.Exec("SELECT 1 FROM control_toggles WHERE capability = 'delivery' FOR UPDATE"))(t)
	noError(t, tx.Rollback())
	noError(t, <-done)
	toggles := must(s.Snapshot(t.Context()))(t).Toggles
	var stateless []string
	var rows []toggleRow
	noError(t, s.db.Where("stateless = ?", true).Find(&rows).Error)
	for _, row := range rows {
		stateless = append(stateless, row.Capability)
	}
	if len(toggles) != 2 || len(stateless) != 1 || stateless[0] != "delivery" {
		t.Errorf("stateless: %v of %+v", stateless, toggles)
	}
}

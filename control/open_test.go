package control

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

func TestConfigIsRefused(t *testing.T) {
	for _, dsn := range []string{"", "control.db", "sqlite:", "sqlite::memory:", "sqlite:file:x.db", "sqlite:x.db?mode=ro", "oracle://root:secret@h/db", "mysql://root:secret@h/", "mysql://root:secret@h/db?secret=1", "mysql://root:secret@/db", "mysql://root:secret/@h/db"} {
		_, err := Open(t.Context(), Config{DSN: dsn})
		if !errors.Is(err, strangler.ErrConfig) {
			t.Errorf("Open(%q) = %v; want ErrConfig", dsn, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q) tells the password: %v", dsn, err)
		}
	}
	for _, dsn := range []string{"sqlite:.strangler/control.db", "postgres://u@h/db", "postgresql://u@h/db", "mysql://u@h/db"} {
		noError(t, Config{DSN: dsn}.Validate())
	}
}

func TestOpenMakesTheStoreOnce(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		dsn := at.dsn(t)
		first := openStore(t, Config{DSN: dsn})
		if len(first.ID()) < 20 {
			t.Fatalf("id %q is too short to be random", first.ID())
		}
		ensure(t, first)
		must(first.NextTerm(t.Context()))(t)
		second := openStore(t, Config{DSN: dsn})
		if second.ID() != first.ID() {
			t.Errorf("opened again the store has id %s; want %s", second.ID(), first.ID())
		}
		noError(t, second.Ping(t.Context()))
		if other := newStore(t, at); other.ID() == first.ID() {
			t.Error("two stores have one id")
		}
	})
}

// A SQLite store and its folder are its owner's alone, and its commits are durable.
func TestTheFileOfAStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a folder #1 100%", "control.db")
	first := openStore(t, Config{DSN: "sqlite:" + file})
	for path, mode := range map[string]os.FileMode{filepath.Dir(file): 0o700, file: 0o600, file + "-wal": 0o600} {
		info := must(os.Stat(path))(t)
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o; want %o", path, info.Mode().Perm(), mode)
		}
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "10000"} {
		var got string
		noError(t, first.db.Raw("PRAGMA "+pragma).Scan(&got).Error)
		if got != want {
			t.Errorf("%s = %s; want %s", pragma, got, want)
		}
	}
}

func TestAReplacedStoreIsNoticed(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		s := newStore(t, at)
		noError(t, s.db.Model(&storeRow{}).Where("id = 1").Update("control_id", "another").Error)
		wants(t, s.Ping(t.Context()), strangler.ErrSuperseded)
	})
}

func TestANewerStoreIsRefused(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		dsn := at.dsn(t)
		s := openStore(t, Config{DSN: dsn})
		noError(t, s.db.Model(&storeRow{}).Where("id = 1").Update("version", schemaVersion+1).Error)
		_, err := Open(t.Context(), Config{DSN: dsn})
		wants(t, err, strangler.ErrRefused)
	})
}

func TestAnOlderStoreIsBroughtUpAndKeepsItsState(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		dsn := at.dsn(t)
		s := openStore(t, Config{DSN: dsn})
		ensure(t, s)
		term := must(s.NextTerm(t.Context()))(t)
		toggle := must(set(t.Context(), s, "delivery", strangler.ModeShadow, 0))(t)
		run := must(s.StartRun(t.Context(), "", newRun()))(t)
		for _, column := range []string{"paused", "settings", "acts"} { // that version 2 had not
			noError(t, s.db.Migrator().DropColumn(&runRow{}, column))
		}
		if at.name == mariadbPlace.name { // as of version 3
			noError(t, s.db.Exec("ALTER TABLE control_runs ADD settings text, ADD acts text").Error)
			noError(t, s.db.Exec("ALTER TABLE control_splits MODIFY verifying text").Error)
		}
		noError(t, s.db.Model(&storeRow{}).Where("id = 1").Update("version", schemaVersion-1).Error)
		again := openStore(t, Config{DSN: dsn})
		if diff := cmp.Diff(run, must(again.LatestRun(t.Context(), "delivery"))(t)); diff != "" {
			t.Error(diff)
		}
		long := longRun(run)
		noError(t, again.SaveRun(t.Context(), "", long))
		if diff := cmp.Diff(long, must(again.LatestRun(t.Context(), "delivery"))(t)); diff != "" {
			t.Error(diff)
		}
		if again.ID() != s.ID() {
			t.Errorf("the id became %s; want %s", again.ID(), s.ID())
		}
		if next := must(again.NextTerm(t.Context()))(t); next != term+1 {
			t.Errorf("the next term is %d; want %d", next, term+1)
		}
		if got := must(again.Toggle(t.Context(), "delivery"))(t); got != toggle {
			t.Errorf("the toggle became %+v; want %+v", got, toggle)
		}
	})
}

func TestAFileThatIsNoDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "control.db")
	noError(t, os.WriteFile(file, []byte(strings.Repeat("not a database. ", 100)), 0o600))
	if s, err := Open(t.Context(), Config{DSN: "sqlite:" + file}); err == nil {
		s.Close()
		t.Fatal("a file of text was opened as a store")
	}
}

func TestCloseIsFinalAndTwiceSafe(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		s := newStore(t, at)
		noError(t, s.Close())
		noError(t, s.Close())
		if err := s.Ping(context.Background()); err == nil {
			t.Error("a closed store answers")
		}
		_, err := s.NextTerm(context.Background())
		if err == nil || errors.Is(err, strangler.ErrUnknown) {
			t.Errorf("a write to a closed store gives %v; want an error that is certain", err)
		}
	})
}

// Eight processes open a store that does not exist: one makes it, all see the same.
func TestProcessesOpenAtOnce(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		dsn := at.dsn(t)
		children := make([]*exec.Cmd, 8)
		outputs := make([]strings.Builder, len(children))
		for i := range children {
			children[i] = childProcess(t, "id", dsn)
			children[i].Stdout = &outputs[i]
			children[i].Stderr = &outputs[i]
			noError(t, children[i].Start())
		}
		for i, c := range children {
			if err := c.Wait(); err != nil {
				t.Errorf("process %d: %v: %s", i, err, outputs[i].String())
			}
		}
		s := openStore(t, Config{DSN: dsn})
		for i := range outputs {
			if outputs[i].String() != s.ID() {
				t.Errorf("process %d saw the id %q; want %q", i, outputs[i].String(), s.ID())
			}
		}
		if term := must(s.NextTerm(t.Context()))(t); term != int64(len(children))*childTerms+1 {
			t.Errorf("the term after %d processes took %d each is %d", len(children), childTerms, term)
		}
	})
}

func childProcess(t *testing.T, task, dsn string) *exec.Cmd {
	t.Helper()
	c := exec.Command(must(os.Executable())(t), dsn)
	c.Env = append(os.Environ(), childVariable+"="+task)
	return c
}

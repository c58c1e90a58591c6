package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler/extracted/kit/contract"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

func TestRunRefusesUnusableArguments(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"unknown flag", []string{"--color", "red"}, 2, "color"},
		{"argument", []string{"serve"}, 2, `unexpected argument "serve"`},
		{"database of another kind", []string{"--database", "mongodb://db"}, 1, "sqlite:path"},
		{"folder that is not there", []string{"--database", "sqlite:/nowhere/at/all.db"}, 1, "its folder must exist"},
		{"server that is not there", []string{"--database", "postgres://delivery:hunter2@127.0.0.1:1/delivery"}, 1, "reach the database"},
		{"MySQL server that is not there", []string{"--database", "mysql://delivery:hunter2@127.0.0.1:1/delivery"}, 1, "reach the database"},
		{"address that cannot be bound", []string{"--database", "sqlite:" + t.TempDir() + "/d.db", "--listen", "256.0.0.1:1"}, 1, "--listen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr strings.Builder
			if code := run(t.Context(), c.args, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(stderr.String(), c.says) || strings.Contains(stderr.String(), "hunter2") {
				t.Errorf("stderr %q, want it to say %q", stderr.String(), c.says)
			}
		})
	}
}

func TestMain(m *testing.M) { os.Exit(localdbtest.Main(m).Run()) }

func TestRunStopsWhenTold(t *testing.T) {
	contract.EachDatabase(t, localdbtest.Fresh, localdbtest.FreshMariaDB, runStopsWhenTold)
}

func runStopsWhenTold(t *testing.T, fresh contract.Fresh) {
	ctx, stop := context.WithCancel(t.Context())
	dsn := fresh(t)
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--listen", "127.0.0.1:0", "--database", dsn}, writer)
		writer.Close()
	}()
	var log strings.Builder
	if _, err := io.Copy(&log, &stopAt{reader: reader, text: "listening", stop: stop}); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, want 0; log:\n%s", got, log.String())
	}
}

// stopAt reads a log to its end and calls stop when it has seen text.
type stopAt struct {
	reader io.Reader
	text   string
	stop   func()
	seen   strings.Builder
}

func (s *stopAt) Read(p []byte) (int, error) {
	n, err := s.reader.Read(p)
	s.seen.Write(p[:n])
	if strings.Contains(s.seen.String(), s.text) {
		s.stop()
	}
	return n, err
}

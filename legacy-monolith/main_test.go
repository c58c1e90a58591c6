package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler/extracted/kit/contract"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

func TestRunRefusesUnusableArguments(t *testing.T) {
	database := "sqlite:" + t.TempDir() + "/shop.db"
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"unknown flag", []string{"--color", "red"}, 2, "color"},
		{"argument", []string{"serve"}, 2, "flags only"},
		{"negative seed", []string{"--seed", "-1"}, 2, "--seed"},
		{"database of another kind", []string{"--database", "mongodb://db"}, 1, "sqlite:path"},
		{"folder that is not there", []string{"--database", "sqlite:/nowhere/at/all.db"}, 1, "its folder must exist"},
		{"server that is not there", []string{"--database", "postgres://shop:hunter2@127.0.0.1:1/shop"}, 1, "reach the database"},
		{"MySQL server that is not there", []string{"--database", "mysql://shop:hunter2@127.0.0.1:1/shop"}, 1, "reach the database"},
		{"delivery without a scheme", []string{"--database", database, "--delivery", "127.0.0.1:9001"}, 1, "--delivery must be a URL"},
		{"delivery has left, and nobody says where to", []string{"--database", database, "--delivery-left"}, 1, "--delivery-left needs --delivery"},
		{"toggles that are no URL", []string{"--database", database, "--toggles", "file:///toggles"}, 1, "--toggles must be a URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr strings.Builder
			if code := run(t.Context(), c.args, "", &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(stderr.String(), c.says) || strings.Contains(stderr.String(), "hunter2") {
				t.Errorf("stderr %q, want it to say %q", stderr.String(), c.says)
			}
		})
	}
}

// TestRunSeedsServesAndStops also covers a restart: the second run finds what the first one seeded.
func TestRunSeedsServesAndStops(t *testing.T) {
	contract.EachDatabase(t, localdbtest.Fresh, localdbtest.FreshMariaDB, runSeedsServesAndStops)
}

func runSeedsServesAndStops(t *testing.T, fresh contract.Fresh) {
	database := fresh(t)
	for _, c := range []struct {
		args   []string
		filled bool
		alone  bool
	}{
		{[]string{"--seed", "100"}, true, true},
		{[]string{"--seed", "200", "--toggles", "http://127.0.0.1:8081"}, false, false},
	} {
		ctx, stop := context.WithCancel(t.Context())
		log, stderr := io.Pipe()
		code := make(chan int, 1)
		go func() {
			code <- run(ctx, append([]string{"--listen", "127.0.0.1:0", "--database", database}, c.args...), "", stderr)
			stderr.Close()
		}()
		alone := false
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			var line struct {
				Msg     string
				Address string
				Filled  bool
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Errorf("%s: %v", lines.Text(), err)
			}
			switch {
			case strings.HasPrefix(line.Msg, "standing alone"):
				alone = true
			case line.Msg == "seed" && line.Filled != c.filled:
				t.Errorf("seed says %s", lines.Text())
			case line.Msg == "listening":
				response, err := http.Get("http://" + line.Address + "/orders/45")
				if err != nil {
					t.Error(err)
				} else if response.Body.Close(); response.StatusCode != http.StatusOK {
					t.Errorf("a seeded order answers %d", response.StatusCode)
				}
				http.DefaultClient.CloseIdleConnections()
				stop()
			}
		}
		if alone != c.alone {
			t.Errorf("%v: says that it stands alone: %t, want %t", c.args, alone, c.alone)
		}
		if got := <-code; got != 0 {
			t.Errorf("exit code %d, want 0", got)
		}
		stop()
	}
}

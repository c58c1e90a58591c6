package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("STRANGLER_DEMO_TEST"); role != "" {
		os.Exit(play4test(role))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if built != "" {
			os.RemoveAll(built)
		}
		os.Exit(code)
	}))
}

// built is the folder of the programs, once they have been.
var built string

// programs builds the three programs, once for all tests.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "strangler-demo")
	if err != nil {
		return "", err
	}
	built = dir
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir+string(filepath.Separator), "../../cmd/strangler", "../../legacy-monolith", "../../extracted/delivery")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

// options are a small demo's, with what it writes.
func options(t *testing.T) (o Options, stdout, stderr *bytes.Buffer) {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return Options{Dir: filepath.Join(t.TempDir(), "demo"), Programs: dir, Rows: 5_000, Exit: true, Stdout: stdout, Stderr: stderr}, stdout, stderr
}

func TestDemoFromEndToEnd(t *testing.T) {
	for _, database := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(database, func(t *testing.T) { demoFromEndToEnd(t, database) })
	}
}

func demoFromEndToEnd(t *testing.T, database string) {
	o, stdout, stderr := options(t)
	o.Database, o.JSON = database, true
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var printed Result
	decoder := json.NewDecoder(stdout)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&printed); err != nil || decoder.More() {
		t.Fatalf("stdout is not one object: %v", err)
	}
	if printed.Database != database || printed.Requests != result.Requests || printed.Requests.Sent == 0 || printed.Writes.Acknowledged == 0 || printed.Verify.Rows < 5_000 {
		t.Errorf("printed %+v, returned %+v", printed, result)
	}
	var steps []string
	for _, s := range printed.Steps {
		steps = append(steps, s.Name+" "+string(s.State))
	}
	forward := "expand done, copy done, verify done, shadow done, canary done, cutover done, soak done"
	if got, want := strings.Join(steps, ", "), forward+", soak undone, cutover undone, "+forward; got != want {
		t.Errorf("steps %s\nwant  %s", got, want)
	}
	for _, want := range []string{"moving delivery to the service", "rolling back", "moving delivery again"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr does not say %q:\n%s", want, stderr)
		}
	}
	if _, err := config.Load(filepath.Join(o.Dir, "strangler.yaml"), func(string) (string, bool) { return "x", true }); err != nil {
		t.Error(err)
	}
}

// On a terminal the view ends with the table, the cursor is back, and Ctrl-C ends what goes on.
func TestDemoOnATerminalUntilInterrupted(t *testing.T) {
	o, _, _ := options(t)
	o.Exit, o.Terminal = false, true
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	screen := &watched{word: "goes on until Ctrl-C", seen: interrupt}
	o.Stdout = screen
	if _, err := Run(ctx, o); err != nil {
		t.Fatal(err)
	}
	text := screen.String()
	for _, want := range []string{"soak", "█", "0 failed", "0 lost", "strangler split status delivery -c", showCursor} {
		if !strings.Contains(text, want) {
			t.Errorf("the screen never showed %q", want)
		}
	}
	if strings.Contains(text, "\x1b[32m") {
		t.Error("there are colours, and none were asked for")
	}
}

// watched is a screen that calls seen when a word appears.
type watched struct {
	strings.Builder
	word string
	seen func()
}

func (w *watched) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.word) {
		w.seen()
	}
	return w.Builder.Write(b)
}

func TestInterruptedDemoStopsEverything(t *testing.T) {
	o, _, _ := options(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	o.Stderr = &watched{word: "moving delivery", seen: interrupt}
	_, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("error %v", err)
	}
	c, err := config.Load(filepath.Join(o.Dir, "strangler.yaml"), func(string) (string, bool) { return "x", true })
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"http://" + c.Proxy.Listen, c.Admin.URL(), c.Legacy.String(), c.Capabilities[0].Service.String()} {
		if conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
			conn.Close()
			t.Errorf("something still listens at %s", url)
		}
	}
}

func TestUnusableOptions(t *testing.T) {
	for name, spoil := range map[string]func(o *Options){
		"another database": func(o *Options) { o.Database = "oracle" },
		"few rows":         func(o *Options) { o.Rows = 10 },
		"no programs":      func(o *Options) { o.Programs = "" },
		"negative rate":    func(o *Options) { o.Rate = -1 },
		"two shows":        func(o *Options) { o.JSON, o.Terminal = true, true },
	} {
		o := Options{Dir: filepath.Join(t.TempDir(), "demo"), Programs: "bin"}
		spoil(&o)
		if _, err := Run(t.Context(), o); !errors.Is(err, strangler.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(o.Dir); err == nil {
			t.Errorf("%s: a folder was made", name)
		}
	}
}

func TestMissingProgramsAreNamed(t *testing.T) {
	_, err := Run(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "demo"), Programs: t.TempDir(), Exit: true})
	if err == nil || !strings.Contains(err.Error(), "starting the service") || !strings.Contains(err.Error(), "make demo") {
		t.Errorf("error %v", err)
	}
}

//go:build linux

package demo

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler/internal/config"
)

// Nobody is left behind, also when the demo itself is killed: the child holds the writing end of a
// pipe, which ends with it.
func TestChildrenDieWithTheirParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "STRANGLER_DEMO_TEST=parent", "STRANGLER_DEMO_LOG="+filepath.Join(t.TempDir(), "log"))
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "ready %d\n", &pid); err != nil {
		t.Fatal(err)
	}
	orphan, err := os.Open(fmt.Sprintf("/proc/%d/fd/1", pid)) // the pipe from the child to its parent
	if err != nil {
		t.Fatal(err)
	}
	defer orphan.Close()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the parent was not killed")
	}
	// Both ends of the pipe are gone when the child is: the read ends.
	if _, err := io.Copy(io.Discard, orphan); err != nil {
		t.Error(err)
	}
}

// A program that dies ends the demo, which says which one and shows its last words.
func TestDemoNamesTheProgramThatDies(t *testing.T) {
	o, stdout, _ := options(t)
	o.JSON = true
	o.Stderr = &watched{word: "moving delivery", seen: func() {
		kill := exec.Command("sh", "-c", `for p in /proc/[0-9]*; do case "$(readlink $p/cwd)" in "$1") case "$(readlink $p/exe)" in */delivery) kill -9 ${p#/proc/};; esac;; esac; done`, "sh", o.Dir)
		if err := kill.Run(); err != nil {
			t.Error(err)
		}
	}}
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "the service ended by itself (signal: killed)") || !strings.Contains(err.Error(), "listening") {
		t.Errorf("error %v", err)
	}
	if stdout.Len() > 0 {
		t.Errorf("stdout %q: nothing was checked, so there is no result", stdout)
	}
}

// However the demo ends, nothing of it goes on: it is killed, and then every connection to what it had
// started ends.
func TestAKilledDemoLeavesNothingRunning(t *testing.T) {
	o, _, _ := options(t)
	demo := exec.Command(filepath.Join(o.Programs, "strangler"), "demo", "--database", "postgres", "--rows", "1000", "--dir", o.Dir)
	stderr, err := demo.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var said strings.Builder
	for lines.Scan() && !strings.Contains(lines.Text(), "moving delivery") {
		said.WriteString(lines.Text() + "\n")
	}
	c, err := config.Load(filepath.Join(o.Dir, "strangler.yaml"), func(string) (string, bool) { return "x", true })
	if err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	server, err := pgx.ParseConfig(c.Legacy.Database)
	if err != nil {
		t.Fatal(err)
	}
	var ends []net.Conn
	for _, address := range []string{
		net.JoinHostPort(server.Host, strconv.Itoa(int(server.Port))), strings.TrimPrefix(c.Legacy.URLs[0], "http://"),
		strings.TrimPrefix(c.Capabilities[0].Service.URLs[0], "http://"), c.Proxy.Listen,
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ends = append(ends, conn)
	}
	if err := demo.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := demo.Wait(); err == nil {
		t.Error("the demo was not killed")
	}
	for _, conn := range ends {
		if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %v", conn.RemoteAddr(), err)
		}
	}
}

//go:build linux

package demo

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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

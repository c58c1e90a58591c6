package demo

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// play4test is this test's own program in the role of a child.
func play4test(role string) int {
	switch role {
	case "obedient":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println(`{"msg":"listening","address":"1.2.3.4:5"}`)
		<-stop
		return 0
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println(`{"msg":"listening","address":"1.2.3.4:5"}`)
		<-time.After(time.Hour) // a bare select would be reported as a deadlock
	case "failing":
		for i := range 2 * tailLines {
			fmt.Fprintln(os.Stderr, "line", i)
		}
		fmt.Fprint(os.Stderr, "out of luck")
		return 3
	case "parent":
		p, err := start(command{name: "orphan", path: os.Args[0], dir: ".", log: os.Getenv("STRANGLER_DEMO_LOG"), env: []string{"STRANGLER_DEMO_TEST=stubborn"}})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		<-p.log.listening
		fmt.Println("ready", p.handle.Pid)
		<-time.After(time.Hour) // a bare select would be reported as a deadlock
	}
	return 1
}

func child(t *testing.T, role string) *process {
	t.Helper()
	p, err := start(command{name: role, path: os.Args[0], dir: t.TempDir(), env: []string{"STRANGLER_DEMO_TEST=" + role}, log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestObedientProgramStops(t *testing.T) {
	p := child(t, "obedient")
	if address := <-p.log.listening; address != "1.2.3.4:5" {
		t.Errorf("address %q", address)
	}
	for range 2 {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
	if p.err != nil {
		t.Errorf("it ended %v", p.err)
	}
}

func TestStubbornProgramIsKilled(t *testing.T) {
	p := child(t, "stubborn")
	<-p.log.listening
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("error %v", err)
	}
	if !p.ended() {
		t.Error("it still runs")
	}
}

func TestLastWordsOfAProgram(t *testing.T) {
	p := child(t, "failing")
	<-p.done
	last := p.log.Last()
	if p.err == nil || !strings.Contains(last, "out of luck") || !strings.Contains(last, fmt.Sprint("line ", 2*tailLines-1)) || strings.Contains(last, "line 0") {
		t.Errorf("it ended %v, with the last words %s", p.err, last)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestFolderOfSomebodyElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := prepare(dir); err == nil || !strings.Contains(err.Error(), "no demo made them") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestFolderOfARunningDemoIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	first, err := prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.write("shop.db", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := prepare(dir); err == nil || !strings.Contains(err.Error(), "a demo runs in") {
		t.Errorf("error %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := os.Stat(filepath.Join(dir, "shop.db")); !os.IsNotExist(err) {
		t.Error("what the first demo left is still there")
	}
}

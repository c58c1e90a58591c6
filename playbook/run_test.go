package playbook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// outside is a bed in real time: nothing waits in it but for programs.
func outside(t *testing.T, own ...strangler.OwnStep) *bed {
	t.Helper()
	c := stateless()
	c.Playbook.Own, c.Playbook.Approve, c.Playbook.Soak = own, nil, 0
	b := &bed{T: t, w: newWorld(c)}
	b.begin()
	t.Cleanup(func() {
		b.e.Close()
		complain(t, b.w)
	})
	return b
}

// begin starts a daemon: what the last one left is resumed.
func (b *bed) begin() {
	b.Helper()
	cfg := b.w.config()
	cfg.ShadowHold, cfg.CanaryHold, cfg.Poll = time.Millisecond, time.Millisecond, time.Millisecond
	var err error
	if b.e, err = New(cfg); err == nil {
		err = b.e.Start(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
}

// eventually waits for what a program does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there is never %s", what)
		}
	}
}

// cutOff has a run begin a program, and its daemon end while it runs.
func cutOff(t *testing.T, d diary, step strangler.OwnStep) *bed {
	t.Helper()
	b := outside(t, step)
	b.run()
	eventually(t, "a line of the program's", func() bool { return len(d.lines()) > 0 })
	b.e.Close()
	if s := record(b.w.runs[0], step.Name).State; s != strangler.StepDoing {
		t.Fatalf("the ledger has the step %s", s)
	}
	return b
}

// TestProgramThatWasCutOff: whether it did its work is not known, so it is not run once more without a word from somebody.
func TestProgramThatWasCutOff(t *testing.T) {
	hang := func(d diary) []string {
		return d.script("do", fmt.Sprintf("[ -e %q ] || exec sleep 300", d.path+".go"))
	}
	t.Run("nobody knows", func(t *testing.T) {
		d := newDiary(t)
		b := cutOff(t, d, ownRun("warm", Verify, strangler.RunStep{Command: hang(d), Undo: d.script("undo", ":")}))
		b.w.set(func() { b.w.unread = []bool{false, true, true} }) // nor can the worker read at once what the ledger says
		b.begin()
		eventually(t, "a look at the ledger", func() (seen bool) { b.w.set(func() { seen = len(b.w.unread) == 0 }); return seen })
		run := b.wait(strangler.RunFailed)
		for _, want := range []string{"ran to its end is not known", "strangler playbook retry delivery warm", "strangler playbook skip delivery warm"} {
			if !strings.Contains(run.Error, want) {
				t.Errorf("the error lacks %q: %s", want, run.Error)
			}
		}
		d.want("warm do forward 1")
		os.WriteFile(d.path+".go", nil, 0o600)
		b.run() // a person, who does not say that it may be run once more
		b.wait(strangler.RunFailed)
		d.want("warm do forward 1")
		b.may(b.e.Retry(b.Context(), "delivery", RunOptions{Step: "warm", Who: "eve"}))
		b.wait(strangler.RunDone)
		d.want("warm do forward 1", "warm do forward 1")
	})
	t.Run("taken back", func(t *testing.T) {
		d := newDiary(t)
		b := cutOff(t, d, ownRun("warm", Verify, strangler.RunStep{Command: hang(d), Undo: d.script("undo", ":")}))
		b.begin()
		b.wait(strangler.RunFailed)
		b.rollback(Expand)
		b.wait(strangler.RunRolledBack)
		d.want("warm do forward 1", "warm undo back 1")
	})
	t.Run("its check says it did", func(t *testing.T) {
		d := newDiary(t)
		b := cutOff(t, d, ownRun("warm", Verify, strangler.RunStep{Command: hang(d), Check: []string{"test", "-s", d.path}}))
		b.begin()
		if run := b.wait(strangler.RunDone); record(run, "warm").Detail != "test says so" {
			t.Errorf("the step says %q", record(run, "warm").Detail)
		}
		d.want("warm do forward 1")
	})
	t.Run("its check says it did not", func(t *testing.T) {
		d := newDiary(t)
		b := cutOff(t, d, ownRun("warm", Verify, strangler.RunStep{Command: hang(d), Check: []string{"test", "-e", d.path + ".go"}}))
		os.WriteFile(d.path+".no", nil, 0o600)
		b.w.capability.Playbook.Own[0].Run.Command = d.script("do", fmt.Sprintf(": >%q", d.path+".go"))
		b.begin()
		if _, _, err := b.e.Accept(b.Context(), "delivery", RunOptions{Who: "eve"}); err != nil { // another program, for the test
			t.Fatal(err)
		}
		b.wait(strangler.RunDone)
		d.want("warm do forward 1", "warm do forward 1")
	})
	t.Run("repeating does no harm", func(t *testing.T) {
		d := newDiary(t)
		step := ownRun("warm", Verify, strangler.RunStep{Command: hang(d)})
		step.Retries = 1
		b := cutOff(t, d, step)
		os.WriteFile(d.path+".go", nil, 0o600)
		b.begin()
		b.wait(strangler.RunDone)
		d.want("warm do forward 1", "warm do forward 1")
	})
}

// TestProgramThatFails is run again as often as retries say, and its undo too.
func TestProgramThatFails(t *testing.T) {
	d := newDiary(t)
	third := func(word string) []string {
		return d.script(word, fmt.Sprintf(`echo some words; [ $(grep -c "$STRANGLER_STEP %s" %q) = 3 ]`, word, d.path))
	}
	one, three := ownRun("one", Verify, strangler.RunStep{Command: d.script("do", "echo broken >&2; exit 7")}), ownRun("three", Expand, strangler.RunStep{Command: third("do"), Undo: third("undo")})
	three.Retries = 7 // more than Config.Tries
	b := outside(t, one, three)
	b.run()
	run := b.wait(strangler.RunFailed)
	if want := "step one: 1 attempts, the last: sh ended with exit status 7; it printed: broken"; run.Error != want {
		t.Errorf("the error: %s", run.Error)
	}
	if s := record(run, "three"); s.State != strangler.StepDone || !strings.Contains(s.Detail, "sh exited with 0") || !strings.HasSuffix(s.Detail, "it printed: some words") {
		t.Errorf("three is %s: %q", s.State, s.Detail)
	}
	d.want("three do forward 1", "three do forward 2", "three do forward 3", "one do forward 1")
	b.rollback(Expand)
	b.wait(strangler.RunRolledBack)
	if lines := d.lines(); len(lines) != 7 || lines[6] != "three undo back 3" {
		t.Errorf("%q", lines)
	}
}

// TestProgramThatEndsWellWithoutEffect: its check has the last word.
func TestProgramThatEndsWellWithoutEffect(t *testing.T) {
	d := newDiary(t)
	b := outside(t, ownRun("warm", Verify, strangler.RunStep{Command: d.script("do", ":"), Check: []string{"false"}}))
	b.run()
	if run := b.wait(strangler.RunFailed); !strings.Contains(run.Error, "sh ended well, and yet its check false ended with exit status 1") {
		t.Errorf("the error: %s", run.Error)
	}
	d.want("warm do forward 1")
}

// TestCheckThatDoesNotAnswer: to be ended by a signal is no answer, so the command is not begun.
func TestCheckThatDoesNotAnswer(t *testing.T) {
	d := newDiary(t)
	b := outside(t, ownRun("warm", Verify, strangler.RunStep{Command: d.script("do", ":"), Check: []string{"/bin/sh", "-c", "kill -9 $$"}, Undo: d.script("undo", ":")}))
	b.run()
	if run := b.wait(strangler.RunFailed); !strings.Contains(run.Error, "whether the step is done is not known: sh ended with signal: killed") {
		t.Errorf("the error: %s", run.Error)
	}
	if lines := d.lines(); len(lines) > 0 {
		t.Errorf("it did %q", lines)
	}
}

// TestProgramThatIsNotThere fails the run at once.
func TestProgramThatIsNotThere(t *testing.T) {
	step := ownRun("warm", Verify, strangler.RunStep{Command: []string{filepath.Join(t.TempDir(), "warm.sh")}})
	step.Retries = 5
	b := outside(t, step)
	b.run()
	if run := b.wait(strangler.RunFailed); !strings.HasPrefix(run.Error, "step warm: warm.sh could not be begun, so nothing was done: no such file or directory") {
		t.Errorf("the error: %s", run.Error)
	}
}

func shell(t *testing.T, ctx context.Context, timeout time.Duration, script string) (exit, error) {
	t.Helper()
	return execute(ctx, timeout, t.TempDir(), []string{"/bin/sh", "-c", script}, []string{"PATH=" + os.Getenv("PATH")})
}

// gone waits until no process of the number is left, not even one that nobody has reaped.
func gone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "an end of "+word, func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			orphan := err == nil && strings.Contains(string(stat), ") Z 1 ") // the system's to reap
			return orphan || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
		})
	}
}

// TestTimeout ends the program and what it has begun, also where those do not heed it.
func TestTimeout(t *testing.T) {
	for name, script := range map[string]string{
		"the program":        "echo $$ >%q; exec sleep 300",
		"what it began":      "sleep 300 & echo $$ $! >%q; wait",
		"what heeds nothing": "(trap '' TERM; sleep 300) & echo $$ $! >%q; wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pids := filepath.Join(t.TempDir(), "pids")
			o, err := shell(t, t.Context(), 3*time.Second, fmt.Sprintf(script, pids))
			if err != nil || o.good() || o.why != "ran for longer than 3s and was ended" {
				t.Errorf("%+v, %v", o, err)
			}
			gone(t, pids)
		})
	}
}

// TestTimeoutAsksFirst: a program may put its things away before it ends.
func TestTimeoutAsksFirst(t *testing.T) {
	o, err := shell(t, t.Context(), 3*time.Second, "trap 'echo put away; exit 0' TERM; while :; do sleep 0.01; done")
	if err != nil || o.good() || o.said || !strings.HasSuffix(o.output, "put away") {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestInterrupt: when the run is interrupted, the program is ended, and its outcome is not known.
func TestInterrupt(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := shell(t, ctx, time.Minute, fmt.Sprintf("echo $$ >%q; exec sleep 300", pids))
		ended <- err
	}()
	eventually(t, "a program", func() bool { text, err := os.ReadFile(pids); return err == nil && len(text) > 0 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	gone(t, pids)
}

// TestNothingIsLeftBehind of a program that has exited.
func TestNothingIsLeftBehind(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	o, err := shell(t, t.Context(), time.Minute, fmt.Sprintf("sleep 300 >/dev/null 2>&1 & echo $! >%q", pids))
	if err != nil || !o.good() {
		t.Errorf("%+v, %v", o, err)
	}
	gone(t, pids)
}

func TestOutput(t *testing.T) {
	o, err := shell(t, t.Context(), time.Minute, `head -c 100000 /dev/zero | tr '\0' x; printf '\nfirst\r\nsecond\033[1m\377 end\n\0\n'`)
	if err != nil || !strings.HasSuffix(o.output, "x / first / second [1m? end /") {
		t.Errorf("it ends with %q, %v", o.output[max(0, len(o.output)-60):], err)
	}
	if len(o.output) > keptBytes+100 {
		t.Errorf("%d bytes", len(o.output))
	}
}

// TestProgramsKnowNoSecrets: they get neither the daemon's environment nor, in what is shown of them, a database's password.
func TestProgramsKnowNoSecrets(t *testing.T) {
	t.Setenv("STRANGLER_TOKEN", "hunter2")
	t.Setenv("SHOP_DSN", "hunter2")
	t.Setenv("KUBECONFIG", "/etc/kube")
	step := ownRun("warm", Verify, strangler.RunStep{Env: []string{"KUBECONFIG", "STRANGLER_TOKEN"}, Dir: "/", Command: []string{"/bin/sh", "-c",
		`env; pwd; cat; echo postgres://shop:p%40ss@h/shop and p@ss and p%40ss and k3y`}})
	b := outside(t, step)
	b.w.capability.Legacy.Database, b.w.capability.Service.Database = "postgres://shop:p%40ss@h/shop", "postgres://h/d?password=k3y&sslmode=disable"
	b.e.Close()
	b.begin()
	b.run()
	detail := record(b.wait(strangler.RunDone), "warm").Detail
	for _, want := range []string{"KUBECONFIG=/etc/kube", "PATH=", "STRANGLER_CAPABILITY=delivery", "STRANGLER_RUN=1", "STRANGLER_STEP=warm", "STRANGLER_DIRECTION=forward", "STRANGLER_TRY=1", " / / / ", "*** and *** and *** and ***"} {
		if !strings.Contains(detail, want) {
			t.Errorf("it lacks %q: %s", want, detail)
		}
	}
	for _, secret := range []string{"hunter2", "p@ss", "p%40ss", "k3y"} {
		if strings.Contains(detail, secret) {
			t.Errorf("it shows %q: %s", secret, detail)
		}
	}
}

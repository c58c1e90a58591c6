package playbook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

const (
	maxOutput = 4 << 10           // bytes of what a program prints that are shown: the last
	keptBytes = maxOutput + 1<<10 // those and some before them, so that no half of a secret is shown
	killAfter = 5 * time.Second   // how long a program that was asked to end has for that
)

// execute runs a program in a process group of its own and waits until it has ended and was reaped. At its timeout, or when ctx ends, the
// group is asked to end (SIGTERM), and killed after killAfter; what a program leaves running in its group is killed too. Errors: it could not
// be begun (ErrConfig), or ctx has ended.
func execute(ctx context.Context, timeout time.Duration, dir string, command, env []string) (exit, error) {
	o := exit{program: filepath.Base(command[0])}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var printed tail
	cmd := exec.CommandContext(bounded, command[0], command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &printed, &printed
	cmd.SysProcAttr, cmd.WaitDelay = attributes(), killAfter
	cmd.Cancel = func() error { return ask(cmd.Process) }
	runtime.LockOSThread() // the system kills the program when the thread that began it ends
	defer runtime.UnlockOSThread()
	began := time.Now()
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		return o, fmt.Errorf("%s could not be begun, so nothing was done: %w; put it right in strangler.yaml: %w", o.program, unnamed(err), strangler.ErrConfig)
	}
	err := cmd.Wait()
	end(cmd.Process)
	o.took, o.output = time.Since(began), printed.text()
	var exited *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return o, ctx.Err()
	case bounded.Err() != nil:
		o.why = fmt.Sprintf("ran for longer than %v and was ended", timeout)
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it has exited with 0, and something that it began still held its output
		o.said = true
	case errors.As(err, &exited):
		o.why, o.said = "ended with "+exited.String(), exited.Exited()
	default:
		o.why = "could not be waited for: " + err.Error()
	}
	return o, nil
}

// unnamed leaves the path out of an error of starting a program.
func unnamed(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// tail keeps the last bytes that are written to it. It is written to by one goroutine and read when that has ended.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	t.kept = append(t.kept, p[max(0, n-keptBytes):]...)
	t.kept = bytes.Clone(t.kept[max(0, len(t.kept)-keptBytes):])
	return n, nil
}

// text is what is kept, in one line.
func (t *tail) text() string {
	lines := strings.FieldsFunc(string(t.kept), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.TrimSpace(clean(strings.Join(lines, " / ")))
}

// last is the end of a text, so many bytes at most.
func last(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return "…" + strings.ToValidUTF8(s[len(s)-most:], "")
}

// secretName is the name of a DSN's parameter whose value is not shown.
var secretName = regexp.MustCompile(`(?i)pass|pwd|secret|token|key`)

// hide takes databases' addresses and passwords out of a text.
func hide(text string, dsns ...string) string {
	for _, dsn := range dsns {
		u, err := url.Parse(dsn)
		if dsn == "" || err != nil {
			continue
		}
		secrets := []string{dsn}
		if password, has := u.User.Password(); has {
			_, written, _ := strings.Cut(u.User.String(), ":")
			secrets = append(secrets, written, password)
		}
		for name, values := range u.Query() {
			if secretName.MatchString(name) {
				secrets = append(secrets, values...)
			}
		}
		for _, secret := range secrets {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "***")
			}
		}
	}
	return text
}

package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"
)

// process is what a run of the program gets from its surroundings. Tests make their own.
type process struct {
	args     []string // without the program's name
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	env      func(string) (string, bool)
	host     string        // this machine's name
	program  string        // path of the running program
	poll     time.Duration // how often a followed operation is looked at
	patience time.Duration // how long what is followed may be out of reach; 0: a minute
	terminal func(stream any) bool
	size     func(stream any) (columns, rows int) // of a terminal; nil: not known
	hooks    hooks
}

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup, whose terminal may be closed
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	host, _ := os.Hostname()      // empty where it is not known
	program, _ := os.Executable() // likewise
	code := run(ctx, process{
		args:     os.Args[1:],
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		env:      os.LookupEnv,
		host:     host,
		program:  program,
		poll:     500 * time.Millisecond,
		terminal: onTerminal,
		size:     terminalSize,
		hooks:    connected(os.LookupEnv),
	})
	stop()
	os.Exit(code)
}

// onTerminal reports whether a stream is a terminal.
func onTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// terminalSize is how large a terminal is at this moment; 0, 0 where that is not known.
func terminalSize(stream any) (columns, rows int) {
	file, ok := stream.(*os.File)
	if !ok {
		return 0, 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// run is the whole program but for the process around it. It returns the exit code.
func run(ctx context.Context, p process) int {
	a := &app{process: p}
	root := a.root()
	root.SetArgs(p.args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return a.exit(root.ExecuteContext(ctx))
}

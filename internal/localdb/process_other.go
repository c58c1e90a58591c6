//go:build !unix

package localdb

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/strangler-fig/strangler"
)

// errSystem is all that there is on systems where no way is known to end a server with its parent.
var errSystem = fmt.Errorf("%w: private database servers run on Linux, macOS and the BSDs, not on %s; nothing was started", strangler.ErrConfig, runtime.GOOS)

const graceTime = time.Second

type account struct{ name string }

func (*flavour) owner() (account, error) { return account{}, errSystem }
func (account) barrier(string) string    { return "" }
func (account) own(string) error         { return errSystem }
func lock(*os.File) error                { return errSystem }
func openLock(string) (*os.File, error)  { return nil, errSystem }
func releaseMemory(string)               {}

type command struct {
	path, dir, log string
	args           []string
	who            account
	lock           *os.File
	in             io.Reader
	last           syscall.Signal
}

type process struct {
	handle *os.Process
	done   chan struct{}
	err    error
}

func start(command) (*process, error)                { return nil, errSystem }
func (*process) ended() bool                         { return true }
func (*process) stop(os.Signal, time.Duration) error { return errSystem }
func (*process) crash() error                        { return errSystem }
func (*process) gone() error                         { return errSystem }

package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// built is the folder of the three programs; empty while no test has needed them.
var built string

// beside is how many tests run beside each other, unless -parallel says otherwise: they wait for leases and for servers most of the time.
// Empty: as many as there are processors, which the race detector keeps busy.
var beside string

func TestMain(m *testing.M) {
	if beside != "" {
		if err := flag.Set("test.parallel", beside); err != nil {
			panic(err)
		}
	}
	code := localdbtest.Main(m).Run()
	if err := os.RemoveAll(built); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

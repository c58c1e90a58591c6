package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// built is the folder of the three programs; empty while no test has needed them.
var built string

func TestMain(m *testing.M) {
	code := localdbtest.Main(m).Run()
	if err := os.RemoveAll(built); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

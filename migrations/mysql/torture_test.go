//go:build torture

package mysql_test

import (
	"testing"

	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// TestTortureConformanceOfTheBinaryLog runs the whole suite where changes are read from the binary log.
func TestTortureConformanceOfTheBinaryLog(t *testing.T) { enginetest.Run(t, binaryLog(t, nil)) }

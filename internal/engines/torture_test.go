//go:build torture

package engines

import "testing"

func TestTorturePairs(t *testing.T) {
	conform(t, "fence", "terms", "repair", "progress", "ranges", "scripts")
}

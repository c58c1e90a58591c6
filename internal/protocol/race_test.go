//go:build race

package protocol

// The race detector makes a search six times slower and has nothing to see in it: one goroutine, no sharing.
const defaultDepth = 0

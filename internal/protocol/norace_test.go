//go:build !race

package protocol

const defaultDepth = 1

//go:build !linux

package sqlite

// holder cannot be told here.
func holder(string) string { return "" }

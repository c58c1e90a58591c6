// Package e2e holds the end-to-end tests: real processes, real databases, real kills, and the one
// checker of internal/invariant.
package e2e

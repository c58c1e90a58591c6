// Package e2e holds the end-to-end tests: real processes, real databases, real kills, and the one
// checker of internal/invariant.
//
// What runs against the three programs is left out of the race detector, which does not see into other
// processes; the moves in this process (Chinook, faults) are for it.
package e2e

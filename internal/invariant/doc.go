// Package invariant is the checker of the whole: were all writes that clients were told of kept, once,
// and by one owner? It reads the reference system's tables with SQL of its own and shares no code with
// what it checks.
//
// The walk:
//
//   - log.go is where clients record each write before they send it, and then how it ended.
//   - dialect.go opens a database, and is all that differs between databases.
//   - baseline.go counts what was there before the first write.
//   - check.go is Check, the list of what is looked at.
//   - rows.go reads the owner's rows, as many as the log speaks of.
//   - couriers.go and orders.go hold them against the log; keys.go does so with the recorded keys.
//   - sides.go compares the two sides of the tables that move, and tries which side takes a write.
//   - report.go is what was found.
package invariant

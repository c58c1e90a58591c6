// Package enginetest is the one conformance suite that every engine of package migrations passes. Each
// test is named after the rule of docs/CUTOVER.md that it shows, and works through the public door
// only: migrations.Database, and the scripts that golang-migrate runs.
//
//  1. lab.go: what an engine's tests provide
//  2. pair.go: both sides of one capability, with applications at both
//  3. fence.go: closed, open, missing, overtaken
//  4. terms.go: who may apply, and the applier's pass
//  5. capture.go: what is recorded, read and forgotten
//  6. apply.go: what arrives, and how; repair.go: what is brought again
//  7. progress.go: positions, marks, kept keys, sequences
//  8. ranges.go: every key in exactly one range, every row in exactly one part
//  9. plan.go: what is refused before anything is changed
//  10. scripts.go: up, down, complete, dirty
//  11. shares.go: tables of which only some rows and columns move
//  12. deletes.go: what becomes of rows that refer to deleted ones across the cut
//
// plain.go says rows in words that are the same in all kinds of database.
package enginetest

// Package kit is what a service needs to stand alone beside the monolith it came out of. The
// monolith uses it too, so that a route answers the same on either side of a move.
//
// The walk, in the order a program takes it:
//
//   - database.go opens the database that a DSN names and says how its failures are to be read; mysql.go is what
//     MySQL and MariaDB need for that.
//   - schema.go brings that database to the version of the embedded golang-migrate scripts.
//   - timestamp.go is a moment as it stands in a column and in an answer: the same text in both.
//   - request.go reads a bounded JSON body and names the field that is wrong.
//   - problem.go turns every error into one JSON shape and the status it deserves.
//   - once.go makes a POST with an Idempotency-Key happen once, its answer recorded with its effect.
//   - router.go assembles the routes with health, readiness, deadlines and the error shape.
//   - serve.go listens, serves and drains.
//
// The folder contract holds what two programs must answer alike, for the tests of both.
package kit

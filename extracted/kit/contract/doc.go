// Package contract is what the monolith and the delivery service must answer alike while couriers
// move from one to the other. The tests of both play it, so neither needs the other.
//
//   - play.go plays couriers.json, a conversation on the courier routes, against an empty program.
//   - tables.go compares a database with tables.txt and requests.json: the tables that move, and the
//     idempotency keys in them after the conversation.
//
// To change an answer is to change these files, and with them both programs.
package contract

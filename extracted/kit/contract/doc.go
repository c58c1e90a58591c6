// Package contract is what the monolith and the delivery service must answer alike while couriers
// move from one to the other. The tests of both play it, so neither needs the other.
//
//   - play.go plays couriers.json, a conversation on the courier routes, against an empty program.
//   - database.go opens the database of a program beside it, as Strangler does.
//   - tables.go compares it with tables_sqlite.txt, tables_postgres.txt or tables_mysql.txt, the tables that move, and with
//     requests.json, the idempotency keys in them after the conversation.
//   - fence.go has it refuse writes, and takes its crossing foreign keys, as a cutover does.
//
// To change an answer is to change these files, and with them both programs.
package contract

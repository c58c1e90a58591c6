// Package control is the control store: who owns each capability, where its requests go, which
// cutover decided that, which daemons are alive, and how far each playbook has come. One SQL database
// holds it, through gorm: a SQLite file by default (sqlite:path), PostgreSQL or MariaDB for
// a fleet (postgres://…, mysql://…). Several processes use one store at the same time.
//
// The walk, in the order in which a daemon meets it:
//
//   - config.go: what Open takes, and the fault hook that tests break writes with.
//   - open.go: the connection, the store's own id, Ping and Close.
//   - dialect.go: what the databases do differently; postgres.go and mysql.go: the servers' part of it.
//   - schema.go: the tables, and how they are made.
//   - write.go: the one transaction that every durable write goes through, and its three outcomes.
//   - snapshot.go: the state of every toggle, from the store or from the last good copy on disk.
//   - toggle.go: a toggle changes by compare-and-swap on its epoch, with its audit row.
//   - watch.go: who waits for a toggle to change is told, where the database can tell.
//   - cutover.go: prepare, decide, release. The decision is the commit point of a cutover.
//   - adopt.go: fresh epochs, and a person naming the owner.
//   - term.go: the counter that terms come from.
//   - lease.go: who works on what, until when.
//   - split.go: the phase of each split.
//   - instance.go: which daemons proxy requests, and what they have applied; traffic.go: what they have counted.
//   - run.go: the playbook's ledger, intent before effect.
//
// # What a caller can rely on
//
// A write has one of three outcomes. Nil: it is durable. An error that wraps strangler.ErrUnknown: it
// may or may not have happened, and the caller reads back before it does anything else. Any other
// error: nothing was changed.
//
// Every transaction that changes what belongs to a capability first locks the capability's toggle row
// (SQLite: takes the one write lock), so what it has checked still holds when it commits. Every rise of
// an epoch has one audit row, which a unique key on capability and epoch enforces as well; epoch 1, which
// Ensure gives, has none.
//
// A process that is stopped in the middle of a write holds up the others for a bounded time: on
// PostgreSQL and MariaDB the server rolls that write back after five seconds, and every wait for a row ends
// after ten (MySQL itself does only the latter); on SQLite every wait for the file's lock ends after ten.
//
// Leases and liveness are measured on the database server's clock where there is one, and
// on the machine's for a SQLite file, which one machine uses. They save work; in the databases of
// the two sides they never protect a write. Terms and fences do that. The records of splits and runs take writes from who holds
// the lease alone.
//
// # Why AutoMigrate
//
// The tables are made by gorm's AutoMigrate, in one transaction under a lock, and only when the store's
// version is below this binary's. On MariaDB, where DDL ends a transaction, the lock is a session's, the version is
// written last, and what an attempt that ended half-way has made is found by the next. One definition of the rows serves all dialects, where golang-migrate
// would need a set of scripts for each, and its SQLite driver has no lock between processes: two daemons
// that start at once would both run the first script. A store that a newer binary has made is refused.
package control

// Package serverlog keeps what a server's own log has told of the tables that move: PostgreSQL's, read from a replication slot,
// and MariaDB's binary log. The engines read those logs; here is what is alike in both.
//
//   - log.go: the commits, in their order, from when they come until the other side has applied them
//   - choice.go: whether changes are captured from such a log, or by triggers
//   - keys.go: the keys that a commit has changed, in bounded memory
//
// No row is kept: a batch reads the rows under the keys as its snapshot sees them.
package serverlog

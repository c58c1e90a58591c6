// Package localdb runs private PostgreSQL and MariaDB servers, for the demo and for tests: data of its own in a
// folder of its own, made from the installed programs, with a random password, on a free port of
// 127.0.0.1. Such a server has nothing to do with a server that the system runs, and is gone with whoever started it.
//
// The walk:
//
//   - localdb.go is Config, and Postgres and MariaDB, which take the steps below in their order.
//   - flavour.go is what the two do differently; postgres.go and mariadb.go say it for each.
//   - programs.go finds PostgreSQL's initdb and postgres.
//   - account.go says which user they run as, and which folders that user can enter.
//   - folder.go makes the server's folder, locks it, and removes those of servers that are dead.
//   - cluster.go runs initdb and writes PostgreSQL's settings; bootstrap.go is the same for MariaDB, and finds its
//     program and scripts.
//   - process.go runs one program that dies with this one; process_linux.go and process_bsd.go are what
//     each system does for that. process_other.go is for systems where there is no way.
//   - server.go is the running server: start, crash, restart, close.
//   - roles.go makes roles and databases in it.
//
// localdbtest shares one server of each kind among the tests of a package.
package localdb

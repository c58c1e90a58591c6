// Package demo shows the whole of it on the reference system: a capability leaves a living monolith, is
// rolled back, and leaves again, while clients go on, and then every write that they were told of is
// looked for.
//
// The walk:
//
//   - demo.go is Options and Run, the order of everything.
//   - folder.go makes the demo's folder anew; yaml.go writes the strangler.yaml in it.
//   - databases.go says where the programs keep their rows; postgres.go and mariadb.go have
//     a private server for them.
//   - process.go runs one program and keeps its log; process_linux.go, process_bsd.go,
//     process_unix.go and process_other.go are what each system does so that none is left behind.
//   - system.go starts the three programs, waits for each, and stops them.
//   - traffic.go is the crowd that goes through the proxy; visitor.go what one of them does, and
//     exchange.go one request and its entry in the log of writes.
//   - drive.go runs the playbook forward and back.
//   - verify.go waits for the stream and asks internal/invariant.
//   - stage.go is what there is to see; plain.go shows it as lines, live.go on a terminal.
//   - result.go is the outcome, as a table and as JSON.
package demo

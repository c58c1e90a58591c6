// Command strangler moves one business capability at a time out of a running monolith.
//
// The walk of a command, in the order it takes:
//
//   - main.go is the process: arguments, streams, environment, signals, exit code.
//   - app.go is the tree of commands and what they share: the file, the format, the daemon's client.
//   - arguments.go checks arguments; complete.go has the shell complete them; output.go prints results as text or JSON; progress.go redraws them
//     while they change; exit.go turns an error into its exit code and its words.
//   - hooks.go is what needs no daemon and is connected from elsewhere; wire.go connects it. upgrade.go has
//     a daemon replaced by a new process.
//
// Then one file a verb: serve.go, demo.go, init.go (init_ask.go: what it is told, and asks), check.go, snippet.go, toggle.go, migrate.go, split.go (split_owner.go
// hands writes over, split_follow.go watches a copy), playbook.go (playbook_run.go drives runs,
// playbook_person.go what people ask of one,
// playbook_status.go says how one stands, playbook_follow.go watches it, playbook_frame.go draws it with what
// playbook_facts.go says of it, playbook_next.go says what to do next, playbook_rehearse.go runs one on copies), schema.go, man.go, version.go (and completion). Only serve, demo, init,
// check, migrate, rehearse, man and what is merely printed do the work here; everything else asks the daemon.
//
// # Output
//
// With -o json a command prints one object on stdout, with next_steps where it is a step on the way.
// A failure prints nothing more there: it is one object on stderr, {"error": {"code", "message",
// "check", "next"}, "exit"}. Progress goes to stderr.
//
// # Exit codes
//
// 0 done, 1 failed, 2 unusable arguments or configuration, 3 refused by a check (it says which, and
// what would satisfy it), 4 stopped half-way and resumable.
package main

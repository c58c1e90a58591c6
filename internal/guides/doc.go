// Package guides executes docs/guides. It is tests only.
//
// What is written in a guide decides what is done with it:
//
//   - A block ```sh holds commands; each has to end with 0.
//   - A block ```console shows commands behind "$ " (and "> " where they go on), and what they print: "…" stands for
//     anything in a line, a line of its own for any lines. How a command ended is shown by "$ echo $?" behind it; without, it is 0.
//   - A comment <!-- saved as FILE --> above a block of any other kind writes it to that file, as an editor does.
//   - A comment <!-- begins behind GUIDE: Heading --> has the commands of another guide done first, to the end of that section.
//   - Blocks of other kinds show what belongs into other programs, and are read only.
//
// The files, in the order of a test:
//
//   - guide_test.go reads a guide; command_test.go takes blocks apart and compares what is printed.
//   - place_test.go is where one is tried: an empty folder, a copy of this repository built as the first guide says, a
//     PostgreSQL server, one of MariaDB where the guide asks it, and addresses that nobody else has.
//   - shell_test.go is the shell that does the commands; process_linux_test.go and process_other_test.go are how it ends with the test.
//   - guides_test.go does all of it, guide by guide, and reads the metrics that are named.
//   - screen_test.go is a terminal's screen, terminal_linux_test.go types the first guide on one.
package guides

// Package lint keeps the rules of this repository that no compiler keeps. It is tests only.
//
//   - rules_test.go: who may import whom, as a function over packages, and proof that it finds violations.
//   - imports_test.go: the same over what `go list` says of this module.
//   - interfaces_test.go: no interface asks for more than five methods.
//   - walks_test.go: every doc.go names the files of its folder, and no file that is not there.
//   - documents_test.go: links, commands, flags and make targets in the documents exist.
//   - words_test.go: what no file may say.
//   - tree_test.go: finding the files.
package lint

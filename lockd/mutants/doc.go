// Package mutants takes rules out of the product, one at a time, and demands
// that the test which stands for the fault they protect from fails. The rows of
// the fault matrix that the simulator owns have planted bugs instead (lockd/sim);
// these here are the rows whose tests live in packages or need real processes.
//
// rules.txt lists the mutants, in paragraphs:
//
//	row: F-D2                    of the fault matrix
//	rule: a torn batch is cut    what is taken out, for people
//	file: wal/reader.go batch    where, and in which function
//	-	if bad >= 0 {            these lines, which stand there once,
//	+	if false {               give way to these; more files may follow
//	test: ./wal TestFD2Torn…     the package and the test that must fail
//	tags: fault                  build tags, if any
//
// A mutant never touches the tree: go test sees it through an overlay, as does
// what the test itself builds.
//
// The package runs the go command; it keeps no state. The command
// lockd/mutants/run calls it.
package mutants

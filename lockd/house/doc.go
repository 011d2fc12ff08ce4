// Package house is the style guide as a program. It parses every Go file of
// the repository, type-checks nothing it does not have to, and prints for each
// breach where it is, which rule it breaks and what to write instead. make lint
// runs it as an ordinary test.
//
//	rule         what it asks
//	floor        a package imports only from floors below it
//	door         an outside module is imported by one package only
//	pure         pure packages import no clock, file, socket, lock or logger
//	import       three blocks: standard, outside, ours; no assertion library
//	package      a doc.go with the package comment; the name is one plain noun
//	exported     exported identifiers have a comment
//	goroutine    only loop.go and main.go start goroutines; pure code waits nowhere
//	state        no mutable package variable, no init
//	signature    no functional options, no bool parameter
//	recover      a broken invariant is not survived
//	error        texts of sentinels and panics start with the package
//	order        map order never reaches an output
//	sleep        a test waits for an event, not for time
//	size         lines of a file and a function, columns of a line
//	word         one word per thing
//	comment      TODO(#123): or nothing; no path of one machine
//	reliability  lockd/doc/reliability.md has every row, and what it names exists
//	feature      the table of features in README.md names a test for what lockd has
//	parse        the file is Go
//
// The rules are heuristics over syntax: they are written to be right when they
// speak, and so they stay silent where only a reader can tell.
//
// Sizes have a ratchet: testdata/house/ratchet.txt lists what was too large
// once, with its size. An entry may shrink and must go when it is within the
// limit; nothing may grow.
//
// The package is pure but for parsing: it sees the tree through fs.FS. Only
// tests import it.
package house

// Package history judges what clients saw of a lock, and nothing else: when they
// asked, when they were answered, and what. It knows no slot, no log and no
// node. It searches for an order of the operations in which each takes effect
// once between its beginning and its end and a simple sequential lock gives
// every answer that was given: linearizability (G2), by search.
//
// A Log records the operations of one caller; Check judges the operations of
// many. The models:
//
//	Mutex      one hold, token above every token of the name before
//	ReadWrite  readers together or one writer, tokens likewise
//	Reentrant  one owner, who may hold it several times
//	Semaphore  permits, never more than there are
//	Register   what a lock guards: it refuses a token below one it has seen,
//	           and no value that was accepted is lost (G4)
//
// A search takes exponential time in what overlaps, so histories must be small:
// names that are used for some hundreds of operations and never again. Each name
// is searched by itself.
//
// # What is not known
//
// An operation without a definite answer stays open: it may take effect at any
// moment after it began, or never. Of an uncertain acquire nothing is known but
// what others met of it: a token that no definite grant has. Such a hold is a
// ghost. There must be an uncertain acquire for each, and it may end at any
// moment, because whoever asked gives it back in the background.
//
// A hold may end unasked, but not at any moment: whoever records says from when
// on with an operation Expire, which begins when the lease may be over (G6) and
// is never answered. Without one, a hold that was not given back is held for
// ever, and another grant is a violation.
//
// The package imports nothing of the house, so that tests of real processes and
// the simulator, on its virtual clock, can both use it. It is the one door to
// porcupine.
package history

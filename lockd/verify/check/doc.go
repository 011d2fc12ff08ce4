// Package check decides whether what callers of locks were told can be true: is
// a recorded history linearizable? It is pure: no clock, no goroutine, nothing
// random. lockd verify records such histories on a real cluster.
//
// # What a history is
//
// Operations of callers, each with the moments of its call and its return on one
// monotonic clock. Every operation is of one name, and names are independent, so
// each is judged alone (Herlihy and Wing 1990, theorem 1: locality). A request
// for several names at once is an Acquire of each: nothing promises one moment
// for names of several groups.
//
// # What is asked of it
//
// There must be a moment between call and return for each operation that has an
// outcome, such that one lock, used in the order of these moments, would have
// answered all of them as they were. That lock is:
//
//	token      a grant has a larger token than every earlier grant of the name; who
//	           names an Owner and holds the lock gets it again with the same token
//	exclusion  a grant gets along with all present holds: by the matrix of modes, or
//	           by permits and capacity
//	release    what is given back was held
//	force      what was ended by force is over, be it that it was before
//	refusal    a try is refused because of present holds, or because somebody waits;
//	           the token it names is that of a present hold
//	get        an answer lists the present holds, all of them and nothing else
//	test       a token is current if a hold has it; newest is the largest of a hold
//	value      what is read is what was written last; only a holder writes
//	conversion what is converted is held; to a mode that is stronger it gets along with
//	           all other holds, and has a larger token from then on
//	conversion what is converted is held; to a stronger mode it waits until that gets along
//	           with all other holds, and has a larger token from then on
//
// A hold begins with its grant and ends with its Release or a Force. If one of these
// has no outcome it may end at any moment after the call, or never. If the hold was
// lost it may end at any moment from the Call of its Loss on, or never: that is the
// moment until which its holder was promised it. An Acquire without an outcome may
// have been granted at any moment after its call, once, and given back at any moment
// after that. So may one that was asked anew because a session was lost, besides what it was
// told (Again). A Convert without an outcome leaves a hold of which nothing is known but
// the two modes: with its token, or one that nobody was told, ended or not.
//
// Who waits is not part of the lock's state: whether somebody may have waited is worked
// out from the calls alone, and in doubt somebody did. So it is with a refusal that names
// a hold which would not be in the way by itself: if an Acquire without an outcome was
// called before, that may have been.
//
// # How
//
// Tokens say in which order a name was granted, so nobody needs to search for it.
// What is left open is when a hold ended and when a question was answered. Check
// walks through calls and returns in the order of time with the set of all states
// the lock can be in (configurations: a position in the order of grants, the
// present holds, the value, and which of the operations under way are through).
// An operation is made to happen as late as its return allows (Lowe, Testing for
// linearizability, 2017: just in time), and a question as soon as a state answers
// it so, which costs nothing because it changes nothing. When an operation returns,
// the configurations that cannot have it behind them are dropped; if none is left
// there is no order, and that is a violation. Since every order of moments can be
// made late in this way without changing an answer, none is missed, and what is
// kept is an order. So the verdict is that of a search through all orders.
//
// The work of one return is bounded by what was under way then, not by the length
// of the history: time and memory are linear in it. A name with so much under way
// that more than MaxConfigurations stay possible is undecided, and reported so.
//
// Unheard grants are the one thing that is not exact. A token that somebody met and
// nobody was told of (a ghost) must be of such an Acquire that began before; the
// earliest of them, one for each, which is right whenever they asked alike. Where
// they did not, the ghost may have been any of them, in whatever way fits best. So
// a history may pass that could not have happened; one that could never fails.
package check

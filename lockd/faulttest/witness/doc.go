// Package witness looks at what crosses the conns of clients, and judges whole
// histories by the slots that answers name. Where package history searches an
// order, here the log order is the witness of one: what remains is to check that
// it explains every answer and agrees with real time. That takes the time of a
// few sorts, so that histories of millions of operations can be judged.
//
//	tap.go     one client's conns, frame by frame: what was asked and answered
//	record.go  one request as it was sent once, with its answer
//	check.go   groups one by one; answers, slots and real time
//	hold.go    what all answers together say of one token
//	range.go   between which slots each hold was granted and ended
//	owner.go   holds that their owner entered several times
//	name.go    the holds of one name against each other
//	session.go leases
//
// A Tap stands between a client and its conns (client.Options.Dial). It believes
// neither side and shares nothing with them but the wire format. What the client
// does in the background, cancels and gives back, it sees like everything else,
// so that few operations stay uncertain. It can also stop the client's conns for
// a while, as if the process were paused.
//
// # What is checked
//
//	order     a request that was sent after an answer came stands behind it (I23),
//	          a read not before it (I24); one answer to each send, with a slot
//	grants    a token is granted once, in the order of the slots (I15), and a
//	          request once (I19), never after it was cancelled
//	holds     whoever is named as in the way, or by a read, holds at that slot;
//	          a release by the holder's session succeeds once, and is not refused
//	          before the hold can have ended (I18)
//	ends      a hold that was not given back ends only after its release or the
//	          close of its session was sent, or its lease was over: a slot that
//	          was answered before that is too early (I21)
//	exclusion at the slot of a grant every hold it excludes can have ended (I14)
//	reads     no hold is missing from the count, nor too many in it
//
// # What is not known
//
// A send without an answer is uncertain. A hold that is only known because
// somebody was refused is explained by an uncertain acquire of its name. Where a
// slot is not known exactly, a range is, and only what no choice within the
// ranges explains is a violation.
//
// All clients of the names must be tapped, and their clocks be one.
package witness

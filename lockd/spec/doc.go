// Package spec checks the models of lockd's rules with spin. A model is a small
// Promela program beside this file; README.md says what each one abstracts,
// which invariants it carries and how large it is.
//
//	core.pml      one group of Multi-Paxos, crashes that lose what was not synced
//	identity.pml  wiped, copied, moved and rolled-back directories
//	reconfig.pml  a change of acceptors, α slots ahead
//	session.pml   log time, renewals, drifting clocks, the end of a session
//
// A model that cannot fail shows nothing, so each names its runs in its first
// comment, one per line:
//
//	run holds NAME FLAGS        all invariants hold in every reachable state
//	run deep NAME FLAGS         the same with larger bounds, minutes of work
//	run fails NAME I1 FLAGS     a rule is left out, and invariant I1 breaks
//	run open NAME I1 FLAGS      I1 breaks: a window that README.md owns up to
//	run reached NAME FLAGS      a state without which "holds" would be idle talk
//
// Before the other flags, -O marks a long search: it is compiled well, which the
// others are over before, and begins before them.
//
// A run of the first two kinds is good only if spin saw every state within the
// model's bounds; of the others, only if spin found what the run names and
// nothing else.
//
// The package steps other programs (spin, the C compiler and what they make);
// it keeps no state. The command lockd/spec/run and the tests call it.
package spec

package paxos

import "fmt"

// check panics if an invariant of this replica is broken. It does nothing
// unless built with the invariants tag.
func (r *Replica) check() {
	if !invariantsOn {
		return
	}
}

func (r *Replica) must(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf("paxos: group %d node %d: ", r.cfg.Group, r.cfg.Self) +
			fmt.Sprintf(format, args...))
	}
}

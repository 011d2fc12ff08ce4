package client

import (
	"fmt"
	"strings"

	"lockd/netio/wire"
)

// DeadlockError says whom a refused request would have waited for in a circle. It
// matches ErrDeadlock.
type DeadlockError struct {
	Name string // of the lock that was asked for, of several the one in the circle
	// Token is that of the hold of Name whose own waiting request is in the way,
	// or zero if that is not known, or if somebody who waits is in the way.
	Token uint64
	// Steps are the circle in which a call that said Detect waited or would have
	// waited, nil for others. The first is the request itself; after the last
	// comes the first. Sessions of one client differ from group to group.
	// Of Count steps at most the first 32 are here.
	Steps []DeadlockStep
	Count int
}

// DeadlockStep is one wait of a circle: an owner waits for the lock Name, where the
// owner of the next step is in the way.
type DeadlockStep struct {
	Client  string // Options.Name of the owner's client
	Session uint64 // of that client, in the group of Name
	Owner   uint64 // LockOptions.Owner or of LockAllOptions, zero for who names none
	Name    string
	// Token is that of the next step's hold of Name, zero if the next step has none
	// and waits for Name too, before this.
	Token uint64
}

// deadlock makes the error of a refusal. It copies; bad if the payload does not
// decode.
func deadlock(x *Call, r *wire.Response) (err *DeadlockError, bad error) {
	err = &DeadlockError{Name: x.inTheWay(r), Token: r.Token}
	if len(r.Payload) == 0 {
		return err, nil
	}
	circle, bad := wire.DecodeCircle(r.Payload)
	if bad != nil {
		return nil, bad
	}
	err.Count = int(circle.Count)
	for i := range circle.Steps {
		s := &circle.Steps[i]
		err.Steps = append(err.Steps, DeadlockStep{Client: string(s.Client), Session: s.Session,
			Owner: s.Owner, Name: string(s.Name), Token: s.Token})
	}
	return err, nil
}

// Is reports whether target is ErrDeadlock.
func (e *DeadlockError) Is(target error) bool { return target == ErrDeadlock }

// Error says it in one line, and one more for each step of a circle.
func (e *DeadlockError) Error() string {
	if len(e.Steps) > 0 {
		return e.circle()
	}
	if e.Token == 0 {
		return fmt.Sprintf("lock %q: deadlock: the holder waits for this client", e.Name)
	}
	return fmt.Sprintf("lock %q: deadlock: the holder with token %d waits for this client",
		e.Name, e.Token)
}

// circle prints who waits for whom.
func (e *DeadlockError) circle() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lock %q: deadlock: %d owners wait in a circle", e.Name, e.Count)
	for i := range e.Steps {
		s, next := &e.Steps[i], &e.Steps[(i+1)%len(e.Steps)]
		fmt.Fprintf(&b, "\n  %s waits for %q", s.who(), s.Name)
		switch last := i+1 == len(e.Steps) && e.Count > len(e.Steps); {
		case last:
			fmt.Fprintf(&b, "\n  and %d more, the last for the first", e.Count-len(e.Steps))
		case s.Token == 0:
			fmt.Fprintf(&b, ", behind %s, who waits for it too", next.who())
		default:
			fmt.Fprintf(&b, ", which %s holds with token %d", next.who(), s.Token)
		}
	}
	return b.String()
}

// who names an owner.
func (s *DeadlockStep) who() string {
	client := plain(s.Client)
	if client == "" {
		client = fmt.Sprintf("session %d", s.Session)
	}
	if s.Owner == 0 {
		return client
	}
	return fmt.Sprintf("owner %d of %s", s.Owner, client)
}

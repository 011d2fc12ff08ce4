package verify

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"lockd/client"
)

// leaders is who led which group when, for the reader of a violation.
type leaders struct {
	sync.Mutex
	since []change // in the order of time
}

// change is a group that was seen with another leader than before.
type change struct {
	at    int64
	group uint16
	node  uint16
}

// note notes who leads now.
func (l *leaders) note(at int64, all []client.NodeStatus) {
	l.Lock()
	defer l.Unlock()
	for i := range all {
		for _, g := range all[i].Groups {
			if all[i].Err == nil && g.Role == client.RoleLeader && l.last(g.Group, at) != all[i].Node {
				l.since = append(l.since, change{at: at, group: g.Group, node: all[i].Node})
			}
		}
	}
}

// last returns who was seen last to lead a group at a moment, zero if nobody was.
// Requires: it is locked.
func (l *leaders) last(group uint16, at int64) uint16 {
	for i := len(l.since) - 1; i >= 0; i-- {
		if c := l.since[i]; c.group == group && c.at <= at {
			return c.node
		}
	}
	return 0
}

// lookAtLeaders asks once.
func (r *run) lookAtLeaders(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if all, err := r.observer.Status(bounded); err == nil {
		r.leaders.note(r.opts.Clock(), all)
	}
}

// trouble says what is wrong with the cluster as its nodes tell it, empty if nothing
// is.
func trouble(all []client.NodeStatus) string {
	var wrong []string
	leads := map[uint16]int{}
	for i := range all {
		s := &all[i]
		switch {
		case s.Err != nil:
			wrong = append(wrong, fmt.Sprintf("node %d does not answer", s.Node))
		case s.Draining:
			wrong = append(wrong, fmt.Sprintf("node %d is draining", s.Node))
		}
		for _, g := range s.Groups {
			if s.Err == nil && g.Role == client.RoleLeader {
				leads[g.Group]++
			}
			if s.Err == nil {
				leads[g.Group] += 0
			}
		}
	}
	without := 0
	for _, n := range leads {
		if n == 0 {
			without++
		}
	}
	if len(leads) == 0 {
		wrong = append(wrong, "no group is known")
	}
	if without > 0 {
		wrong = append(wrong, fmt.Sprintf("%d of %d groups have no leader", without, len(leads)))
	}
	return strings.Join(wrong, ", ")
}

// homeWithin is how long leaderships may take to come home.
const homeWithin = 15 * time.Second

// awaitHome waits until leaderships are where they are to be, as far as that is known,
// and no longer than until.
func (r *run) awaitHome(ctx context.Context, until time.Time) {
	if r.opts.Home == nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, min(homeWithin, time.Until(until)))
	defer cancel()
	for !r.opts.Home(bounded) && bounded.Err() == nil {
		rest(bounded, 100*time.Millisecond)
	}
}

// awaitHealth waits until all nodes answer, every group has a leader, and each group
// serves the probes, which began after.
func (r *run) awaitHealth(ctx context.Context, limit time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	wrong := "nobody answers"
	for settled := false; ; rest(bounded, 50*time.Millisecond) {
		ask, stop := context.WithTimeout(bounded, 2*time.Second)
		all, err := r.observer.Status(ask)
		stop()
		if err == nil {
			wrong = trouble(all)
		}
		if err == nil && wrong == "" && !settled {
			settled = true
			r.probes.afresh()
		}
		if settled && wrong == "" {
			silent := r.probes.silent()
			if len(silent) == 0 {
				return nil
			}
			wrong = fmt.Sprintf("groups %v do not serve", silent)
		}
		if bounded.Err() != nil {
			return fmt.Errorf("%w after %s: %s", ErrUnhealthy, limit, wrong)
		}
	}
}

package sim

import (
	"lockd/lockd/node"
	"lockd/paxos"
)

// sample looks now and then at how large everything has become: each table,
// queue and file has a declared bound (I22).
func (w *World) sample() {
	w.agenda.After(500*millisecond, func() {
		for _, s := range w.sites {
			if s.proc != nil {
				w.measure(s)
			}
		}
		for _, c := range w.cores {
			c.stillHeld()
		}
		for _, l := range w.links {
			for side := range l.lanes {
				if have := l.lanes[side].bytes; have > w.opts.QueueBytes+maxFrame {
					w.failf("I22: %d bytes are on their way from node %d, %d at most", have,
						l.site(1-side).id, w.opts.QueueBytes)
				}
			}
		}
		w.sample()
	})
}

// maxFrame is the longest frame between nodes.
const maxFrame = 4 << 20

func (w *World) measure(s *site) {
	if st := s.proc.log.writer.Stats(); st.Segments > w.opts.Log.MaxSegments {
		w.failf("I22: node %d uses %d segments, %d at most", s.id, st.Segments,
			w.opts.Log.MaxSegments)
	}
	limits := &w.opts.Node.Limits
	s.proc.node.ForEachGroup(func(g node.GroupView) {
		st := g.Machine.Stats()
		if st.Sessions > limits.Sessions || st.Locks > limits.Locks || st.Claims > limits.Claims ||
			st.Detached > limits.Detached {
			w.failf("I22: node %d group %d: %+v is above %+v", s.id, g.ID, st, *limits)
		}
		most := w.chosen.Last(g.ID) + paxos.Slot(w.opts.Node.Window)
		if last := g.Replica.Status().Last; last > most {
			w.failf("I22: node %d group %d holds slot %d, at most %d are proposed", s.id, g.ID, last,
				most)
		}
	})
}

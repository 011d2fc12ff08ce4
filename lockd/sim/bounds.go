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
		w.sample()
	})
}

// sized checks that the values of a message between replicas are not more than
// declared, where one alone may be.
func (w *World) sized(m *paxos.Message) {
	bytes := 0
	for i := range m.Entries {
		bytes += len(m.Entries[i].Value)
	}
	if most := w.opts.Node.MaxMessageBytes; len(m.Entries) > 1 && bytes > most {
		w.failf("I22: %v of group %d has %d values of %d bytes, %d at most", m.Kind, m.Group,
			len(m.Entries), bytes, most)
	}
}

func (w *World) measure(s *site) {
	if st := s.proc.log.writer.Stats(); st.Segments > w.opts.Log.MaxSegments {
		w.failf("I22: node %d uses %d segments, %d at most", s.id, st.Segments,
			w.opts.Log.MaxSegments)
	}
	limits := &w.opts.Node.Limits
	s.proc.node.ForEachGroup(func(g node.GroupView) {
		st := g.Machine.Stats()
		if st.Sessions > limits.Sessions || st.Locks > limits.Locks || st.Claims > limits.Claims ||
			st.Detached > limits.Detached || st.DataBytes > uint64(limits.DataBytes) {
			w.failf("I22: node %d group %d: %+v is above %+v", s.id, g.ID, st, *limits)
		}
		most := w.chosen.Last(g.ID) + paxos.Slot(w.opts.Node.Window)
		if last := g.Replica.Status().Last; last > most {
			w.failf("I22: node %d group %d holds slot %d, at most %d are proposed", s.id, g.ID, last,
				most)
		}
	})
}

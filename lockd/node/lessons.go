package node

import "lockd/paxos"

// lessons are what a peer that lags asks of the logs of this node's groups. A
// replica answers a Learn with a part of its log, and the peer asks on when it
// has it. After an absence it asks for all groups at once: what is on its way to
// it is bounded like a snapshot, by what the link carries without a queue, and
// the groups take turns.
type lessons struct {
	window window
	// waiting are questions that were not put to their replica yet, one of each
	// group.
	waiting []paxos.Message
	// taught are the answers that the peer has not come back for.
	taught map[paxos.GroupID]lesson
	bytes  int // of the answers in taught
	// trip is how long the last answer took with which a peer came back.
	trip Nanos
	// count is how many were put to a replica in the turn of that number.
	count int
	turn  uint64
}

type lesson struct {
	bytes int
	at    Nanos
	// more says that it is not all: the peer comes back for the rest.
	more bool
}

const (
	// lessonsPerTurn bounds the answers of one turn, whose size shows only when
	// they are given.
	lessonsPerTurn = 1
	// firstLessons is the window with which it begins: a full answer.
	firstLessons = 32 << 10
	// lessonPatience is how long an answer counts as being on its way at most.
	lessonPatience = Second
)

// onLearn takes a question of a peer. That it comes says that the answer to the
// last one of its group has arrived.
func (n *Node) onLearn(p *peer, g *group, m *paxos.Message) {
	l := &p.lessons
	if t, ok := l.taught[g.id]; ok {
		l.trip = n.now - t.at
		l.window.heard(l.trip, t.bytes, n.heartbeat()/4)
		l.forget(g.id)
	}
	for i := range l.waiting {
		if l.waiting[i].Group == m.Group {
			l.waiting[i] = *m
			return
		}
	}
	l.waiting = append(l.waiting, *m)
	n.teach(p)
}

// teach puts questions to their replicas, as far as there is room for answers.
func (n *Node) teach(p *peer) {
	l := &p.lessons
	if len(l.waiting) == 0 {
		return
	}
	if l.window.bytes == 0 {
		l.window.bytes = firstLessons
	}
	if l.bytes >= l.window.bytes {
		l.expire(n.now, n.heartbeat())
	}
	if l.turn != n.stats.Turns {
		l.turn, l.count = n.stats.Turns, 0
	}
	for len(l.waiting) > 0 && l.bytes < l.window.bytes {
		if l.count == lessonsPerTurn {
			n.inbox.again()
			return
		}
		l.count++
		m := l.waiting[0]
		l.waiting = append(l.waiting[:0], l.waiting[1:]...)
		if g := n.group(uint16(m.Group)); g != nil {
			g.replica.Step(&m)
			n.touch(g)
		}
	}
}

// given notes an answer.
func (l *lessons) given(m *paxos.Message, bytes int, now Nanos) {
	if l.taught == nil {
		l.taught = make(map[paxos.GroupID]lesson)
	}
	k := len(m.Entries)
	l.forget(m.Group)
	l.taught[m.Group] = lesson{bytes, now, k > 0 && m.Entries[k-1].Slot < m.Chosen}
	l.bytes += bytes
}

func (l *lessons) forget(g paxos.GroupID) {
	l.bytes -= l.taught[g].bytes
	delete(l.taught, g)
}

// expire forgets the answers that have arrived by any guess. Who has all it
// needs does not come back; it has it after about the time that others took, a
// heartbeat if none is known. The rest count until the peer gives up as well.
func (l *lessons) expire(now, heartbeat Nanos) {
	guess := heartbeat
	if l.trip > 0 {
		guess = min(guess, 2*l.trip)
	}
	for g, t := range l.taught { // order: each by itself
		if now-t.at > lessonPatience || !t.more && now-t.at > guess {
			l.forget(g)
		}
	}
}

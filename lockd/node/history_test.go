package node

import (
	"fmt"
	"sync"
	"testing"

	"lockd/netio/wire"
)

// pastNotes is a History that remembers what it was told, slot by slot, and judges that
// what a node tells again is the same, and that it tells of slots in order.
type pastNotes struct {
	t     testing.TB
	mu    sync.Mutex
	known map[uint16][]HistoryNote // of each group, Ended left out
	ended map[string]string        // by group and slot
	full  bool
	asked []HistoryRequest
}

func newPastNotes(t testing.TB) *pastNotes {
	return &pastNotes{t: t, known: map[uint16][]HistoryNote{}, ended: map[string]string{}}
}

// Note implements History.
func (p *pastNotes) Note(x *HistoryNote) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.After > x.To || x.Before > x.LogTime || len(x.Ended) > 0 && x.After == x.To {
		p.t.Errorf("note: got %+v", x)
	}
	key := fmt.Sprint(x.Group, "/", x.To)
	text := ""
	for i := range x.Ended {
		e := &x.Ended[i]
		text += fmt.Sprintf("%s by %s %v %v token %d since %d until %d; ", e.Name, e.Client, e.How,
			e.Mode, e.Token, e.Since, x.LogTime)
	}
	if old, again := p.ended[key]; again && old != text && x.After < x.To {
		p.t.Errorf("%s: got %q told after %q", key, text, old)
	}
	if text != "" {
		p.ended[key] = text
	}
	note := *x
	note.Ended = nil
	p.known[x.Group] = append(p.known[x.Group], note)
}

// Ask implements History: it answers with the name.
func (p *pastNotes) Ask(r HistoryRequest) bool {
	p.asked = append(p.asked, r)
	return !p.full
}

// gaps counts slots that were left out between notes.
func (p *pastNotes) gaps(group uint16) (n int) {
	last := uint64(0)
	for i, x := range p.known[group] {
		if i > 0 && x.After > last {
			n++
		}
		last = max(last, x.To)
	}
	return n
}

// same compares what two nodes were told.
func (p *pastNotes) same(other *pastNotes) {
	p.t.Helper()
	if len(p.ended) == 0 {
		p.t.Error("got nothing told")
	}
	for key, text := range p.ended {
		if got := other.ended[key]; got != text {
			p.t.Errorf("%s: got %q from another node, want %q", key, got, text)
		}
	}
}

// watched returns a world whose nodes tell what ends.
func watched(t *testing.T, o Options) *world {
	w := newWorld(t, o)
	for id := uint16(1); id <= 3; id++ {
		w.nodes[id].past = newPastNotes(t)
	}
	for id := uint16(1); id <= 3; id++ {
		w.kill(id)
		w.run(20 * Millisecond)
		w.nodes[id].start()
		w.link(id)
		w.run(3 * Second)
	}
	return w
}

// Every replica tells the same of what ended, whoever leads, and after a restart it
// tells again what its log has above the last checkpoint, and leaves out nothing.
func TestReplicasTellTheSameHistory(t *testing.T) {
	for _, checkpoint := range []int64{4 << 10, 1 << 40} {
		o := testOptions()
		o.CheckpointBytes = checkpoint
		w := watched(t, o)
		u := w.user(1, 0)
		for i := range 60 {
			name := w.nameIn(0, i%5)
			u.unlock(name, u.lock(name).Token)
			if i%10 == 0 {
				u.keepalive()
				w.run(200 * Millisecond)
			}
		}
		forced := w.nameIn(0, 9)
		u.want(u.force(forced, u.lock(forced).Token), wire.StatusOK)
		w.run(Second)
		leader := w.leaderOf(0)
		notes := leader.past.known[0]
		at, told := leader.node.group(0).machine.LogTime(), notes[len(notes)-1].LogTime
		if at-told > 200 {
			t.Errorf("got told of log time %d, it is %d: nobody knows when that was", told, at)
		}
		for _, id := range []uint16{1, 2, 3} {
			if id == leader.id {
				continue
			}
			n := w.nodes[id]
			w.kill(id)
			n.together = id == 3
			n.start()
			w.link(id)
			w.run(2 * Second)
			leader.past.same(n.past)
			n.past.same(leader.past)
			if got := n.past.gaps(0); got != 0 {
				t.Errorf("checkpoint %d, node %d: got %d gaps: %+v", checkpoint, id, got, n.past.known[0])
			}
		}
		if got, want := len(leader.past.ended), 61; got != want {
			t.Errorf("slots with ends: got %d, want %d", got, want)
		}
	}
}

// A snapshot leaves a gap, and what ended after it is told.
func TestSnapshotLeavesAGapInTheHistory(t *testing.T) {
	w, to := lagging(t)
	w.kill(3)
	to.past = newPastNotes(t)
	to.start()
	w.link(3)
	w.run(2 * Second)
	if to.node.stats.Installs == 0 {
		t.Fatal("no snapshot was installed")
	}
	u := w.user(7, 0)
	name := w.nameIn(0, 500)
	u.unlock(name, u.lock(name).Token)
	w.run(Second)
	if got := to.past.gaps(0); got != 1 {
		t.Errorf("gaps: got %d, want 1: %+v", got, to.past.known[0])
	}
	if len(to.past.ended) == 0 {
		t.Error("got nothing told after the snapshot")
	}
}

// A question goes to the history of the node that is asked, whoever leads, and its answer
// to who asked. A node without one says so, and one that is asked too much is busy.
func TestHistoryIsAsked(t *testing.T) {
	w := watched(t, testOptions())
	name := w.nameIn(2, 0)
	for id := uint16(1); id <= 3; id++ {
		n := w.nodes[id]
		ask := func(x wire.History, request uint64) {
			frame := wire.AppendHistory(nil, wire.Header{Request: request}, &x)
			n.inbox.Request(50, frame)
			w.run(2 * Millisecond)
		}
		response := func() wire.Response {
			t.Helper()
			frame := n.sent[50]
			n.sent[50] = nil
			h, body, err := wire.Parse(frame)
			if err != nil {
				t.Fatal(err)
			}
			x, err := wire.DecodeResponse(body)
			if err != nil || h.Request == 0 {
				t.Fatalf("got %v, %+v", err, h)
			}
			return x
		}
		ask(wire.History{ToMillis: 7, Name: name}, 1)
		if len(n.past.asked) != 1 || n.past.asked[0].Group != 2 || len(n.sent[50]) != 0 {
			t.Fatalf("node %d: got %+v asked", id, n.past.asked)
		}
		n.inbox.Recalled(HistoryDone{Conn: 50, Request: 1, Page: []byte("page")})
		w.run(2 * Millisecond)
		if x := response(); x.Status != wire.StatusOK || string(x.Payload) != "page" {
			t.Errorf("answer: got %+v", x)
		}
		n.past.full = true
		ask(wire.History{Name: name}, 2)
		if x := response(); x.Status != wire.StatusBusy {
			t.Errorf("full: got %+v, want busy", x)
		}
		ask(wire.History{Name: []byte{}}, 3)
		if x := response(); x.Status != wire.StatusNameTooLong {
			t.Errorf("no name: got %+v", x)
		}
		n.inbox.Recalled(HistoryDone{Conn: 51, Request: 1}) // who is gone
		w.kill(id)
		n.past = nil
		n.start()
		w.link(id)
		w.run(2 * Second)
		ask(wire.History{Name: name}, 4)
		if x := response(); x.Status != wire.StatusNotFound {
			t.Errorf("without a history: got %+v, want not found", x)
		}
	}
}

// The history of a group is told when it is used for the first time, once: log time stands
// at zero from its birth until then. Only who leads knows when that is.
func TestHistoryIsToldOfTheFirstUse(t *testing.T) {
	w := watched(t, testOptions())
	u := w.user(1, 0)
	began := func() (all []HistoryNote) {
		for _, p := range w.opts.Nodes {
			for _, x := range w.nodes[p.ID].past.known[0] {
				if x.Begins {
					all = append(all, x)
				}
			}
		}
		return all
	}
	if got := began(); len(got) != 0 {
		t.Fatalf("before: got %+v told, want nothing", got)
	}
	before := w.now
	token := u.lock(w.nameIn(0, 0)).Token
	u.unlock(w.nameIn(0, 0), token)
	u.lock(w.nameIn(0, 1))
	w.run(Second)
	got := began()
	if len(got) != 1 || got[0].LogTime != 0 || got[0].Now < before ||
		got[0].Now > before+100*Millisecond {
		t.Errorf("got %+v told, want the first use, at %v", got, before)
	}
	for _, p := range w.opts.Nodes { // what is applied again, and what comes late, is not now
		w.kill(p.ID)
		w.nodes[p.ID].start()
		w.link(p.ID)
		w.run(2 * Second)
	}
	if got := began(); len(got) != 1 {
		t.Errorf("after restarts: got %+v told, want nothing more", got)
	}
}

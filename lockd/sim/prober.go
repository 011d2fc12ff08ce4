package sim

import (
	"fmt"

	"lockd/netio/wire"
	"lockd/paxos"
)

// prober asks every node for a lock of every group that can progress, again and
// again, until each has answered once: a client that cares for nothing but an answer.
type prober struct {
	w        *World
	conns    []*conn
	request  uint64
	answered []bool
	over     bool
}

func newProber(w *World) *prober {
	p := &prober{w: w, conns: make([]*conn, len(w.sites)), answered: make([]bool, w.opts.Groups)}
	for g := range p.answered {
		p.answered[g] = !w.progresses(paxos.GroupID(g)) // nothing is asked for
	}
	p.ask()
	return p
}

// every is how long the prober waits between two rounds of questions.
func (p *prober) every() Time { return max(50*millisecond, p.w.election()/4) }

func (p *prober) reaches(*site) bool { return true }

func (p *prober) awayUntil() Time { return 0 }

func (p *prober) lost(gone *conn) {
	for i, c := range p.conns {
		if c == gone {
			p.conns[i] = nil
		}
	}
}

func (p *prober) hear(from *conn, frames []byte) {
	from.eachFrame(frames, func(h wire.Header, body []byte) {
		x, err := wire.DecodeResponse(body)
		if h.Kind == wire.KindResponse && err == nil &&
			(x.Status == wire.StatusOK || x.Status == wire.StatusNotFound) {
			p.answered[h.Group] = true
		}
	})
}

func (p *prober) ask() {
	if p.over {
		return
	}
	for i, s := range p.w.sites {
		if p.conns[i] == nil {
			p.conns[i] = p.w.openConn(p, s)
		}
		for g, done := range p.answered {
			if p.conns[i] == nil || done {
				continue
			}
			p.request++
			p.conns[i].request(wire.AppendGet(nil, wire.Header{Group: uint16(g), Request: p.request},
				&wire.Get{Name: []byte(p.w.names[g][0])}))
		}
	}
	p.w.agenda.After(p.every(), p.ask)
}

// missing names a group that has not answered.
func (p *prober) missing() string {
	for g, done := range p.answered {
		if !done {
			return fmt.Sprintf("group %d does not answer", g)
		}
	}
	return ""
}

func (p *prober) end() {
	p.over = true
	for _, c := range p.conns {
		if c != nil {
			c.giveUp()
		}
	}
}

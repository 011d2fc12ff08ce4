package lockfsm

import "slices"

// force ends the hold that has a token, whoever has it.
func (t *twin) force(c *Command, res Result) Result {
	res.Token, res.Detached = c.Token, false
	if n := len(c.Value); n < 1 || n > 256 || len(c.Who) > 128 {
		return res.with(CodeBadRequest)
	}
	l := t.locks[string(c.Name)]
	if l == nil {
		return res.with(CodeNotHolder)
	}
	if l.gate != 0 {
		res.Capacity, res.Gate = l.capacity, l.gate
		return res.with(CodeOtherKind)
	}
	i := slices.IndexFunc(l.holders, func(h *twinClaim) bool { return h.stamp == c.Token })
	if i < 0 {
		for _, h := range l.holders {
			res.HolderToken = max(res.HolderToken, h.stamp)
		}
		return res.with(CodeNotHolder)
	}
	h := l.holders[i]
	res.Session, res.Detached, res.Request = h.s.id, h.detached, h.request
	t.event(EventForced, h, h.stamp)
	h.levels = nil
	t.doubt(h, endForced)
	t.drop(h)
	return res.with(CodeOK)
}

// finishForce names a hold, mostly one that is there, and says why.
func (w *world) finishForce(c Command) Command {
	r := w.rng
	c.Flags, c.Session, c.Epoch = 0, 0, 0
	c.Who, c.Value = []byte("operator")[:r.IntN(9)], []byte("stuck")[:1+r.IntN(5)]
	switch r.IntN(40) {
	case 0:
		c.Value = nil
	case 1:
		c.Value = make([]byte, MaxReasonBytes+1)
	}
	all := w.twin.claims()
	if len(all) == 0 {
		return c
	}
	cl := all[r.IntN(len(all))].place()
	c.Name, c.Token = []byte(cl.lock.name), cl.stamp-Token(r.IntN(10)/9)
	return c
}

package witness

import (
	"lockd/netio/wire"
)

// onRequest notes one frame of the client.
func (c *tapped) onRequest(now int64, h wire.Header, body []byte) {
	t := c.tap
	r := Record{Began: now, Ended: Open, Request: h.Request, Group: h.Group, Kind: h.Kind}
	var name []byte
	var err error
	switch h.Kind {
	case wire.KindOpenSession:
		var x wire.OpenSession
		x, err = wire.DecodeOpenSession(body)
		r.TTLMillis = x.LeaseMillis
	case wire.KindCloseSession:
		var x wire.CloseSession
		x, err = wire.DecodeCloseSession(body)
		r.Session = x.Session
		t.change(SessionKey{x.Session, h.Group}, func(s *Session) { s.Closed = min(s.Closed, now) })
	case wire.KindAcquire:
		var x wire.Acquire
		x, err = wire.DecodeAcquire(body)
		name, r.Session, r.Mode, r.TTLMillis = x.Name, x.Session, x.Mode, x.TTLMillis
		if t.mu.sent[h.Request]++; t.mu.sent[h.Request] > 1 {
			r.Again = Resent
		}
	case wire.KindRelease:
		var x wire.Release
		x, err = wire.DecodeRelease(body)
		name, r.Session, r.Token = x.Name, x.Session, x.Token
	case wire.KindCancel:
		var x wire.Cancel
		x, err = wire.DecodeCancel(body)
		name, r.Session, r.Request = x.Name, x.Session, x.Target
	case wire.KindRenewHold:
		var x wire.RenewHold
		x, err = wire.DecodeRenewHold(body)
		name, r.Session, r.Token, r.TTLMillis = x.Name, x.Session, x.Token, x.TTLMillis
	case wire.KindGet:
		var x wire.Get
		x, err = wire.DecodeGet(body)
		name = x.Name
	case wire.KindKeepalive:
		c.keepalives[c.kept%keptKeepalives] = keepalive{h.Request, now}
		c.kept++
		return
	case wire.KindList, wire.KindStatus:
	default:
		return
	}
	if err != nil {
		t.stray("a client sent: %v", err)
		return
	}
	if name != nil {
		r.Name = t.book.nameOf(name)
	}
	if old, twice := c.open[h.Request]; twice {
		t.append(old)
	}
	if c.open[h.Request] = r; c.ended {
		c.end()
	}
}

// onFrame notes one frame of the node.
func (c *tapped) onFrame(now int64, h wire.Header, body []byte) {
	switch h.Kind {
	case wire.KindResponse:
		x, err := wire.DecodeResponse(body)
		if err != nil {
			c.tap.stray("a node sent: %v", err)
			return
		}
		c.onResponse(now, h, &x)
	case wire.KindKeepaliveAck:
		x, err := wire.DecodeKeepaliveAck(body)
		if err != nil {
			c.tap.stray("a node sent: %v", err)
			return
		}
		for i := range x.Len() {
			c.onRenewal(now, h.Request, x.At(i))
		}
	case wire.KindSessionLost:
		x, err := wire.DecodeSessionLost(body)
		if err != nil {
			c.tap.stray("a node sent: %v", err)
			return
		}
		c.over(now, SessionKey{x.Session, h.Group})
	}
}

func (c *tapped) over(now int64, k SessionKey) {
	c.tap.change(k, func(s *Session) { s.Over = min(s.Over, now) })
}

// onRenewal notes what became of a session in a keepalive.
func (c *tapped) onRenewal(now int64, request uint64, r wire.Renewal) {
	k := SessionKey{r.Session, r.Group}
	switch r.Code {
	case wire.CodeUnknown:
		c.over(now, k)
	case wire.CodeRenewed:
		for i := range c.keepalives {
			if e := &c.keepalives[i]; e.request == request && e.sent != 0 {
				c.tap.change(k, func(s *Session) { s.Renewed = max(s.Renewed, e.sent) })
			}
		}
	}
}

// onResponse ends a send.
func (c *tapped) onResponse(now int64, h wire.Header, x *wire.Response) {
	if x.Status == wire.StatusQueued {
		return
	}
	t := c.tap
	r, ok := c.open[h.Request]
	if !ok {
		t.stray("group %d: %s token %d slot %d answers request %d, which nobody sent on this conn "+
			"or which was answered before", h.Group, x.Status, x.Token, x.Slot, h.Request)
		return
	}
	delete(c.open, h.Request)
	if x.Status == wire.StatusUncertain {
		t.append(r)
		return
	}
	if r.Kind == wire.KindAcquire {
		t.forget(h.Request)
	}
	switch x.Status {
	case wire.StatusBusy, wire.StatusNotLeader, wire.StatusStopping:
		return // nothing happened
	case wire.StatusSessionUnknown, wire.StatusSessionEnded:
		if !r.detached() {
			c.over(now, SessionKey{r.Session, r.Group})
		}
	}
	r.Ended, r.Status, r.Slot = now, x.Status, x.Slot
	switch r.Kind {
	case wire.KindStatus:
		return // of a node, not of a group
	case wire.KindAcquire, wire.KindCancel:
		r.Token = x.Token
	case wire.KindGet:
		c.looked(&r, x)
	case wire.KindOpenSession:
		if r.Token = x.Token; x.Status == wire.StatusOK {
			t.change(SessionKey{x.Token, r.Group}, func(s *Session) {
				s.LeaseMillis, s.Renewed = r.TTLMillis, max(s.Renewed, r.Began)
			})
		}
	}
	t.append(r)
}

// looked takes what a Get says of holders.
func (c *tapped) looked(r *Record, x *wire.Response) {
	if x.Status != wire.StatusOK {
		return
	}
	info, err := wire.DecodeLockInfo(x.Payload)
	if err != nil {
		c.tap.stray("a node sent: %v", err)
		return
	}
	if r.Count = info.HolderCount; len(info.Holders) > 0 {
		r.Token = info.Holders[0].Token
	}
}

// forget notes that one send of an acquire is settled.
func (t *Tap) forget(request uint64) {
	if t.mu.sent[request]--; t.mu.sent[request] <= 0 {
		delete(t.mu.sent, request)
	}
}

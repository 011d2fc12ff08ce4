package witness

import (
	"lockd/netio/wire"
)

// onRequest notes one frame of the client.
func (c *tapped) onRequest(now int64, h wire.Header, body []byte) {
	t := c.tap
	r := Record{Began: now, Ended: Open, Request: h.Request, Group: h.Group, Kind: h.Kind}
	r.version = h.Version()
	switch h.Kind {
	case wire.KindKeepalive:
		c.keepalives[c.kept%keptKeepalives] = keepalive{h.Request, now}
		c.kept++
		return
	case wire.KindHello:
		return
	}
	name, err := decode(&r, h.Kind, body)
	if err != nil {
		t.stray("a client sent: %v", err)
		return
	}
	if name != nil {
		r.Name = t.book.nameOf(name)
	}
	switch {
	case h.Kind.Acquires():
		if t.mu.sent[h.Request]++; t.mu.sent[h.Request] > 1 {
			r.Again = Resent
		}
	case h.Kind == wire.KindOpenSession:
		t.mu.opened[h.Group] = append(t.mu.opened[h.Group], now)
	case h.Kind == wire.KindCloseSession:
		t.change(SessionKey{r.Session, h.Group}, func(s *Session) { s.Closed = min(s.Closed, now) })
	}
	if old, twice := c.open[h.Request]; twice {
		t.stray("group %d: a client sent %s %d again on a conn that may yet answer it", h.Group,
			h.Kind, h.Request)
		t.append(old)
	}
	if c.open[h.Request] = r; c.ended {
		c.end()
	}
}

// decode fills in what a request says, and returns the name it is about.
func decode(r *Record, kind wire.Kind, body []byte) (name []byte, err error) {
	switch kind {
	case wire.KindOpenSession:
		x, err := wire.DecodeOpenSession(body)
		r.TTLMillis = x.LeaseMillis
		return nil, err
	case wire.KindCloseSession:
		x, err := wire.DecodeCloseSession(body)
		r.Session = x.Session
		return nil, err
	case wire.KindAcquire:
		x, err := wire.DecodeAcquire(body)
		r.Session, r.Mode, r.TTLMillis = x.Session, x.Mode, x.TTLMillis
		return x.Name, err
	case wire.KindTake:
		x, err := wire.DecodeTake(body)
		r.Session, r.TTLMillis = x.Session, x.TTLMillis
		r.Permits, r.Capacity = x.Permits, x.Capacity
		return x.Name, err
	case wire.KindEnter:
		x, err := wire.DecodeEnter(body)
		r.Session, r.Owner, r.Mode = x.Session, x.Owner, x.Mode
		return x.Name, err
	case wire.KindLeave:
		x, err := wire.DecodeLeave(body)
		r.Session, r.Token, r.Request = x.Session, x.Token, x.Target
		return x.Name, err
	case wire.KindRelease:
		x, err := wire.DecodeRelease(body)
		r.Session, r.Token = x.Session, x.Token
		return x.Name, err
	case wire.KindCancel:
		x, err := wire.DecodeCancel(body)
		r.Session, r.Request = x.Session, x.Target
		return x.Name, err
	case wire.KindRenewHold:
		x, err := wire.DecodeRenewHold(body)
		r.Session, r.Token, r.TTLMillis = x.Session, x.Token, x.TTLMillis
		return x.Name, err
	case wire.KindGet:
		x, err := wire.DecodeGet(body)
		return x.Name, err
	}
	return nil, nil
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
	if r.Kind.Acquires() {
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
	case wire.KindAcquire, wire.KindTake, wire.KindEnter, wire.KindCancel:
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
	decode := wire.DecodeLockInfo
	switch {
	case r.version >= wire.VersionWhole:
		decode = wire.DecodeLockInfo3
	case r.version >= wire.VersionKinds:
		decode = wire.DecodeLockInfo2
	}
	info, err := decode(x.Payload)
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

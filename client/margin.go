package client

import "time"

// Margin says how far a client was from losing its locks because renewals took long:
// what was left of the time until which they are safe whenever a renewal was answered.
// It is for a gauge and an alert: a process or a network that gets slow shows there
// before locks are lost.
type Margin struct {
	// Least was left, of all sessions, within the last one to two minutes: Of if nothing
	// was renewed, zero if the time of a session ran out.
	Least time.Duration
	// Of is for how long a renewal makes locks safe, counted from its send: what Drift
	// and Margin leave of the lease, and less with ReleaseOnDisconnect. A client that is
	// well renews when two thirds of it are left.
	Of time.Duration
}

// marginSpan is for how long a Margin is remembered, or up to twice as long.
const marginSpan = time.Minute

// margins keeps the least of two spans of time, the one that goes on and the one before.
type margins struct {
	of           time.Duration
	began        Instant // of the span that goes on
	last, before time.Duration
}

// note takes in what was left of the time of a session.
func (m *margins) note(now Instant, left time.Duration) {
	m.turn(now)
	m.last = min(m.last, max(left, 0))
}

// turn begins a new span if it is time.
func (m *margins) turn(now Instant) {
	passed := now.Sub(m.began)
	if passed < marginSpan {
		return
	}
	if m.before = m.last; passed >= 2*marginSpan {
		m.before = m.of
	}
	m.began, m.last = now, m.of
}

// Margin returns how far the client was of late from losing its locks.
func (c *Client) Margin() Margin {
	now := c.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &c.mu.core.margins
	m.turn(now)
	return Margin{Least: min(m.last, m.before), Of: m.of}
}

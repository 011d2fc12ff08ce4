package client

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestMargin proves that renewals which come late are seen before a lock is lost, that what
// was seen is forgotten after some minutes, and that a session which ran out is not.
func TestMargin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{Lease: 10 * time.Second})
		const well = 6 // tenths of Of that are left when all is well, at least
		tenths := func() int { m := c.Margin(); return int(10 * m.Least / m.Of) }
		if m := c.Margin(); m.Least != m.Of || m.Of < 8*time.Second || m.Of > 10*time.Second {
			t.Errorf("before anything was renewed: got %+v", m)
		}
		h := lock(t, c, "a")
		<-time.After(30 * time.Second)
		if got := tenths(); got < well || got > 7 {
			t.Errorf("all is well: got %d tenths left, want about two thirds", got)
		}
		n.setCut(true)
		<-time.After(time.Until(h.SafeUntil()) - 2*time.Second)
		n.setCut(false)
		<-time.After(3 * time.Second)
		if got := tenths(); !h.Valid() || got < 1 || got > 3 {
			t.Errorf("late: got %d tenths left, held %v, want two or so", got, h.Valid())
		}
		<-time.After(30 * time.Second)
		if got := tenths(); got > 3 {
			t.Errorf("half a minute later: got %d tenths, want what it was", got)
		}
		<-time.After(2 * marginSpan)
		if got := tenths(); got < well {
			t.Errorf("minutes later: got %d tenths, want about two thirds", got)
		}
		n.setCut(true)
		<-h.Lost()
		if got := tenths(); got != 0 {
			t.Errorf("lost: got %d tenths left, want none", got)
		}
		n.setCut(false)
	})
}

package client

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

func lost(h *Held) bool {
	select {
	case <-h.Lost():
		return true
	default:
		return false
	}
}

// TestForceRelease proves that a hold is ended by its token and no other, that its
// holder is told why, and that the next has the lock.
func TestForceRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b, ops := n.client(t, Options{}), n.client(t, Options{}), n.client(t, Options{Name: "ops"})
		h := lock(t, a, "a")
		next := make(chan *Held, 1)
		go func() {
			two, _ := b.Lock(t.Context(), "a")
			next <- two
		}()
		synctest.Wait()
		err := ops.ForceRelease(t.Context(), "a", h.Token()+100, "host dead")
		var stale *StaleTokenError
		if !errors.As(err, &stale) || !errors.Is(err, ErrStaleToken) || stale.Present != h.Token() {
			t.Errorf("stale: got %v, want the present token %d", err, h.Token())
		}
		if lost(h) {
			t.Error("lost by another token")
		}
		if err := ops.ForceRelease(t.Context(), "a", h.Token(), "host dead"); err != nil {
			t.Fatal(err)
		}
		two := <-next
		synctest.Wait()
		err = h.Unlock(t.Context())
		var why *LostError
		if !lost(h) || !errors.As(err, &why) || !errors.Is(err, ErrForced) || why.Token != h.Token() ||
			!strings.Contains(err.Error(), "by force") {
			t.Errorf("holder: got %v, want it forced", err)
		}
		if two == nil || two.Token() <= h.Token() {
			t.Errorf("next: got %v", two)
		}
		err = ops.ForceRelease(t.Context(), "free", 7, "x")
		if !errors.As(err, &stale) || stale.Present != 0 {
			t.Errorf("nobody holds it: got %v", err)
		}
		unlock(t, two)
		free(t, n, "a")
	})
}

// TestForceReleaseNeedsAReason proves what is refused without being sent.
func TestForceReleaseNeedsAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		c := n.client(t, Options{})
		for _, why := range []string{"", strings.Repeat("x", MaxReason+1), "\xff"} {
			if err := c.ForceRelease(t.Context(), "a", 1, why); !errors.Is(err, ErrOptions) {
				t.Errorf("%.10q: got %v, want ErrOptions", why, err)
			}
		}
		if err := c.ForceRelease(t.Context(), "a", 0, "x"); !errors.Is(err, ErrOptions) {
			t.Errorf("no token: got %v, want ErrOptions", err)
		}
	})
}

// TestForceReleaseRetried proves that a force whose answer was lost is certain: the
// hold is over. One that was refused for lack of room is as one that was not sent.
func TestForceReleaseRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		a, ops := n.client(t, Options{}), n.client(t, Options{})
		h := lock(t, a, "a")
		n.with(func(d *dumbCluster) {
			d.delay = func() Instant { return Instant(50 * time.Millisecond) }
		})
		moved := make(chan error, 1)
		go func() { moved <- ops.ForceRelease(t.Context(), "a", h.Token(), "x") }()
		<-time.After(10 * time.Millisecond)
		n.with(func(d *dumbCluster) { d.lead(0, d.groups[0].leader%3+1) }) // nobody is answered
		if err := <-moved; err != nil {
			t.Errorf("answered twice: got %v, want none", err)
		}
		busy := 2
		n.with(func(d *dumbCluster) {
			d.filter = func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
				if h.Kind == wire.KindForce && busy > 0 {
					busy--
					return wire.StatusBusy
				}
				return 0
			}
		})
		if err := ops.ForceRelease(t.Context(), "a", 999, "x"); !errors.Is(err, ErrStaleToken) {
			t.Errorf("busy first: got %v, want ErrStaleToken", err)
		}
	})
}

// TestForcedWhileAway proves that a holder that was cut off, so that nobody could
// tell it, knows when it is back, and keeps what was not forced.
func TestForcedWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a := n.client(t, Options{})
		h, other := lock(t, a, "a"), lock(t, a, "b")
		rest := lock(t, a, sameGroup("a"))
		n.with(func(d *dumbCluster) {
			d.groups[groupOf("a")].lock("a").holds = nil // and the push was lost with the conn
			for g := range d.groups {
				d.lead(g, d.groups[g].leader%3+1)
			}
		})
		<-time.After(time.Second)
		if !lost(h) || !errors.Is(h.Unlock(t.Context()), ErrForced) {
			t.Errorf("forced: got lost %t, %v", lost(h), h.Unlock(t.Context()))
		}
		for _, x := range []*Held{other, rest} {
			if lost(x) || !x.Valid() {
				t.Errorf("hold of %q: got it lost", x.Name())
			}
			unlock(t, x)
		}
	})
}

// sameGroup is another name of the group of one.
func sameGroup(name string) string {
	other := name + "'"
	for groupOf(other) != groupOf(name) {
		other += "'"
	}
	return other
}

// TestForceOneOfSeveral proves that a hold of several names is lost with one, and
// that the others are given back.
func TestForceOneOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, ops := n.client(t, Options{}), n.client(t, Options{})
		one, two := "a", sameGroup("a")
		all, err := a.LockAll(t.Context(), one, two)
		if err != nil {
			t.Fatal(err)
		}
		if err := ops.ForceRelease(t.Context(), two, all.Token(two), "stuck"); err != nil {
			t.Fatal(err)
		}
		<-all.Lost()
		<-time.After(time.Second)
		free(t, n, one)
		var why *LostError
		if err := all.Unlock(t.Context()); !errors.As(err, &why) || why.Name != two ||
			why.Token != all.Token(two) || !errors.Is(err, ErrForced) {
			t.Errorf("got %v, want %q forced", err, two)
		}
	})
}

// TestForceWhileConverting proves that who waits for another mode hears that the
// hold was forced.
func TestForceWhileConverting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b, ops := n.client(t, Options{}), n.client(t, Options{}), n.client(t, Options{})
		one, two := lockShared(t, a, "a"), lockShared(t, b, "a")
		up := make(chan error, 1)
		go func() { up <- one.Convert(t.Context(), Exclusive) }()
		synctest.Wait()
		if err := ops.ForceRelease(t.Context(), "a", one.Token(), "stuck"); err != nil {
			t.Fatal(err)
		}
		if err := <-up; !errors.Is(err, ErrForced) || !errors.Is(err, ErrLost) {
			t.Errorf("convert: got %v, want ErrForced", err)
		}
		unlock(t, two)
		free(t, n, "a")
	})
}

// TestMovedWhileConverting proves that a hold whose Convert was granted while no
// answer could come is not taken for one that was forced.
func TestMovedWhileConverting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a := n.client(t, Options{})
		h := lockShared(t, a, "a")
		n.with(func(d *dumbCluster) {
			d.delay = func() Instant { return Instant(50 * time.Millisecond) }
		})
		up := make(chan error, 1)
		go func() { up <- h.Convert(t.Context(), Exclusive) }()
		<-time.After(10 * time.Millisecond)
		n.with(func(d *dumbCluster) { d.lead(int(groupOf("a")), d.groups[groupOf("a")].leader%3+1) })
		if err := <-up; err != nil || lost(h) || h.Mode() != Exclusive {
			t.Errorf("got %v, lost %t, %v, want exclusive", err, lost(h), h.Mode())
		}
		unlock(t, h)
		free(t, n, "a")
	})
}

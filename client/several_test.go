package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// dumbSeveral waits for several names.
type dumbSeveral struct {
	session, request uint64
	wants            []wire.Want
	conn             int
}

// tryAll grants all that x wants, or says which is in the way.
func (d *dumbCluster) tryAll(g *dumbGroup, x dumbSeveral) (token uint64, at int) {
	for i, w := range x.wants {
		l := g.lock(string(w.Name))
		if len(l.queue) > 0 || l.capacity > 0 && len(l.holds) > 0 ||
			!l.admits(dumbClaim{mode: w.Mode}) {
			return 0, i
		}
	}
	for _, w := range x.wants {
		l := g.lock(string(w.Name))
		l.capacity = 0
		g.token++
		l.holds = append(l.holds, dumbClaim{session: x.session, request: x.request,
			token: g.token, mode: w.Mode, conn: x.conn})
	}
	return g.token - uint64(len(x.wants)) + 1, 0
}

func (d *dumbCluster) acquireAll(g *dumbGroup, p proposal) (wire.Response, bool) {
	x, err := wire.DecodeAcquireAll(p.body)
	if err != nil {
		d.fail("%v", err)
	}
	if s := g.enter(x.Session, x.Epoch); s != wire.StatusOK {
		return wire.Response{Status: s}, true
	}
	y := dumbSeveral{session: x.Session, request: p.h.Request, conn: p.conn}
	x.Wants.Each(func(i int, w wire.Want) bool {
		if i > 0 && string(y.wants[i-1].Name) >= string(w.Name) ||
			wire.GroupOf("", w.Name, uint16(len(d.groups))) != p.h.Group {
			d.fail("AcquireAll of %q after %q in group %d", w.Name, y.wants, p.h.Group)
		}
		y.wants = append(y.wants, w)
		return true
	})
	for _, z := range g.lock(string(y.wants[0].Name)).holds {
		if z.session == y.session && z.request == y.request {
			return wire.Response{Status: wire.StatusOK, Token: z.token}, true
		}
	}
	g.several = slices.DeleteFunc(g.several, func(z dumbSeveral) bool {
		return z.session == y.session && z.request == y.request
	})
	token, at := d.tryAll(g, y)
	if token != 0 {
		return wire.Response{Status: wire.StatusOK, Token: token}, true
	}
	if p.h.Flags&wire.FlagWait == 0 {
		r := wire.Response{Status: wire.StatusHeld, Position: uint16(at)}
		if d.details {
			r.Payload = d.info(g, string(y.wants[at].Name), p.h.Version()).Payload
		}
		return r, true
	}
	g.several = append(g.several, y)
	return wire.Response{}, false
}

// pumpSeveral grants what has become free, in the order of arrival.
func (d *dumbCluster) pumpSeveral(g *dumbGroup) {
	g.several = slices.DeleteFunc(g.several, func(y dumbSeveral) bool {
		if g.sessions[y.session] == nil {
			return true
		}
		token, _ := d.tryAll(g, y)
		if token != 0 {
			h := wire.Header{Group: uint16(slices.Index(d.groups, g)), Request: y.request}
			d.reply(y.conn, h, wire.Response{Status: wire.StatusOK, Token: token})
		}
		return token != 0
	})
}

func (d *dumbCluster) releaseAll(g *dumbGroup, p proposal) wire.Response {
	x, _ := wire.DecodeReleaseAll(p.body)
	if s := g.enter(x.Session, x.Epoch); s != wire.StatusOK {
		return wire.Response{Status: s}
	}
	found := 0
	for _, l := range g.locks { // order: all of them go
		n := len(l.holds)
		l.holds = slices.DeleteFunc(l.holds, func(y dumbClaim) bool {
			return y.session == x.Session && y.request == x.Target
		})
		found += n - len(l.holds)
	}
	if found == 0 {
		return wire.Response{Status: wire.StatusNotHolder}
	}
	for _, l := range g.locks { // order: who waits for one waits for no other
		d.pump(g, l)
	}
	return wire.Response{Status: wire.StatusOK}
}

// holders counts the holds of all groups.
func (n *testNodes) holders() (held int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.mu.d.groups {
		for _, l := range g.locks { // order: a sum
			held += len(l.holds)
		}
	}
	return held
}

func TestLockAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.mu.d.details = true
		a, b := n.client(t, Options{Name: "one"}), n.client(t, Options{Name: "two"})
		names := strings.Fields("h g f e d c b a")
		all, err := a.LockAll(t.Context(), names...)
		if err != nil || !all.Valid() || time.Until(all.SafeUntil()) <= 0 || n.holders() != 8 {
			t.Fatalf("lock: got %v with %d held, want all 8", err, n.holders())
		}
		for i, x := range all.Tokens() {
			info, err := b.Get(t.Context(), x.Name)
			if x.Name != names[7-i] || err != nil || info.Holders[0].Token != x.Token ||
				all.Token(x.Name) != x.Token {
				t.Errorf("%q: got token %d, %+v, %v, want that of the holder", x.Name, x.Token, info, err)
			}
		}
		if all.Token("z") != 0 {
			t.Errorf("token of another: got %d, want 0", all.Token("z"))
		}
		_, err = b.TryLockAll(t.Context(), "c", "y", "z")
		var held *HeldError
		if !errors.As(err, &held) || held.Name != "c" || held.Info == nil ||
			held.Info.Holders[0].Client != "one" || n.holders() != 8 {
			t.Errorf("try: got %v with %d held, want c refused and nothing held", err, n.holders())
		}
		done := make(chan error, 1)
		go func() { // waits until c is free
			second, err := b.LockAllWith(t.Context(), []Want{{Name: "c", Mode: Shared}, {Name: "z"}},
				LockAllOptions{})
			if err == nil {
				err = second.Unlock(t.Context())
			}
			done <- err
		}()
		synctest.Wait()
		if err := all.Unlock(t.Context()); err != nil {
			t.Errorf("unlock: got %v, want no error", err)
		}
		if err := <-done; err != nil {
			t.Errorf("second: got %v, want no error", err)
		}
		if err := all.Unlock(t.Context()); !errors.Is(err, ErrUnlocked) || n.holders() != 0 {
			t.Errorf("again: got %v with %d held, want ErrUnlocked and none", err, n.holders())
		}
		if all.Valid() || !all.SafeUntil().IsZero() ||
			!errors.Is(context.Cause(all.Context()), ErrUnlocked) {
			t.Errorf("after unlock: valid %t, cause %v", all.Valid(), context.Cause(all.Context()))
		}
		for _, bad := range [][]string{{}, {"a", "b", "a"}, {"a", ""}, make([]string, 65)} {
			if _, err := a.LockAll(t.Context(), bad...); !errors.Is(err, ErrOptions) &&
				!errors.Is(err, ErrBadName) {
				t.Errorf("%q: got %v, want ErrOptions", bad, err)
			}
		}
	})
}

// TestLockAllGivesUp proves that who gives up while it waits for one group holds
// nothing of the others.
func TestLockAllGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		a, b := n.client(t, Options{}), n.client(t, Options{})
		names := strings.Fields("a b c d e f g h")
		for _, name := range names {
			h := lock(t, a, name)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := b.LockAll(ctx, names...); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("past %q: got %v, want DeadlineExceeded", name, err)
			}
			cancel()
			synctest.Wait()
			if got := n.holders(); got != 1 {
				t.Errorf("past %q: got %d held, want that one", name, got)
			}
			unlock(t, h)
		}
		all, err := b.LockAll(t.Context(), names...)
		if err != nil {
			t.Fatal(err)
		}
		if err := all.Unlock(t.Context()); err != nil || n.holders() != 0 {
			t.Errorf("unlock: got %v with %d held, want none", err, n.holders())
		}
	})
}

// TestLockAllLost proves that the loss of one is that of all, and that the others
// can be given back.
func TestLockAllLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		all, err := c.LockAll(t.Context(), "a", "b", "c", "d", "e", "f")
		if err != nil {
			t.Fatal(err)
		}
		part := all.parts[0]
		c.mu.Lock()
		c.mu.core.lose(&part.call, errLease)
		c.kick()
		c.mu.Unlock()
		<-all.Lost()
		if cause := context.Cause(all.Context()); !errors.Is(cause, ErrLost) || all.Valid() {
			t.Errorf("lost: got cause %v, valid %t", cause, all.Valid())
		}
		before := n.holders()
		if err := all.Unlock(t.Context()); !errors.Is(err, ErrLost) || n.holders() >= before {
			t.Errorf("unlock: got %v with %d of %d held, want ErrLost and fewer", err, n.holders(), before)
		}
	})
}

// TestLockAllWithoutAnswers proves that who gives up a LockAll, and who gives all back,
// waits for no group longer than for one alone.
func TestLockAllWithoutAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c, other := n.client(t, Options{Lease: time.Minute}), n.client(t, Options{})
		in := func(group int, kind string) string {
			for i := 0; ; i++ {
				if name := fmt.Sprint(kind, i); groupOf(name) == group {
					return name
				}
			}
		}
		all, err := c.LockAll(t.Context(), in(0, "held"), in(1, "held"), in(2, "held"))
		if err != nil {
			t.Fatal(err)
		}
		lock(t, other, in(3, "busy"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := c.LockAll(ctx, in(0, "free"), in(1, "free"), in(2, "free"), in(3, "busy"))
			ended <- err
		}()
		synctest.Wait()
		n.setCut(true)
		start := time.Now()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || time.Since(start) > time.Second {
			t.Errorf("given up: got %v after %s, want it at once", err, time.Since(start))
		}
		start = time.Now()
		err = all.Unlock(t.Context())
		if d := time.Since(start); !errors.Is(err, ErrUnavailable) || d > 6*time.Second {
			t.Errorf("given back: got %v after %s, want it after the RequestTimeout", err, d)
		}
		n.setCut(false)
	})
}

// TestEndOfSeveralMayAskAboutThem: what the end of the context of several locks sets off
// asks about them, in the goroutine that ends it.
func TestEndOfSeveralMayAskAboutThem(t *testing.T) {
	lost := &LostError{Name: "a", Cause: ErrForced}
	for what, end := range map[string]func(a *HeldAll){
		"lost":   func(a *HeldAll) { a.lose(lost) },
		"unlock": func(a *HeldAll) { a.end() },
	} {
		asked := false
		a := &HeldAll{lost: make(chan struct{})}
		a.cancel = func(error) {
			if asked = a.mu.TryLock(); asked {
				a.mu.Unlock()
			}
		}
		if end(a); !asked {
			t.Errorf("%s: who hears of the end of the context cannot ask about the locks", what)
		}
	}
}

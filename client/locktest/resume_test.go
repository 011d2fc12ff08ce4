package locktest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
	"lockd/netio/wire"
)

// tap is a conn that calls before for each frame that is about to be written.
type tap struct {
	net.Conn
	before func(h wire.Header)
}

// Write implements net.Conn.
func (k *tap) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n, err := wire.FrameBytes(rest, wire.MaxFrameBytes)
		if err != nil || n == 0 || n > len(rest) {
			break
		}
		if h, _, err := wire.Parse(rest[:n]); err == nil {
			k.before(h)
		}
		rest = rest[n:]
	}
	return k.Conn.Write(b)
}

// succession is a client that is cut off and whose session another takes over, by a copy
// of its file.
type succession struct {
	cluster      *locktest.Cluster
	first, other *client.Client
	file         string
}

func newSuccession(t *testing.T) *succession {
	c := locktest.New(t, locktest.Options{Nodes: 1, Groups: 1})
	s := &succession{cluster: c, file: filepath.Join(t.TempDir(), "session")}
	s.first = c.Client(t, client.Options{Name: "first", Lease: 30 * time.Second, SessionFile: s.file})
	s.other = c.Client(t, client.Options{Name: "other", Lease: 30 * time.Second})
	return s
}

// resume starts the other client, which calls before for each frame it is about to write.
func (s *succession) resume(t *testing.T, before func(h wire.Header)) *client.Client {
	t.Helper()
	b, err := os.ReadFile(s.file)
	if err == nil {
		err = os.WriteFile(s.file+".copy", b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.cluster.Unplug(s.first)
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return &tap{Conn: c, before: before}, nil
	}
	return s.cluster.Client(t, client.Options{Name: "second", Lease: 30 * time.Second,
		SessionFile: s.file + ".copy", Dial: dial})
}

// checkHolds fails unless a client believes in just those of its resumed holds that the
// nodes know too, and the nodes know of no other of its session.
func (s *succession) checkHolds(t *testing.T, k *client.Client, names ...string) {
	t.Helper()
	for range 2 { // what it has begun in the background has been done by then
		if err := lock(t.Context(), t, k, "barrier").Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	believed := map[string]uint64{}
	for _, h := range k.Resumed() {
		if !h.Valid() {
			t.Errorf("%q, token %d: got it lost", h.Name(), h.Token())
		}
		if old := believed[h.Name()]; old != 0 {
			t.Errorf("%q is resumed twice, as tokens %d and %d", h.Name(), old, h.Token())
		}
		believed[h.Name()] = h.Token()
	}
	for _, name := range names {
		var has uint64
		info, err := s.other.Get(t.Context(), name)
		switch {
		case errors.Is(err, client.ErrNotFound):
		case err != nil:
			t.Fatal(err)
		case info.HolderCount > 0 && info.Holders[0].Client != "other":
			has = info.Holders[0].Token
		}
		if believed[name] != has {
			t.Errorf("%q: the client believes in token %d, the nodes have %d", name, believed[name], has)
		}
	}
}

// waitersOf returns when as many wait for a lock.
func waitersOf(ctx context.Context, t *testing.T, k *client.Client, name string, want int) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		info, err := k.Get(ctx, name)
		if err == nil && info.WaiterCount == want {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("%q: %d do not wait", name, want)
		}
	}
}

// TestResumeOfAWaitGrantedBetweenPages has a wait of a session that is taken over granted
// while the client reads what the session has, page by page: whichever page it comes on,
// the client and another do not both hold it.
func TestResumeOfAWaitGrantedBetweenPages(t *testing.T) {
	t.Parallel()
	for asks := int32(2); asks <= 8; asks++ {
		t.Run(fmt.Sprint("before question ", asks), func(t *testing.T) {
			t.Parallel()
			ctx, s := within(t), newSuccession(t)
			busy := lock(ctx, t, s.other, "busy")
			var w client.Held
			s.first.LockAsync(&w, "busy", client.LockOptions{}, func(*client.Held, error) {})
			waitersOf(ctx, t, s.other, "busy", 1)
			for i := range 200 {
				lock(ctx, t, s.first, fmt.Sprint("lock/", i))
			}
			var asked atomic.Int32
			k := s.resume(t, func(h wire.Header) {
				if h.Kind == wire.KindFindSession && asked.Add(1) == asks {
					if err := busy.Unlock(ctx); err != nil {
						t.Error(err)
					}
				}
			})
			if n := len(k.Resumed()); n < 200 {
				t.Errorf("got %d holds, want all 200", n)
			}
			s.checkHolds(t, k, "busy", "lock/0", "lock/199")
		})
	}
}

// TestResumeOfAPageThatEnds has the last hold of a page end before the next is asked for:
// the nodes begin again then, and no hold is there twice.
func TestResumeOfAPageThatEnds(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), newSuccession(t)
	var holds []*client.Held
	for i := range 300 {
		holds = append(holds, lock(ctx, t, s.first, fmt.Sprint("lock/", i)))
	}
	last := holds[wire.MaxFound-64-1]
	var asked atomic.Int32
	k := s.resume(t, func(h wire.Header) {
		if h.Kind == wire.KindFindSession && asked.Add(1) == 4 {
			if err := s.other.ForceRelease(ctx, last.Name(), last.Token(), "test"); err != nil {
				t.Error(err)
			}
		}
	})
	var names []string
	for _, h := range k.Resumed() {
		names = append(names, h.Name())
	}
	if len(names) != 299 && len(names) != 300 {
		t.Errorf("got %d holds, want 299, and the one that has ended at most", len(names))
	}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			t.Fatalf("%q is there twice", name)
		}
		seen[name] = true
	}
}

// TestResumeOfAPageWhoseEndMoves has the last hold of a page converted, which moves it
// behind all others, before the next page is asked for: what comes between is not missed.
func TestResumeOfAPageWhoseEndMoves(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), newSuccession(t)
	const before, behind = wire.MaxFound - 64 - 1, 20
	for i := range before {
		lock(ctx, t, s.first, fmt.Sprint("before/", i))
	}
	mine, err := s.first.RWMutex("a").RLock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	busy, err := s.other.RWMutex("a").RLock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range behind {
		lock(ctx, t, s.first, fmt.Sprint("behind/", i))
	}
	go func() { _ = mine.Convert(ctx, client.Exclusive) }()
	waitersOf(ctx, t, s.other, "a", 1)
	var asked atomic.Int32
	k := s.resume(t, func(h wire.Header) {
		if h.Kind == wire.KindFindSession && asked.Add(1) == 4 {
			if err := busy.Unlock(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	if got := len(k.Resumed()); got != before+1+behind {
		t.Errorf("got %d holds, want %d", got, before+1+behind)
	}
	s.checkHolds(t, k, "a", "before/0", "behind/19")
}

// TestResumeOfALockAllGrantedMeanwhile has what a LockAll waited for granted before it is
// given up: all its locks are the client's then, or free.
func TestResumeOfALockAllGrantedMeanwhile(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), newSuccession(t)
	busy := lock(ctx, t, s.other, "b")
	go func() { _, _ = s.first.LockAll(ctx, "a", "b", "c") }()
	waitersOf(ctx, t, s.other, "b", 1)
	var given atomic.Bool
	k := s.resume(t, func(h wire.Header) {
		if h.Kind == wire.KindCancel && given.CompareAndSwap(false, true) {
			if err := busy.Unlock(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	if !given.Load() {
		t.Error("the wait was not given up")
	}
	s.checkHolds(t, k, "a", "b", "c")
}

// TestResumeOfAConvertGrantedMeanwhile has a Convert granted before it is given up: what
// was held all the time is.
func TestResumeOfAConvertGrantedMeanwhile(t *testing.T) {
	t.Parallel()
	ctx, s := within(t), newSuccession(t)
	mine, err := s.first.RWMutex("a").RLock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	busy, err := s.other.RWMutex("a").RLock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = mine.Convert(ctx, client.Exclusive) }()
	waitersOf(ctx, t, s.other, "a", 1)
	var given atomic.Bool
	k := s.resume(t, func(h wire.Header) {
		if h.Kind == wire.KindCancel && given.CompareAndSwap(false, true) {
			if err := busy.Unlock(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	s.checkHolds(t, k, "a")
	if _, err := s.other.TryLock(ctx, "a"); !errors.Is(err, client.ErrHeld) {
		t.Errorf("another tries it: got %v, want it held", err)
	}
	for _, h := range k.Resumed() {
		if err := h.Unlock(ctx); err != nil {
			t.Errorf("unlock: %v", err)
		}
	}
	if _, err := s.other.TryLock(ctx, "a"); err != nil {
		t.Errorf("after it is given back: %v", err)
	}
}

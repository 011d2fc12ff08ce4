package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// kill ends a client as kill -9 does: the nodes hear nothing, and nothing is
// written.
func (n *testNodes) kill(c *Client) {
	synctest.Wait() // the file is written
	n.setCut(true)
	for node := range uint16(3) {
		n.resetNode(node + 1)
	}
	c.stop(nil)
	c.filed.Wait()
	n.setCut(false)
	c.closeSessionFile("")
}

// again dials as a client that is started anew, without the test's end closing it.
func (n *testNodes) again(t *testing.T, opts Options) (*Client, error) {
	t.Helper()
	opts.Dial = n.dial
	return dialWith(t.Context(), []string{"node1", "node2", "node3"}, opts, n.now)
}

func started(t *testing.T, n *testNodes, opts Options) *Client {
	t.Helper()
	c, err := n.again(t, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestResume proves that a client that is started again has the holds of the one
// before, of every kind and with the same tokens, and not its waits, and that
// it can go on from there.
func TestResume(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session")
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		opts := Options{Name: "one", SessionFile: file}
		c := started(t, n, opts)
		want := map[string]uint64{}
		var all []*Held
		for i := range 7 {
			all = append(all, lock(t, c, fmt.Sprint("lock/", i)))
		}
		read, err := c.RWMutex("read").RLock(t.Context())
		two, err2 := c.Semaphore("gpu", 3).Acquire(t.Context(), 2)
		in, err3 := c.LockWith(t.Context(), "mine", LockOptions{Owner: 5})
		deep, err4 := c.LockWith(t.Context(), "mine", LockOptions{Owner: 5})
		if err := errors.Join(err, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		for _, h := range append(all, read, two, in, deep) {
			want[fmt.Sprint(h.Name(), h.call.target)] = h.Token()
		}
		other := n.client(t, Options{})
		busy := lock(t, other, "busy")
		var waiting Held
		c.LockAsync(&waiting, "busy", LockOptions{}, func(*Held, error) {})
		n.until(t, "waiting", func() bool { _, waits := n.holder("busy"); return waits == 1 })
		n.kill(c)

		c = started(t, n, opts)
		if len(c.Resumed()) != len(want) {
			t.Errorf("got %d holds, want %d", len(c.Resumed()), len(want))
		}
		for _, h := range c.Resumed() {
			key := fmt.Sprint(h.Name(), h.call.target)
			if h.Token() != want[key] || !h.Valid() {
				t.Errorf("%s: got token %d, valid %v, want %d", key, h.Token(), h.Valid(), want[key])
			}
		}
		n.until(t, "no longer waiting", func() bool {
			_, waits := n.holder("busy")
			return waits == 0
		})
		unlock(t, busy)
		unlock(t, lock(t, c, "busy"))
		<-time.After(time.Minute) // renewed as any session
		for _, h := range c.Resumed() {
			unlock(t, h)
		}
		if holds, waiters, _ := n.left(); holds+waiters != 0 {
			t.Errorf("got %d holds, %d waiters left, want none", holds, waiters)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Close: got %v, want no file", err)
		}
	})
}

// TestResumeOfWhatHasEnded has holds of a session end while it is taken over: one by
// what the process before had under way, after the nodes have said what there is, and
// one by force, unheard, after they have said it again. Neither is held.
func TestResumeOfWhatHasEnded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session")
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		opts := Options{SessionFile: file}
		c := started(t, n, opts)
		for _, name := range []string{"given back", "forced", "held"} {
			lock(t, c, name)
		}
		n.kill(c)
		drop := func(string) {}
		n.with(func(d *dumbCluster) {
			drop = func(name string) { d.groups[0].lock(name).holds = nil }
		})
		n.setFilter(func(_ *dumbConn, h wire.Header, _ []byte) wire.Status {
			switch h.Kind {
			case wire.KindOpenSession:
				drop("given back")
			case wire.KindCheckTokens:
				drop("forced")
			}
			return 0
		})
		c = started(t, n, opts)
		for _, h := range c.Resumed() {
			if h.Name() == "given back" {
				t.Error("holds what was given back before it was taken over")
			}
		}
		synctest.Wait()
		for _, h := range c.Resumed() {
			if want := h.Name() == "held"; h.Valid() != want {
				t.Errorf("%q: got valid %v, want %v", h.Name(), h.Valid(), want)
			}
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestResumeTooOften starts a client again whose session has seen so high an epoch that
// there is none above it to take it over with: it has another session, and what the old one
// holds ends with that.
func TestResumeTooOften(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session")
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		opts := Options{SessionFile: file}
		c := started(t, n, opts)
		lock(t, c, "a")
		n.kill(c)
		n.with(func(d *dumbCluster) {
			for _, s := range d.groups[0].sessions {
				s.epoch = math.MaxUint32 - 10
			}
		})
		c = started(t, n, opts)
		if got := len(c.Resumed()); got != 0 {
			t.Errorf("got %d holds, want none", got)
		}
		b := lock(t, c, "b")
		unlock(t, lock(t, c, "a"))
		if !b.Valid() {
			t.Error("what the new session holds is lost")
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestResumeWithLittleInFlight starts a client again that may have fewer requests in
// flight than there are groups to be asked.
func TestResumeWithLittleInFlight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session")
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		opts := Options{SessionFile: file, MaxInFlight: 1}
		c := started(t, n, opts)
		lock(t, c, "a")
		n.kill(c)
		c = started(t, n, opts)
		if got := c.Resumed(); len(got) != 1 || !got[0].Valid() {
			t.Errorf("got %d holds, want the one before", len(got))
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestResumeAgainAndAgain proves that holds go on over many starts, also those of
// a session that was opened after one was lost, and that those whose lease has run
// out do not.
func TestResumeAgainAndAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session")
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		opts := Options{SessionFile: file, Lease: 2 * time.Second}
		c := started(t, n, opts)
		first := lock(t, c, "a")
		n.setCut(true)
		<-first.Lost()
		n.setCut(false)
		n.until(t, "forgotten", func() bool { token, _ := n.holder("a"); return token == 0 })
		a := lock(t, c, "a")
		for i := range 5 {
			n.kill(c)
			c = started(t, n, opts)
			got := c.Resumed()
			if len(got) != i+1 || !slices.ContainsFunc(got, func(h *Held) bool {
				return h.Name() == "a" && h.Token() == a.Token()
			}) {
				t.Fatalf("start %d: got %d holds, want %d and a's token", i, len(got), i+1)
			}
			lock(t, c, fmt.Sprint("start/", i))
		}
		n.kill(c)
		<-time.After(5 * time.Second)
		c = started(t, n, opts)
		if got := c.Resumed(); len(got) != 0 {
			t.Errorf("after the lease: got %d holds, want none", len(got))
		}
		unlock(t, lock(t, c, "a"))
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestTwoProcesses proves that a file is used by one process at a time, and that
// with a copy of it, which nothing can prevent, the second has the holds: what the
// first says has no effect any more, it learns that with the first answer, and it
// can go on with a session of its own.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		file, copied := filepath.Join(dir, "session"), filepath.Join(dir, "copy")
		old := started(t, n, Options{SessionFile: file})
		kept, lost := lock(t, old, "a"), lock(t, old, "a2")
		if _, err := n.again(t, Options{SessionFile: file}); !errors.Is(err, ErrSessionFile) {
			t.Errorf("same file: got %v, want that it is in use", err)
		}
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(copied, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		young := started(t, n, Options{SessionFile: copied})
		for _, h := range []*Held{kept, lost} {
			err := h.Unlock(t.Context())
			if !errors.Is(err, ErrLost) || !errors.Is(err, ErrSessionEnded) {
				t.Errorf("unlock by the old one: got %v, want that it is lost", err)
			}
			if token, _ := n.holder(h.Name()); token != h.Token() {
				t.Errorf("%q: got token %d, want %d, untouched", h.Name(), token, h.Token())
			}
		}
		if len(young.Resumed()) != 2 {
			t.Fatalf("got %d holds, want 2", len(young.Resumed()))
		}
		unlock(t, lock(t, old, "b"))
		if _, err := old.TryLock(t.Context(), "a"); !errors.Is(err, ErrHeld) {
			t.Errorf("the old one tries: got %v, want held", err)
		}
		if err := old.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, h := range young.Resumed() {
			if !h.Valid() {
				t.Errorf("%q: not valid after the old one closed", h.Name())
			}
			unlock(t, h)
		}
		if err := young.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestSessionFileErrors proves what is said of files that cannot be used, and that
// the file is for its owner only.
func TestSessionFileErrors(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		file := filepath.Join(dir, "session")
		c := started(t, n, Options{SessionFile: file})
		lock(t, c, "a")
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("got %v, %v, want mode 0600", info, err)
		}
		n.kill(c)
		_, err = n.again(t, Options{SessionFile: file, Lease: 20 * time.Second})
		if !errors.Is(err, ErrOptions) {
			t.Errorf("another lease: got %v, want bad options", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := dialWith(ctx, []string{"node1"}, Options{SessionFile: file, Dial: n.dial},
			n.now); !errors.Is(err, context.Canceled) {
			t.Errorf("ended context: got %v, want canceled", err)
		}
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bad := func(what, file, remedy string) {
			_, err := n.again(t, Options{SessionFile: file})
			if !errors.Is(err, ErrSessionFile) || !strings.Contains(err.Error(), remedy) ||
				!strings.Contains(err.Error(), file) {
				t.Errorf("%s: got %v, want the file and what to do: %s", what, err, remedy)
			}
		}
		for content, remedy := range map[string]string{
			"": "remove it", "{]": "remove it", `{}`: "remove it",
			`{"version":2}`:              "use the client that wrote it",
			`{"version":1,"nonce":"00"}`: "remove it",
			`{"version":1,"cluster":8,"nonce":"000102030405060708090a0b0c0d0e0f"}`: "another file",
		} {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			bad(content, file, remedy)
		}
		bad("a directory", dir, "let this process read and write it")
		bad("no directory", dir+"/no/session", "where this process may write")
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
		c = started(t, n, Options{SessionFile: file})
		bad("in use", file, "give each process a file of its own")
		if len(c.Resumed()) != 1 {
			t.Errorf("after all that: got %d holds, want 1", len(c.Resumed()))
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

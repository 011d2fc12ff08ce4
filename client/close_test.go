package client

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestCallBehindStop makes a call of a client whose Close has ended all others, before
// the main loop has told those: they are told all the same.
func TestCallBehindStop(t *testing.T) {
	late := map[string]func(t *testing.T, c *Client) error{
		"Get": func(t *testing.T, c *Client) error {
			_, err := c.Get(t.Context(), "b")
			return err
		},
		"LockAsync": func(_ *testing.T, c *Client) error {
			told := make(chan error, 1)
			c.LockAsync(new(Held), "b", LockOptions{}, func(_ *Held, err error) { told <- err })
			return <-told
		},
		"Watch": func(t *testing.T, c *Client) error {
			for _, err := range c.Watch(t.Context(), "b", WatchOptions{}) {
				return err
			}
			return nil
		},
	}
	for name, call := range late { // order: each is a client of its own
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { callBehindStop(t, call) })
		})
	}
}

func callBehindStop(t *testing.T, late func(*testing.T, *Client) error) {
	n := newNodes(t, 4)
	var gate atomic.Pointer[chan struct{}] // whoever looks at the clock next waits for it
	c, err := dialWith(t.Context(), []string{"node1", "node2", "node3"}, Options{Dial: n.dial},
		func() Instant {
			if g := gate.Swap(nil); g != nil {
				<-*g
			}
			return n.now()
		})
	if err != nil {
		t.Fatal(err)
	}
	n.setCut(true)
	defer n.setCut(false)
	waits := make(chan error, 1)
	go func() {
		_, err := c.Get(context.Background(), "a")
		waits <- err
	}()
	synctest.Wait()
	g := make(chan struct{})
	gate.Store(&g)
	<-time.After(time.Second) // that is the main loop
	closed := make(chan error, 1)
	go func() { closed <- c.Close(context.Background()) }()
	synctest.Wait()
	lateErr := make(chan error, 1)
	go func() { lateErr <- late(t, c) }()
	synctest.Wait()
	close(g)
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	for what, got := range map[string]chan error{"the call before": waits, "the late call": lateErr} {
		select {
		case err := <-got:
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s: got %v, want ErrClosed", what, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: never ended", what)
		}
	}
}

// closerFunc is an io.Closer.
type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// TestCloseTwiceAtOnce closes a client from two goroutines, as ReleaseOnExit and a
// deferred Close do. The second must not remove what is another's by then.
func TestCloseTwiceAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session")
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := started(t, n, Options{SessionFile: file})
		lock, again := c.takeFileLock(), make(chan struct{})
		closes := 0
		c.keepFileLock(closerFunc(func() error {
			if closes++; closes > 1 {
				return nil
			}
			err := lock.Close()
			if err := os.WriteFile(file, nil, 0o600); err != nil { // the next process has begun
				t.Error(err)
			}
			<-again
			return err
		}))
		first := make(chan error, 1)
		go func() { first <- c.Close(t.Context()) }()
		synctest.Wait()
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("second close: %v", err)
		}
		close(again)
		if err := <-first; err != nil {
			t.Errorf("first close: %v", err)
		}
		if _, err := os.Stat(file); err != nil || closes != 1 {
			t.Errorf("got %d closes of the lock, and of the next client's file %v", closes, err)
		}
	})
}

// TestCloseTwiceOfWhatIsNotConfirmed: no Close says that all is given back when the nodes
// have not said so, be it the first, one beside it or one after it.
func TestCloseTwiceOfWhatIsNotConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		lock(t, c, "a")
		n.setCut(true)
		defer n.setCut(false)
		closes := make(chan error, 2)
		for range 2 {
			go func() { closes <- c.Close(t.Context()) }()
			<-time.After(time.Second)
		}
		for _, which := range []string{"the first", "one beside it"} {
			if err := <-closes; !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: got %v, want ErrUnavailable", which, err)
			}
		}
		if err := c.Close(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("one after it: got %v, want ErrUnavailable", err)
		}
	})
}

// TestSignalBesideClose: a signal that has come when the client is closed, or its wish
// undone, ends the process all the same.
func TestSignalBesideClose(t *testing.T) {
	n := newNodes(t, 4)
	c := n.client(t, Options{})
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGUSR1)
	defer signal.Stop(got)
	over := make(chan struct{})
	close(over)
	for round := range 20 { // which of two that are ready is taken is drawn by lot
		told := make(chan os.Signal, 1)
		told <- syscall.SIGUSR1
		c.awaitExit(told, over)
		select {
		case <-got:
		case <-time.After(20 * time.Second):
			t.Fatalf("round %d: the signal was swallowed", round)
		}
	}
}

// TestSessionFileOnAHungDisk has the disk of the session file hang: what the client holds
// is renewed all the same, its loss is told in time, and Close returns. Until the disk
// answers, no other client has the file, and what is written late stays for none.
func TestSessionFileOnAHungDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "session")
	synctest.Test(t, func(t *testing.T) {
		const lease = 2 * time.Second
		n := newNodes(t, 1)
		c := started(t, n, Options{SessionFile: file, Lease: lease})
		h := lock(t, c, "a")
		hung, answers := make(chan struct{}), make(chan struct{})
		c.mu.Lock()
		c.mu.replaceFile = func(path string, content []byte) error {
			close(hung)
			<-answers
			return replaceFile(path, content)
		}
		c.mu.Unlock()
		loses := func() {
			n.setCut(true)
			defer n.setCut(false)
			select {
			case <-h.Lost():
			case <-time.After(lease):
				t.Fatal("a client that is cut off was not told within its lease")
			}
		}
		loses()
		h = lock(t, c, "a") // in a new session, which the file must name
		<-hung
		<-time.After(5 * lease)
		if !h.Valid() {
			t.Error("a lock is not renewed while the disk hangs")
		}
		loses()
		closed := make(chan error, 1)
		go func() { closed <- c.Close(t.Context()) }()
		select {
		case err := <-closed:
			if err != nil {
				t.Errorf("close: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Close waits for a disk that hangs")
		}
		if _, err := n.again(t, Options{SessionFile: file}); !errors.Is(err, ErrSessionFile) {
			t.Errorf("a second client: got %v, want that the file is in use", err)
		}
		close(answers)
		synctest.Wait()
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Close: got %v, want no file", err)
		}
		if err := started(t, n, Options{SessionFile: file}).Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestDialWithAHungDisk has the disk of the session file hang while Dial reads the file, and
// while it writes it: Dial ends with its context, or when the nodes would have had their
// time, and says why. Until the disk answers no other client has the file.
func TestDialWithAHungDisk(t *testing.T) {
	dir := t.TempDir()
	for _, hangs := range []string{"read", "write"} {
		for _, bound := range []time.Duration{0, 100 * time.Millisecond} {
			file := filepath.Join(dir, hangs+bound.String())
			synctest.Test(t, func(t *testing.T) { dialHung(t, file, hangs, bound) })
		}
	}
}

// dialHung dials with a disk that hangs, for as long as ctx allows; bound is zero for ever.
func dialHung(t *testing.T, file, hangs string, bound time.Duration) {
	n := newNodes(t, 1)
	opts, err := Options{SessionFile: file, Dial: n.dial}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c, cfg, err := newClient([]string{"node1", "node2", "node3"}, opts, n.now)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan struct{})
	if hangs == "read" {
		c.mu.readFile = func(path string) (*sessionFile, error) {
			<-answers
			return readSessionFile(path)
		}
	} else {
		c.mu.replaceFile = func(path string, content []byte) error {
			<-answers
			return replaceFile(path, content)
		}
	}
	ctx, most := t.Context(), opts.DialTimeout*5/4
	if bound > 0 {
		most = bound
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, bound)
		defer cancel()
	}
	began := time.Now()
	dialed := make(chan error, 1)
	go func() { dialed <- c.connect(ctx, cfg) }()
	select {
	case err = <-dialed:
	case <-time.After(time.Minute):
		close(answers)
		t.Fatalf("%s hangs: Dial waits for the disk", hangs)
	}
	if took := time.Since(began); !errors.Is(err, ErrSessionFile) || took > most+time.Millisecond ||
		!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), file) {
		t.Errorf("%s hangs: got %v after %s, want that the disk does not answer after %s", hangs, err,
			took, most)
	}
	synctest.Wait()
	if _, err := n.again(t, Options{SessionFile: file}); !errors.Is(err, errFileInUse) {
		t.Errorf("%s hangs: a second client: got %v, want that the file is in use", hangs, err)
	}
	close(answers)
	synctest.Wait()
	if err := started(t, n, Options{SessionFile: file}).Close(t.Context()); err != nil {
		t.Errorf("%s hung: %v", hangs, err)
	}
	if _, _, sessions := n.left(); sessions != 0 {
		t.Errorf("%s hung: %d sessions are left", hangs, sessions)
	}
}

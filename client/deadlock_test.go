package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// namesOfGroup returns n names that belong to one group.
func namesOfGroup(n int) (names []string) {
	for i := 0; len(names) < n; i++ {
		if name := fmt.Sprintf("job/%d", i); groupOf(name) == 1 {
			names = append(names, name)
		}
	}
	return names
}

// TestDeadlockOfOwners proves that of three owners, two of one client, who each ask
// for what the next holds, the last is told the circle, also when its conns break and
// the leader moves before the answer; that nothing is lost by that, and that the
// others go on when it has given back what it holds.
func TestDeadlockOfOwners(t *testing.T) {
	for _, trouble := range []string{"none", "conns break", "the leader moves"} {
		t.Run(trouble, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { deadlockOfOwners(t, trouble) })
		})
	}
}

// startTrouble delays what comes next by a second, and disturbs it meanwhile.
func startTrouble(n *testNodes, trouble string) {
	if trouble == "none" {
		return
	}
	n.with(func(d *dumbCluster) { d.delay = func() Instant { return Instant(time.Second) } })
	time.AfterFunc(500*time.Millisecond, func() {
		if trouble == "conns break" {
			n.resetNode(1)
			n.resetNode(2)
			n.resetNode(3)
			return
		}
		n.with(func(d *dumbCluster) { d.lead(1, 1+d.groups[1].leader%3) })
	})
}

func deadlockOfOwners(t *testing.T, trouble string) {
	n := newNodes(t, 4)
	a, b := n.client(t, Options{Name: "one"}), n.client(t, Options{Name: "two"})
	names, owners := namesOfGroup(3), []*Client{a, a, b}
	var held []*Held
	for i, c := range owners {
		h, err := c.LockWith(t.Context(), names[i], LockOptions{Owner: uint64(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, h)
	}
	ask := func(i int) (*Held, error) {
		return owners[i].LockWith(t.Context(), names[(i+1)%3],
			LockOptions{Owner: uint64(i + 1), Detect: true})
	}
	results := make([]chan *Held, 2)
	for i := range results {
		results[i] = make(chan *Held, 1)
		go func() {
			h, err := ask(i)
			if err != nil {
				t.Errorf("owner %d: got %v, want the lock", i+1, err)
			}
			results[i] <- h
		}()
		synctest.Wait()
	}
	startTrouble(n, trouble)
	_, err := ask(2)
	var circle *DeadlockError
	if !errors.Is(err, ErrDeadlock) || !errors.As(err, &circle) || circle.Count != 3 ||
		len(circle.Steps) != 3 || circle.Token != held[0].Token() {
		t.Fatalf("last: got %v, want a circle of three", err)
	}
	for i, s := range circle.Steps {
		who := (i + 2) % 3
		want := DeadlockStep{[]string{"one", "one", "two"}[who], held[who].Session(),
			uint64(who + 1), names[i], held[i].Token()}
		if s != want {
			t.Errorf("step %d: got %+v, want %+v", i, s, want)
		}
	}
	if text := err.Error(); !strings.Contains(text, fmt.Sprintf(
		"\n  owner 3 of two waits for %q, which owner 1 of one holds with token %d\n", names[0],
		held[0].Token())) {
		t.Errorf("text: got %s", text)
	}
	unlock(t, held[2])
	for i := 1; i >= 0; i-- {
		h := <-results[i]
		if h == nil || !held[i].Valid() {
			t.Fatalf("owner %d: lost what it held", i+1)
		}
		unlock(t, h)
		unlock(t, held[i])
	}
	for _, name := range names {
		free(t, n, name)
	}
}

// TestDetectOfOneClient proves that without an owner the word is given for all that the
// client has so, itself included, is nothing to a try, and that older nodes are not
// told it.
func TestDetectOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{Name: "one"})
		detect := LockOptions{Detect: true}
		held, err := c.LockWith(t.Context(), "a", detect)
		if err != nil {
			t.Fatal(err)
		}
		var circle *DeadlockError
		if _, err := c.LockWith(t.Context(), "a", detect); !errors.As(err, &circle) ||
			len(circle.Steps) != 1 || circle.Token != held.Token() ||
			!strings.Contains(err.Error(), `one waits for "a", which one holds`) {
			t.Errorf("the same lock again: got %v, want a circle of one", err)
		}
		_, err1 := c.TryLockWith(t.Context(), "a", detect)
		_, err2 := c.TryDetachedWith(t.Context(), "a", time.Second, detect)
		for i, err := range []error{err1, err2} {
			if !errors.Is(err, ErrHeld) {
				t.Errorf("try %d: got %v, want ErrHeld", i+1, err)
			}
		}
		unlock(t, held)
		n.with(func(d *dumbCluster) { d.version = wire.VersionKinds })
		older := n.client(t, Options{})
		detect.Owner = 7
		if _, err := older.LockWith(t.Context(), "a", detect); !errors.Is(err, ErrUnsupported) {
			t.Errorf("older nodes: got %v, want ErrUnsupported", err)
		}
		h, err := older.TryLockWith(t.Context(), "a", detect)
		if err != nil {
			t.Fatalf("try: got %v, want the lock", err)
		}
		unlock(t, h)
	})
}

// TestDeadlockText proves what the error says of waits in a queue and of a circle
// too long to be listed.
func TestDeadlockText(t *testing.T) {
	err := &DeadlockError{Name: "a", Count: 40, Steps: []DeadlockStep{
		{"ci", 5, 1, "a", 0}, {"", 6, 2, "a", 12}}}
	want := `lock "a": deadlock: 40 owners wait in a circle
  owner 1 of ci waits for "a", behind owner 2 of session 6, who waits for it too
  owner 2 of session 6 waits for "a"
  and 38 more, the last for the first`
	if got := err.Error(); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

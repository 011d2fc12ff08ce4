package locktest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
	"lockd/netio/wire"
)

// party is a client that waits for something of others. give gives back what it held
// before.
type party struct {
	give func() error
	wait func() (got func() error, err error)
}

// together returns n names of one group, ascending, and of another than seen.
func together(n int, seen string) (names []string) {
	of := func(name string) uint16 { return wire.GroupOf("", name, 64) }
	for i := 0; len(names) < n; i++ {
		name := fmt.Sprintf("book/%06d", i)
		if of(name) != of(seen) && (len(names) == 0 || of(name) == of(names[0])) {
			names = append(names, name)
		}
	}
	return names
}

// oneIsTold has all parties wait and wants one of them to be told a circle of so many
// steps. It gives back what it held, and so does everybody who gets what he waits for,
// which may be before the one has heard that it was cancelled.
func oneIsTold(t *testing.T, parties []party, steps int) {
	t.Helper()
	type end struct {
		who int
		got func() error
		err error
	}
	ends := make(chan end, len(parties))
	for i, p := range parties {
		go func() {
			got, err := p.wait()
			ends <- end{i, got, err}
		}()
	}
	told := 0
	for range parties {
		x := <-ends
		var circle *client.DeadlockError
		switch {
		case x.err == nil:
			if err := x.got(); err != nil {
				t.Error(err)
			}
		case !errors.As(x.err, &circle) || circle.Count != steps || len(circle.Steps) != steps:
			t.Errorf("client %d: got %v, want its lock or a circle of %d", x.who, x.err, steps)
		default:
			told++
			t.Logf("%v", circle)
		}
		if err := parties[x.who].give(); err != nil {
			t.Error(err)
		}
	}
	if told != 1 {
		t.Errorf("got %d told of a circle, want one", told)
	}
}

// waits is a wait for a lock in a mode, with the word.
func waits(ctx context.Context, c *client.Client, name string,
	mode client.Mode) func() (func() error, error) {
	return func() (func() error, error) {
		h, err := c.LockWith(ctx, name, client.LockOptions{Mode: mode, Detect: true})
		return func() error { return h.Unlock(ctx) }, err
	}
}

// waitsAll is one for several.
func waitsAll(ctx context.Context, c *client.Client, wants ...client.Want) func() (func() error,
	error) {
	return func() (func() error, error) {
		h, err := c.LockAllWith(ctx, wants, client.LockAllOptions{Detect: true})
		return func() error { return h.Unlock(ctx) }, err
	}
}

// upgrades waits to convert a hold to exclusive.
func upgrades(ctx context.Context, h *client.Held) func() (func() error, error) {
	return func() (func() error, error) {
		err := h.ConvertWith(ctx, client.Exclusive, client.ConvertOptions{Detect: true})
		return func() error { return nil }, err
	}
}

func held(l *client.LockInfo) bool { return l.HolderCount > 0 }

func waited(l *client.LockInfo) bool { return l.WaiterCount > 0 }

// once waits until a lock looks so, and then does.
func once(ctx context.Context, c *client.Client, name string, so func(*client.LockInfo) bool,
	do func() (func() error, error)) func() (func() error, error) {
	return func() (func() error, error) {
		for {
			l, err := c.Get(ctx, name)
			switch {
			case err == nil && so(l):
				return do()
			case err != nil && !errors.Is(err, client.ErrNotFound):
				return nil, err
			}
		}
	}
}

// TestDeadlockKinds proves on a cluster of three, with 64 groups, that circles are found
// that lead through calls for several names and through conversions, over several
// groups, and that one of those in it is told, whoever it is.
func TestDeadlockKinds(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 64})
	ctx := within(t)
	var clients []*client.Client
	for i := range 3 {
		clients = append(clients, cluster.Client(t, client.Options{Name: fmt.Sprint("client ", i)}))
	}
	a, b, c := clients[0], clients[1], clients[2]
	take := func(c *client.Client, name string, mode client.Mode) *client.Held {
		h, err := c.LockWith(ctx, name, client.LockOptions{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	gives := func(all ...*client.Held) func() error {
		return func() (err error) {
			for _, h := range all {
				err = errors.Join(err, h.Unlock(ctx))
			}
			return err
		}
	}
	names := apart(2)
	books := together(2, names[0])
	first, second := names[0], names[1]
	if wire.GroupOf("", first, 64) > wire.GroupOf("", second, 64) {
		first, second = second, first
	}
	for range 3 { // the victim is drawn
		// One group has granted its lock to the call when it waits for the next.
		h := take(b, second, client.Exclusive)
		oneIsTold(t, []party{
			{gives(), waitsAll(ctx, a, client.Want{Name: first}, client.Want{Name: second})},
			{gives(h), once(ctx, b, first, held, waits(ctx, b, first, client.Exclusive))},
		}, 2)
		// The names belong to one group, what is held besides to another.
		h, other := take(a, first, client.Exclusive), take(b, books[1], client.Exclusive)
		oneIsTold(t, []party{
			{gives(h), waitsAll(ctx, a, client.Want{Name: books[0]}, client.Want{Name: books[1]})},
			{gives(other), waits(ctx, b, first, client.Exclusive)},
		}, 2)
		// A conversion.
		h, other = take(a, first, client.Shared), take(b, first, client.Shared)
		more := take(a, second, client.Exclusive)
		oneIsTold(t, []party{
			{gives(h, more), upgrades(ctx, h)},
			{gives(other), waits(ctx, b, second, client.Exclusive)},
		}, 2)
		// All kinds.
		h, other = take(a, first, client.Exclusive), take(b, books[1], client.Exclusive)
		read, reads := take(b, second, client.Shared), take(c, second, client.Shared)
		oneIsTold(t, []party{
			{gives(h), waitsAll(ctx, a, client.Want{Name: books[0]}, client.Want{Name: books[1]})},
			{gives(other, read), upgrades(ctx, read)},
			{gives(reads), waits(ctx, c, first, client.Exclusive)},
		}, 3)
		// The last stands behind a call for several names that would let it pass, if the
		// second did not keep that from its turn.
		h, other = take(b, books[0], client.ConcurrentWrite), take(c, first, client.Exclusive)
		oneIsTold(t, []party{
			{gives(), waitsAll(ctx, a, client.Want{Name: books[0], Mode: client.Shared},
				client.Want{Name: books[1]})},
			{gives(h), waits(ctx, b, first, client.Exclusive)},
			{gives(other), once(ctx, c, books[0], waited,
				waits(ctx, c, books[0], client.ConcurrentRead))},
		}, 3)
	}
}

// TestNoDeadlockWithWhoLetsPass proves that nobody is told a circle through what a call
// for several names waits for elsewhere, if that call would let it pass.
func TestNoDeadlockWithWhoLetsPass(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 64})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	c := cluster.Client(t, client.Options{})
	books := together(2, "x")
	h, err := b.LockWith(ctx, books[0], client.LockOptions{Mode: client.ConcurrentWrite})
	if err != nil {
		t.Fatal(err)
	}
	lock(ctx, t, c, books[1])
	done := make(chan error, 1)
	several, stop := context.WithCancel(ctx)
	go func() {
		_, err := waitsAll(several, a, client.Want{Name: books[0], Mode: client.Shared},
			client.Want{Name: books[1]})()
		done <- err
	}()
	passes := make(chan error, 1)
	go func() {
		_, err := once(ctx, c, books[0], waited,
			waits(ctx, c, books[0], client.ConcurrentRead))()
		passes <- err
	}()
	select {
	case err := <-done:
		t.Errorf("several: got %v, want it to wait", err)
	case err := <-passes:
		t.Errorf("behind it: got %v, want it to wait", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := h.Unlock(ctx); err != nil {
		t.Error(err)
	}
	if err := <-passes; err != nil {
		t.Errorf("behind it: got %v, want it granted", err)
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("several: got %v, want it cancelled", err)
	}
}

// TestDeadlockOfManyNames proves that a circle is found which leads through the last of so
// many names of a call that one answer does not list them.
func TestDeadlockOfManyNames(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 64})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	names := apart(1)
	books := together(wire.MaxChased+8, names[0])
	rest, last := books[:len(books)-1], books[len(books)-1]
	others, err := cluster.Client(t, client.Options{}).LockAll(ctx, rest...)
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := lock(ctx, t, a, names[0]), lock(ctx, t, b, last)
	give := sync.OnceValue(func() error { return others.Unlock(ctx) })
	var wants []client.Want
	for _, name := range books {
		wants = append(wants, client.Want{Name: name})
	}
	oneIsTold(t, []party{
		{func() error { return errors.Join(mine.Unlock(ctx), give()) },
			waitsAll(ctx, a, wants...)},
		{func() error { return errors.Join(theirs.Unlock(ctx), give()) },
			waits(ctx, b, names[0], client.Exclusive)},
	}, 2)
}

// waitsFor is a wait for a lock by an owner, with the word.
func waitsFor(ctx context.Context, c *client.Client, name string,
	owner uint64) func() (func() error, error) {
	return func() (func() error, error) {
		h, err := c.LockWith(ctx, name, client.LockOptions{Owner: owner, Detect: true})
		return func() error { return h.Unlock(ctx) }, err
	}
}

// waitsAllFor is one for several.
func waitsAllFor(ctx context.Context, c *client.Client, owner uint64,
	names ...string) func() (func() error, error) {
	return func() (func() error, error) {
		var wants []client.Want
		for _, name := range names {
			wants = append(wants, client.Want{Name: name})
		}
		h, err := c.LockAllWith(ctx, wants, client.LockAllOptions{Owner: owner, Detect: true})
		return func() error { return h.Unlock(ctx) }, err
	}
}

// TestDeadlockOfOwnersOfSeveral proves that an owner waits with a call for several names,
// and has what that was granted, as with a lock of his: in circles over groups and within
// one, and in that of himself alone.
func TestDeadlockOfOwnersOfSeveral(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 64})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{Name: "a"}), cluster.Client(t, client.Options{Name: "b"})
	names := apart(2)
	books := together(3, names[0])
	take := func(c *client.Client, name string, owner uint64) func() error {
		h, err := c.LockWith(ctx, name, client.LockOptions{Owner: owner})
		if err != nil {
			t.Fatal(err)
		}
		return func() error { return h.Unlock(ctx) }
	}
	takeAll := func(c *client.Client, owner uint64, names ...string) func() error {
		give, err := waitsAllFor(ctx, c, owner, names...)()
		if err != nil {
			t.Fatal(err)
		}
		return give
	}
	for range 3 { // the victim is drawn
		// The owner holds another lock, of another group and of the same.
		for _, other := range []string{names[0], books[2]} {
			oneIsTold(t, []party{
				{take(a, other, 7), waitsAllFor(ctx, a, 7, books[0], books[1])},
				{take(b, books[1], 9), waitsFor(ctx, b, other, 9)},
			}, 2)
		}
		// He holds what another call granted, and waits for a single lock, or again for several.
		for _, waits := range []func() (func() error, error){waitsFor(ctx, a, names[1], 7),
			waitsAllFor(ctx, a, 7, names...)} {
			oneIsTold(t, []party{
				{takeAll(a, 7, books...), waits},
				{takeAll(b, 9, names[1]), waitsFor(ctx, b, books[1], 9)},
			}, 2)
		}
	}
	// He enters nothing, and is told so.
	oneIsTold(t, []party{{take(a, books[0], 7), waitsAllFor(ctx, a, 7, books...)}}, 1)
	oneIsTold(t, []party{{takeAll(a, 7, books...), waitsFor(ctx, a, books[0], 7)}}, 1)
	// What another owner of the client holds, or the client without one, is not his.
	mine, others := take(a, names[0], 8), takeAll(b, 9, books[0])
	done := make(chan error, 2)
	start := func(wait func() (func() error, error)) {
		go func() {
			give, err := wait()
			if err == nil {
				err = give()
			}
			done <- err
		}()
	}
	start(waitsAllFor(ctx, a, 7, books...))
	start(waitsFor(ctx, b, names[0], 9))
	select {
	case err := <-done:
		t.Errorf("got %v, want both to wait", err)
		done <- err
	case <-time.After(300 * time.Millisecond):
	}
	for _, give := range []func() error{mine, others} {
		if err := give(); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("got %v, want the lock", err)
		}
	}
}

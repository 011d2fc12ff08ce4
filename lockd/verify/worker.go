package verify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"lockd/client"
	"lockd/lockd/verify/check"
)

// The kinds of locks that are used. Name i of a run is of kind i modulo lockKinds.
const (
	kindMutex     = iota // alone or several at once
	kindModes            // readers and writers, and the other modes
	kindSemaphore        // of semaphoreCapacity permits
	kindOwner            // entered again by who holds it
	kindValue            // a register: the value that goes with the lock
	lockKinds
)

const semaphoreCapacity = 3

// patience is how long a worker waits at most for its turn.
const patience = 20 * time.Second

// worker is one caller: it does one thing at a time.
type worker struct {
	run    *run
	number int
	client int // of run.lines
	c      *client.Client
	draw   *rand.Rand
	record record
	every  time.Duration // between two operations
	next   time.Time     // when the next may begin
	writes int
	// endless says that the cluster takes no hold as short as maxHold.
	endless bool
}

// held is a hold of a worker.
type held struct {
	h        *client.Held
	acquired check.Operation
	safe     int64 // until when it was promised to be held
}

// work uses locks until ctx ends, or the record is full.
func (w *worker) work(ctx context.Context) {
	for ctx.Err() == nil && len(w.record.all) < w.record.limit {
		i := w.draw.IntN(w.run.opts.Locks)
		if w.run.forcing.Load() && w.draw.IntN(4) == 0 {
			w.force(ctx, w.run.names[i])
			continue
		}
		switch name := w.run.names[i]; i % lockKinds {
		case kindMutex:
			w.mutex(ctx, name)
		case kindModes:
			w.modes(ctx, name)
		case kindSemaphore:
			w.semaphore(ctx, name)
		case kindOwner:
			w.owner(ctx, name)
		default:
			w.value(ctx, name)
		}
	}
}

// pace waits until the next operation may begin.
func (w *worker) pace(ctx context.Context) {
	rest(ctx, time.Until(w.next))
	if now := time.Now(); now.Sub(w.next) > w.every { // what was waited for is not made up for
		w.next = now
	}
	w.next = w.next.Add(w.every)
}

func (w *worker) mutex(ctx context.Context, name string) {
	switch n := w.draw.IntN(10); {
	case n == 0:
		w.get(ctx, name)
	case n == 1:
		w.several(ctx, name)
	case n == 2 && !w.endless && w.draw.IntN(6) == 0:
		w.outlast(ctx, name)
	default:
		w.hold(ctx, name, client.LockOptions{})
	}
}

// maxHold is that of the holds which are to end by themselves.
const maxHold = 100 * time.Millisecond

// outlast holds a lock for longer than it asked for: it is lost, and others have it.
func (w *worker) outlast(ctx context.Context, name string) {
	k := w.acquire(ctx, name, client.LockOptions{MaxHold: maxHold})
	if k == nil {
		return
	}
	k.safe = max(k.safe, w.record.promised(k.h))
	select {
	case <-k.h.Lost():
	case <-ctx.Done():
	}
	w.release(ctx, k)
}

func (w *worker) modes(ctx context.Context, name string) {
	opts := client.LockOptions{Mode: client.Shared}
	switch n := w.draw.IntN(10); {
	case n == 0:
		w.get(ctx, name)
		return
	case n < 4:
		opts.Mode = client.Exclusive
	case n < 6:
		opts.Mode = client.Mode(w.draw.IntN(int(client.Null) + 1))
	}
	if w.draw.IntN(3) > 0 {
		w.hold(ctx, name, opts)
		return
	}
	if k := w.acquire(ctx, name, opts); k != nil && w.turn(ctx, k) {
		w.release(ctx, k)
	}
}

// turn converts a hold once or twice, and reports whether it is known what came of that. If
// not it is given back, which says nothing.
func (w *worker) turn(ctx context.Context, k *held) bool {
	for range 1 + w.draw.IntN(2) {
		w.dwell(ctx, k)
		if !w.convert(ctx, k) {
			_ = k.h.Unlock(context.WithoutCancel(ctx))
			return false
		}
	}
	if w.draw.IntN(4) == 0 {
		w.test(ctx, k)
	}
	return true
}

// convert asks for another mode of a hold, to write more often than not.
func (w *worker) convert(ctx context.Context, k *held) bool {
	w.pace(ctx)
	if ctx.Err() != nil {
		return true
	}
	o, to := k.acquired, client.Exclusive
	if w.draw.IntN(3) == 0 {
		to = client.Mode(w.draw.IntN(int(client.Null) + 1))
	}
	i := w.record.begin(check.Operation{Kind: check.Convert, Name: o.Name, Token: o.Token,
		Was: o.Mode, Mode: modeOf(to), Waits: check.Waits(w.draw.IntN(2)), Client: w.client,
		Worker: w.number})
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ask := k.h.TryConvert
	if w.record.all[i].Waits == check.Queues {
		ask = k.h.Convert
	}
	var deadlock *client.DeadlockError
	switch err := ask(bounded, to); {
	case err == nil:
		done := w.record.end(i, check.Done)
		done.Newest = k.h.Token()
		k.acquired.Token, k.acquired.Mode = done.Newest, done.Mode
		k.safe = max(k.safe, w.record.promised(k.h))
		w.run.newest[o.Name].Store(done.Newest)
	case errors.Is(err, client.ErrHeld), errors.As(err, &deadlock), errors.Is(err, client.ErrBusy):
		w.record.refused(i) // the hold is as it was
	default:
		w.unsure(i, err)
		return false
	}
	return true
}

// hold acquires a lock in some way, looks at it perhaps, and gives it back.
func (w *worker) hold(ctx context.Context, name string, opts client.LockOptions) {
	k := w.acquire(ctx, name, opts)
	if k == nil {
		return
	}
	w.dwell(ctx, k)
	if w.draw.IntN(8) == 0 {
		w.test(ctx, k)
	}
	w.release(ctx, k)
	if w.draw.IntN(16) == 0 {
		w.test(ctx, k)
	}
}

func (w *worker) semaphore(ctx context.Context, name string) {
	if w.draw.IntN(10) == 0 {
		w.get(ctx, name)
		return
	}
	permits := 1 + w.draw.IntN(semaphoreCapacity)
	o := w.asks(name)
	o.Permits, o.Capacity = uint32(permits), semaphoreCapacity
	s := w.c.Semaphore(name, semaphoreCapacity)
	waits, limit := w.waits()
	o.Waits = waits
	k := w.ask(ctx, o, limit, func(ctx context.Context) (*client.Held, error) {
		if waits == check.Queues {
			return s.Acquire(ctx, permits)
		}
		return s.TryAcquire(ctx, permits)
	})
	if k != nil {
		w.dwell(ctx, k)
		w.release(ctx, k)
	}
}

// owner enters a lock up to three times and leaves it as often.
func (w *worker) owner(ctx context.Context, name string) {
	opts := client.LockOptions{Owner: uint64(w.number) + 1}
	var all []*held
	for k := w.acquire(ctx, name, opts); k != nil; k = w.acquire(ctx, name, opts) {
		all = append(all, k)
		if w.dwell(ctx, k); len(all) == 3 || w.draw.IntN(2) == 0 {
			break
		}
	}
	w.draw.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, k := range all {
		if w.draw.IntN(8) == 0 {
			w.get(ctx, name)
		}
		w.release(ctx, k)
	}
}

// value reads what the last holder left, and leaves something else.
func (w *worker) value(ctx context.Context, name string) {
	if w.draw.IntN(6) == 0 {
		w.get(ctx, name)
		return
	}
	k := w.acquire(ctx, name, client.LockOptions{Value: true})
	if k == nil {
		return
	}
	for range w.draw.IntN(3) {
		w.write(ctx, k)
	}
	w.dwell(ctx, k)
	w.release(ctx, k)
}

// dwell holds a lock for a while, and notes until when it is promised.
func (w *worker) dwell(ctx context.Context, k *held) {
	if w.draw.IntN(5) == 0 {
		rest(ctx, time.Duration(w.draw.IntN(5000))*time.Microsecond)
	}
	k.safe = max(k.safe, w.record.promised(k.h))
}

// waits draws whether a worker waits, and how long at most.
func (w *worker) waits() (check.Waits, time.Duration) {
	switch n := w.draw.IntN(10); {
	case n < 3:
		return check.Tries, patience
	case n < 5:
		return check.Queues, time.Duration(1+w.draw.IntN(50)) * time.Millisecond
	default:
		return check.Queues, patience
	}
}

// asks begins the operation of a worker.
func (w *worker) asks(name string) check.Operation {
	return check.Operation{Kind: check.Acquire, Name: name, Client: w.client, Worker: w.number}
}

func (w *worker) acquire(ctx context.Context, name string, opts client.LockOptions) *held {
	o := w.asks(name)
	o.Mode = modeOf(opts.Mode)
	if opts.Owner != 0 {
		o.Owner = uint64(w.client+1)<<32 | opts.Owner
	}
	waits, limit := w.waits()
	o.Waits = waits
	return w.ask(ctx, o, limit, func(ctx context.Context) (*client.Held, error) {
		if waits == check.Queues {
			return w.c.LockWith(ctx, name, opts)
		}
		return w.c.TryLockWith(ctx, name, opts)
	})
}

// ask asks for a hold and notes the answer.
func (w *worker) ask(ctx context.Context, o check.Operation, limit time.Duration,
	call func(context.Context) (*client.Held, error)) *held {
	w.pace(ctx)
	if ctx.Err() != nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	i := w.record.begin(o)
	h, err := call(bounded)
	w.granted(i, err)
	if err != nil {
		return nil
	}
	done := &w.record.all[i]
	done.Token = h.Token()
	w.run.newest[o.Name].Store(done.Token)
	if w.run.reads(o.Name) {
		v := h.Value()
		done.Reads = &check.Value{Data: string(v.Data), Token: v.Token}
	}
	return &held{h: h, acquired: *done, safe: max(done.Call, w.record.promised(h))}
}

// granted notes what became of the i-th operation, an Acquire.
func (w *worker) granted(i int, err error) {
	var refused *client.HeldError
	var lost *client.LostError
	var bound *client.BoundError
	switch {
	case err == nil:
		w.record.end(i, check.Done)
	case errors.As(err, &refused):
		w.record.end(i, check.Refused).Token = refused.Token
	case errors.As(err, &lost) && lost.Token != 0: // granted, and over before the call was
		o := w.record.end(i, check.Done)
		o.Token = lost.Token
		w.record.lost(*o, o.Call)
	case errors.As(err, &bound): // nothing has happened
		w.endless = true
		w.record.forget(i)
	default:
		w.failed(i, err)
	}
}

// failed notes an error that leaves open what happened, or says that nothing did.
func (w *worker) failed(i int, err error) {
	if errors.Is(err, client.ErrBusy) || errors.Is(err, client.ErrTooMuchData) {
		w.record.forget(i)
		return
	}
	w.unsure(i, err)
}

// unsure has the i-th operation without an answer. An error that does not say so is
// none that a caller should see.
func (w *worker) unsure(i int, err error) {
	switch {
	case errors.Is(err, client.ErrBusy):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrSessionEnded),
		errors.Is(err, client.ErrLost), errors.Is(err, client.ErrClosed):
	default:
		w.run.unexpected(fmt.Errorf("%s: %w", &w.record.all[i], err))
	}
}

// release gives a hold back, also when the run is over.
func (w *worker) release(ctx context.Context, k *held) {
	w.pace(ctx)
	k.safe = max(k.safe, w.record.promised(k.h))
	o := k.acquired
	i := w.record.begin(check.Operation{Kind: check.Release, Name: o.Name, Token: o.Token,
		Owner: o.Owner, Client: w.client, Worker: w.number})
	err := k.h.Unlock(context.WithoutCancel(ctx))
	switch {
	case err == nil:
		w.record.end(i, check.Done)
	case errors.Is(err, client.ErrLost):
		w.record.lost(o, k.safe)
	default:
		w.unsure(i, err)
	}
}

// several takes up to three mutexes at once, each of which counts for itself.
func (w *worker) several(ctx context.Context, name string) {
	names := []string{name}
	for range 2 {
		other := w.run.names[w.draw.IntN((len(w.run.names)+lockKinds-1)/lockKinds)*lockKinds]
		if other != name && other != names[len(names)-1] {
			names = append(names, other)
		}
	}
	waits, limit := w.waits()
	w.pace(ctx)
	if ctx.Err() != nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	first := len(w.record.all)
	for _, n := range names {
		o := w.asks(n)
		o.Waits = waits
		w.record.begin(o)
	}
	var all *client.HeldAll
	var err error
	if waits == check.Queues {
		all, err = w.c.LockAll(bounded, names...)
	} else {
		all, err = w.c.TryLockAll(bounded, names...)
	}
	if err != nil {
		w.refusedOne(first, err)
		return
	}
	for i := range names {
		w.record.end(first+i, check.Done).Token = all.Token(names[i])
	}
	w.releaseAll(ctx, all, first, len(names))
}

// refusedOne notes what became of a request for several names. If one was refused, the
// others may have been granted before, and were given back.
func (w *worker) refusedOne(first int, err error) {
	var refused *client.HeldError
	if !errors.As(err, &refused) {
		w.unsure(first, err)
		return
	}
	for i := first; i < len(w.record.all); i++ {
		if w.record.all[i].Name == refused.Name {
			w.record.end(i, check.Refused).Token = refused.Token
		}
	}
}

func (w *worker) releaseAll(ctx context.Context, all *client.HeldAll, first, n int) {
	safe := max(w.record.all[first].Call, w.record.promised(all))
	w.pace(ctx)
	safe = max(safe, w.record.promised(all))
	from := len(w.record.all)
	for i := range n {
		o := w.record.all[first+i]
		w.record.begin(check.Operation{Kind: check.Release, Name: o.Name, Token: o.Token,
			Client: w.client, Worker: w.number})
	}
	err := all.Unlock(context.WithoutCancel(ctx))
	for i := range n {
		if err == nil {
			w.record.end(from+i, check.Done)
		} else if errors.Is(err, client.ErrLost) {
			w.record.lost(w.record.all[first+i], safe)
		}
	}
	if err != nil && !errors.Is(err, client.ErrLost) {
		w.unsure(from, err)
	}
}

// modeOf is a mode as package check has it; the two have one order.
func modeOf(m client.Mode) check.Mode { return check.Mode(m) }

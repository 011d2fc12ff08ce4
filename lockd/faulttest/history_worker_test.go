package faulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest/history"
	"lockd/lockd/faulttest/witness"
	"lockd/netio/wire"
)

// worker is one caller: it goes through the rounds, doing one thing at a time.
type worker struct {
	study  *study
	number int
	draw   *rand.Rand
	round  *round
	log    *history.Log
	c      *client.Client
	tap    *witness.Tap
}

// work is a worker from its first round to its last.
func (s *study) work(number int) {
	defer s.running.Done()
	w := &worker{study: s, number: number,
		draw: rand.New(rand.NewPCG(s.opts.Seed, uint64(number)))}
	for n := 0; ; n++ {
		if w.round = s.enter(n); w.round == nil {
			return
		}
		w.log = w.round.logs[number]
		for range turnsPerRound {
			w.c, w.tap = s.lines[number%len(s.lines)].get()
			w.turn()
			if s.ctx.Err() != nil {
				return
			}
		}
		s.leave(w.round)
	}
}

// turn uses one name of the round once.
func (w *worker) turn() {
	other := w.draw.IntN(otherNames)
	switch n := w.draw.IntN(10); {
	case n < 5:
		w.mutex(w.draw.IntN(mutexNames))
	case n < 7:
		w.readWrite(w.round.nameOf(modelReadWrite, other))
	case n < 9:
		w.semaphore(w.round.nameOf(modelSemaphore, other))
	default:
		w.reentrant(w.round.nameOf(modelReentrant, other))
	}
}

// mutex uses a mutex once in some way.
func (w *worker) mutex(i int) {
	name := w.round.nameOf(modelMutex, i)
	h := w.acquire(w.some(request{name: name}))
	if h == nil {
		return
	}
	g := &w.round.registers[i]
	value, ok := w.read(name, g, h.Token())
	w.dwell()
	if ok && w.write(name, g, h.Token(), value, value+1) == history.Granted {
		value++
	}
	w.release(h)
	// A write that was on its way while its writer gave back, or lost, the lock.
	if ok && w.draw.IntN(8) == 0 {
		w.study.late.Add(1)
		if w.write(name, g, h.Token(), value, value+1) == history.Refused {
			w.study.stale.Add(1)
		}
	}
}

// readWrite uses a read-write lock once in some way.
func (w *worker) readWrite(name string) {
	r := request{name: name}
	if w.draw.IntN(5) < 3 {
		r.mode = client.Shared
	}
	if h := w.acquire(w.some(r)); h != nil {
		w.dwell()
		w.release(h)
	}
}

// semaphore uses a semaphore once in some way.
func (w *worker) semaphore(name string) {
	r := request{name: name, permits: 1 + w.draw.IntN(semaphoreCapacity)}
	if h := w.acquire(w.some(r)); h != nil {
		w.dwell()
		w.release(h)
	}
}

// reentrant enters a lock up to three times and leaves it as often, in any order.
func (w *worker) reentrant(name string) {
	r := request{name: name, owner: uint64(w.number) + 1}
	var holds []*client.Held
	for h := w.acquire(w.some(r)); h != nil; h = w.acquire(r) {
		holds = append(holds, h)
		if len(holds) == 3 || w.draw.IntN(2) == 0 {
			break
		}
		r.within = w.ownerOf(h)
		r.waits = history.Waits(w.draw.IntN(2))
	}
	w.draw.Shuffle(len(holds), func(i, j int) { holds[i], holds[j] = holds[j], holds[i] })
	for _, h := range holds {
		if w.dwell(); w.draw.IntN(8) == 0 {
			w.look(name)
		}
		w.release(h)
	}
}

// request is how a worker asks for a lock.
type request struct {
	name     string
	mode     client.Mode
	permits  int    // of a semaphore
	owner    uint64 // of a re-entrant lock, as the client is told
	within   uint64 // Owner of the hold that it has already, for the history
	waits    history.Waits
	patience time.Duration // default: long
	way      way
}

// way is what is done with a name instead of asking for a hold with a session.
type way uint8

const (
	asks way = iota
	detaches
	looks
)

// some draws how a worker waits, or what it does instead of asking.
func (w *worker) some(r request) request {
	switch n := w.draw.IntN(20); {
	case n < 11:
		r.waits = history.Queues
	case n < 14:
		r.waits, r.patience = history.Queues, time.Duration(1+w.draw.IntN(50))*time.Millisecond
	case n < 17:
	case n < 18 && r.name[0] == 'm':
		r.way = detaches
	default:
		r.way = looks
	}
	return r
}

// dwell holds a lock for a while, rarely.
func (w *worker) dwell() {
	if w.draw.IntN(10) == 0 {
		time.Sleep(time.Duration(w.draw.IntN(3000)) * time.Microsecond)
	}
}

// ownerOf is who holds, for the history: a session, and a worker in it.
func (w *worker) ownerOf(h *client.Held) uint64 {
	s := h.Session()
	if s&wire.DetachedOwner != 0 {
		return s
	}
	return s<<16 | uint64(w.number+1)
}

// acquire asks for a lock and returns its hold, or nil.
func (w *worker) acquire(r request) *client.Held {
	switch r.way {
	case looks:
		w.look(r.name)
		return nil
	case detaches:
		return w.detached(r.name)
	}
	if r.patience == 0 {
		r.patience = time.Minute
	}
	ctx, cancel := context.WithTimeout(w.study.ctx, r.patience)
	defer cancel()
	o := history.Operation{Kind: history.Acquire, Name: r.name, Waits: r.waits, Owner: r.within,
		Client: w.number, Permits: uint32(r.permits)}
	if r.mode == client.Shared {
		o.Mode = history.Shared
	}
	begun := w.log.Begin(o)
	h, err := w.ask(ctx, r)
	return w.answered(begun, h, err, 0)
}

func (w *worker) ask(ctx context.Context, r request) (*client.Held, error) {
	opts := client.LockOptions{Mode: r.mode, Owner: r.owner}
	s := w.c.Semaphore(r.name, semaphoreCapacity)
	switch {
	case r.permits > 0 && r.waits == history.Queues:
		return s.Acquire(ctx, r.permits)
	case r.permits > 0:
		return s.TryAcquire(ctx, r.permits)
	case r.waits == history.Queues:
		return w.c.LockWith(ctx, r.name, opts)
	default:
		return w.c.TryLockWith(ctx, r.name, opts)
	}
}

// detached tries a hold that lives by its own time.
func (w *worker) detached(name string) *client.Held {
	begun := w.log.Begin(history.Operation{Kind: history.Acquire, Name: name, Client: w.number})
	h, err := w.c.TryDetached(w.study.ctx, name, shortly)
	// A request that is sent again after its hold ran out is granted anew. One
	// that was not answered is sent for a while longer.
	lasts := int64(float64(shortly) * (1 - studyDrift))
	until := w.study.clock()
	if err != nil {
		until += lasts
	}
	for at := begun.Began + lasts; at < until; at += lasts {
		w.alsoAsked(begun)
	}
	return w.answered(begun, h, err, begun.Began+lasts)
}

// alsoAsked notes that o may have been granted once more than its caller heard.
func (w *worker) alsoAsked(o *history.Operation) {
	again := *o
	again.Ended, again.Outcome, again.Token = history.Open, history.Uncertain, 0
	w.round.unheard[w.number] = append(w.round.unheard[w.number], again)
}

// answered notes what came of an acquire. Ends is as in a note.
func (w *worker) answered(o *history.Operation, h *client.Held, err error,
	ends int64) *client.Held {
	// A client that lost its session asks anew in the next one. In the lost one it
	// may have been granted, unheard, what it then asked for again.
	for range w.tap.Opened(groupOf(o.Name), o.Began) {
		w.alsoAsked(o)
	}
	var refused *client.HeldError
	var lost *client.LostError
	switch {
	case err == nil:
		o.Token, o.Owner = h.Token(), w.ownerOf(h)
		w.log.End(o, history.Granted)
		w.note(o.Name, h, ends)
		return h
	case errors.As(err, &refused):
		o.Token = refused.Token
		w.log.End(o, history.Refused)
	case errors.As(err, &lost) && lost.Token != 0: // granted, and over before the call was
		o.Token = lost.Token
		w.log.End(o, history.Granted)
		w.round.notes[w.number] = append(w.round.notes[w.number], note{name: o.Name,
			token: lost.Token, ends: o.Began, release: -1})
	case errors.Is(err, client.ErrBusy): // nothing happened, which uncertain includes
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, client.ErrClosed), errors.Is(err, client.ErrUnavailable):
	default:
		w.study.fail(fmt.Errorf("worker %d: %s: %w", w.number, o, err))
	}
	return nil
}

func (w *worker) note(name string, h *client.Held, ends int64) {
	k := witness.SessionKey{Session: h.Session(), Group: groupOf(name)}
	w.round.notes[w.number] = append(w.round.notes[w.number], note{held: h, name: name,
		token: h.Token(), ends: ends, session: k, tap: w.tap, release: -1})
}

// release gives a hold back. If it was lost, its note says since when it may be
// over.
func (w *worker) release(h *client.Held) {
	o := w.log.Begin(history.Operation{Kind: history.Release, Name: h.Name(), Token: h.Token(),
		Owner: w.ownerOf(h), Client: w.number})
	err := h.Unlock(w.study.ctx)
	switch {
	case err == nil:
		w.log.End(o, history.Granted)
		notes := w.round.notes[w.number]
		i := slices.IndexFunc(notes, func(n note) bool { return n.held == h })
		notes[i].release = len(w.log.Operations()) - 1
	case errors.Is(err, client.ErrLost), errors.Is(err, client.ErrClosed),
		errors.Is(err, client.ErrUnavailable), errors.Is(err, context.Canceled):
	default:
		w.study.fail(fmt.Errorf("worker %d: %s: %w", w.number, o, err))
	}
}

// look asks who holds.
func (w *worker) look(name string) {
	o := w.log.Begin(history.Operation{Kind: history.Look, Name: name, Client: w.number})
	info, err := w.c.Get(w.study.ctx, name)
	switch {
	case err == nil:
		for i := range info.Holders {
			o.Holders = append(o.Holders, info.Holders[i].Token)
			if info.Holders[i].Owner != 0 {
				o.Counts = append(o.Counts, uint32(info.Holders[i].Depth))
			}
		}
		if info.HolderCount == len(info.Holders) {
			w.log.End(o, history.Granted)
		}
	case errors.Is(err, client.ErrNotFound):
		w.log.End(o, history.Granted)
	}
}

// read reads what the lock guards.
func (w *worker) read(name string, g *guarded, token uint64) (int64, bool) {
	o := w.log.Begin(history.Operation{Kind: history.Read, Name: name, Token: token,
		Client: w.number})
	value, outcome := g.read(token)
	o.Value = value
	w.log.End(o, outcome)
	return value, outcome == history.Granted
}

// write writes what the lock guards, in place of what was read.
func (w *worker) write(name string, g *guarded, token uint64, before,
	value int64) history.Outcome {
	o := w.log.Begin(history.Operation{Kind: history.Write, Name: name, Token: token, Before: before,
		Value: value, Client: w.number})
	outcome := g.write(token, value)
	w.log.End(o, outcome)
	return outcome
}

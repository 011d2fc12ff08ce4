package faulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest/history"
	"lockd/lockd/faulttest/witness"
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
			if w.draw.IntN(4) == 0 {
				w.readWrite(w.round.readWrite(w.draw.IntN(readWriteNames)))
			} else {
				w.mutex(w.draw.IntN(mutexNames))
			}
			if s.ctx.Err() != nil {
				return
			}
		}
		s.leave(w.round)
	}
}

// mutex uses a mutex once in some way.
func (w *worker) mutex(i int) {
	name := w.round.mutex(i)
	var h *client.Held
	switch n := w.draw.IntN(20); {
	case n < 11:
		h = w.acquire(name, client.Exclusive, history.Queues, time.Minute)
	case n < 14:
		h = w.acquire(name, client.Exclusive, history.Queues, w.patience())
	case n < 17:
		h = w.acquire(name, client.Exclusive, history.Tries, time.Minute)
	case n < 18:
		h = w.detached(name)
	default:
		w.look(name)
	}
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
	var h *client.Held
	switch n := w.draw.IntN(20); {
	case n < 8:
		h = w.acquire(name, client.Shared, history.Queues, time.Minute)
	case n < 12:
		h = w.acquire(name, client.Exclusive, history.Queues, time.Minute)
	case n < 14:
		h = w.acquire(name, client.Shared, history.Queues, w.patience())
	case n < 16:
		h = w.acquire(name, client.Shared, history.Tries, time.Minute)
	case n < 18:
		h = w.acquire(name, client.Exclusive, history.Tries, time.Minute)
	default:
		w.look(name)
	}
	if h != nil {
		w.dwell()
		w.release(h)
	}
}

// patience is how long one waits who does not wait for ever.
func (w *worker) patience() time.Duration {
	return time.Duration(1+w.draw.Int64N(int64(shortly)/1e6)) * time.Millisecond / 8
}

// dwell holds a lock for a while, rarely.
func (w *worker) dwell() {
	if w.draw.IntN(10) == 0 {
		time.Sleep(time.Duration(w.draw.IntN(3000)) * time.Microsecond)
	}
}

func (w *worker) owner() uint64 { return uint64(w.number) + 1 }

// acquire asks for a lock and returns its hold, or nil.
func (w *worker) acquire(name string, mode client.Mode, waits history.Waits,
	patience time.Duration) *client.Held {
	ctx, cancel := context.WithTimeout(w.study.ctx, patience)
	defer cancel()
	ask := w.c.TryLockWith
	if waits == history.Queues {
		ask = w.c.LockWith
	}
	o := history.Operation{Kind: history.Acquire, Name: name, Waits: waits, Owner: w.owner(),
		Client: w.number}
	if mode == client.Shared {
		o.Mode = history.Shared
	}
	begun := w.log.Begin(o)
	h, err := ask(ctx, name, client.LockOptions{Mode: mode})
	return w.answered(begun, h, err, 0)
}

// detached tries a hold that lives by its own time.
func (w *worker) detached(name string) *client.Held {
	begun := w.log.Begin(history.Operation{Kind: history.Acquire, Name: name, Owner: w.owner(),
		Client: w.number})
	h, err := w.c.TryDetached(w.study.ctx, name, shortly)
	lasts := float64(shortly) * (1 - studyDrift)
	return w.answered(begun, h, err, begun.Began+int64(lasts))
}

// answered notes what came of an acquire. Ends is as in a note.
func (w *worker) answered(o *history.Operation, h *client.Held, err error,
	ends int64) *client.Held {
	// A client that lost its session asks anew in the next one. In the lost one it
	// may have been granted, unheard, what it then asked for again.
	for range w.tap.Opened(groupOf(o.Name), o.Began) {
		lost := *o
		w.log.Begin(lost).Began = o.Began
	}
	var refused *client.HeldError
	var lost *client.LostError
	switch {
	case err == nil:
		o.Token = h.Token()
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
	w.round.notes[w.number] = append(w.round.notes[w.number], note{name: name, token: h.Token(),
		ends: ends, session: witness.SessionKey{Session: h.Session(), Group: groupOf(name)},
		tap: w.tap, release: -1})
}

// release gives the newest hold back. If it was lost, its note says since when
// it may be over.
func (w *worker) release(h *client.Held) {
	o := w.log.Begin(history.Operation{Kind: history.Release, Name: h.Name(), Token: h.Token(),
		Owner: w.owner(), Client: w.number})
	err := h.Unlock(w.study.ctx)
	switch {
	case err == nil:
		w.log.End(o, history.Granted)
		notes := w.round.notes[w.number]
		notes[len(notes)-1].release = len(w.log.Operations()) - 1
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

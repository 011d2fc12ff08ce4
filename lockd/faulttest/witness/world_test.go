package witness

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"lockd/netio/wire"
)

// world makes histories of one group that works: slots of a few commands each,
// applied in order, answered after a while to clients who asked before.
type world struct {
	draw    *rand.Rand
	h       History
	slot    uint64
	now     int64 // when the slot at hand is chosen
	token   uint64
	request uint64
	clients []*actor
	locks   []held
	// lossy answers are lost once in so many; zero is never.
	lossy int
}

// actor is a client: it does one thing at a time.
type actor struct {
	session uint64
	free    int64 // since when it has nothing in flight
	holds   int   // name, or -1
	token   uint64
	asked   uint64 // the request that holds
	unheard bool   // its grant was lost on the way
	waits   bool
}

// held is one lock.
type held struct {
	holders []*actor
	mode    wire.Mode
	queue   []*wait
}

type wait struct {
	who *actor
	r   Record
}

const slotTime = int64(200_000)

func newWorld(seed uint64, clients, names int) *world {
	w := &world{draw: rand.New(rand.NewPCG(seed, 1)), locks: make([]held, names)}
	w.h.Sessions = make(map[SessionKey]Session)
	for i := range clients {
		a := &actor{session: uint64(i + 1), holds: -1}
		w.clients = append(w.clients, a)
	}
	for i := range names {
		w.h.Names = append(w.h.Names, fmt.Sprintf("n/%d", i))
	}
	return w
}

// run goes on until there are n records.
func (w *world) run(n int) *History {
	for len(w.h.Records) < n {
		w.read(w.clients[w.draw.IntN(len(w.clients))])
		w.slot++
		w.now += slotTime
		for range 1 + w.draw.IntN(4) {
			w.command(w.clients[w.draw.IntN(len(w.clients))])
		}
	}
	for _, a := range w.clients {
		w.h.Sessions[SessionKey{Session: a.session}] = Session{LeaseMillis: 10_000, Renewed: w.now,
			Closed: Open, Over: Open}
	}
	return &w.h
}

// ask returns the record of something asked so that it stands in this slot.
func (w *world) ask(a *actor, kind wire.Kind, name int) Record {
	w.request++
	return Record{Began: max(a.free+1, w.now-w.draw.Int64N(8*slotTime)), Session: a.session,
		Request: w.request, Name: uint32(name), Kind: kind, Ended: Open}
}

// answer ends a record in this slot, and reports whether the client hears of it.
func (w *world) answer(a *actor, r Record, status wire.Status, token uint64) bool {
	a.free = w.now + 1 + w.draw.Int64N(8*slotTime)
	heard := w.lossy == 0 || w.draw.IntN(w.lossy) > 0
	if heard {
		r.Ended, r.Status, r.Slot = a.free, status, w.slot
		r.Token = token
	}
	w.h.Records = append(w.h.Records, r)
	return heard
}

// read asks now and then for the holders of a lock, as they are after a slot.
func (w *world) read(a *actor) {
	if a.free >= w.now || a.waits || w.slot == 0 || w.draw.IntN(4) > 0 {
		return
	}
	name := w.draw.IntN(len(w.locks))
	r := w.ask(a, wire.KindGet, name)
	status, token := wire.StatusOK, uint64(0)
	if holders := w.locks[name].holders; len(holders) > 0 {
		r.Count, token = uint32(len(holders)), holders[0].token
	} else {
		status = wire.StatusNotFound
	}
	w.answer(a, r, status, token)
}

func (w *world) command(a *actor) {
	if a.free >= w.now || a.waits {
		return
	}
	switch {
	case a.holds >= 0 && a.unheard:
		r := w.ask(a, wire.KindCancel, a.holds)
		r.Request = a.asked
		a.unheard = !w.answer(a, r, wire.StatusAlreadyGranted, a.token)
		return
	case a.holds >= 0:
		w.release(a)
		return
	}
	name := w.draw.IntN(len(w.locks))
	l := &w.locks[name]
	switch w.draw.IntN(8) {
	case 0, 1:
		r := w.ask(a, wire.KindAcquire, name)
		if r.Mode = w.mode(); w.admits(l, r.Mode) {
			w.grant(l, a, r)
		} else if len(l.holders) > 0 {
			w.answer(a, r, wire.StatusHeld, l.holders[0].token)
		}
	default:
		r := w.ask(a, wire.KindAcquire, name)
		if r.Mode = w.mode(); w.admits(l, r.Mode) {
			w.grant(l, a, r)
			return
		}
		a.waits = true
		l.queue = append(l.queue, &wait{who: a, r: r})
	}
}

func (w *world) mode() wire.Mode {
	if w.draw.IntN(3) == 0 {
		return wire.ModePR
	}
	return wire.ModeEX
}

func (w *world) admits(l *held, mode wire.Mode) bool {
	return len(l.queue) == 0 && (len(l.holders) == 0 || !excludes(l.mode, mode))
}

func (w *world) grant(l *held, a *actor, r Record) {
	w.token += 1 + w.draw.Uint64N(2)
	l.holders, l.mode = append(l.holders, a), r.Mode
	a.holds, a.token, a.asked, a.waits = int(r.Name), w.token, r.Request, false
	a.unheard = !w.answer(a, r, wire.StatusOK, w.token)
}

func (w *world) release(a *actor) {
	r := w.ask(a, wire.KindRelease, a.holds)
	r.Token = a.token
	l := &w.locks[a.holds]
	l.holders = slices.DeleteFunc(l.holders, func(b *actor) bool { return a == b })
	a.holds = -1
	w.answer(a, r, wire.StatusOK, r.Token)
	for len(l.queue) > 0 && (len(l.holders) == 0 || !excludes(l.mode, l.queue[0].r.Mode)) {
		next := l.queue[0]
		l.queue = l.queue[1:]
		w.grant(l, next.who, next.r)
	}
}

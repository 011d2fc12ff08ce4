package main

import (
	"sync"
	"time"
)

// repeats thins out lines that would be written again and again with the same
// words: a peer that is refused comes back several times a second. Who does not know
// the cluster secret, or where there is none, can speak as any node and say anything:
// so all lines together, and what is kept of them, are bounded.
type repeats struct {
	mu struct {
		sync.Mutex
		said  map[uint16]saying // by peer, 2 × mostLines at most
		began time.Time         // of the present repeatEvery
		lines int               // written since then
	}
}

type saying struct {
	text string
	at   time.Time
}

const (
	// repeatEvery is how often the same words about the same peer are written.
	repeatEvery = 30 * time.Second
	// mostLines is how many lines are written in that time, whatever about.
	mostLines = 32
)

// news reports whether a text about a peer is worth a line.
func (r *repeats) news(peer uint16, text string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.mu.began) >= repeatEvery || r.mu.said == nil {
		r.begin(now)
	}
	last := r.mu.said[peer]
	if last.text == text && now.Sub(last.at) < repeatEvery || r.mu.lines >= mostLines {
		return false
	}
	r.mu.lines++
	r.mu.said[peer] = saying{text, now}
	return true
}

// begin forgets what may be said again. Requires: mu is held.
func (r *repeats) begin(now time.Time) {
	r.mu.began, r.mu.lines = now, 0
	if r.mu.said == nil {
		r.mu.said = make(map[uint16]saying)
	}
	for peer, s := range r.mu.said { // order: each for itself
		if now.Sub(s.at) >= repeatEvery {
			delete(r.mu.said, peer)
		}
	}
}

// full reports whether no line more is written for a while.
func (r *repeats) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.lines >= mostLines
}

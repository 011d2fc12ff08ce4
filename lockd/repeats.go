package main

import (
	"sync"
	"time"
)

// repeats thins out lines that would be written again and again with the same
// words: a peer that is refused comes back several times a second.
type repeats struct {
	mu struct {
		sync.Mutex
		said map[uint16]saying // by peer
	}
}

type saying struct {
	text string
	at   time.Time
}

// repeatEvery is how often the same words about the same peer are written.
const repeatEvery = 30 * time.Second

// news reports whether a text about a peer is worth a line.
func (r *repeats) news(peer uint16, text string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.said == nil {
		r.mu.said = make(map[uint16]saying)
	}
	last := r.mu.said[peer]
	if last.text == text && now.Sub(last.at) < repeatEvery {
		return false
	}
	r.mu.said[peer] = saying{text, now}
	return true
}

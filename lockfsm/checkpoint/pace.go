package checkpoint

import (
	"errors"
	"sync"
	"syscall"
	"time"
)

// maxFailures is how many flushes or compactions may fail in a row before the
// store gives up, unless all that is missing is space.
const maxFailures = 10

// pace keeps failed flushes and compactions apart. Pebble tries again at once,
// thousands of times a second, for as long as a disk is full. Its methods may be
// called from any goroutine.
type pace struct {
	retry time.Duration

	mu struct {
		sync.Mutex
		// until is the moment before which nothing is tried again.
		until    time.Time
		failures int
	}
}

// failed notes a failure and reports whether the store should give up.
func (p *pace) failed(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.until = time.Now().Add(p.retry)
	if errors.Is(err, syscall.ENOSPC) {
		return false // somebody will make room
	}
	p.mu.failures++
	return p.mu.failures >= maxFailures
}

// succeeded notes that something else than a failure has happened.
func (p *pace) succeeded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.failures = 0
}

// wait returns when it is time to try again, at once unless something has
// failed.
func (p *pace) wait() {
	p.mu.Lock()
	d := time.Until(p.mu.until)
	p.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}

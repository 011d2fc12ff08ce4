package witness

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// Book collects what the taps of all clients see. It may be used by many
// goroutines.
type Book struct {
	clock func() int64
	count atomic.Int64 // records; taps write it

	mu struct {
		sync.Mutex
		taps  []*Tap
		index map[string]uint32
		names []string
	}
}

// NewBook returns an empty Book. Clock is monotonic and may be read by many
// goroutines.
func NewBook(clock func() int64) *Book {
	b := &Book{clock: clock}
	b.mu.index = make(map[string]uint32)
	return b
}

// Tap returns the tap of one more client. Each client needs one of its own.
func (b *Book) Tap() *Tap {
	var dialer net.Dialer
	t := &Tap{book: b, dial: func(ctx context.Context, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", address)
	}}
	t.mu.sent = make(map[uint64]int)
	t.mu.sessions = make(map[SessionKey]Session)
	t.mu.opened = make(map[uint16][]int64)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.taps = append(b.mu.taps, t)
	return t
}

// Len returns how many records there are.
func (b *Book) Len() int { return int(b.count.Load()) }

// nameOf returns the index of a name.
func (b *Book) nameOf(name []byte) uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, ok := b.mu.index[string(name)]
	if !ok {
		i = uint32(len(b.mu.names))
		b.mu.names = append(b.mu.names, string(name))
		b.mu.index[b.mu.names[i]] = i
	}
	return i
}

// Close ends the Book and gives up what it has. Requires: all conns of its taps
// are closed.
func (b *Book) Close() *History {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &History{Records: make([]Record, 0, b.Len()), Sessions: make(map[SessionKey]Session),
		Names: b.mu.names}
	for _, t := range b.mu.taps {
		t.giveUp(h)
	}
	return h
}

package netio

import (
	"math/rand/v2"
	"time"
)

// backoff yields the waits between dials of one peer: doubling from least to
// most, each drawn from its upper half so that nodes which lost each other
// together do not come back together. It belongs to one goroutine.
type backoff struct {
	least, most time.Duration
	next        time.Duration
	random      *rand.Rand
}

func newBackoff(opts *LinkOptions, to uint16) *backoff {
	source := rand.NewPCG(opts.Seed, uint64(opts.Self)<<16|uint64(to))
	return &backoff{
		least:  opts.BackoffMin,
		most:   opts.BackoffMax,
		next:   opts.BackoffMin,
		random: rand.New(source),
	}
}

// wait returns how long to wait after an attempt whose link lived for lived,
// zero if none came up. A link that outlived the longest wait starts anew.
func (b *backoff) wait(lived time.Duration) time.Duration {
	if lived > b.most {
		b.next = b.least
	}
	d := b.next
	b.next = min(2*b.next, b.most)
	return d/2 + time.Duration(b.random.Int64N(int64(d/2)+1))
}

// refused makes the next wait the longest: what a peer refuses it refuses again.
func (b *backoff) refused() { b.next = b.most }

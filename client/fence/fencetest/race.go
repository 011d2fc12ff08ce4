package fencetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"lockd/client/fence"
)

// How many write side by side, and how often each.
const (
	writers = 8
	writes  = 25
)

// race is what writers and a reader of one name have seen.
type race struct {
	r       Resource
	last    atomic.Uint64 // token given out
	mu      sync.Mutex
	largest uint64              // of the writes that were accepted
	maybe   map[uint64]struct{} // of those that ended otherwise
	err     error
}

// sideBySide proves that of writers that overlap the largest token has the last
// word, that who begins after a larger one was accepted is refused, and that
// nobody ever reads an older value after a newer one.
func sideBySide(ctx context.Context, r Resource) error {
	x := &race{r: r, maybe: map[uint64]struct{}{}}
	x.run(ctx)
	if x.err != nil {
		return x.err
	}
	if x.largest == 0 {
		return errors.New("none of the writers was accepted")
	}
	got, err := x.read(ctx)
	if err != nil {
		return err
	}
	if _, perhaps := x.maybe[got]; got != x.largest && !(perhaps && got > x.largest) {
		return fmt.Errorf("at the end: got the value of token %d, want that of %d, the largest "+
			"that was accepted", got, x.largest)
	}
	return nil
}

// write draws a token, dawdles and writes.
func (x *race) write(ctx context.Context, dawdle int) {
	token := x.last.Add(1)
	for range dawdle {
		runtime.Gosched()
	}
	x.mu.Lock()
	before := x.largest
	x.mu.Unlock()
	err := x.r.Write(ctx, "raced", token, strconv.FormatUint(token, 10))
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err == nil && token < before:
		x.fail("token %d was accepted by a write that began after that of token %d had ended",
			token, before)
	case err == nil:
		x.largest = max(x.largest, token)
	case !errors.Is(err, fence.ErrStale):
		x.maybe[token] = struct{}{}
	case token > before && token == x.last.Load() && len(x.maybe) == 0 && x.largest < token:
		x.fail("token %d was refused as stale, and no larger one was given out", token)
	}
}

// watch reads until done, and wants values that do not go back.
func (x *race) watch(ctx context.Context, done <-chan struct{}) {
	var newest uint64
	for {
		select {
		case <-done:
			return
		default:
		}
		got, err := x.read(ctx)
		if err != nil || got >= newest {
			newest = max(newest, got)
			runtime.Gosched()
			continue
		}
		x.mu.Lock()
		x.fail("the value of token %d was read after that of token %d", got, newest)
		x.mu.Unlock()
		return
	}
}

// read returns whose value is stored, zero if nobody's is.
func (x *race) read(ctx context.Context) (uint64, error) {
	value, err := x.r.Read(ctx, "raced")
	if err != nil || value == "" {
		return 0, err
	}
	token, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %q, which nobody wrote", value)
	}
	return token, nil
}

// fail keeps the first failure. Requires: x.mu is held.
func (x *race) fail(format string, args ...any) {
	if x.err == nil {
		x.err = fmt.Errorf(format, args...)
	}
}

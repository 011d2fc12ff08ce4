package client

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"lockd/netio/wire"
)

// WatchOptions say what is watched.
type WatchOptions struct {
	// Prefix has all locks watched whose names begin with the name given, which may
	// be empty. Costs memory for each name in use.
	Prefix Prefixed
	// From leaves out what is known already: the Version of an event of that lock that
	// was seen before, by whatever client. Not with Prefix. Default: nothing is known.
	From Version
	// Known is the same for Prefix: of each name the Version of the last event that was
	// seen, by whatever client. Names that were free may be missing. The watch then
	// begins with one event for each lock that is not as it is known, those that have
	// become free among them: what happened meanwhile is told as how it stands, not one by
	// one. Others than those of the prefix do not count. It is copied when the
	// loop begins. Default: nothing is
	// known, and the watch begins with all that are in use.
	Known map[string]Version
}

// Prefixed says whether a name stands for itself or for all that begin with it.
type Prefixed uint8

// The two choices.
const (
	ExactName Prefixed = iota
	NamePrefix
)

// Watch yields the events of a lock, or of all locks of a prefix, without taking
// part: at first how it stands (of a prefix: all that are in use), then every change.
// Leaders that move, conns that break and nodes that restart do not show. What is
// last is never missed; if the caller is slow, or no leader was there, what came
// between is: each event is how the lock stands at its Version, and of one lock
// versions only rise.
//
// It ends with ctx, with whose cause it then yields once more, or with an error of
// the cluster: ErrBusy if a node has too many watches, ErrUnsupported if it is too
// old. Leaving the loop ends the watch; nothing is left behind.
//
//	for e, err := range c.Watch(ctx, "orders/", client.WatchOptions{Prefix: client.NamePrefix}) {
func (c *Client) Watch(ctx context.Context, name string,
	opts WatchOptions) iter.Seq2[WatchEvent, error] {
	return func(yield func(WatchEvent, error) bool) {
		w, err := c.watch(name, opts)
		if err != nil {
			yield(WatchEvent{}, err)
			return
		}
		defer w.close()
		for {
			e, err := w.next(ctx)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// watcher is a watch: one call to each group it needs. It may be used by one
// goroutine at a time and ends with close.
type watcher struct {
	c     *Client
	name  string
	calls []*Call
	turn  int           // call to look at first
	wake  chan struct{} // capacity 1: there may be news
}

// watch begins a watch.
func (c *Client) watch(name string, opts WatchOptions) (*watcher, error) {
	c.must()
	w := &watcher{c: c, name: name, wake: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch opts.Prefix {
	case ExactName:
		if opts.Known != nil {
			return nil, fmt.Errorf("%w: Known without a prefix", ErrOptions)
		}
		w.calls = []*Call{{Kind: wire.KindWatch, Name: name, View: NewView(name, opts.From)}}
	case NamePrefix:
		if opts.From != (Version{}) {
			return nil, fmt.Errorf("%w: From with a prefix, which has Known", ErrOptions)
		}
		known := knownOf(name, opts.Known, c.mu.core.Groups())
		for g := range c.mu.core.Groups() {
			w.calls = append(w.calls, &Call{Kind: wire.KindWatch, Name: name, Group: uint16(g),
				View: NewPrefixView(known[g])})
		}
	default:
		return nil, fmt.Errorf("%w: Prefix %d", ErrOptions, opts.Prefix)
	}
	for _, x := range w.calls {
		x.told = w.wake
		c.mu.core.Start(x)
	}
	c.settle()
	return w, nil
}

// knownOf sorts what is known of a prefix by group.
func knownOf(prefix string, all map[string]Version, groups int) []map[string]Version {
	known := make([]map[string]Version, groups)
	if all == nil {
		return known
	}
	for g := range known {
		known[g] = make(map[string]Version)
	}
	for name, v := range all { // order: maps are built
		if strings.HasPrefix(name, prefix) {
			known[wire.GroupOf("", []byte(name), uint16(groups))][name] = v
		}
	}
	return known
}

// settle has carried out what was just started. Requires: c.mu is held. If no loop
// is left to deliver, the calls have ended already.
func (c *Client) settle() {
	if c.mu.drained {
		c.mu.core.ready.Done = c.mu.core.ready.Done[:0]
		return
	}
	c.kick()
}

// nudge sends to a channel of capacity 1 that nobody need be waiting for.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// next waits for an event.
func (w *watcher) next(ctx context.Context) (WatchEvent, error) {
	for {
		if ctx.Err() != nil {
			return WatchEvent{}, fmt.Errorf("client: watch %q: %w", w.name, ended(ctx))
		}
		if e, ok, err := w.poll(); ok || err != nil {
			return e, err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
		}
	}
}

// poll takes an event if there is one. Groups have their turns, so that none that
// changes all the time is all one hears of.
func (w *watcher) poll() (WatchEvent, bool, error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	for range w.calls {
		x := w.calls[w.turn]
		w.turn = (w.turn + 1) % len(w.calls)
		if e, ok := x.View.Next(); ok {
			return e, true, nil
		}
		if x.state == StateDone {
			err := x.Err
			if err == nil {
				err = fmt.Errorf("%w: it ended by itself", ErrProtocol)
			}
			return WatchEvent{}, false, fmt.Errorf("client: watch %q: %w", w.name, err)
		}
	}
	return WatchEvent{}, false, nil
}

// close ends the watch.
func (w *watcher) close() {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	for _, x := range w.calls {
		w.c.mu.core.Abandon(x, ErrClosed)
	}
	w.c.settle()
}

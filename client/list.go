package client

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"lockd/netio/wire"
)

// ListEntry is one lock of a List.
type ListEntry struct {
	Name        string
	Client      string // of the first holder
	Token       uint64 // of the first holder; zero if there is none
	Mode        Mode   // of the first holder; Null if there is none
	HolderCount int
	WaiterCount int
	Held        time.Duration // since the grant of the first holder
	// Capacity is how many permits a semaphore has, zero for a lock with modes;
	// Taken is how many of them are held.
	Capacity, Taken int
	// Gate and Number are as in a LockInfo.
	Gate   GateKind
	Number int
	// Kept and Detached are of the first holder, as in a Holder. Nodes that do not know
	// version 3 do not say so.
	Kept, Detached bool
}

// ListOptions bound a List.
type ListOptions struct {
	// After leaves out names up to and including this one: give the last name
	// of a page to get the next. Default: from the start.
	After string
	// Limit bounds the entries of the page. Default 1000.
	Limit int
}

// List returns the locks whose names begin with a prefix, in the order of their
// bytes, over all groups. Each group answers as of a moment during the call,
// which is not the same for all. An empty page is the end.
func (c *Client) List(ctx context.Context, prefix string, opts ListOptions) ([]ListEntry, error) {
	if opts.Limit <= 0 {
		opts.Limit = 1000
	}
	var page []ListEntry
	for e, err := range c.list(ctx, prefix, opts.After, min(opts.Limit, wire.MaxListPage)) {
		if err != nil {
			return nil, err
		}
		if page = append(page, e); len(page) == opts.Limit {
			break
		}
	}
	return page, nil
}

// Locks yields the locks whose names begin with a prefix, to the end, in the order of
// their bytes. It asks each group for page after page as they are used up, so each part
// is as of another moment; opts.Limit counts for nothing. It ends with an error, if there
// is one.
func (c *Client) Locks(ctx context.Context, prefix string,
	opts ListOptions) iter.Seq2[ListEntry, error] {
	return c.list(ctx, prefix, opts.After, wire.MaxListPage)
}

// list merges what all groups list, limit entries at a time of each.
func (c *Client) list(ctx context.Context, prefix, after string,
	limit int) iter.Seq2[ListEntry, error] {
	return func(yield func(ListEntry, error) bool) {
		c.mu.Lock()
		groups := make([]listing, c.mu.core.Groups())
		c.mu.Unlock()
		defer c.endLists(groups)
		for g := range groups {
			groups[g] = listing{c: c, prefix: prefix, group: uint16(g), limit: limit, more: true,
				last: after}
			groups[g].ask()
		}
		var next merge
		var failures []error
		for g := range groups {
			if err := groups[g].fill(ctx); err != nil {
				failures = append(failures, err)
			} else if len(groups[g].page) > 0 {
				next = append(next, &groups[g])
			}
		}
		if failures != nil {
			yield(ListEntry{}, errors.Join(failures...))
			return
		}
		heap.Init(&next)
		for len(next) > 0 {
			e, err := next.take(ctx)
			if err != nil {
				yield(ListEntry{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// listing is what is known of one group's locks: a part of them, and whether there are
// more behind it.
type listing struct {
	c      *Client
	prefix string
	group  uint16
	limit  int
	page   []ListEntry // not yet taken, in order
	last   string      // the last name that was heard of
	more   bool
	call   *Call // that asks for more, nil if none does
}

// askAhead is how few entries of a group may be left before it is asked for more, so
// that the answer is there when they are used up.
const askAhead = 64

// ask asks a group for more, unless there is none or it was asked.
func (x *listing) ask() {
	if !x.more || x.call != nil {
		return
	}
	x.call = &Call{Kind: wire.KindList, Name: x.prefix, After: x.last, Group: x.group,
		Limit: uint16(x.limit), Timeout: x.c.opts.RequestTimeout}
	x.c.begin(x.call)
}

// fill waits until more entries of a group are there, or it is known that there are none.
// Requires: none is left.
func (x *listing) fill(ctx context.Context) error {
	if x.ask(); x.call == nil {
		return nil
	}
	k := x.call
	x.c.wait(ctx, k)
	x.call = nil
	if k.Err != nil {
		return fmt.Errorf("list %q in group %d: %w", x.prefix, x.group, k.Err)
	}
	page, err := k.listPage(k.Response.Payload)
	if err != nil {
		return fmt.Errorf("list %q in group %d: %w: %w", x.prefix, x.group, ErrProtocol, err)
	}
	for i := range page.Entries {
		x.page = append(x.page, newListEntry(&page.Entries[i]))
	}
	x.more = page.More != wire.LastPage && len(x.page) > 0
	if x.more {
		x.last = x.page[len(x.page)-1].Name
	}
	return nil
}

// take returns the first entry of all groups, and puts its group where its next one
// belongs.
func (m *merge) take(ctx context.Context) (ListEntry, error) {
	x := (*m)[0]
	e := x.page[0]
	x.page = x.page[1:]
	if len(x.page) == min(askAhead, x.limit/4) {
		x.ask()
	}
	if len(x.page) == 0 {
		if err := x.fill(ctx); err != nil {
			return e, err
		}
	}
	if len(x.page) == 0 {
		heap.Pop(m)
	} else {
		heap.Fix(m, 0)
	}
	return e, nil
}

// endLists gives up what was asked for and is not wanted any more.
func (c *Client) endLists(groups []listing) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for g := range groups {
		if x := groups[g].call; x != nil {
			c.wait(over, x)
		}
	}
}

// merge has the groups of which entries are there, by the first of these.
type merge []*listing

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return cmp.Less(m[i].page[0].Name, m[j].page[0].Name) }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }

// Push makes it a heap.Interface; nothing is pushed.
func (m *merge) Push(x any) { *m = append(*m, x.(*listing)) }

// Pop makes it a heap.Interface.
func (m *merge) Pop() any {
	last := len(*m) - 1
	x := (*m)[last]
	*m = (*m)[:last]
	return x
}

func newListEntry(e *wire.ListEntry) ListEntry {
	return ListEntry{
		Name: string(e.Name), Client: string(e.Client), Token: e.Token, Mode: modeOf(e.Mode),
		HolderCount: int(e.HolderCount), WaiterCount: int(e.WaiterCount),
		Held: millis(e.HeldMillis), Capacity: int(e.Capacity), Taken: int(e.Taken),
		Gate: GateKind(e.Gate), Number: int(e.Number), Kept: e.Flags&wire.HolderKept != 0,
		Detached: e.Flags&wire.HolderDetached != 0,
	}
}

// listPage decodes a payload in the version in which it was asked for.
func (x *Call) listPage(payload []byte) (wire.ListPage, error) {
	if x.version >= wire.VersionWhole {
		return wire.DecodeListPage3(payload)
	}
	if x.version >= wire.VersionKinds {
		return wire.DecodeListPage2(payload)
	}
	return wire.DecodeListPage(payload)
}

package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"lockd/netio/wire"
)

// MaxListed is how many holders, and how many waiters, a LockInfo tells of.
const MaxListed = 64

// LockInfo is what the cluster knows of one lock.
type LockInfo struct {
	Name        string
	HolderCount int      // exact
	WaiterCount int      // exact
	Holders     []Holder // the first MaxListed, in order of their grants
	Waiters     []Waiter // the first MaxListed, in order of the queue
	// Capacity is how many permits a semaphore has, zero for a lock with modes;
	// Taken is how many of them are held.
	Capacity, Taken int
	// Gate says that the name is a latch, an event or a barrier, of which Number is
	// what is left of its count, or how many parties it wants. A latch with a count
	// and an event that is set have one holder, which is no client: it says since when,
	// and by LeaseLeft how long yet, zero if there is no end.
	Gate   GateKind
	Number int
	// Value is that of the lock, which it may have without a holder.
	Value LockValue
}

// Holder is one hold.
type Holder struct {
	Client    string // the name its client gave, empty if it gave none
	Session   uint64
	Token     uint64
	Mode      Mode
	Held      time.Duration // since the grant, in the cluster's time
	Since     time.Time     // the same by the clock of this machine
	LeaseLeft time.Duration // unless renewed
	ClaimKind
	// Payload and Labels are what the holder lets others read. If DataLeftOut is
	// set there are some for which the answer had no room; the first holder's are
	// always there.
	Payload     []byte
	Labels      map[string]string
	DataLeftOut bool
	// Kept says that the hold is over, and that the lock stays taken until LeaseLeft
	// is: for its min hold or lock delay. Nobody can give it back any sooner.
	Kept bool
	// Detached says that the hold lives by its own time (Client.TryDetached). Neither
	// it nor what is kept has a Client; Session is the number of an owner then.
	Detached bool
}

// ClaimKind is what a hold or a wait is beyond its mode.
type ClaimKind struct {
	Permits int    // of a semaphore, else zero
	Owner   uint64 // LockOptions.Owner or LockAllOptions.Owner; zero is nobody
	Depth   int    // how often the owner has entered, or wants to; else 1
}

func newClaimKind(x *wire.ClaimKind) ClaimKind {
	return ClaimKind{Permits: int(x.Permits), Owner: x.Owner, Depth: max(1, int(x.Depth))}
}

// Waiter is one request in the queue of a lock.
type Waiter struct {
	Client  string
	Session uint64
	Mode    Mode
	Weight  uint8
	Waited  time.Duration
	ClaimKind
}

// newLockInfo copies what was decoded.
func newLockInfo(x *wire.LockInfo, now time.Time) *LockInfo {
	info := &LockInfo{
		Name:        string(x.Name),
		HolderCount: int(x.HolderCount),
		WaiterCount: int(x.WaiterCount),
		Capacity:    int(x.Capacity),
		Taken:       int(x.Taken),
		Gate:        GateKind(x.Gate),
		Number:      int(x.Number),
		Value:       newLockValue(&x.Value),
	}
	for i := range x.Holders {
		h := &x.Holders[i]
		kept := h.Data.Flags&wire.HolderKept != 0
		info.Holders = append(info.Holders, Holder{
			Client: string(h.Client), Session: h.Session, Token: h.Token, Mode: modeOf(h.Mode),
			Held: millis(h.HeldMillis), LeaseLeft: millis(uint64(h.LeaseMillis)),
			ClaimKind: newClaimKind(&h.Kind), Payload: bytes.Clone(h.Data.Payload),
			Labels:      newLabels(h.Data.Labels),
			DataLeftOut: h.Data.Flags&wire.HolderDataLeftOut != 0,
			Kept:        kept,
			Detached:    h.Session&wire.DetachedOwner != 0 && x.Gate == 0 && !kept,
		})
	}
	for i := range x.Waiters {
		w := &x.Waiters[i]
		info.Waiters = append(info.Waiters, Waiter{
			Client: string(w.Client), Session: w.Session, Mode: modeOf(w.Mode), Weight: w.Weight,
			Waited: millis(w.WaitedMillis), ClaimKind: newClaimKind(&w.Kind),
		})
	}
	if x.Gate != 0 && len(x.Holders) > 0 && x.Holders[0].LeaseMillis == wire.NoEnd {
		info.Holders[0].LeaseLeft = 0
	}
	info.date(now)
	return info
}

// date fills in what depends on the wall clock.
func (x *LockInfo) date(now time.Time) {
	for i := range x.Holders {
		x.Holders[i].Since = now.Add(-x.Holders[i].Held)
	}
}

// millis converts a length, which no sane node makes longer than a century.
func millis(n uint64) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	return time.Duration(min(n, uint64(century/time.Millisecond))) * time.Millisecond
}

// Get returns what the cluster knows of a lock at a moment between the call and
// its end. ErrNotFound if nobody holds it or waits for it and it has no value.
func (c *Client) Get(ctx context.Context, name string) (*LockInfo, error) {
	info, _, err := c.get(ctx, name)
	return info, err
}

// get is Get, and says as of which slot the answer is, zero if that is not known.
func (c *Client) get(ctx context.Context, name string) (*LockInfo, uint64, error) {
	c.must()
	x := &Call{Kind: wire.KindGet, Name: name, Timeout: c.opts.RequestTimeout}
	if err := c.call(ctx, x); err != nil {
		return nil, 0, err
	}
	info, err := x.lockInfo(x.Response.Payload)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: get %q: %w", ErrProtocol, name, err)
	}
	return newLockInfo(&info, time.Now()), x.Response.Slot, nil
}

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
	c.mu.Lock()
	groups := c.mu.core.Groups()
	c.mu.Unlock()
	calls := make([]*Call, groups)
	for g := range calls {
		calls[g] = c.startList(prefix, opts.After, uint16(g))
	}
	var all []ListEntry
	var failures []error
	for g, x := range calls {
		entries, err := c.listGroup(ctx, x, opts.Limit)
		if err != nil {
			failures = append(failures, fmt.Errorf("list %q in group %d: %w", prefix, g, err))
		}
		all = append(all, entries...)
	}
	if failures != nil {
		return nil, errors.Join(failures...)
	}
	slices.SortFunc(all, func(a, b ListEntry) int { return cmp.Compare(a.Name, b.Name) })
	return all[:min(len(all), opts.Limit)], nil
}

// Locks yields the locks whose names begin with a prefix, to the end, in the order of
// their bytes. It asks page by page as List does, so each part is as of another
// moment; Limit bounds a page. It ends with an error, if there is one.
func (c *Client) Locks(ctx context.Context, prefix string,
	opts ListOptions) iter.Seq2[ListEntry, error] {
	return func(yield func(ListEntry, error) bool) {
		for {
			page, err := c.List(ctx, prefix, opts)
			if err != nil {
				yield(ListEntry{}, err)
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
			opts.After = page[len(page)-1].Name
		}
	}
}

// startList asks one group for a page.
func (c *Client) startList(prefix, after string, group uint16) *Call {
	x := &Call{
		Kind: wire.KindList, Name: prefix, After: after, Group: group,
		Limit: wire.MaxPage, Timeout: c.opts.RequestTimeout,
	}
	c.begin(x)
	return x
}

// listGroup collects pages of a group, the first of which was asked for, until
// there are limit entries or no more.
func (c *Client) listGroup(ctx context.Context, x *Call, limit int) ([]ListEntry, error) {
	var all []ListEntry
	for {
		c.wait(ctx, x)
		if x.Err != nil {
			return nil, x.Err
		}
		page, err := x.listPage(x.Response.Payload)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		for i := range page.Entries {
			e := &page.Entries[i]
			all = append(all, ListEntry{
				Name: string(e.Name), Client: string(e.Client), Token: e.Token, Mode: modeOf(e.Mode),
				HolderCount: int(e.HolderCount), WaiterCount: int(e.WaiterCount),
				Held: millis(e.HeldMillis), Capacity: int(e.Capacity), Taken: int(e.Taken),
				Gate: GateKind(e.Gate), Number: int(e.Number), Kept: e.Flags&wire.HolderKept != 0,
				Detached: e.Flags&wire.HolderDetached != 0,
			})
		}
		if page.More == wire.LastPage || len(page.Entries) == 0 || len(all) >= limit {
			return all, nil
		}
		x = c.startList(x.Name, strings.Clone(all[len(all)-1].Name), x.Group)
	}
}

// lockInfo decodes a payload in the version in which it was asked for.
func (x *Call) lockInfo(payload []byte) (wire.LockInfo, error) {
	if x.version >= wire.VersionWhole {
		return wire.DecodeLockInfo3(payload)
	}
	if x.version >= wire.VersionKinds {
		return wire.DecodeLockInfo2(payload)
	}
	return wire.DecodeLockInfo(payload)
}

// listPage does the same for a List.
func (x *Call) listPage(payload []byte) (wire.ListPage, error) {
	if x.version >= wire.VersionWhole {
		return wire.DecodeListPage3(payload)
	}
	if x.version >= wire.VersionKinds {
		return wire.DecodeListPage2(payload)
	}
	return wire.DecodeListPage(payload)
}

package client

import (
	"bytes"
	"context"
	"fmt"
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

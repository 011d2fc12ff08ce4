package client

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockd/netio/wire"
)

// Version says how much of a lock's life is known: its state as of a slot of its
// group's log. Of two versions of one lock the one with the larger slot is the later,
// over changes of leaders and restarts too. The zero value is before everything.
type Version struct {
	Slot  uint64
	State uint64 // fingerprint of the state
}

// String returns the form that ParseVersion reads.
func (v Version) String() string { return fmt.Sprintf("%d-%016x", v.Slot, v.State) }

// ParseVersion reads what String wrote. The error is ErrOptions.
func ParseVersion(text string) (Version, error) {
	slot, state, _ := strings.Cut(text, "-")
	var v Version
	var err, bad error
	v.Slot, err = strconv.ParseUint(slot, 10, 64)
	v.State, bad = strconv.ParseUint(state, 16, 64)
	if err != nil || bad != nil {
		return Version{}, fmt.Errorf("%w: version %q, must be SLOT-STATE", ErrOptions, text)
	}
	return v, nil
}

// Change is what happened to a lock, as a WatchEvent says it.
type Change uint8

// The changes. Later versions may know more.
const (
	LockPresent  Change = iota + 1 // nothing: the watch begins with how it stands
	LockAcquired                   // it was granted
	LockReleased                   // a hold was given back
	LockExpired                    // a hold ended because its lease or time ran out
	LockChanged                    // others wait for it, or anything else
	LockForced                     // a hold was ended by force
)

// String returns the change in one word: present, acquired, released, expired,
// changed or forced.
func (x Change) String() string { return wire.Change(x).String() }

// WatchEvent says how a lock stands and what last happened to it. The state counts;
// Change is a hint, because several things may have happened since the event before.
type WatchEvent struct {
	Name    string
	Change  Change
	Version Version
	Holders int // zero: the lock is free
	Waiters int

	// The rest is of the newest hold, zero, and Mode Null, if there is none.
	Token   uint64
	Session uint64
	Client  string // the name its client gave, empty if it gave none
	Mode    Mode
	Held    time.Duration // since the grant, in the cluster's time

	// Capacity is how many permits a semaphore has, zero for a lock with modes;
	// Taken is how many of them are held.
	Capacity, Taken int
	// Kept and Detached are as in a Holder. Stands says that the name is a latch that has a
	// count, or an event that is set, which nobody holds.
	Kept, Detached, Stands bool
}

// Free reports whether nobody held the lock.
func (e *WatchEvent) Free() bool { return e.Holders == 0 }

// View is what a Watch of a Core has been told, as its Call knows it, and what of it
// has not been taken yet: of each lock the last. It belongs to the Core its Call is
// with. A Client has Client.Watch instead.
type View struct {
	prefix bool
	slot   uint64 // of the last push
	// of are the versions last told; of a prefix only those of names in use.
	of map[string]known
	// news are the events that have not been taken, order their names, oldest first.
	news  map[string]*WatchEvent
	order []string
	// telling is the number of the telling of all that began last, syncing is set while
	// it runs, and synced once one has ended; of a prefix.
	telling         uint64
	syncing, synced bool
}

// known is how a lock stood when it was last told, and in which telling of all that was,
// or after which. A slot does not say that: two tellings may begin at the same.
type known struct {
	Version
	telling uint64
}

// NewView returns the view of one lock for a Call, from a version on.
func NewView(name string, from Version) *View {
	v := newView()
	if from != (Version{}) {
		v.slot, v.of[name] = from.Slot, known{Version: from}
	}
	return v
}

// NewPrefixView returns the view, for a Call, of all locks of a group whose names begin
// alike. from is Known of WatchOptions, of names of that group with that prefix alone; it
// is copied.
func NewPrefixView(from map[string]Version) *View {
	v := newView()
	v.prefix, v.synced = true, from != nil
	free := fingerprint(&wire.Watched{})
	for name, last := range from { // order: a map is built
		if last.State != free {
			// What counts is the state: who begins is told by a leader that is confirmed.
			v.of[name] = known{Version: Version{State: last.State}}
		}
	}
	return v
}

func newView() *View {
	return &View{of: make(map[string]known), news: make(map[string]*WatchEvent)}
}

// Next takes the oldest event.
func (v *View) Next() (WatchEvent, bool) {
	if len(v.order) == 0 {
		return WatchEvent{}, false
	}
	name := v.order[0]
	if v.order = v.order[1:]; len(v.order) == 0 {
		v.order = nil
	}
	e := v.news[name]
	delete(v.news, name)
	return *e, true
}

// Prefix reports whether it is a view of many locks.
func (v *View) Prefix() bool { return v.prefix }

// scope is how the nodes are asked.
func (v *View) scope() wire.Scope {
	if v.prefix {
		return wire.ScopePrefix
	}
	return wire.ScopeLock
}

// take takes one push and reports whether there is news.
func (v *View) take(x *wire.Watched) bool {
	last, was := v.of[string(x.Name)]
	if x.Slot < v.slot { // of a leader that has been replaced
		if was {
			v.of[string(x.Name)] = known{last.Version, v.telling}
		}
		return false
	}
	v.slot = x.Slot
	now := Version{x.Slot, fingerprint(x)}
	inUse := x.Holders+x.Waiters > 0
	if inUse || !v.prefix {
		v.of[string(x.Name)] = known{now, v.telling}
	} else {
		delete(v.of, string(x.Name))
	}
	if was && last.State == now.State || !was && !inUse && v.prefix {
		return false
	}
	e := newWatchEvent(x, now)
	if e.Change == LockPresent && (was || v.prefix && v.synced) {
		e.Change = guess(&e, last.Version)
	}
	v.tell(e)
	return true
}

// guess says what may have happened to a lock while no leader told, since it had a
// state that was told, zero if it was free.
func guess(e *WatchEvent, last Version) Change {
	switch {
	case e.Free():
		return LockReleased
	case last.State != 0 && e.Waiters > 0:
		return LockChanged
	default:
		return LockAcquired
	}
}

func (v *View) tell(e WatchEvent) {
	if v.news[e.Name] == nil {
		v.order = append(v.order, e.Name)
	}
	v.news[e.Name] = &e
}

// asked begins anew with a node. What it told of all before may go on on the conn, and
// lacks what came while the call was with another node: its end means nothing.
func (v *View) asked() { v.syncing = false }

// sync takes the beginning or the end of the telling of all, and reports whether
// there is news: at the end what was not told since the beginning is free.
func (v *View) sync(x *wire.WatchSynced) bool {
	if x.Phase == wire.PhaseBegin {
		v.telling++
		v.syncing = true
		return false
	}
	if !v.syncing {
		return false // nobody heard it begin
	}
	v.syncing, v.synced = false, true
	if x.Slot < v.slot {
		return false
	}
	v.slot = x.Slot
	var gone []string
	for name, last := range v.of { // order: sorted below
		if last.telling < v.telling && !plantedIs("watch-keeps-what-is-gone") {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	for _, name := range gone {
		delete(v.of, name)
		free := wire.Watched{Slot: x.Slot, Change: wire.ChangeReleased, Name: []byte(name)}
		v.tell(newWatchEvent(&free, Version{x.Slot, fingerprint(&free)}))
	}
	return len(gone) > 0
}

// keptSession reports whether a session stands for what is kept of a hold: see
// netio/wire. No owner of a detached hold is drawn so but once in 2⁶² times.
func keptSession(session, token uint64) bool { return session == 3<<62|token }

func newWatchEvent(x *wire.Watched, v Version) WatchEvent {
	return WatchEvent{
		Name: string(x.Name), Change: Change(x.Change), Version: v,
		Holders: int(x.Holders), Waiters: int(x.Waiters), Token: x.Token, Session: x.Session,
		Client: string(x.Client), Mode: modeOf(x.Mode), Held: millis(x.HeldMillis),
		Capacity: int(x.Capacity), Taken: int(x.Taken),
		Kept: keptSession(x.Session, x.Token), Stands: x.Session == wire.DetachedOwner,
		Detached: x.Session&wire.DetachedOwner != 0 && x.Session != wire.DetachedOwner &&
			!keptSession(x.Session, x.Token),
	}
}

// fingerprint is a hash of the state that a push tells, never zero.
func fingerprint(x *wire.Watched) uint64 {
	h := uint64(14695981039346656037)
	for _, n := range [...]uint64{x.Token, uint64(x.Holders), uint64(x.Waiters),
		uint64(x.Capacity), uint64(x.Taken), uint64(x.Mode), x.Data} {
		for range 8 {
			h = (h ^ n&0xff) * 1099511628211
			n >>= 8
		}
	}
	if keptSession(x.Session, x.Token) { // the holder is gone, and all else is as it was
		h = (h ^ 1) * 1099511628211
	}
	return h | 1
}

// seenEvery is after how many pushes a node is told that they have come: well below
// what it sends before it waits for that.
const seenEvery = 64

// onPush takes what a node tells a Watch. A push for a Watch that is over, or was
// put to another node since, counts as seen all the same.
func (c *Core) onPush(i int, h wire.Header, body []byte) error {
	e := c.endpoints[i]
	e.pushes++
	if e.pushes-e.seen >= seenEvery {
		c.sendSeen(e)
	}
	x := c.calls.get(h.Request)
	if x != nil && (x.Kind != wire.KindWatch || x.conn != e.conn || x.Group != h.Group) {
		x = nil
	}
	news := false
	switch h.Kind {
	case wire.KindWatched:
		w, err := wire.DecodeWatched(body)
		if err != nil {
			return err
		}
		news = x != nil && x.View != nil && x.View.take(&w)
	case wire.KindWatchSynced:
		w, err := wire.DecodeWatchSynced(body)
		if err != nil {
			return err
		}
		news = x != nil && x.View != nil && x.View.sync(&w)
	default:
		w, err := wire.DecodeWaiting(body)
		if err != nil {
			return err
		}
		if x == nil || x.of == nil || x.of.state != StateOpen {
			return nil
		}
		x, news = x.of, true
		x.Place.take(&w)
	}
	if news && x.told != nil {
		c.ready.Told = append(c.ready.Told, x.told)
	}
	return nil
}

// sendSeen says how many pushes have come on a conn.
func (c *Core) sendSeen(e *endpoint) {
	e.seen, e.seenAt = e.pushes, never
	e.seenRequest = c.calls.newID()
	e.out = wire.AppendSeen(e.out, wire.Header{Request: e.seenRequest}, &wire.Seen{Total: e.pushes})
	c.wrote(e)
}

// seenRefused has a Seen sent again that found no room.
func (c *Core) seenRefused(e *endpoint, r *wire.Response) {
	e.seenAt = c.now.Add(c.jitter(2 * (1 + time.Duration(r.RetryMillis)) * time.Millisecond))
	c.schedule(e.seenAt)
}

// unwatch ends, in the background, a Watch that a node may know.
func (c *Core) unwatch(x *Call) {
	c.startBackground(&Call{Kind: wire.KindUnwatch, Group: x.Group, Name: x.Name,
		target: x.request, Timeout: c.cfg.Lease})
}

// Place is where a request to a Core that waits is told how it stands: the last only.
// It belongs to the Core its Call is with. A Client has LockOptions.OnWait instead.
type Place struct {
	news *WhyInfo
}

// Take takes what was told last, nil if nothing was since.
func (p *Place) Take() *WhyInfo {
	news := p.news
	p.news = nil
	return news
}

func (p *Place) take(x *wire.Waiting) { p.news = newWhyInfo(&x.Blockage, time.Time{}) }

// watchPlace asks for the place of a request that was just sent and may wait.
func (c *Core) watchPlace(x *Call) {
	y := &Call{Kind: wire.KindWatch, Group: x.Group, Name: x.Name, Session: x.Session,
		target: x.request, of: x}
	x.place = y
	c.startBackground(y)
}

// leavePlace gives up the watch of a request that waits no more, at the next Tick:
// whoever walks through the calls of a group meanwhile must not lose its way.
func (c *Core) leavePlace(x *Call) {
	if x.place != nil {
		x.place.of = nil
		c.orphans = append(c.orphans, x.place)
		x.place = nil
		c.schedule(0)
	}
}

func (c *Core) endOrphans() {
	for _, y := range c.orphans {
		if y.state == StateOpen {
			if y.sends > 0 {
				c.unwatch(y)
			}
			c.end(y, nil)
		}
	}
	c.orphans = c.orphans[:0]
}

// appendWatch appends a Watch of what the call knows already.
func (x *Call) appendWatch(dst []byte, h wire.Header, name []byte) []byte {
	w := wire.Watch{Scope: wire.ScopeWaiter, Session: x.Session, Target: x.target, Name: name}
	if x.View != nil {
		w = wire.Watch{Scope: x.View.scope(), From: x.View.slot, Name: name}
	}
	return wire.AppendWatch(dst, h, &w)
}

package node

import (
	"sync"
	"sync/atomic"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/wal"
)

// ConnID names a conn of this process. It is never reused.
type ConnID uint64

// itemKind says what an item of the inbox is.
type itemKind uint8

const (
	itemRequest itemKind = iota
	itemConnClosed
	itemPeerFrame
	itemPeerUp
	itemPeerDown
	itemRefused
	itemSaved
	itemOpened
	itemChunk
	itemBegun
	itemInstalled
	itemDrain
	itemChange
	itemDropped
	itemRecalled
)

// item is one thing that happened, in arrival order. Bytes, where it has any,
// are data[from:to] of the same box.
type item struct {
	kind     itemKind
	sub      uint8 // frame kind of a peer frame; cause of a peer's loss
	node     uint16
	conn     ConnID
	from, to int
	done     any // completion of a checkpoint job, a change, or what a peer showed
}

// box is what one turn takes: items in order and the bytes they refer to.
type box struct {
	items []item
	data  []byte
	// paused are the conns from which no more is read until they are served.
	paused []ConnID
}

// Inbox is the bounded queue between everything that happens and the turn that
// deals with it. All methods may be called from any goroutine; nothing blocks.
// Two boxes change hands: one is being filled, the engine works on the other.
type Inbox struct {
	maxBytes int
	// runner runs the turns; written by Start, and by Loop.Stop.
	runner atomic.Pointer[Loop]
	// news is set by everything that puts something in, and cleared by take
	// before it looks.
	news atomic.Bool

	// durable is the highest LSN announced; only the syncer writes it.
	durable atomic.Uint64
	// failed is set once by the syncer when the WAL can no longer be trusted.
	failed atomic.Pointer[error]
	// dropped counts frames refused because the box was full.
	dropped atomic.Uint64

	mu struct {
		sync.Mutex
		open box
		// taken is what conns put in since the box was crowded.
		taken map[ConnID]int
		// behind are conns of which enough waits for later turns.
		behind map[ConnID]struct{}
	}
}

const (
	// sharedBytes is the weight of a box from which on what each conn puts in is
	// counted, and enoughBytes how much it may then put in before it is not read
	// any more until it was served.
	sharedBytes = 128 << 10
	enoughBytes = 32 << 10
	// crowdedBytes is the weight of a box from which on a conn that is read all
	// the same is refused what is above its share. Less than that is dealt with
	// in a few tens of milliseconds.
	crowdedBytes = 2 << 20
	shareBytes   = 512 << 10
)

// NewInbox makes an inbox that holds at most maxBytes of frames and what it
// takes to keep them.
func NewInbox(maxBytes int) *Inbox {
	in := &Inbox{maxBytes: maxBytes}
	in.mu.taken = make(map[ConnID]int)
	in.mu.behind = make(map[ConnID]struct{})
	return in
}

// Wake has a turn run soon, if the engine has started.
func (in *Inbox) Wake() {
	if l := in.runner.Load(); l != nil {
		l.wake()
	}
}

// Run runs a turn on the caller's goroutine if there are news and nobody runs one.
func (in *Inbox) Run() {
	if l := in.runner.Load(); l != nil {
		l.Run()
	}
}

// again asks for another turn because the one that runs left work for it. It is
// called within a turn, whose runner looks for news before it goes.
func (in *Inbox) again() { in.news.Store(true) }

// hasNews reports whether something came since the last take.
func (in *Inbox) hasNews() bool { return in.news.Load() }

// ignore forgets that there are news, because no turn will ever look at them.
func (in *Inbox) ignore() { in.news.Store(false) }

// itemBytes is what an item counts besides its bytes: small frames in a flood
// take more room for the items than for themselves.
const itemBytes = 64

// put appends an item with a copy of b and reports whether there was room.
func (in *Inbox) put(it item, b []byte) bool {
	took, _ := in.putWithin(it, b, in.maxBytes)
	return took
}

// putWithin is put with a bound of its own. An empty box has room for a frame of
// any size: one that is refused whenever it comes would be sent again for ever.
// The second result says that the conn has put in enough.
func (in *Inbox) putWithin(it item, b []byte, limit int) (took, enough bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	open := &in.mu.open
	weight := len(open.data) + itemBytes*len(open.items)
	taken := 0
	if _, behind := in.mu.behind[it.conn]; behind && it.kind == itemRequest {
		taken = max(in.mu.taken[it.conn], enoughBytes) + len(b) + itemBytes
	}
	if len(b) > 0 && len(open.data) > 0 {
		if it.kind == itemRequest && weight > sharedBytes && taken == 0 {
			taken = in.mu.taken[it.conn] + len(b) + itemBytes
		}
		if weight+len(b) > limit || weight > crowdedBytes && taken > shareBytes {
			in.dropped.Add(1)
			in.stop(it)
			return false, true
		}
	}
	if taken > 0 {
		if enough = taken > enoughBytes; enough && in.mu.taken[it.conn] <= enoughBytes {
			open.paused = append(open.paused, it.conn)
		}
		in.mu.taken[it.conn] = taken
	}
	it.from = len(open.data)
	open.data = append(open.data, b...)
	it.to = len(open.data)
	open.items = append(open.items, it)
	in.news.Store(true)
	return true, enough
}

// stop has the conn of a request that found no room read again after the turn that
// takes the box. Requires: mu is held.
func (in *Inbox) stop(it item) {
	if it.kind == itemRequest && in.mu.taken[it.conn] <= enoughBytes {
		in.mu.taken[it.conn] = enoughBytes + 1
		in.mu.open.paused = append(in.mu.open.paused, it.conn)
	}
}

// Offer hands over one whole client frame, which is copied. It reports false
// when the inbox is full; the caller then answers Busy itself. It does not wake
// the engine: call Wake after the last frame of a read.
//
// Clients may fill a part of the inbox only, and what asks for something new less
// of it than what renews or gives back: a flood must neither keep peers from
// being heard, which would cost leaderships (I29), nor sessions from being
// renewed (I33).
//
// The second result says that the conn has put in enough for now, or found no room: no
// more should be read from it until Clients.Resume.
func (in *Inbox) Offer(c ConnID, frame []byte) (took, enough bool) {
	limit := in.maxBytes / 2
	if k := kindOf(frame); k == wire.KindKeepalive || givesBack(k) {
		limit = in.maxBytes / 4 * 3
	}
	return in.putWithin(item{kind: itemRequest, conn: c}, frame, limit)
}

// Request is Offer for a conn that is read whatever it sends.
func (in *Inbox) Request(c ConnID, frame []byte) bool {
	took, _ := in.Offer(c, frame)
	return took
}

// fallBehind says that enough of what a conn has put in waits for later turns: with
// the next frame it is not to be read any more. catchUp says that nothing waits.
func (in *Inbox) fallBehind(c ConnID) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.mu.behind[c] = struct{}{}
}

func (in *Inbox) catchUp(c ConnID) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.mu.behind, c)
}

// kindOf is the kind in the header of a client frame, zero if it has none.
func kindOf(frame []byte) wire.Kind {
	h, _, err := wire.Parse(frame)
	if err != nil {
		return 0
	}
	return h.Kind
}

// ConnClosed says that a conn is gone.
func (in *Inbox) ConnClosed(c ConnID) {
	in.put(item{kind: itemConnClosed, conn: c}, nil)
	in.Wake()
}

// PeerFrame hands over one verified frame of a peer, which is copied. When the
// inbox is full the frame is dropped: the protocol tolerates loss. It does not
// wake the engine: call Wake or Run after the last frame of a read.
func (in *Inbox) PeerFrame(from uint16, kind uint8, payload []byte) {
	in.put(item{kind: itemPeerFrame, sub: kind, node: from}, payload)
}

// PeerUp says that a link to a peer stands and that CheckPeer took its hello.
func (in *Inbox) PeerUp(n uint16, h *wire.PeerHello) {
	in.put(item{kind: itemPeerUp, node: n, done: shown(h)}, nil)
	in.Wake()
}

// Refused says that a peer does not admit this node, and why.
func (in *Inbox) Refused(n uint16, code uint8, text string) {
	in.put(item{kind: itemRefused, node: n, sub: code, done: text}, nil)
	in.Wake()
}

// PeerDown says that the link to a peer is gone; reset means that its process
// probably died.
func (in *Inbox) PeerDown(n uint16, why DownCause) {
	in.put(item{kind: itemPeerDown, sub: uint8(why), node: n}, nil)
	in.Wake()
}

// Durable says that every record up to and including lsn is synced.
func (in *Inbox) Durable(lsn wal.LSN) {
	in.durable.Store(uint64(lsn))
	in.news.Store(true)
	in.Wake()
}

// Failed says that a write or sync of the WAL failed. It is final.
func (in *Inbox) Failed(err error) {
	in.failed.CompareAndSwap(nil, &err)
	in.news.Store(true)
	in.Wake()
}

// Saved completes a SaveRequest.
func (in *Inbox) Saved(d SaveDone) {
	in.put(item{kind: itemSaved, done: d}, nil)
	in.Wake()
}

// Opened completes an OpenRequest.
func (in *Inbox) Opened(d OpenDone) {
	in.put(item{kind: itemOpened, done: d}, nil)
	in.Wake()
}

// Begun completes a BeginRequest.
func (in *Inbox) Begun(d BeginDone) {
	in.put(item{kind: itemBegun, done: d}, nil)
	in.Wake()
}

// Chunk completes a ChunkRequest.
func (in *Inbox) Chunk(d ChunkDone) {
	in.put(item{kind: itemChunk, done: d}, nil)
	in.Wake()
}

// Installed completes an InstallRequest.
func (in *Inbox) Installed(d InstallDone) {
	in.put(item{kind: itemInstalled, done: d}, nil)
	in.Wake()
}

// Drain asks the node to move its leaderships away, or to lead again. done, which
// may be nil, is called once the node has begun, within a turn; it must be quick.
// Its error is ErrStopping.
func (in *Inbox) Drain(to Draining, done func(error)) {
	in.put(item{kind: itemDrain, done: drainRequest{to, done}}, nil)
	in.Wake()
}

// Dropped completes a Drop.
func (in *Inbox) Dropped(d DropDone) {
	in.put(item{kind: itemDropped, done: d}, nil)
	in.Wake()
}

// Recalled completes a HistoryRequest.
func (in *Inbox) Recalled(d HistoryDone) {
	in.put(item{kind: itemRecalled, done: d}, nil)
	in.Wake()
}

// changeRequest is an operator's wish.
type changeRequest struct {
	change placement.Change
	done   func(error)
}

// Change asks for a change of the cluster: placement.Add, Remove, Replace or Move. done
// is called once, within a turn; it must be quick. Its error is one of
// placement's, ErrNoLeader or ErrUncertain.
func (in *Inbox) Change(c placement.Change, done func(error)) {
	in.put(item{kind: itemChange, done: changeRequest{c, done}}, nil)
	in.Wake()
}

// take closes the open box and gives it to the caller, who hands back the box
// it finished with.
func (in *Inbox) take(done box) box {
	in.news.Store(false)
	clear(done.items)
	done.items, done.data = done.items[:0], done.data[:0]
	if cap(done.data) > 4<<20 {
		done.data = nil
	}
	if cap(done.items) > 4<<20/itemBytes {
		done.items = nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	full := in.mu.open
	done.paused = done.paused[:0]
	in.mu.open = done
	clear(in.mu.taken)
	return full
}

package history

import (
	"errors"
	"fmt"
	"sync"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/netio/wire"
)

// Options are the settings of a Store.
type Options struct {
	// Bytes bounds what the segments of a node take. At least MinBytes. More reaches
	// further back.
	Bytes int64
	// Wall is the wall clock, in milliseconds since 1970. It is called within turns.
	Wall func() int64
	// Damage, which may be nil, is told of a block that is passed over.
	Damage func(segment uint64, offset int64)
}

// MinBytes is the least that a Store may take: some segments.
const MinBytes = 1 << 20

// ErrOptions is wrapped by every complaint about Options.
var ErrOptions = errors.New("history: bad option")

const (
	// maxQueued bounds the blocks that wait to be written. What is noted when they are so
	// many is dropped.
	maxQueued = 64
	// maxQueuedBytes bounds what they take.
	maxQueuedBytes = 8 << 20
	// segmentBytes is how long a segment is, unless there would be fewer of them in Bytes
	// than segmentsAtLeast or, about, more than segmentsAtMost: all are open.
	segmentBytes    = 16 << 20
	segmentsAtLeast = 16
	segmentsAtMost  = 2048
	// maxSpans bounds what is remembered of gaps of a group.
	maxSpans = wire.MaxSpans
)

// MemoryBytes bounds the memory of a Store with so many bytes of segments, of so many
// groups: its queue, the clocks and what is remembered of each block.
func MemoryBytes(size int64, groups int) uint64 {
	if size <= 0 {
		return 0
	}
	const perBlock, perGroup, ofIndex = 96, maxClocks*40 + maxSpans*48, 2 * maxIndexed * indexBytes
	return maxQueuedBytes + ofIndex + 4*blockBytes + uint64(size)/blockBytes*perBlock +
		uint64(groups)*perGroup
}

// OpenFiles bounds the files that a Store with so many bytes of segments keeps open.
func OpenFiles(size int64) int {
	if size <= 0 {
		return 0
	}
	return int(size/segmentLength(size)) + 2
}

// segmentLength is how long a segment of a Store with so many bytes is when the next is
// begun.
func segmentLength(size int64) int64 {
	return max(1, min(size/segmentsAtLeast, max(segmentBytes, size/segmentsAtMost)))
}

// groupState is what is known of a group.
type groupState struct {
	spans  []span // ascending, apart from each other
	clocks clocks
}

// known is the last slot that is known, and the log time there.
func (g *groupState) known() (slot uint64, at lockfsm.Time, any bool) {
	if n := len(g.spans); n > 0 {
		return g.spans[n-1].to, g.spans[n-1].at, true
	}
	return 0, 0, false
}

// add takes in that more slots are known.
func (g *groupState) add(s span) {
	n := len(g.spans)
	switch {
	case n > 0 && (s.after <= g.spans[n-1].to || plantedIs("history-gap-untold")):
		if s.to > g.spans[n-1].to {
			g.spans[n-1].to, g.spans[n-1].at = s.to, s.at
		}
		return
	case n == maxSpans:
		g.spans = append(g.spans[:0], g.spans[1:]...)
	}
	g.spans = append(g.spans, s)
}

// forget forgets what is not above a slot.
func (g *groupState) forget(upTo span) {
	for len(g.spans) > 0 && g.spans[0].to <= upTo.to {
		if len(g.spans) == 1 { // where the group stands is known on
			g.spans[0].after, g.spans[0].before = g.spans[0].to, g.spans[0].at
			return
		}
		g.spans = append(g.spans[:0], g.spans[1:]...)
	}
	if len(g.spans) > 0 && g.spans[0].after < upTo.to {
		g.spans[0].after, g.spans[0].before = upTo.to, upTo.at
	}
}

// segment is one file.
type segment struct {
	number uint64
	file   File
	bytes  int64
	carry  []span // where the groups stood at its beginning
}

// sealed is a block that waits to be written.
type sealed struct {
	info  blockInfo
	bytes []byte
}

// Stats are counters of a Store since it was opened, and what it takes.
type Stats struct {
	Holds   uint64 // noted
	Dropped uint64 // holds that found no room, or that came while nothing could be written
	Damaged uint64 // blocks passed over
	Failed  uint64 // writes that failed
	Asked   uint64 // questions answered
	Bytes   int64  // of segments
}

// Store keeps what ended. It is steppable: Note only remembers, Write, Keep and Sync write,
// and Answer reads; the first is quick, the others may wait for a disk. One goroutine at a time
// writes.
type Store struct {
	opts  Options
	files Files
	// more is told when there is something to write. Capacity 1.
	more chan struct{}

	// turn is when Note was last called within a turn, and what the wall clock said then.
	// It belongs to who runs turns.
	turn struct {
		now  node.Nanos
		wall int64
	}
	// writer belongs to who writes.
	writer struct {
		dirty bool // something was written since the last sync
		// kept is the block that was last written before it was full, made how much was in it.
		kept uint64
		made int
		// index is what the newest segment has, but for blocks.
		index index
	}
	mu struct {
		sync.Mutex
		groups   []groupState
		open     builder
		number   uint64 // of the last block that was begun
		queue    []sealed
		queued   int // bytes
		segments []segment
		blocks   []blockInfo // that are written, ascending
		stats    Stats
		closed   bool
	}
}

// Open opens what is in files and cuts a torn end.
func Open(files Files, o Options) (*Store, error) {
	if o.Bytes < MinBytes || o.Wall == nil {
		return nil, fmt.Errorf("%w: %d bytes, must be %d or more", ErrOptions, o.Bytes, MinBytes)
	}
	s := &Store{opts: o, files: files, more: make(chan struct{}, 1)}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	s.mu.number++
	s.mu.open.reset(s.mu.number)
	return s, nil
}

func (s *Store) group(g uint16) *groupState {
	if int(g) >= len(s.mu.groups) {
		s.mu.groups = append(s.mu.groups, make([]groupState, int(g)+1-len(s.mu.groups))...)
	}
	return &s.mu.groups[g]
}

// Note takes in some slots of a group; see node.History.
func (s *Store) Note(x *node.HistoryNote) {
	wall := s.wallAt(x.Now)
	s.mu.Lock()
	full := s.note(x, wall)
	s.mu.Unlock()
	if full {
		select {
		case s.more <- struct{}{}:
		default:
		}
	}
}

// wallAt asks for the wall clock, once a turn: a turn notes dozens of slots.
func (s *Store) wallAt(now node.Nanos) int64 {
	if now == 0 {
		return s.opts.Wall()
	}
	if now != s.turn.now {
		s.turn.now, s.turn.wall = now, s.opts.Wall()
	}
	return s.turn.wall
}

// note reports whether there is something to write. Requires: mu is held.
func (s *Store) note(x *node.HistoryNote, wall int64) (full bool) {
	g, b := s.group(x.Group), &s.mu.open
	slot, at, any := g.known()
	if any && x.To <= slot && !plantedIs("history-told-twice") {
		return false // it was noted before
	}
	if s.mu.closed || len(s.mu.queue) >= maxQueued || s.mu.queued >= maxQueuedBytes {
		s.mu.stats.Dropped += uint64(len(x.Ended))
		return false // who writes was told of what waits, and tries again each keepEvery
	}
	seen := sighting{at: x.LogTime, wall: wall - int64(x.LogTime),
		turn: int64(x.Now/node.Millisecond) - int64(x.LogTime)}
	switch {
	case x.Begins:
		s.addClock(x.Group, clock{at: x.LogTime, offset: seen.wall})
		if x.To > 0 {
			g.clocks.settled, g.clocks.isSet = seen, true
		}
	case x.Now != 0 && g.clocks.see(seen):
		s.addClock(x.Group, g.clocks.found)
	}
	add := span{group: x.Group, after: x.After, to: x.To, before: x.Before, at: x.LogTime}
	if any && add.after < slot {
		add.after, add.before = slot, at
	}
	g.add(add)
	b.addSpan(add)
	b.last = max(b.last, wall)
	where := holdAt{group: x.Group, slot: x.To, at: x.LogTime, doubt: late}
	if x.Now != 0 {
		where.doubt = g.clocks.judge(seen)
	}
	for i := range x.Ended {
		e := &x.Ended[i]
		b.addHold(where, e)
		start, about := g.clocks.when(e.Since, wall, where.doubt)
		if about == wire.UnknownMillis {
			start = 0
		}
		b.least = min(b.least, start)
	}
	s.mu.stats.Holds += uint64(len(x.Ended))
	if len(b.body) < blockBytes && len(b.spans) < blockBytes/16 {
		return false
	}
	s.seal()
	return true
}

// addClock adds a clock of a group. Requires: mu is held.
func (s *Store) addClock(group uint16, c clock) {
	c.group = group
	s.group(group).clocks.add(c)
	s.mu.open.clocks = append(s.mu.open.clocks, c)
}

// seal puts the open block into the queue and begins the next. Requires: mu is held.
func (s *Store) seal() {
	bytes, info := s.mu.open.seal(kindHolds)
	s.mu.queue = append(s.mu.queue, sealed{info, bytes})
	s.mu.queued += len(bytes)
	s.mu.number++
	s.mu.open.reset(s.mu.number)
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.mu.stats
	for i := range s.mu.segments {
		x.Bytes += s.mu.segments[i].bytes
	}
	return x
}

// damagedBlock tells once of a block that is written and does not read back.
func (s *Store) damagedBlock(x *blockInfo) {
	s.mu.Lock()
	told := true // one that went meanwhile is of no interest
	for i := range s.mu.blocks {
		if b := &s.mu.blocks[i]; b.segment == x.segment && b.offset == x.offset {
			told, b.damaged = b.damaged, true
			break
		}
	}
	s.mu.Unlock()
	if !told {
		s.damaged(x.segment, x.offset)
	}
}

// damaged counts and tells of a block that is passed over.
func (s *Store) damaged(segment uint64, offset int64) {
	s.mu.Lock()
	s.mu.stats.Damaged++
	s.mu.Unlock()
	if s.opts.Damage != nil {
		s.opts.Damage(segment, offset)
	}
}

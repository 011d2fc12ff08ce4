package node

// What a conn was answered with in one turn goes out at its end, and the buffer stays
// with the conn for the next. One burst of questions would else leave each conn of
// thousands with a large one for as long as it lives, so all that stay have one bound.

const (
	// maxKeptRoom bounds the buffers for answers that stay with conns, of all of them
	// together. It is room for many that answer at a time, not for all that ever did.
	maxKeptRoom = 3 << 20
	// maxConnRoom bounds the one of a conn.
	maxConnRoom = 1 << 20
)

// RoomBytes bounds the memory of buffers that stay with conns for their next answers.
func RoomBytes() uint64 { return maxKeptRoom }

// keptRoom is which conns keep a buffer.
type keptRoom struct {
	conns []*conn
	bytes int // of all their buffers
	hand  int // of conns, the one that gives up its buffer next
}

// keep lets a conn, whose answers have gone, keep its buffer, if need be in place of
// others.
func (r *keptRoom) keep(c *conn) {
	c.out = c.out[:0]
	if cap(c.out) > maxConnRoom {
		c.out = nil
	}
	r.bytes += cap(c.out) - c.kept
	if c.kept = cap(c.out); c.kept > 0 && c.keptAt == 0 {
		r.conns = append(r.conns, c)
		c.keptAt = len(r.conns)
	}
	for r.bytes > maxKeptRoom {
		r.hand %= len(r.conns)
		if x := r.conns[r.hand]; x != c {
			r.give(x)
		} else {
			r.hand++
		}
	}
}

// give takes the buffer of a conn that has nothing to send away. One that has answers in
// it is kept again, or not, once they have gone.
func (r *keptRoom) give(c *conn) {
	if c.keptAt == 0 {
		return
	}
	last := len(r.conns) - 1
	r.conns[c.keptAt-1] = r.conns[last]
	r.conns[c.keptAt-1].keptAt = c.keptAt
	r.conns[last] = nil
	r.conns = r.conns[:last]
	r.bytes -= c.kept
	if c.kept, c.keptAt = 0, 0; len(c.out) == 0 {
		c.out = nil
	}
}

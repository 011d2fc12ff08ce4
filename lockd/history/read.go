package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// errDamaged means that a block does not read back as it was written.
var errDamaged = errors.New("history: damaged block")

// ErrTooNew means that the directory was written by a later version.
var ErrTooNew = errors.New("history: written by a later version")

// decodeHeader reads the header of a block. What it says is judged with the head.
func decodeHeader(b []byte) (blockInfo, error) {
	le := binary.LittleEndian
	if len(b) < headerBytes || le.Uint32(b) != blockMagic {
		return blockInfo{}, errDamaged
	}
	x := blockInfo{kind: b[5], number: le.Uint64(b[8:]), head: int(le.Uint32(b[16:])),
		body: int(le.Uint32(b[20:])), least: int64(le.Uint64(b[24:])),
		last: int64(le.Uint64(b[32:])), holds: le.Uint32(b[40:]), sum: le.Uint32(b[44:])}
	if x.head > maxBlockBytes || x.body > maxBlockBytes {
		return blockInfo{}, errDamaged
	}
	return x, nil
}

// head is the head of a block.
type head struct {
	spans  []span
	clocks []clock
	hashes []byte // of names, ascending
}

// decodeHead reads header and head, which follow each other.
func decodeHead(b []byte) (head, error) {
	var h head
	if len(b) < headerBytes ||
		binary.LittleEndian.Uint32(b[48:]) != checksum(b[:48], b[headerBytes:]) {
		return h, errDamaged
	}
	if b[4] != blockVersion {
		return h, fmt.Errorf("%w: block of version %d", ErrTooNew, b[4])
	}
	h, ok := parseHead(b[headerBytes:])
	if !ok {
		return h, errDamaged
	}
	return h, nil
}

// parseHead reads a head by itself.
func parseHead(b []byte) (h head, ok bool) {
	r := varints{b: b}
	for n := r.count(5); n > 0; n-- {
		s := span{group: r.group(), after: r.uint()}
		s.to = s.after + r.uint()
		s.before = lockfsm.Time(r.uint())
		s.at = s.before + lockfsm.Time(r.uint())
		h.spans = append(h.spans, s)
	}
	for n := r.count(4); n > 0; n-- {
		c := clock{group: r.group(), at: lockfsm.Time(r.uint()), offset: r.int(),
			seen: lockfsm.Time(r.uint())}
		if c.seen > c.at {
			c.seen, c.unsure = c.at, true
		}
		h.clocks = append(h.clocks, c)
	}
	n := r.count(4)
	h.hashes = r.take(4 * n)
	return h, !r.bad && len(r.b) == 0
}

// mayHave reports whether the block may have holds of a name.
func (h *head) mayHave(name uint32) bool {
	low, high := 0, len(h.hashes)/4
	for low < high {
		mid := (low + high) / 2
		switch at := binary.LittleEndian.Uint32(h.hashes[4*mid:]); {
		case at == name:
			return true
		case at < name:
			low = mid + 1
		default:
			high = mid
		}
	}
	return false
}

// hold is one that ended, as a block has it. Texts are borrowed from the block.
type hold struct {
	lockfsm.Ended
	holdAt
	index int    // among those of the slot
	place uint32 // in the block
}

// eachHold calls fn for the holds of a body, in order. It fails with errDamaged if
// it is none.
func eachHold(body []byte, fn func(*hold)) error {
	r := varints{b: body}
	var texts [][]byte
	var groups []last
	var index []int
	next := func() []byte {
		n := r.uint()
		if n == 0 {
			t := r.take(int(min(r.uint(), maxBlockBytes)))
			texts = append(texts, t)
			return t
		}
		if n > uint64(len(texts)) {
			r.bad = true
			return nil
		}
		return texts[n-1]
	}
	var h hold
	for len(r.b) > 0 && !r.bad {
		place := h.place
		h = hold{place: place}
		h.How = lockfsm.HoldEnd(r.byte())
		flags := r.byte()
		h.Mode, h.To = lockfsm.Mode(r.byte()), lockfsm.Mode(r.byte())
		h.Flags = lockfsm.EndedFlags(flags & 0x0f)
		if flags&flagLate != 0 {
			h.doubt = late
		}
		h.group = r.group()
		if k := int(h.group) + 1 - len(groups); k > 0 {
			groups, index = append(groups, make([]last, k)...), append(index, make([]int, k)...)
		}
		g, i := &groups[h.group], &index[h.group]
		ahead := r.uint()
		h.slot = g.slot + ahead
		h.at = g.at + lockfsm.Time(r.uint())
		h.Since = h.at - lockfsm.Time(r.uint())
		h.Token = g.token + lockfsm.Token(r.int())
		h.Session = lockfsm.SessionID(r.uint())
		if flags&flagPermits != 0 {
			h.Permits = lockfsm.Permits(r.uint())
		}
		if flags&flagOwner != 0 {
			h.Owner = lockfsm.Owner(r.uint())
		}
		h.Name, h.Client = next(), next()
		if flags&flagForced != 0 {
			h.Who, h.Reason = next(), next()
		}
		if !h.Mode.Valid() || !h.To.Valid() || !h.How.Known() {
			r.bad = true
		}
		if r.bad {
			break
		}
		if *i++; ahead != 0 {
			*i = 0
		}
		h.index = *i
		g.slot, g.at, g.token = h.slot, h.at, h.Token
		fn(&h)
		h.place++
	}
	if r.bad {
		return errDamaged
	}
	return nil
}

// varints reads numbers front to back. After the first failure it yields zeros.
type varints struct {
	b   []byte
	bad bool
}

func (r *varints) fail() { r.b, r.bad = nil, true }

func (r *varints) uint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *varints) int() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *varints) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *varints) take(n int) []byte {
	if n > len(r.b) {
		r.fail()
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *varints) group() uint16 {
	x := r.uint()
	if x >= wire.MaxGroups {
		r.fail()
		return 0
	}
	return uint16(x)
}

// count reads a number of things of at least so many bytes each.
func (r *varints) count(bytes int) int {
	n := r.uint()
	if n > uint64(len(r.b)/bytes) {
		r.fail()
		return 0
	}
	return int(n)
}

// holdsOf returns the holds of a name in a body, in order.
func holdsOf(body, name []byte) ([]hold, error) {
	var all []hold
	err := eachHold(body, func(h *hold) {
		if slices.Equal(h.Name, name) {
			all = append(all, *h)
		}
	})
	return all, err
}

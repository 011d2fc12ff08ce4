package history

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"lockd/lockfsm"
)

const (
	blockMagic   = 0x42484b4c // "LKHB"
	blockVersion = 1
	headerBytes  = 64
	alignBytes   = 512
	// blockBytes is how long the holds of a block are when it is closed. What ended in one
	// slot stands in one block, which may be longer.
	blockBytes = 64 << 10
	// maxBlockBytes bounds head and body each.
	maxBlockBytes = 64 << 20

	kindHolds = 1
	kindCarry = 2

	flagPermits = 1 << 4
	flagOwner   = 1 << 5
	flagForced  = 1 << 6
	flagLate    = 1 << 7

	// tableSlots bounds the texts of a block that are found again: half as many.
	tableSlots = 1 << 13
)

// checksum is CRC-32C.
func checksum(b ...[]byte) uint32 {
	sum, table := uint32(0), crc32.MakeTable(crc32.Castagnoli)
	for _, x := range b {
		sum = crc32.Update(sum, table, x)
	}
	return sum
}

// span is a range of slots of a group of which all holds that ended are known.
type span struct {
	group      uint16
	after, to  uint64
	before, at lockfsm.Time // log time at after, and at to
}

// clock says that at a log time, and from then on, the wall clock was offset ahead.
type clock struct {
	group  uint16
	at     lockfsm.Time
	offset int64 // milliseconds from log time to those since 1970
	// seen is the last log time of which it is known that it was before the offset
	// changed: when it stood still, and since when, is not.
	seen lockfsm.Time
	// unsure says that clocks after this one may be missing, which were in a block that is
	// damaged: up to the next that is there, the offset may have been larger.
	unsure bool
}

// text is a text of a block: bytes of its body.
type text struct {
	from, to int
	named    bool // its hash is among those of names
}

// last is what the next hold of a group is counted from.
type last struct {
	slot  uint64
	at    lockfsm.Time
	token lockfsm.Token
	span  int // in spans, plus one; zero for none
}

// builder makes one block after the other. It allocates nothing once warm.
type builder struct {
	number uint64
	body   []byte
	holds  uint32
	least  int64
	last   int64
	spans  []span
	clocks []clock
	hashes []uint32
	spare  []uint32 // scratch of their sort
	texts  []text
	table  []uint16 // of texts by hash, plus one
	groups []last
}

// reset begins the block of a number.
func (b *builder) reset(number uint64) {
	if b.table == nil {
		b.table = make([]uint16, tableSlots)
	}
	b.number, b.holds, b.least, b.last = number, 0, 1<<63-1, 0
	b.body, b.spans, b.clocks = b.body[:0], b.spans[:0], b.clocks[:0]
	b.hashes, b.texts = b.hashes[:0], b.texts[:0]
	clear(b.table)
	clear(b.groups)
}

// empty reports whether the block has nothing that would be missed.
func (b *builder) empty() bool { return len(b.spans) == 0 && len(b.clocks) == 0 }

func (b *builder) group(g uint16) *last {
	if int(g) >= len(b.groups) {
		b.groups = append(b.groups, make([]last, int(g)+1-len(b.groups))...)
	}
	return &b.groups[g]
}

// addSpan notes that slots of a group are known, and lengthens what is noted of it if
// it goes on there.
func (b *builder) addSpan(s span) {
	g := b.group(s.group)
	if g.span > 0 && b.spans[g.span-1].to == s.after {
		was := &b.spans[g.span-1]
		was.to, was.at = s.to, s.at
		return
	}
	b.spans = append(b.spans, s)
	g.span = len(b.spans)
}

// holdAt says where a hold ended, and whether it is known when.
type holdAt struct {
	group uint16
	slot  uint64
	at    lockfsm.Time
	doubt doubt
}

// addHold appends a hold that ended.
func (b *builder) addHold(x holdAt, e *lockfsm.Ended) {
	g := b.group(x.group)
	flags := byte(e.Flags) & 0x0f
	if x.doubt == late {
		flags |= flagLate
	}
	if e.Permits != 0 {
		flags |= flagPermits
	}
	if e.Owner != 0 {
		flags |= flagOwner
	}
	if len(e.Who)+len(e.Reason) > 0 {
		flags |= flagForced
	}
	d := append(b.body, byte(e.How), flags, byte(e.Mode), byte(e.To))
	d = binary.AppendUvarint(d, uint64(x.group))
	d = binary.AppendUvarint(d, x.slot-g.slot)
	d = binary.AppendUvarint(d, uint64(x.at-g.at))
	d = binary.AppendUvarint(d, uint64(x.at-e.Since))
	d = binary.AppendVarint(d, int64(e.Token-g.token))
	d = binary.AppendUvarint(d, uint64(e.Session))
	if e.Permits != 0 {
		d = binary.AppendUvarint(d, uint64(e.Permits))
	}
	if e.Owner != 0 {
		d = binary.AppendUvarint(d, uint64(e.Owner))
	}
	b.body = d
	if n, hash := b.addText(e.Name); !b.texts[n-1].named {
		b.texts[n-1].named = true
		b.hashes = append(b.hashes, uint32(hash))
	}
	b.addText(e.Client)
	if flags&flagForced != 0 {
		b.addText(e.Who)
		b.addText(e.Reason)
	}
	b.holds++
	g.slot, g.at, g.token = x.slot, x.at, e.Token
}

// addText appends a text, by its number if it was there before. It returns the number
// and the hash of the text.
func (b *builder) addText(t []byte) (int, uint64) {
	hash := hashText(t)
	at := int(hash>>32) & (tableSlots - 1)
	for ; b.table[at] != 0; at = (at + 1) & (tableSlots - 1) {
		n := b.table[at]
		known := b.texts[n-1]
		if bytes.Equal(b.body[known.from:known.to], t) {
			b.body = binary.AppendUvarint(b.body, uint64(n))
			return int(n), hash
		}
	}
	b.body = append(b.body, 0)
	b.body = binary.AppendUvarint(b.body, uint64(len(t)))
	from := len(b.body)
	b.body = append(b.body, t...)
	b.texts = append(b.texts, text{from: from, to: len(b.body)})
	if n := len(b.texts); n <= tableSlots/2 {
		b.table[at] = uint16(n)
	}
	return len(b.texts), hash
}

// hashText hashes a text, eight bytes at a time, the last ones padded with zeros. Its
// lower half is part of the format.
func hashText(t []byte) uint64 {
	const prime = 0x9e3779b97f4a7c15
	h := uint64(len(t)) * prime
	for ; len(t) >= 8; t = t[8:] {
		h = mix(h ^ binary.LittleEndian.Uint64(t))
	}
	rest := uint64(0)
	for i, c := range t {
		rest |= uint64(c) << (8 * i)
	}
	return mix(h ^ rest)
}

// mix is the finalizer of MurmurHash3, once round.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// mayHave reports whether the block that is being made may have holds of a name.
func (b *builder) mayHave(name uint32) bool { return slices.Contains(b.hashes, name) }

// sortHashes sorts the hashes of names byte by byte, the last byte first: there are a
// thousand of them in a block, which are spread evenly, and a turn waits meanwhile.
func (b *builder) sortHashes() {
	b.spare = slices.Grow(b.spare[:0], len(b.hashes))
	from, to := b.hashes, b.spare[:len(b.hashes)]
	for shift := 0; shift < 32; shift += 8 { // an even number of times
		var places [256]uint32
		for _, h := range from {
			places[uint8(h>>shift)]++
		}
		next := uint32(0)
		for i, n := range places {
			places[i] = next
			next += n
		}
		for _, h := range from {
			at := &places[uint8(h>>shift)]
			to[*at] = h
			*at++
		}
		from, to = to, from
	}
}

// seal returns the block, whole and padded, and what is remembered of it.
func (b *builder) seal(kind byte) ([]byte, blockInfo) {
	b.sortHashes()
	b.hashes = slices.Compact(b.hashes)
	le := binary.LittleEndian
	d := make([]byte, headerBytes, headerBytes+len(b.body)+32*len(b.spans)+4*len(b.hashes)+alignBytes)
	d = appendSpans(d, b.spans)
	d = appendClocks(d, b.clocks)
	d = binary.AppendUvarint(d, uint64(len(b.hashes)))
	for _, h := range b.hashes {
		d = le.AppendUint32(d, h)
	}
	head := len(d) - headerBytes
	d = append(d, b.body...)
	le.PutUint32(d, blockMagic)
	d[4], d[5] = blockVersion, kind
	le.PutUint64(d[8:], b.number)
	le.PutUint32(d[16:], uint32(head))
	le.PutUint32(d[20:], uint32(len(b.body)))
	le.PutUint64(d[24:], uint64(b.least))
	le.PutUint64(d[32:], uint64(b.last))
	le.PutUint32(d[40:], b.holds)
	le.PutUint32(d[44:], checksum(b.body))
	le.PutUint32(d[48:], checksum(d[:48], d[headerBytes:headerBytes+head]))
	info := blockInfo{number: b.number, kind: kind, head: head, body: len(b.body), least: b.least,
		last: b.last, holds: b.holds, sum: le.Uint32(d[44:])}
	for len(d)%alignBytes != 0 {
		d = append(d, 0)
	}
	return d, info
}

// blockInfo is what is remembered of a block.
type blockInfo struct {
	segment     uint64
	offset      int64
	number      uint64
	least, last int64
	head, body  int
	holds, sum  uint32
	kind        byte
	damaged     bool // and told so
}

// bytes is how long the block is, with what it is padded with.
func (x *blockInfo) bytes() int64 {
	n := int64(headerBytes + x.head + x.body)
	return (n + alignBytes - 1) / alignBytes * alignBytes
}

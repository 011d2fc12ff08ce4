package lockfsm

import (
	"cmp"
	"fmt"
	"slices"
)

const (
	arenaChunkBits = 8
	arenaChunk     = 1 << arenaChunkBits
)

// arena holds entries of one type at stable addresses, in chunks without
// pointers, so that the garbage collector never looks inside. Freed entries are
// used again, last freed first; the owner threads the free list through them.
// An arena never shrinks.
type arena[T any] struct {
	chunks []*[arenaChunk]T
	used   ref // entries ever handed out; the first is 1
}

// at returns the entry r. The pointer stays valid for the life of the arena.
func (a *arena[T]) at(r ref) *T {
	return &a.chunks[r>>arenaChunkBits][r&(arenaChunk-1)]
}

// grow hands out an entry never used before.
func (a *arena[T]) grow() ref {
	a.used++
	if int(a.used>>arenaChunkBits) == len(a.chunks) {
		a.chunks = append(a.chunks, new([arenaChunk]T))
	}
	return a.used
}

const (
	// nameUnit is the grain of the name store in bytes.
	nameUnit      = 8
	nameChunk     = 1 << 13 // units in a chunk
	nameClasses   = maxNameBytes / nameUnit
	nameLinkBytes = 4
)

// nameRef is the place of a name, in units. Zero is no name.
type nameRef uint32

// nameStore holds the names of locks and sessions: blocks of whole
// units in large chunks, with one free list per length in units. Blocks are not
// merged; when too many of lengths that nobody wants have gathered, the machine
// packs those in use (packNames).
type nameStore struct {
	chunks [][]byte
	next   nameRef // first unit never used
	free   [nameClasses + 1]nameRef
}

func units(n int) int { return (n + nameUnit - 1) / nameUnit }

// bytes is what the store has taken.
func (s *nameStore) bytes() uint64 { return uint64(len(s.chunks)) * nameChunk * nameUnit }

// block returns the bytes of a name of n bytes at r.
func (s *nameStore) block(r nameRef, n int) []byte {
	at := int(r%nameChunk) * nameUnit
	return s.chunks[r/nameChunk][at : at+n : at+n]
}

// put stores a copy of name. Requires: 0 < len(name) ≤ 512.
func (s *nameStore) put(name []byte) nameRef {
	class := units(len(name))
	if class == 0 || class > nameClasses {
		panic(fmt.Sprintf("lockfsm: stored name: have %d bytes, want 1 to %d",
			len(name), maxNameBytes))
	}
	r := s.free[class]
	if r != 0 {
		link := s.block(r, nameLinkBytes)
		s.free[class] = nameRef(link[0]) | nameRef(link[1])<<8 |
			nameRef(link[2])<<16 | nameRef(link[3])<<24
	} else {
		r = s.extend(class)
	}
	copy(s.block(r, len(name)), name)
	return r
}

// extend takes a block of never used units. Blocks do not cross chunks.
func (s *nameStore) extend(class int) nameRef {
	if s.next == 0 {
		s.next = 1
	}
	if int(s.next%nameChunk)+class > nameChunk {
		s.next = (s.next/nameChunk + 1) * nameChunk
	}
	r := s.next
	if int(r/nameChunk) == len(s.chunks) {
		s.chunks = append(s.chunks, make([]byte, nameChunk*nameUnit))
	}
	s.next += nameRef(class)
	return r
}

// drop frees the block of a name of n bytes.
func (s *nameStore) drop(r nameRef, n int) {
	class := units(n)
	link := s.block(r, nameLinkBytes)
	old := s.free[class]
	link[0], link[1], link[2], link[3] = byte(old), byte(old>>8), byte(old>>16), byte(old>>24)
	s.free[class] = r
}

// placedName is a name in use: where its block is, and where that is written.
type placedName struct {
	at    *nameRef
	bytes int
}

// pack moves the blocks of all names in use together, in the order in which they
// are, and forgets all others. Whoever borrowed one must not use it any more.
// Requires: names has every name in use, once.
func (s *nameStore) pack(names []placedName) {
	slices.SortFunc(names, func(x, y placedName) int { return cmp.Compare(*x.at, *y.at) })
	s.next = 1
	clear(s.free[:])
	for _, n := range names {
		from := s.block(*n.at, n.bytes)
		// Never behind where it is: those before it took no more room than they had.
		*n.at = s.extend(units(n.bytes))
		copy(s.block(*n.at, n.bytes), from)
	}
	used := int((s.next + nameChunk - 1) / nameChunk)
	clear(s.chunks[used:])
	s.chunks = s.chunks[:used]
}

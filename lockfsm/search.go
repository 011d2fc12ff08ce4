package lockfsm

import (
	"bytes"
	"slices"
	"strings"
)

// Search finds the first names of a page in pieces, so that no piece takes long
// however many locks there are. The machine may Apply between two of them: then
// every name that it touches must be noted, from the first Look to the last Names.
// What Names returns is as of when it is called. It belongs to the goroutine of its
// machine, of which it borrows nothing.
//
// Invariant: every name in use that begins with prefix, is after from and not beyond
// the bound, and stands in a place that was looked at, is among found.
type Search struct {
	prefix, from string
	bounds       SearchBounds
	next, end    ref // place to look at next, and last: who comes later is noted
	found        []string
	sorted       int // of found, how many from the first are in order and bounded
	bytes        int // of the names found
	// bound is the last name that the search covers, once one was left out; until then
	// it covers all.
	bound string
	spent int // since it was last said, see Spent
}

// placesPerName is how many places are looked at in the time that it takes to put one
// name in order.
const placesPerName = 8

// SearchBounds bound what a Search remembers: so many names, of so many bytes
// together, but one at least. Until they are put in order it may be twice as much.
type SearchBounds struct {
	Names, Bytes int
}

// Search begins a search for names that begin with a prefix and sort after another.
func (m *Machine) Search(prefix, from []byte, b SearchBounds) *Search {
	return &Search{prefix: string(prefix), from: string(from), bounds: b, next: 1,
		end: m.locks.used}
}

// Covers reports whether the search is for these names: those that Names finds
// behind after, if there are any, are the first behind it.
func (s *Search) Covers(prefix, after []byte) bool {
	return string(prefix) == s.prefix && string(after) >= s.from &&
		(s.bound == "" || string(after) < s.bound)
}

// Look looks at so many more places of locks, one at least, and reports whether all were
// looked at. It stops sooner when what it finds has to be put in order, which takes as
// long as to look at some thousands: most may have to be, if they come in the worst order.
func (s *Search) Look(m *Machine, places int) bool {
	for until := s.spent + places; !s.Done(); s.next++ {
		if s.spent >= until {
			return false
		}
		s.spent++
		l := m.locks.at(s.next)
		if l.flags&entryUsed != 0 && !l.ghost() {
			s.take(m, m.lockName(l))
		}
	}
	return true
}

// Spent returns how many places of locks could have been looked at in the time that the
// search has taken since Spent was called last.
func (s *Search) Spent() int {
	spent := s.spent
	s.spent = 0
	return spent
}

// Done reports whether all locks were looked at.
func (s *Search) Done() bool { return s.next > s.end }

// Note takes a name that an Apply touched; it is copied.
func (s *Search) Note(m *Machine, name []byte) {
	s.spent++
	s.take(m, name)
}

// take takes a name, if it belongs to what is searched for.
func (s *Search) take(m *Machine, name []byte) {
	if len(name) < len(s.prefix) || string(name[:len(s.prefix)]) != s.prefix ||
		string(name) <= s.from || s.bound != "" && string(name) > s.bound {
		return
	}
	s.found = append(s.found, string(name))
	s.bytes += len(name)
	if len(s.found) >= 2*s.bounds.Names || s.bytes >= 2*s.bounds.Bytes && len(s.found) > 1 {
		s.order(m)
	}
}

// order puts what was found in order, leaves out what is not in use any more, and
// keeps the first as the bounds have it. To do so when twice as much has come costs
// the same in whatever order names come.
func (s *Search) order(m *Machine) {
	if s.sorted == len(s.found) {
		return
	}
	s.spent += placesPerName * len(s.found)
	slices.Sort(s.found)
	s.found = slices.Compact(s.found)
	var text [maxNameBytes]byte
	s.found = slices.DeleteFunc(s.found, func(name string) bool {
		return !m.inUse(text[:copy(text[:], name)])
	})
	keep := 0
	for s.bytes = 0; keep < min(len(s.found), s.bounds.Names); keep++ {
		size := len(s.found[keep])
		if keep > 0 && s.bytes+size > s.bounds.Bytes {
			break
		}
		s.bytes += size
	}
	if keep < len(s.found) {
		s.bound = s.found[keep-1]
		clear(s.found[keep:])
		s.found = s.found[:keep]
	}
	s.sorted = keep
}

// inUse reports whether a lock is held, waited for, or has a value.
func (m *Machine) inUse(name []byte) bool {
	r := m.findLock(name, m.hashName(name))
	return r != 0 && !m.locks.at(r).ghost()
}

// Names appends the first names in use behind after to dst, at most limit of them, in
// order. covered says up to which name that is all: nil if it is all there are, else
// the last of them, or the end of what the search covers, behind which another search
// finds more. That end may have moved before after, by names that came since Covers was
// asked: then there are no names, and another search has to begin behind after.
// Requires: Done, and Covers. The names stay valid.
func (s *Search) Names(dst [][]byte, m *Machine, after []byte, limit int) (
	names [][]byte, covered []byte) {
	s.order(m)
	first, _ := slices.BinarySearchFunc(s.found, after, func(name string, after []byte) int {
		if bytes.Compare([]byte(name), after) <= 0 {
			return -1
		}
		return 1
	})
	for _, name := range s.found[first:] {
		text := []byte(name)
		if !m.inUse(text) {
			continue
		}
		if limit--; limit < 0 {
			return dst, dst[len(dst)-1]
		}
		dst = append(dst, text)
	}
	if s.bound != "" && !plantedIs("list-ends-early") {
		covered = []byte(strings.Clone(s.bound))
	}
	return dst, covered
}

package lockfsm

import (
	"bytes"
	"fmt"
)

// Records is a set of changed records on the way from a machine to a store:
// what Dirty hands out, copied, so that the machine can go on while it is
// written. The zero value is empty; it keeps its memory over Reset.
type Records struct {
	data []byte
	ends []recordEnd
}

// recordEnd says where a record's key and value end in data.
type recordEnd struct {
	key, value int
	deleted    bool
	added      bool
}

// Set adds a record, or the deletion of one where value is nil. It copies both.
// Requires: keys ascend.
func (r *Records) Set(key, value []byte) {
	r.set(key, value)
}

// Add is Set for a record under whose key the store has nothing: it need not
// look. A machine knows which those are: Machine.AddsRecord.
func (r *Records) Add(key, value []byte) {
	r.set(key, value)
	r.ends[len(r.ends)-1].added = true
}

// Adds reports whether the i-th record was put in by Add.
func (r *Records) Adds(i int) bool { return r.ends[i].added }

func (r *Records) set(key, value []byte) {
	start := 0
	if n := len(r.ends); n > 0 {
		last, _ := r.At(n - 1)
		if bytes.Compare(key, last) <= 0 {
			panic(fmt.Sprintf("lockfsm: records out of order: have %x, got %x", last, key))
		}
		start = r.ends[n-1].value
	}
	r.data = append(append(r.data[:start], key...), value...)
	r.ends = append(r.ends, recordEnd{
		key: start + len(key), value: len(r.data), deleted: value == nil})
}

// Reset empties the set.
func (r *Records) Reset() {
	r.data = r.data[:0]
	r.ends = r.ends[:0]
}

// Len returns the number of records and deletions.
func (r *Records) Len() int { return len(r.ends) }

// At returns the i-th record, borrowed until Reset. A deletion has a nil value.
func (r *Records) At(i int) (key, value []byte) {
	start := 0
	if i > 0 {
		start = r.ends[i-1].value
	}
	e := r.ends[i]
	key = r.data[start:e.key:e.key]
	if e.deleted {
		return key, nil
	}
	return key, r.data[e.key:e.value:e.value]
}

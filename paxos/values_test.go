package paxos

import (
	"bytes"
	"testing"
)

// TestValuesAreCopies keeps values of every size round the bounds and changes
// what they were copied from, and what is appended to one reaches no other.
func TestValuesAreCopies(t *testing.T) {
	var v values
	var kept, want [][]byte
	scratch := make([]byte, 2*valueChunkBytes)
	for i, n := range []int{1, 0, smallValueBytes, smallValueBytes + 1, 7, valueChunkBytes + 1,
		smallValueBytes - 1, smallValueBytes, smallValueBytes, smallValueBytes, smallValueBytes,
		smallValueBytes, smallValueBytes, smallValueBytes, 3} {
		value := scratch[:n]
		for k := range value {
			value[k] = byte(i + k)
		}
		kept = append(kept, v.keep(value))
		want = append(want, bytes.Clone(value))
	}
	clear(scratch)
	for i := range kept {
		_ = append(kept[i], 0xff) // moves it: there is no room behind
	}
	for i := range kept {
		if !bytes.Equal(kept[i], want[i]) {
			t.Errorf("value %d of %d bytes has changed", i, len(want[i]))
		}
	}
	if kept[1] != nil {
		t.Errorf("an empty value is kept as %v, want nil", kept[1])
	}
}

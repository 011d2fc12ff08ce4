package paxos

const (
	// valueChunkBytes is how much is allocated for small values at a time, and
	// smallValueBytes the most that counts as small.
	valueChunkBytes = 4 << 10
	smallValueBytes = valueChunkBytes / 8
)

// values copies the values of one group. Small ones share memory, which is
// collected when the last of them is dropped. A group drops its values in order,
// so besides those it holds it keeps two chunks at most.
type values struct {
	// free is what is left of the newest chunk.
	free []byte
}

// keep returns a copy of value that nobody else changes; of an empty one, nil.
func (v *values) keep(value []byte) []byte {
	n := len(value)
	switch {
	case n == 0:
		return nil
	case n > smallValueBytes:
		return append(make([]byte, 0, n), value...)
	case n > len(v.free):
		v.free = make([]byte, valueChunkBytes)
	}
	kept := v.free[:n:n]
	v.free = v.free[n:]
	copy(kept, value)
	return kept
}

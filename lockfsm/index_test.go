package lockfsm

import (
	"encoding/binary"
	"errors"
	"testing"
)

// TestLoadRefusesASecondRequest: two claims of a session under one request could
// not be told apart by a retry (I19), wherever they are.
func TestLoadRefusesASecondRequest(t *testing.T) {
	const requestAt = 20 // in the record of a lock with one holder
	for _, locks := range []int{2, 100, 2 * digitLeast} {
		m, err := New(DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		var b BatchBuilder
		var out Outcome
		b.Append(&Command{Op: OpOpenSession, Lease: 10_000, Nonce: Nonce{1}})
		for i := range locks {
			b.Append(&Command{Op: OpAcquire, Session: 1, Request: RequestID(i + 1), Mode: ModeEX,
				Name: binary.BigEndian.AppendUint32(nil, uint32(i))})
		}
		if err := m.Apply(1, b.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		var records Records
		m.All(records.Set)
		load := func(request uint64) error {
			again, err := New(DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			for i := range records.Len() {
				key, value := records.At(i)
				if i == records.Len()-1 {
					binary.LittleEndian.PutUint64(value[requestAt:], request)
				}
				if err := again.Load(key, value); err != nil {
					return err
				}
			}
			return again.Loaded()
		}
		if err := load(uint64(locks)); err != nil {
			t.Errorf("%d locks as they were: got %v, want no error", locks, err)
		}
		if err := load(1); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d locks, a request twice: got %v, want %v", locks, err, ErrDamaged)
		}
	}
}

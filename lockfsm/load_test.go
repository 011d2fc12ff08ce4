package lockfsm

import (
	"encoding/binary"
	"testing"
)

// TestLoadFindsItsWay loads machines whose session ids and stamps lie far apart,
// in the way that nothing else in the tests does, small and large, and looks at
// every link and index of what it has got.
func TestLoadFindsItsWay(t *testing.T) {
	for _, c := range []struct {
		name     string
		sessions int
		keep     func(i int) bool // sessions that go on
		jump     Token            // of the counter of stamps, half way
	}{
		{"dense", 50, func(int) bool { return true }, 0},
		{"many", 2 * digitLeast, func(int) bool { return true }, 0},
		{"every seventh", 500, func(i int) bool { return i%7 == 0 }, 0},
		{"the first and the last ones", 500, func(i int) bool { return i < 2 || i > 480 }, 0},
		{"one", 50, func(i int) bool { return i == 20 }, 0},
		{"stamps far apart", 50, func(int) bool { return true }, 1 << 40},
		{"stamps just apart", 50, func(int) bool { return true }, 1<<32 - 2},
		{"many stamps far apart", digitLeast, func(int) bool { return true }, 1 << 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := manySessions(t, c.sessions, c.keep, c.jump)
			again, err := New(bigLimits())
			if err != nil {
				t.Fatal(err)
			}
			m.All(func(key, value []byte) {
				if err := again.Load(key, value); err != nil {
					t.Fatal(err)
				}
			})
			if err := again.Loaded(); err != nil {
				t.Fatal(err)
			}
			if err := again.Validate(); err != nil {
				t.Error(err)
			}
			if got, want := again.Digest(), m.Digest(); got != want {
				t.Errorf("digest: got %x, want %x", got, want)
			}
		})
	}
}

// manySessions is a machine of which each session holds two locks, the later of
// them at the end of the name space, and some have been closed.
func manySessions(t *testing.T, n int, keep func(i int) bool, jump Token) *Machine {
	t.Helper()
	m, err := New(bigLimits())
	if err != nil {
		t.Fatal(err)
	}
	var out Outcome
	var b BatchBuilder
	apply := func() {
		if err := m.Apply(m.Applied()+1, b.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		b.Reset()
	}
	for i := range n {
		nonce := Nonce{1}
		binary.LittleEndian.PutUint32(nonce[4:], uint32(i))
		b.Append(&Command{Op: OpOpenSession, Lease: 10_000, Nonce: nonce})
	}
	apply()
	for round := range 2 {
		for i := range n {
			b.Append(&Command{Op: OpAcquire, Session: SessionID(i + 1), Request: RequestID(round + 1),
				Mode: ModeEX, Name: binary.BigEndian.AppendUint32([]byte{byte(round)}, uint32(i)*7919)})
		}
		apply()
		m.stamps += jump
		jump = 0
	}
	for i := range n {
		if !keep(i) {
			b.Append(&Command{Op: OpCloseSession, Session: SessionID(i + 1)})
		}
	}
	apply()
	return m
}

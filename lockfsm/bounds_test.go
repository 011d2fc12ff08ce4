package lockfsm

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
)

// fillBounds opens sessions and takes locks, waits and detached holds until each
// is refused, with names of the greatest length that begin with a byte, and
// counts the refusals by their code.
func fillBounds(t *testing.T, m *Machine, first byte) map[Code]int {
	t.Helper()
	var out Outcome
	var batch BatchBuilder
	refused := map[Code]int{}
	one := func(c Command) Result {
		batch.Reset()
		batch.Append(&c)
		if err := m.Apply(m.Applied()+1, batch.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		r := out.Results[0]
		if r.Code != CodeOK && r.Code != CodeQueued {
			refused[r.Code]++
		}
		return r
	}
	name := func(i int) []byte {
		b := bytes.Repeat([]byte{first}, int(m.limits.NameBytes))
		binary.BigEndian.PutUint32(b[1:], uint32(i))
		return b
	}
	l := &m.limits
	var sessions []SessionID
	for i := range l.Sessions + 1 {
		nonce := Nonce{first}
		binary.LittleEndian.PutUint32(nonce[1:], i)
		if r := one(Command{Op: OpOpenSession, Lease: 10_000, Nonce: nonce,
			Name: bytes.Repeat([]byte{first}, int(l.SessionNameBytes))}); r.Code == CodeOK {
			sessions = append(sessions, r.Session)
		}
	}
	for i := range l.Detached + 1 {
		one(Command{Op: OpAcquire, Session: 1 << 40, Request: RequestID(i + 1), Mode: ModeEX,
			Name: name(int(i)), Flags: Detached, Lease: 10_000})
	}
	request := RequestID(0)
	acquire := func(session SessionID, i uint32, flags Flags) {
		request++
		one(Command{Op: OpAcquire, Session: session, Request: request, Mode: ModeEX,
			Name: name(int(i)), Flags: flags})
	}
	for i := range l.ClaimsPerSession + 1 {
		acquire(sessions[0], l.Detached+i, 0)
	}
	other := func(i uint32) SessionID { return sessions[1+int(i)%(len(sessions)-1)] }
	for i := l.Detached + l.ClaimsPerSession; i <= l.Locks; i++ {
		acquire(other(i), i, 0)
	}
	for i := range l.WaitersPerLock + 1 {
		acquire(other(i), 0, Wait)
	}
	for i := range l.Claims {
		acquire(other(i), 1+i/l.WaitersPerLock, Wait)
	}
	return refused
}

// TestEveryTableFull fills every table of a machine to its bound, twice over with
// other names while the checkpoint still has the first: each bound refuses by
// its own name, and the memory stays within what the limits add up to (I22).
func TestEveryTableFull(t *testing.T) {
	l := DefaultLimits()
	l.Sessions, l.Locks, l.Claims, l.Detached = 400, 1000, 1500, 100
	l.ClaimsPerSession, l.WaitersPerLock, l.WorkPerApply = 50, 40, 1<<20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m, err := New(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []byte("ab") {
		refused := fillBounds(t, m, first)
		for _, want := range []Code{CodeTooManySessions, CodeTooManyLocks, CodeTooManyClaims,
			CodeTooManySessionClaims, CodeTooManyWaiters, CodeTooManyDetached} {
			if refused[want] == 0 {
				t.Errorf("names %c: got %v, want %v among them", first, refused, want)
			}
		}
		if len(refused) != 6 {
			t.Errorf("names %c: got refusals %v, want the six of full tables", first, refused)
		}
		if s := m.Stats(); s.Locks != l.Locks || s.Sessions != l.Sessions || s.Claims != l.Claims {
			t.Errorf("names %c: got %+v, want all full", first, s)
		}
		if first == 'a' {
			m.Dirty(func(_, _ []byte) {})
			endAll(t, m)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	got, most := after.HeapAlloc-before.HeapAlloc, l.MemoryBytes()
	t.Logf("all tables full: %d bytes, bound %d", got, most)
	if got > most {
		t.Errorf("all tables full: got %d bytes, want at most %d", got, most)
	}
	runtime.KeepAlive(m)
}

// endAll closes every session and lets every detached hold run out.
func endAll(t *testing.T, m *Machine) {
	t.Helper()
	var out Outcome
	var batch BatchBuilder
	for id := SessionID(1); id <= m.lastSession; id++ {
		batch.Append(&Command{Op: OpCloseSession, Session: id})
	}
	if err := m.Apply(m.Applied()+1, batch.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	for m.detachedCount > 0 || m.sessionCount > 0 {
		batch.Reset()
		batch.Tick(Millis(m.limits.TickCap), nil)
		if err := m.Apply(m.Applied()+1, batch.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNamesOfAllLengthsInTurn fills a machine with names of one length, empties it,
// and goes on with longer ones: what the short ones left is of use to nobody, and
// must not be kept beside all that the long ones take (I22).
func TestNamesOfAllLengthsInTurn(t *testing.T) {
	l := DefaultLimits()
	l.Sessions, l.Locks, l.Claims, l.Detached = 10, 1000, 1000, 0
	l.ClaimsPerSession, l.WaitersPerLock, l.WorkPerApply = 1000, 100, 1<<20
	m, err := New(l)
	if err != nil {
		t.Fatal(err)
	}
	var out Outcome
	var batch BatchBuilder
	apply := func() {
		t.Helper()
		if err := m.Apply(m.Applied()+1, batch.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		batch.Reset()
	}
	const most = maxNameBytes
	for length := 8; length <= most; length += 8 {
		batch.Append(&Command{Op: OpOpenSession, Lease: 10_000, Nonce: Nonce{byte(length / 8), 1},
			Name: bytes.Repeat([]byte{'s'}, min(length, int(l.SessionNameBytes)))})
		apply()
		session := out.Results[0].Session
		for i := range l.Locks {
			name := bytes.Repeat([]byte{byte(length / 8)}, length)
			binary.BigEndian.PutUint32(name, i)
			batch.Append(&Command{Op: OpAcquire, Session: session, Request: RequestID(i + 1),
				Mode: ModeEX, Name: name})
			if i%50 == 49 {
				apply()
			}
		}
		m.Dirty(func(_, _ []byte) {})
		for _, i := range []uint32{0, 500, 999} {
			name := bytes.Repeat([]byte{byte(length / 8)}, length)
			binary.BigEndian.PutUint32(name, i)
			var info LockInfo
			if !m.Lock(name, &info, All) || !bytes.Equal(info.Name, name) {
				t.Fatalf("length %d: lock %d is gone: %+v", length, i, info)
			}
		}
		batch.Append(&Command{Op: OpCloseSession, Session: session})
		apply()
		m.Dirty(func(_, _ []byte) {})
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	// An Apply may add the names of its batch before the next one packs.
	if got, bound := m.names.bytes(), l.nameStoreBytes()+50*(most+nameUnit); got > bound {
		t.Errorf("names took %d bytes, want at most %d", got, bound)
	}
	if m.packs == 0 || m.packs > 40 {
		t.Errorf("names were packed %d times, want a few", m.packs)
	}
}

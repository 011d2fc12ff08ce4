package lockfsm

import (
	"bytes"
	"testing"
)

// TestRefusedConvertLeavesNobodyWaiting: a conversion that is refused has its lock pumped
// while it stands in the queue, past parked ones before it and no further. Once it is gone,
// the end of the wait of a session that has ended lets in who stood behind both, on a
// replica that has been there all along and on one that begins with a checkpoint
// between the two (I13, I17).
func TestRefusedConvertLeavesNobodyWaiting(t *testing.T) {
	l := DefaultLimits()
	l.WorkPerApply = 1
	b := newBench(t, l)
	for nonce := range uint64(5) {
		b.open(nonce + 2)
	}
	name := []byte("a")
	ask := func(s SessionID, mode Mode, want Code) {
		t.Helper()
		b.one(&Command{Op: OpAcquire, Session: s, Request: 1, Mode: mode, Flags: Wait, Name: name}, want)
	}
	convert := func(s SessionID, f Flags, want Code) {
		t.Helper()
		b.one(&Command{Op: OpConvert, Session: s, Request: 2, Target: 1, Token: Token(s),
			Mode: ModeEX, Flags: f, Name: name}, want)
	}
	ask(1, ModePR, CodeOK)
	for s := SessionID(2); s <= 4; s++ {
		ask(s, ModeNL, CodeOK)
	}
	convert(2, Wait, CodeQueued)
	convert(3, Wait, CodeQueued)
	ask(5, ModeEX, CodeQueued)
	ask(6, ModePR, CodeQueued)
	b.one(&Command{Op: OpPark, Session: 2}, CodeOK)
	b.one(&Command{Op: OpPark, Session: 3}, CodeOK)
	b.one(&Command{Op: OpCloseSession, Session: 5}, CodeOK)
	convert(4, 0, CodeHeld)
	if err := b.m.Validate(); err != nil {
		t.Error(err)
	}
	stored := map[string][]byte{}
	b.m.All(func(key, value []byte) { stored[string(key)] = bytes.Clone(value) })
	m, err := reload(t, stored)
	if err != nil {
		t.Fatal(err)
	}
	m.limits = l
	twin := &bench{tb: t, m: m}
	for range 3 {
		for _, x := range []*bench{b, twin} {
			x.batch.Reset()
			x.batch.Tick(0, nil)
			x.apply()
		}
		if got, want := twin.m.Digest(), b.m.Digest(); got != want {
			t.Errorf("slot %d: got digest %x of the one from a checkpoint, want %x", b.m.Applied(), got,
				want)
		}
	}
	var info LockInfo
	if b.m.Lock(name, &info, All); info.HolderCount != 5 {
		t.Errorf("got %d holders, want 5 with who stood behind", info.HolderCount)
	}
}

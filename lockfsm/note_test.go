package lockfsm

import (
	"fmt"
	"testing"
)

// pictures describes every lock, without what time alone and its sessions change.
func pictures(m *Machine) map[string]string {
	all := map[string]string{}
	m.ForEachLock(func(info *LockInfo) bool {
		text := fmt.Sprint(info.Capacity, info.Taken)
		text += fmt.Sprint(" ", info.Gate, info.Number)
		for _, c := range append(append([]ClaimInfo{}, info.Holders...), info.Waiters...) {
			c.Deadline, c.Parked = 0, false
			text += fmt.Sprintf(" %+v", c)
		}
		all[string(info.Name)] = text
		return true
	})
	return all
}

// TestTouchedLocksAreNoted proves, in random worlds, that a lock which looks
// otherwise after an Apply than before stands in what the Apply touched, and that
// every grant and every end of a hold is noted as such.
func TestTouchedLocksAreNoted(t *testing.T) {
	var met Changes
	for seed := range uint64(40) {
		w, err := newWorld(seed + 1)
		if err != nil {
			t.Fatal(err)
		}
		w.a.Note(NotingOn)
		before := pictures(w.a)
		for range 100 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			after := pictures(w.a)
			changes := map[string]Changes{}
			for _, x := range w.outA.Touched {
				changes[string(x.Name)] |= x.Changes | 1<<7
				met |= x.Changes
			}
			for _, all := range []map[string]string{before, after} {
				for name := range all {
					if before[name] != after[name] && changes[name] == 0 {
						t.Fatalf("seed %d: %q: got %q after %q, not noted", seed, name, after[name],
							before[name])
					}
				}
			}
			for _, e := range w.outA.Events {
				held := e.Token != 0 && w.a.Summary(e.Name).Token == e.Token // not let through a gate
				if e.Kind == EventGranted && held && changes[string(e.Name)]&ChangedGrant == 0 {
					t.Fatalf("seed %d: grant of %q: got %08b, want it noted", seed, e.Name,
						changes[string(e.Name)])
				}
			}
			before = after
		}
	}
	if want := ChangedGrant | ChangedRelease | ChangedExpiry | ChangedQueue |
		ChangedForce; met != want {
		t.Errorf("changes met: got %04b, want %04b", met, want)
	}
}

// TestNotingChangesNothing proves that the state does not depend on it.
func TestNotingChangesNothing(t *testing.T) {
	w, err := newWorld(5)
	if err != nil {
		t.Fatal(err)
	}
	w.a.Note(NotingOn)
	for range 200 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := w.a.Digest(), w.b.Digest(); a != b {
		t.Errorf("digests: got %016x with noting, want %016x", a, b)
	}
	if len(w.outB.Touched) > 0 && w.outB.Touched[0].Changes != ChangedQueue {
		t.Errorf("without noting: got %+v, want waits at most", w.outB.Touched)
	}
}

// TestWaitForSeveralIsNoted proves that of the names of an acquire that waits those are
// noted as waited for that keep it waiting.
func TestWaitForSeveralIsNoted(t *testing.T) {
	b := newBench(t, DefaultLimits())
	b.one(&Command{Op: OpOpenSession, Nonce: Nonce{200}, Lease: 10_000}, CodeOK)
	b.one(&Command{Op: OpAcquire, Session: 2, Request: 1, Name: []byte("b"), Mode: ModeEX}, CodeOK)
	var parts Parts
	for _, name := range []string{"a", "b", "c"} {
		parts = parts.AppendPart(Part{ModeEX, []byte(name)})
	}
	b.one(&Command{Op: OpAcquireAll, Session: 1, Request: 1, Parts: parts, Flags: Wait}, CodeQueued)
	var waits []string
	for _, x := range b.out.Touched {
		if x.Changes&ChangedQueue != 0 {
			waits = append(waits, string(x.Name))
		}
	}
	if len(waits) != 1 || waits[0] != "b" {
		t.Errorf("got %q waited for, want b", waits)
	}
}

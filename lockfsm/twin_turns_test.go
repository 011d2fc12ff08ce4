package lockfsm

import (
	"fmt"
	"testing"
)

// run applies some commands to all three and compares.
func (w *world) run(cs []Command) error {
	w.batch.Reset()
	w.slot++
	for i := range cs {
		w.batch.Append(&cs[i])
	}
	w.twin.apply(nil, cs, &w.outTwin)
	if err := w.a.Apply(w.slot, w.batch.Bytes(), &w.outA); err != nil {
		return err
	}
	if err := w.b.Apply(w.slot, w.batch.Bytes(), &w.outB); err != nil {
		return err
	}
	return w.compare(cs)
}

// turnsCommand draws a request of one of three sessions for one or two of three names,
// mostly in modes of which some get along, and mostly with the word.
func (w *world) turnsCommand(request RequestID) Command {
	r := w.rng
	modes := []Mode{ModeCR, ModeCR, ModeCW, ModePR, ModeEX}
	names := []string{"a", "b", "c"}
	c := Command{Op: OpAcquire, Session: SessionID(1 + r.IntN(3)), Epoch: 1, Request: request,
		Mode: modes[r.IntN(len(modes))], Name: []byte(names[r.IntN(3)])}
	if r.IntN(3) > 0 {
		c.Flags = Wait
		if r.IntN(4) > 0 {
			c.Flags |= Detect
		}
	}
	if c.Flags != 0 && r.IntN(3) == 0 {
		c.Op, c.Weight, c.Name = OpAcquireAll, uint8(r.IntN(3)), nil
		not := r.IntN(3)
		for i, name := range names {
			if i != not {
				c.Parts = c.Parts.AppendPart(Part{Mode: modes[r.IntN(len(modes))], Name: []byte(name)})
			}
		}
	}
	return c
}

// TestTwinTurns compares the machine with the twin where acquires of several names are
// mostly passed, so that circles at the turn of one of their parts come about.
func TestTwinTurns(t *testing.T) {
	const want = 5
	met := 0
	for seed := uint64(1); seed <= 1500; seed++ {
		w, err := newSeveral(seed)
		if err != nil {
			t.Fatal(err)
		}
		var cs []Command
		for i := range byte(3) {
			cs = append(cs, Command{Op: OpOpenSession, Nonce: Nonce{i + 1}, Lease: 5000, Epoch: 1})
		}
		for i := range RequestID(24) {
			cs = append(cs, w.turnsCommand(i+1))
		}
		if err := w.run(cs); err != nil {
			t.Fatal(fmt.Errorf("seed %d: %w", seed, err))
		}
		met += w.twin.throughOneTurn
	}
	if t.Logf("%d circles at the turn of one part", met); met < want {
		t.Errorf("got %d circles at the turn of one part, want at least %d", met, want)
	}
}

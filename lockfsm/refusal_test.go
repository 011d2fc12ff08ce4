package lockfsm

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Refusal must agree with Apply: what it refuses is refused with the same
// result and changes nothing.
func TestRefusalAgreesWithApply(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11))
	m, err := New(DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	var out Outcome
	apply := func(c *Command) Result {
		t.Helper()
		var b BatchBuilder
		b.Append(c)
		if err := m.Apply(m.Applied()+1, b.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		return out.Results[0]
	}
	for i := range 3 {
		apply(&Command{Op: OpOpenSession, Nonce: Nonce{byte(i + 1)}, Lease: 10_000})
	}
	refused := map[Op]int{}
	for i := range 6_000 {
		c := &Command{Op: OpAcquire, Session: SessionID(1 + rng.IntN(4)), Epoch: Epoch(rng.IntN(2)),
			Request: RequestID(1 + rng.IntN(2000)), Mode: Mode(rng.IntN(6)),
			Weight: uint8(rng.IntN(2)), Name: fmt.Appendf(nil, "n%d", rng.IntN(8)),
			Permits: Permits(rng.IntN(4)), Capacity: 3, Owner: Owner(rng.IntN(40))}
		if c.Name[1] < '4' { // names that are mostly of one kind
			c.Op = []Op{OpTake, OpEnter, OpEnter, OpAcquire}[c.Name[1]-'0']
		}
		if rng.IntN(50) == 0 {
			c.Op = OpTake
		}
		if rng.IntN(3) == 0 {
			c.Flags = Wait
		}
		want, ok := m.Refusal(c)
		before := m.Stats()
		got := apply(c)
		if ok {
			refused[c.Op]++
			if got != want {
				t.Fatalf("step %d: got %+v, want %+v", i, got, want)
			}
			after := m.Stats()
			before.MemoryBytes = after.MemoryBytes // tables may be between two sizes
			if after != before {
				t.Fatalf("step %d: got %+v after a refusal, want %+v", i, after, before)
			}
		}
		if got.Code == CodeOK && rng.IntN(3) > 0 {
			back := &Command{Op: OpRelease, Session: c.Session, Epoch: c.Epoch, Token: got.Token,
				Request: c.Request, Name: c.Name}
			if c.Op == OpEnter {
				back.Op = OpLeave
			}
			apply(back)
		}
	}
	if refused[OpAcquire] < 100 || refused[OpTake] < 40 || refused[OpEnter] < 40 {
		t.Errorf("refused %v times, want at least 100, 40, 40: the test shows too little", refused)
	}
}

package client

import (
	"testing"

	"lockd/netio/wire"
)

// TestEnterWhileConverting has an owner enter again while what he holds is converted: a
// grant that comes before the answer to the Convert counts as no more than what both
// leave, because the Convert may have been carried out, and others let in (I25).
func TestEnterWhileConverting(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer wire.Response
		want   wire.Mode
	}{
		{"done", wire.Response{Status: wire.StatusOK, Token: 3}, wire.ModePR},
		{"refused", wire.Response{Status: wire.StatusHeld, Token: 2}, wire.ModeEX},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			for _, e := range b.core.endpoints {
				e.version = wire.VersionWhole
			}
			enter := func() *Call {
				x := &Call{Kind: wire.KindEnter, Flags: wire.FlagWait, Name: "a", Mode: wire.ModeEX, Owner: 7}
				b.core.Start(x)
				return x
			}
			one := enter()
			b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
			b.respond(1, b.one(1, wire.KindEnter), wire.Response{Status: wire.StatusOK, Token: 1})
			two := enter()
			second := b.one(1, wire.KindEnter)
			b.core.Start(&Call{Kind: wire.KindConvert, Name: "a", Mode: wire.ModePR, Hold: one})
			turn := b.one(1, wire.KindConvert)
			token := uint64(1)
			if row.answer.Status == wire.StatusOK {
				token = row.answer.Token
			}
			b.respond(1, second, wire.Response{Status: wire.StatusOK, Token: token})
			if two.State() != StateHeld || two.Mode != wire.ModePR {
				t.Errorf("before the answer to the Convert: got state %d in %v, want held in PR",
					two.State(), two.Mode)
			}
			b.respond(1, turn, row.answer)
			for i, x := range []*Call{one, two} {
				if x.Mode != row.want {
					t.Errorf("hold %d: got %v, want %v", i+1, x.Mode, row.want)
				}
			}
		})
	}
}

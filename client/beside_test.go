package client

import (
	"fmt"
	"testing"
	"time"

	"lockd/netio/wire"
)

// TestGrantsBesideManyCalls grants many locks of one group that are all asked for at a
// time. What one costs must not grow with how many calls are open: it all took a hundred
// times as long then.
func TestGrantsBesideManyCalls(t *testing.T) {
	const calls = 16_000
	b := newBench(t)
	b.core.cfg.MaxInFlight = calls + 1
	b.acquire("first")
	began := time.Now()
	for i := range calls {
		b.core.Start(&Call{Kind: wire.KindAcquire, Name: fmt.Sprintf("a%d", i), Mode: wire.ModeEX})
	}
	frames := b.sent(1, wire.KindAcquire)
	if len(frames) < calls {
		t.Fatalf("got %d frames, want %d", len(frames), calls)
	}
	for i, h := range frames {
		b.respond(1, h, wire.Response{Status: wire.StatusOK, Token: uint64(i + 10)})
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("%d grants took %v, want them within 1 s", calls, took)
	}
}

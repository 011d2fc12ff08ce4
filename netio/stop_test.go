package netio

import (
	"context"
	"errors"
	"testing"
	"time"

	"lockd/netio/wire"
)

// While a server stops, conns have the time for their answers that they have before:
// looking whether all is sent does not move the clock of the timeouts. And what was not
// taken is told.
func TestStopGivesConnsTheirTime_FN5(t *testing.T) {
	const unread = 3 * time.Second
	e := &echo{onRequest: func(e *echo, c ConnID, h wire.Header, _ []byte) {
		e.server.Send(c, make([]byte, 8<<20))
	}}
	s := serve(t, ServerOptions{MaxOutboundBytes: 16 << 20, UnreadTimeout: unread}, e)
	c := greeted(t, s.Addr())
	c.send(statusRequest(1))
	l := s.loops[0].Load()
	await(t, func() bool { return l.unsent.Load() > 1<<20 })
	ctx, cancel := context.WithTimeout(context.Background(), unread/4)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop of a server whose answers were not taken: got %v, want that", err)
	}
	if got := s.Stats().Overflows; got != 0 {
		t.Errorf("%d conns were closed for unread answers within %v, want none before %v", got,
			unread/4, unread)
	}
}

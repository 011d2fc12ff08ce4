package netio

import (
	"errors"
	"fmt"
	"strings"

	"github.com/panjf2000/gnet/v2"
)

// start runs the event loops. Listen starts them; readiness of a conn, a wake or
// a tick wakes them; one visit handles what one read returned, or one outbox;
// Stop ends them, and so does an error that gnet does not survive.
func (s *Server) start() {
	go s.run()
}

// run is the life of the event loops. gnet returns nil even when they end by
// themselves, for example without descriptors, so every return is an error
// unless Stop asked for it.
func (s *Server) run() {
	defer close(s.done)
	err := gnet.Run((*events)(s), "tcp://"+s.addr.String(), gnet.WithOptions(gnet.Options{
		ReuseAddr:     true,
		ReusePort:     true,
		NumEventLoop:  s.opts.Loops,
		ReadBufferCap: s.opts.ReadBufferBytes,
		TCPNoDelay:    gnet.TCPNoDelay,
		Ticker:        true,
		Logger:        s.log,
	}))
	s.registry.seal(s)
	switch {
	case s.stopping.Load():
		s.err = ErrStopped
	case err != nil:
		s.err = fmt.Errorf("netio: event loops ended: %w", err)
	default:
		s.err = errors.New(strings.TrimSpace("netio: event loops ended unasked: " + s.log.last()))
	}
}

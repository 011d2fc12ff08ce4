package netio

import (
	"fmt"
	"runtime"
	"time"

	"lockd/netio/wire"
)

// Defaults and fixed bounds of the client port.
const (
	// maxLoops is the largest number of event loops; a ConnID keeps the loop in
	// its low loopBits bits.
	maxLoops = 1 << loopBits
	loopBits = 6

	// helloFrameBytes bounds the first frame of a conn, so that a stranger costs
	// no more than this before it has said who it is.
	helloFrameBytes = 4 << 10

	defaultMaxConns         = 10_000
	defaultReservedFiles    = 512
	defaultMaxOutboundBytes = 4 << 20
	defaultMaxBufferedBytes = 512 << 20
	defaultMaxOutboxBytes   = 64 << 20 // of all loops
	leastMaxOutboxBytes     = 16 << 20 // of one
	defaultReadBufferBytes  = 16 << 10
	defaultHelloTimeout     = 5 * time.Second
	defaultFrameTimeout     = 10 * time.Second
	defaultIdleTimeout      = 2 * time.Hour
	defaultUnreadTimeout    = 30 * time.Second
	defaultKeepAlive        = 15 * time.Second
)

// ServerOptions says how the client port listens and what it may cost. The zero
// value of every field but Addr means its default.
//
// The memory of the port is at most
//
//	MaxBufferedBytes + MaxConns × helloFrameBytes
//	+ Loops × (ReadBufferBytes + 2 × MaxOutboxBytes)
//
// beside what the kernel keeps in socket buffers.
type ServerOptions struct {
	// Addr is the address to listen on, host:port. Port 0 takes any free port,
	// which Server.Addr then tells.
	Addr string

	// Loops is the number of event loops, each a goroutine that owns its conns.
	// Default: 1 on up to 2 cores, otherwise half the cores, 8 at most. More
	// loops than cores make every response wait for a core.
	Loops int

	// MaxConns bounds the conns open at one time. Default: 10,000, or what the
	// descriptor limit leaves. A conn above the bound is told so and closed, or one
	// that has said no hello.
	MaxConns int

	// ReservedFiles is the number of descriptors kept away from conns, for the
	// WAL, checkpoints and links. Default 512, or half the limit where that is
	// less.
	ReservedFiles int

	// MaxFrameBytes bounds the length field of a request. Default
	// wire.MaxFrameBytes.
	MaxFrameBytes int

	// MaxOutboundBytes bounds the responses that wait in this process for one
	// conn which reads too slowly. A conn above it is closed. Default 4 MiB.
	MaxOutboundBytes int

	// MaxBufferedBytes bounds what all conns keep together: half-read frames, what
	// was read beyond the budget of a round, and unsent responses, which count
	// twice and 32 KiB besides. Those that keep most are closed when it is passed.
	// Default 512 MiB.
	MaxBufferedBytes int

	// MaxOutboxBytes bounds, per loop, what Send took and the loop has not yet
	// fetched. A conn whose response does not fit is closed. Default
	// 64 MiB, or what is its share with several loops, 16 MiB at least.
	MaxOutboxBytes int

	// ReadBufferBytes is what one loop reads from a conn at once, rounded up to
	// a power of two. Default 16 KiB. Larger values let one busy conn delay the
	// others for longer.
	ReadBufferBytes int

	// HelloTimeout is the time a conn has for its whole hello. Default 5 s.
	HelloTimeout time.Duration

	// FrameTimeout is the time a conn has to send the rest of a frame it began,
	// and to close after it was refused. Default 10 s.
	FrameTimeout time.Duration

	// IdleTimeout closes a conn which sent nothing for so long. It must be
	// longer than the longest session lease. Default 2 h.
	IdleTimeout time.Duration

	// UnreadTimeout closes a conn for which responses wait in this process and
	// which has taken none of them for so long. Default 30 s.
	UnreadTimeout time.Duration

	// KeepAlive is the idle time after which TCP probes the other side; five
	// lost probes, a fifth of it apart, close the conn. Default 15 s.
	KeepAlive time.Duration

	// Logf, if not nil, receives what gnet has to say: warnings and errors only.
	Logf func(format string, args ...any)
}

// MemoryBytes is the most memory the client port takes, each bound at its
// default where none is given.
func (o *ServerOptions) MemoryBytes() uint64 {
	d := *o
	setDefault(&d.Loops, defaultLoops(runtime.GOMAXPROCS(0)))
	setDefault(&d.MaxConns, defaultMaxConns)
	setDefault(&d.MaxBufferedBytes, defaultMaxBufferedBytes)
	setDefault(&d.MaxOutboxBytes, outboxBytes(d.Loops))
	setDefault(&d.ReadBufferBytes, defaultReadBufferBytes)
	return uint64(d.MaxBufferedBytes) + uint64(d.MaxConns)*helloFrameBytes +
		uint64(d.Loops)*(uint64(d.ReadBufferBytes)+2*uint64(d.MaxOutboxBytes))
}

// withDefaults returns o with every default filled in, or what is wrong with it.
// files is the descriptor limit of the process.
func (o ServerOptions) withDefaults(files uint64) (ServerOptions, error) {
	setDefault(&o.Loops, defaultLoops(runtime.GOMAXPROCS(0)))
	setDefault(&o.ReservedFiles, int(min(defaultReservedFiles, files/2)))
	setDefault(&o.MaxFrameBytes, wire.MaxFrameBytes)
	setDefault(&o.MaxOutboundBytes, defaultMaxOutboundBytes)
	setDefault(&o.MaxBufferedBytes, defaultMaxBufferedBytes)
	setDefault(&o.MaxOutboxBytes, outboxBytes(o.Loops))
	setDefault(&o.ReadBufferBytes, defaultReadBufferBytes)
	setDefault(&o.HelloTimeout, defaultHelloTimeout)
	setDefault(&o.FrameTimeout, defaultFrameTimeout)
	setDefault(&o.IdleTimeout, defaultIdleTimeout)
	setDefault(&o.UnreadTimeout, defaultUnreadTimeout)
	setDefault(&o.KeepAlive, defaultKeepAlive)

	room := int64(min(files, 1<<30)) - int64(o.ReservedFiles)
	if o.MaxConns == 0 {
		o.MaxConns = int(max(0, min(defaultMaxConns, room)))
	}
	if o.MaxConns < 1 || int64(o.MaxConns) > room {
		return o, fmt.Errorf("%w: %d conns and %d reserved files, but at most %d open files; "+
			"raise the limit (ulimit -n) or lower the number of conns",
			ErrDescriptors, o.MaxConns, o.ReservedFiles, files)
	}
	return o, o.check()
}

func (o *ServerOptions) check() error {
	switch {
	case o.Loops < 1 || o.Loops > maxLoops:
		return fmt.Errorf("netio: %d event loops, want 1 to %d", o.Loops, maxLoops)
	case o.MaxFrameBytes < helloFrameBytes:
		return fmt.Errorf("netio: frames of at most %d bytes, want at least %d",
			o.MaxFrameBytes, helloFrameBytes)
	case o.MaxOutboundBytes < o.MaxFrameBytes:
		return fmt.Errorf("netio: %d outbound bytes per conn, want at least one frame of %d",
			o.MaxOutboundBytes, o.MaxFrameBytes)
	case o.MaxOutboxBytes < o.MaxFrameBytes:
		return fmt.Errorf("netio: %d outbox bytes per loop, want at least one frame of %d",
			o.MaxOutboxBytes, o.MaxFrameBytes)
	case o.MaxBufferedBytes < o.MaxOutboundBytes:
		return fmt.Errorf("netio: %d buffered bytes of all conns, want at least those of one, %d",
			o.MaxBufferedBytes, o.MaxOutboundBytes)
	case min(o.HelloTimeout, o.FrameTimeout, o.IdleTimeout, o.UnreadTimeout, o.KeepAlive) < 0:
		return fmt.Errorf("netio: negative timeout: hello %v, frame %v, idle %v, unread %v, "+
			"keepalive %v", o.HelloTimeout, o.FrameTimeout, o.IdleTimeout, o.UnreadTimeout, o.KeepAlive)
	}
	return nil
}

// defaultLoops leaves half the cores to the engine, the links and the log.
func defaultLoops(cores int) int {
	if cores <= 2 {
		return 1
	}
	return min(cores/2, 8)
}

// outboxBytes is what one of so many loops may have waiting.
func outboxBytes(loops int) int {
	return max(leastMaxOutboxBytes, defaultMaxOutboxBytes/max(1, loops))
}

// setDefault sets *field to value where it is zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

package proxy

import (
	"strconv"
	"time"
)

// Direction is one of the two ways through a Proxy.
type Direction uint8

// The directions.
const (
	Up   Direction = 0 // from the end that dialed to the target
	Down Direction = 1 // from the target to the end that dialed

	directions = 2
)

// String returns the name of d.
func (d Direction) String() string {
	if d == Up {
		return "up"
	}
	return "down"
}

// Gate says whether a direction carries anything.
type Gate uint8

// The gates.
const (
	Open    Gate = iota
	Hold         // keeps what is sent until the gate opens
	Swallow      // forgets what is sent
)

// String returns the name of g.
func (g Gate) String() string {
	switch g {
	case Open:
		return "open"
	case Hold:
		return "hold"
	case Swallow:
		return "swallow"
	default:
		return "gate " + strconv.Itoa(int(g))
	}
}

// Harm is what may be done to a frame; see the package comment.
type Harm uint8

// The harms.
const (
	Lose Harm = iota
	Repeat
	Swap
	Replay
	Garble
	Sever
	HalfClose
	Endless

	Harms // their number
)

// String returns the name of h.
func (h Harm) String() string {
	switch h {
	case Lose:
		return "lose"
	case Repeat:
		return "repeat"
	case Swap:
		return "swap"
	case Replay:
		return "replay"
	case Garble:
		return "garble"
	case Sever:
		return "sever"
	case HalfClose:
		return "half-close"
	case Endless:
		return "endless"
	default:
		return "harm " + strconv.Itoa(int(h))
	}
}

// Odds are how many of a thousand frames suffer each Harm. Their sum is at most
// a thousand: a frame suffers one harm or none.
type Odds [Harms]int

// Rules are what one direction does. The zero value passes everything on.
type Rules struct {
	// Gate shuts the direction.
	Gate Gate
	// Odds harm frames at random.
	Odds Odds
	// Delay is how long a frame takes, Jitter what is drawn and added to it.
	// Frames keep their order.
	Delay, Jitter time.Duration
	// BytesPerSecond bounds the speed, and makes the Proxy read no more than it
	// can write soon. Zero is no bound.
	BytesPerSecond int
}

// Stats counts what a Proxy has done.
type Stats struct {
	// Conns counts connections taken.
	Conns uint64
	// Frames and Bytes count what came, by direction.
	Frames, Bytes [directions]uint64
	// Swallowed counts frames that came while the gate swallowed.
	Swallowed uint64
	// Done counts frames by what was done to them.
	Done [Harms]uint64
}

package proxy

import (
	"encoding/binary"
	"math/rand/v2"

	"lockd/netio/wire"
)

// limit is the largest frame of a protocol.
func (p Protocol) limit() int {
	if p == Clients {
		return wire.MaxFrameBytes
	}
	return wire.MaxPeerFrameBytes
}

// cut returns the size of the frame that b begins with, or zero if it is not
// whole yet. Bytes that are no frame count as one, so that they pass.
func (p Protocol) cut(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	size, err := p.frameBytes(b)
	switch {
	case err != nil:
		return len(b)
	case size > len(b):
		return 0
	}
	return size
}

func (p Protocol) frameBytes(b []byte) (int, error) {
	if p == Clients {
		return wire.FrameBytes(b, p.limit())
	}
	return wire.PeerFrameBytes(b, p.limit())
}

// greets reports whether a frame belongs to the opening of a connection or to
// its refusal.
func (p Protocol) greets(frame []byte) bool {
	const kindOffset = 4 // behind the length, in both protocols
	if len(frame) <= kindOffset {
		return false
	}
	if p == Clients {
		switch wire.Kind(frame[kindOffset]) {
		case wire.KindHello, wire.KindWelcome, wire.KindRefused:
			return true
		}
		return false
	}
	return wire.PeerKind(frame[kindOffset]) <= wire.PeerKindProof
}

// garbled returns a copy of a frame with one byte changed.
func garbled(frame []byte, draw *rand.Rand) []byte {
	bad := append([]byte(nil), frame...)
	bad[draw.IntN(len(bad))] ^= byte(1 + draw.IntN(255))
	return bad
}

// endless returns a copy of a frame that claims to be as long as may be.
func endless(frame []byte, p Protocol) []byte {
	long := append([]byte(nil), frame...)
	if len(long) >= 4 {
		binary.LittleEndian.PutUint32(long, uint32(p.limit()-4))
	}
	return long
}

// past keeps the last frames of a direction for replays.
type past struct {
	frames [pastFrames][]byte
	next   int
}

// A past holds at most pastFrames frames of at most pastFrameBytes.
const (
	pastFrames     = 64
	pastFrameBytes = 64 << 10
)

// keep remembers a frame in place of the oldest one.
func (p *Proxy) keep(d Direction, frame []byte) {
	if len(frame) > pastFrameBytes || p.opts.Protocol.greets(frame) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	past := &p.mu.past[d]
	past.frames[past.next] = append([]byte(nil), frame...)
	past.next = (past.next + 1) % pastFrames
}

// recall returns an old frame of a direction, nil if there is none.
func (p *Proxy) recall(d Direction, draw *rand.Rand) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.past[d].frames[draw.IntN(pastFrames)]
}

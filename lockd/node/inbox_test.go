package node

import (
	"testing"

	"lockd/netio/wire"
)

func TestInboxTakesOneFrameOfAnySize(t *testing.T) {
	in := NewInbox(100)
	if !in.Request(1, make([]byte, 300)) {
		t.Error("an empty inbox refused a frame larger than itself, want it taken")
	}
	if in.Request(1, make([]byte, 1)) {
		t.Error("a full inbox took a frame, want it refused")
	}
	in.take(box{})
	if !in.Request(1, make([]byte, 100)) {
		t.Error("an inbox refused a frame that fits after a turn, want it taken")
	}
}

// Frames of a few bytes are bounded by what their items take.
func TestInboxCountsItems(t *testing.T) {
	const room = 10 << 10
	in := NewInbox(room)
	taken := 0
	for in.Request(1, make([]byte, 16)) {
		taken++
	}
	if most := room / itemBytes; taken == 0 || taken > most {
		t.Errorf("took %d frames of 16 bytes, want 1 to %d", taken, most)
	}
	in.ConnClosed(1)
	if got := in.take(box{}); len(got.items) != taken+1 {
		t.Errorf("items: got %d, want %d: the end of a conn is always heard", len(got.items), taken+1)
	}
}

// TestFN5OneConnDoesNotCrowdOutAnother: a conn that floods the node has a share
// of what waits; another one finds room, and is served within a turn or two.
func TestFN5OneConnDoesNotCrowdOutAnother(t *testing.T) {
	in := NewInbox(64 << 20)
	frame := make([]byte, 16)
	taken := 0
	for in.Request(1, frame) {
		if taken++; taken > 1<<20 {
			t.Fatalf("got %d requests of one conn taken, want an end", taken)
		}
	}
	if weight := taken * (len(frame) + itemBytes); weight < crowdedBytes {
		t.Errorf("refused at %d bytes, want no share below %d", weight, crowdedBytes)
	}
	for _, c := range []ConnID{2, 3} {
		if !in.Request(c, frame) {
			t.Errorf("conn %d: got no room beside conn 1, want some", c)
		}
	}
	in.PeerFrame(2, 5, make([]byte, 1<<20))
	if full := in.take(box{}); len(full.items) != taken+3 {
		t.Errorf("items: got %d, want %d", len(full.items), taken+3)
	}
	if !in.Request(1, frame) {
		t.Error("after a turn: got no room for conn 1, want some")
	}
}

// A flood of requests must not cost the node its leaderships, nor others their
// sessions: peers, renewals and what gives back find room when it has none
// left for itself (I29, I33).
func TestFloodLeavesRoomForOthers(t *testing.T) {
	const room = 64 << 10
	in := NewInbox(room)
	name := []byte("flooded")
	flood := wire.AppendGet(nil, wire.Header{Request: 1}, &wire.Get{Name: name})
	asked := 0
	for in.Request(1, flood) {
		asked++
	}
	if asked == 0 {
		t.Fatal("an empty inbox refused a request")
	}
	renewals := wire.AppendKeepalive(nil, wire.Header{Request: 2}, make([]wire.SessionRef, 100))
	release := wire.AppendRelease(nil, wire.Header{Request: 3}, &wire.Release{Name: name})
	for _, frame := range [][]byte{renewals, release} {
		if !in.Request(2, frame) {
			t.Errorf("kind %d was refused because of the requests of another conn", frame[4])
		}
	}
	before := in.dropped.Load()
	in.PeerFrame(2, uint8(wire.PeerKindMessages), make([]byte, room/8))
	if in.dropped.Load() != before {
		t.Error("a frame of a peer was dropped because of requests")
	}
	// Renewals alone must not keep peers out either.
	for in.Request(3, renewals) {
	}
	before = in.dropped.Load()
	in.PeerFrame(3, uint8(wire.PeerKindMessages), make([]byte, room/16))
	if in.dropped.Load() != before {
		t.Error("a frame of a peer was dropped because of renewals")
	}
}

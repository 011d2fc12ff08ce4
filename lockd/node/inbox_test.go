package node

import "testing"

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

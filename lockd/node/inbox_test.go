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

package netio

import "testing"

// A link that is reset is down on both sides, and comes anew by itself; another peer's
// is left alone.
func TestReset(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	a, _ := pair(t, one, two)
	a.Reset(3)
	for _, of := range []uint16{2, 0} {
		a.Reset(of)
		one.down(t, DownTimeout)
		two.down(t, DownReset)
		one.next(t, "up")
		two.next(t, "up")
	}
}

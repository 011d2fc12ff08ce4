package wire

import (
	"bytes"
	"reflect"
	"testing"
)

// A page with as much as may be in it fits a frame, and one with as little as may be in
// each hold is read.
func TestHistoryPagesOfAllSizes(t *testing.T) {
	for _, n := range []int{0, 1, 128, 256} {
		x := HistoryPage{NowMillis: 1, Spans: make([]Span, MaxSpans)}
		for range MaxPage {
			p := PastHold{How: EndReleased, Client: bytes.Repeat([]byte("c"), min(n, MaxClientNameBytes)),
				Who:    bytes.Repeat([]byte("w"), min(n, MaxClientNameBytes)),
				Reason: bytes.Repeat([]byte("r"), min(n, MaxReasonBytes))}
			x.Holds = append(x.Holds, p)
		}
		b := AppendHistoryPage(nil, &x)
		got, err := DecodeHistoryPage(b)
		if err != nil || !reflect.DeepEqual(got, x) {
			t.Errorf("texts of %d bytes: got %v, want the page", n, err)
		}
		if frame := HeaderBytes + responseFixedBytes + len(b); frame > maxHistoryBytes {
			t.Errorf("texts of %d bytes: got %d bytes, want %d at most", n, frame, maxHistoryBytes)
		}
	}
}

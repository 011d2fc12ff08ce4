package wire

import "testing"

// chaseSamples are the frames of circles over several groups.
func chaseSamples() []sample {
	chase := Chase{ChaseNode, 0, []Flow{{0x1122334455667788, 77}, {0x99, 0}}}
	again := Chase{ChaseGroup, 64, []Flow{{0x99, 0}}}
	waits := Chased{32, []ChasedWait{{Flow{0x1122334455667788, 77}, 9, 12, 10, 2,
		[]byte("ci"), []byte("gpu"), []Blocker{{Flow{0x99, 0}, 4, 2, 88125},
			{Flow{0x99, 1}, 4, 3, 0}}, 0}}}
	several := Chased{0, []ChasedWait{
		{Flow{0x99, 0}, 4, 3, 10, 0, []byte("ci"), []byte("a"), []Blocker{{Flow{0x77, 0}, 5, 2, 9}}, 0},
		{Flow{0x99, 0}, 4, 3, 10, 0, []byte("ci"), []byte("b"), []Blocker{{Flow{0x77, 0}, 5, 2, 10},
			{Flow{0x55, 2}, 6, 1, 0}, {Flow{0x55, 3}, 6, 4, 0}}, 2}}}
	return []sample{
		frame("chase", Header{Kind: KindChase, Request: 22}, chase, AppendChase, DecodeChase),
		frame("chase_group", Header{KindChase, 0, 10, 23}, again, AppendChase, DecodeChase),
		response("response_chase", Header{Kind: KindResponse, Request: 22},
			Response{Status: StatusOK}, waits, AppendChased, DecodeChased),
		response("response_chase_several", Header{Kind: KindResponse, Request: 22},
			Response{Status: StatusOK}, several, AppendChased, DecodeChased),
	}
}

// chasesAgain feeds the decoders of circles over several groups.
func chasesAgain(t *testing.T, b []byte) {
	again(t, b, DecodeChase, AppendChase)
	again(t, b, DecodeChased, payload(AppendChased))
}

// TestYields proves that of any two waits exactly one yields, and pins the ranks.
func TestYields(t *testing.T) {
	var all []ChasedWait
	for group := range uint16(3) {
		for session := range uint64(3) {
			for request := range uint64(3) {
				for weight := range uint8(2) {
					all = append(all, ChasedWait{Group: group, Session: session, Request: request,
						Weight: weight})
				}
			}
		}
	}
	for i := range all {
		for j := range all {
			v, w := &all[i], &all[j]
			if i != j && (v.Yields(w) == w.Yields(v) || v.Weight < w.Weight && !v.Yields(w)) {
				t.Errorf("%+v and %+v: got %v and %v", v, w, v.Yields(w), w.Yields(v))
			}
		}
	}
	w := ChasedWait{Group: 10, Session: 9, Request: 12}
	if got := w.rank(); got != 0x45e7f61cbb034e39 {
		t.Errorf("rank: got %x, want 45e7f61cbb034e39", got)
	}
}

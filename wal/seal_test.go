package wal

import (
	"sync"
	"testing"

	"lockd/wal/disk/simdisk"
)

// TestSealBesideAppends appends while an idle log is sealed. Nobody looks again whether
// it is idle before something is submitted, and what FlushHere writes is not: so the log
// is sealed when seal returns, whatever came beside.
func TestSealBesideAppends(t *testing.T) {
	nanos := int64(1)
	s, _, _ := quickSyncer(t, simdisk.New(drawFrom(1)), &nanos)
	for round := range 20000 {
		s.Append(Record{Group: 1, Kind: KindState, Data: []byte("x")})
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		var beside sync.WaitGroup
		beside.Go(func() { s.Append(Record{Group: 1, Kind: KindState, Data: []byte("y")}) })
		if err := s.seal(); err != nil {
			t.Fatal(err)
		}
		if !s.writer.front.sealed {
			t.Fatalf("round %d: not sealed, and nobody would come back to that", round)
		}
		beside.Wait()
	}
}

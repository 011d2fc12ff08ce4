package main

import "testing"

func TestGarbageIsBoundedOnALargeHeap(t *testing.T) {
	for _, row := range []struct {
		live uint64
		want int
	}{
		{0, 100}, {20 << 20, 100}, {128 << 20, 100}, {256 << 20, 50}, {1 << 30, 12}, {8 << 30, 12},
	} {
		if got := gcPercent(row.live); got != row.want {
			t.Errorf("%d MiB live: got %d %%, want %d %%", row.live>>20, got, row.want)
		}
	}
}

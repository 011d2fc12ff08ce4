package main

import (
	"testing"
	"time"
)

// A time is counted to one part in timeSteps, in a step that begins where the one
// before ends.
func TestTimesAreExactToAStep(t *testing.T) {
	for n := uint64(0); n < 1<<44; n += 1 + n/57 {
		step := stepOf(n)
		if end := endOf(step); end < n || end-n > n/timeSteps || stepOf(end) != step ||
			stepOf(end+1) != step+1 {
			t.Fatalf("%d is in step %d, which ends at %d", n, step, end)
		}
	}
	var all times
	for i := 1; i <= 1000; i++ {
		var one times
		one.add(time.Duration(i) * time.Millisecond)
		all.merge(&one)
	}
	for _, row := range []struct{ thousandths, want int }{{500, 500}, {990, 990}, {1000, 1000}} {
		got, want := all.below(row.thousandths), time.Duration(row.want)*time.Millisecond
		if got < want || got > want+want/timeSteps || got > all.longest {
			t.Errorf("below %d: got %v, want %v", row.thousandths, got, want)
		}
	}
	if got := new(times).below(990); got != 0 {
		t.Errorf("of none: got %v, want 0", got)
	}
}

package disk

import (
	"testing"
	"time"
)

func TestBootNanosAdvancesWithRealTime(t *testing.T) {
	began, start := BootNanos(), time.Now()
	<-time.After(20 * time.Millisecond)
	went, want := time.Duration(BootNanos()-began), time.Since(start)
	if went < 20*time.Millisecond || went > want+10*time.Millisecond {
		t.Errorf("got %v on the boot clock, want %v", went, want)
	}
}

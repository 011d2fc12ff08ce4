package faulttest

import (
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	var values []time.Duration
	for i := 100; i > 0; i-- {
		values = append(values, time.Duration(i))
	}
	for _, row := range []struct {
		share float64
		want  time.Duration
	}{{0.5, 50}, {0.9, 90}, {0.99, 99}, {1, 100}, {0, 1}} {
		if got := Quantile(values, row.share); got != row.want {
			t.Errorf("%v of 1 to 100: got %d, want %d", row.share, got, row.want)
		}
	}
	if got := Quantile(values[:1], 0.5); got != 100 {
		t.Errorf("of one value: got %d, want 100", got)
	}
}

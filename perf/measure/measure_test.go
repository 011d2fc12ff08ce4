package measure

import (
	"os"
	"testing"
	"time"
)

func TestLatencyOfKnownValues(t *testing.T) {
	r := NewRecorder()
	for i := range 1000 {
		r.Record(i, time.Duration(i+1)*time.Millisecond)
	}
	got := r.Latency()
	near := func(name string, got, want time.Duration) {
		t.Helper()
		if off := (got - want).Abs(); off > want/500 {
			t.Errorf("%s: got %v, want %v within 0.2 %%", name, got, want)
		}
	}
	if got.Count != 1000 {
		t.Errorf("count: got %d, want 1000", got.Count)
	}
	near("mean", got.Mean, 500500*time.Microsecond)
	near("p50", got.P50, 500*time.Millisecond)
	near("p99", got.P99, 990*time.Millisecond)
	near("p99.9", got.P999, 999*time.Millisecond)
	near("max", got.Max, time.Second)
}

func TestLatencyOutsideTheRange(t *testing.T) {
	r := NewRecorder()
	if got := (r.Latency()); got != (Latency{}) {
		t.Errorf("empty recorder: got %+v, want zeros", got)
	}
	r.Record(0, time.Hour)
	if got := r.Latency().Max; got < time.Minute || got > 61*time.Second {
		t.Errorf("an hour: got %v, want the end of the range", got)
	}
}

func TestSpreadOf(t *testing.T) {
	tests := []struct {
		rounds []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{7}, Spread{7, 7, 7}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{4, 1, 2, 9}, Spread{3, 1, 9}},
	}
	for _, test := range tests {
		if got := SpreadOf(test.rounds); got != test.want {
			t.Errorf("SpreadOf(%v): got %v, want %v", test.rounds, got, test.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	const line = "42 (a (b) c) S 1 42 42 0 -1 4194304 9 0 0 0 130 20 0 0 20 0 1 0 5 0 0"
	got, err := parseStat(line)
	if want := 1500 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "42 (a", "42 (a) S 1", "42 (a) S 1 2 3 4 5 6 7 8 9 0 x 1"} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q): got %v, want an error", bad, got)
		}
	}
}

func TestParseSystem(t *testing.T) {
	got, err := parseSystem("cpu  100 20 30 4000 50 6 7 8 0 0\ncpu0 1 2 3\n")
	want := SystemCPU{Busy: 1630 * time.Millisecond, Steal: 80 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := parseSystem("intr 1 2 3"); err == nil {
		t.Error("a line that is not cpu: got no error")
	}
}

// TestOwnCPUGrows burns CPU until both clocks have seen it.
func TestOwnCPUGrows(t *testing.T) {
	began, err := OwnCPU()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		own, err := OwnCPU()
		if err != nil {
			t.Fatal(err)
		}
		process, err := ProcessCPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if own-began >= 30*time.Millisecond && process > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got own %v and process %v after 5 s of work", own-began, process)
		}
	}
}

func TestDescribe(t *testing.T) {
	m, err := Describe(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if m.Cores < 1 || m.SyncAlone <= 0 || m.SyncOfThree <= 0 || m.FileSystem == "" {
		t.Errorf("got %+v, want cores, a file system and sync latencies", m)
	}
}

func TestDescriptionsOfProc(t *testing.T) {
	if got, want := cpuModel("vendor: x\nmodel name\t: Fast 3\n"), "Fast 3"; got != want {
		t.Errorf("cpuModel: got %q, want %q", got, want)
	}
	if got, want := memoryBytes("MemTotal:       16 kB\n"), uint64(16384); got != want {
		t.Errorf("memoryBytes: got %d, want %d", got, want)
	}
	if got, want := loadAverages("0.1 0.2 0.3 1/2 3\n"), "0.1 0.2 0.3"; got != want {
		t.Errorf("loadAverages: got %q, want %q", got, want)
	}
}

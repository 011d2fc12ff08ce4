package measure

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	lowest  = int64(time.Microsecond)
	highest = int64(time.Minute)
	digits  = 3
	// stripes bounds the memory of a recorder whatever the number of workers,
	// and keeps two workers off one lock most of the time.
	stripes = 16
)

// Recorder collects latencies from many goroutines.
type Recorder struct {
	stripe [stripes]struct {
		mu struct {
			sync.Mutex
			histogram *hdrhistogram.Histogram
		}
	}
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder {
	r := &Recorder{}
	for i := range r.stripe {
		r.stripe[i].mu.histogram = hdrhistogram.New(lowest, highest, digits)
	}
	return r
}

// Record adds one latency; worker spreads the locks. Latencies outside the
// range count at its ends.
func (r *Recorder) Record(worker int, latency time.Duration) {
	mu := &r.stripe[worker%stripes].mu
	mu.Lock()
	defer mu.Unlock()
	// The value is within the range, so the error is impossible.
	_ = mu.histogram.RecordValue(min(max(int64(latency), lowest), highest))
}

// Latency is what a report says of many latencies.
type Latency struct {
	Count int64         `json:"count"`
	Mean  time.Duration `json:"mean_ns"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	Max   time.Duration `json:"max_ns"`
}

// merged is all that was recorded so far.
func (r *Recorder) merged() *hdrhistogram.Histogram {
	all := hdrhistogram.New(lowest, highest, digits)
	for i := range r.stripe {
		mu := &r.stripe[i].mu
		mu.Lock()
		all.Merge(mu.histogram)
		mu.Unlock()
	}
	return all
}

// Export returns what was recorded so far, for Import in another process.
func (r *Recorder) Export() ([]byte, error) {
	text, err := r.merged().Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("measure: export: %w", err)
	}
	return text, nil
}

// Import adds what another recorder exported.
func (r *Recorder) Import(text []byte) error {
	other, err := hdrhistogram.Decode(text)
	if err != nil {
		return fmt.Errorf("measure: import: %w", err)
	}
	mu := &r.stripe[0].mu
	mu.Lock()
	defer mu.Unlock()
	mu.histogram.Merge(other)
	return nil
}

// Latency sums up what was recorded so far. It is zero if nothing was.
func (r *Recorder) Latency() Latency {
	all := r.merged()
	if all.TotalCount() == 0 {
		return Latency{}
	}
	return Latency{
		Count: all.TotalCount(),
		Mean:  time.Duration(all.Mean()),
		P50:   time.Duration(all.ValueAtQuantile(50)),
		P99:   time.Duration(all.ValueAtQuantile(99)),
		P999:  time.Duration(all.ValueAtQuantile(99.9)),
		Max:   time.Duration(all.Max()),
	}
}

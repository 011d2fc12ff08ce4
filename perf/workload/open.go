package workload

import (
	"context"
	"sync/atomic"
	"time"

	"lockd/perf/measure"
	"lockd/perf/target"
)

// open begins pairs at a fixed rate. Workers bounds how many are under way; a
// pair that has to wait for a worker is late, and its lateness counts. Pairs that
// were due and have not ended when the measurement does count with what they
// waited until then, so that a stall at the end is not left out either. Figures tell how
// late workers that had nothing else to do were woken, which is in the latencies and none
// of the service's doing.
func open(ctx context.Context, locker target.Locker, load Load, began func()) Result {
	t := newTally()
	p := &plan{
		first: time.Now(), every: time.Duration(float64(time.Second) / load.Rate),
		current: make([]atomic.Int64, load.Workers),
	}
	take, late := fresh(locker), measure.NewRecorder()
	t.ended = func(at time.Time) { p.outstanding(t, at) }
	work := func(ctx context.Context, worker int) {
		for ctx.Err() == nil {
			due := p.begin(worker)
			if early := time.Until(due); early > 0 {
				pause(ctx, early)
				if t.recording.Load() {
					late.Record(worker, time.Since(due))
				}
			}
			if ctx.Err() == nil {
				t.onePair(ctx, take, worker, load.Hold, due)
			}
		}
	}
	r := during(ctx, t, load, began, func(ctx context.Context, group *crew) {
		for worker := range load.Workers {
			group.start(func() { work(ctx, worker) })
		}
	})
	if l := late.Latency(); l.Count > 0 {
		millis := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		r.Figures = []Figure{
			{Name: "the load itself began a pair late, p50", Value: millis(l.P50), Unit: "ms"},
			{Name: "the load itself began a pair late, p99", Value: millis(l.P99), Unit: "ms"},
		}
	}
	return r
}

// plan says when each pair of an open loop is due.
type plan struct {
	first time.Time
	every time.Duration
	next  atomic.Int64 // number of the last pair that was begun; every worker adds
	// current is the number of each worker's pair; the worker writes it.
	current []atomic.Int64
}

func (p *plan) due(number int64) time.Time { return p.first.Add(time.Duration(number) * p.every) }

// begin gives a worker its next pair and tells when that is due.
func (p *plan) begin(worker int) time.Time {
	number := p.next.Add(1)
	p.current[worker].Store(number)
	return p.due(number)
}

// outstanding records what every pair that is due and has not ended has waited.
func (p *plan) outstanding(t *tally, at time.Time) {
	record := func(worker int, number int64) {
		if waited := at.Sub(p.due(number)); waited > 0 {
			t.lock.Record(worker, waited)
			t.pair.Record(worker, waited)
		}
	}
	for worker := range p.current {
		if number := p.current[worker].Load(); number > 0 {
			record(worker, number)
		}
	}
	for number := p.next.Load() + 1; p.due(number).Before(at); number++ {
		record(int(number%int64(len(p.current))), number)
	}
}

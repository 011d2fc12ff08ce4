package workload

import (
	"errors"
	"time"
)

// Raw is what a client process hands to perf beside its result.
type Raw struct {
	// Pair and Lock are the histograms of the latencies.
	Pair []byte `json:"pair"`
	Lock []byte `json:"lock"`
	// CPU is what the process used during the measurement.
	CPU time.Duration `json:"cpu_ns"`
}

// Export adds the histograms to a result that Run returned.
func (r *Result) Export(cpu time.Duration) error {
	pair, err := r.tally.pair.Export()
	if err != nil {
		return err
	}
	lock, err := r.tally.lock.Export()
	r.Raw = &Raw{Pair: pair, Lock: lock, CPU: cpu}
	return err
}

// Merge makes one result of those that several processes exported at the same
// time, and sums up their CPU time.
func Merge(parts []Result) (Result, time.Duration, error) {
	var all Result
	var cpu time.Duration
	t := newTally()
	for _, part := range parts {
		if part.Raw == nil {
			return Result{}, 0, errors.New("workload: a result without its histograms")
		}
		if err := errors.Join(t.pair.Import(part.Raw.Pair), t.lock.Import(part.Raw.Lock)); err != nil {
			return Result{}, 0, err
		}
		cpu += part.Raw.CPU
		all.PairsPerSecond += part.PairsPerSecond
		all.Elapsed = max(all.Elapsed, part.Elapsed)
		all.Errors += part.Errors
		if all.FirstError == "" {
			all.FirstError = part.FirstError
		}
		all.addWaited(part.Figures)
	}
	all.Pair, all.Lock = t.pair.Latency(), t.lock.Latency()
	return all, cpu, nil
}

// addWaited adds up who had no pair; other figures are of one process and of no others.
func (r *Result) addWaited(figures []Figure) {
	for _, f := range figures {
		switch {
		case f.Name != waitedThroughout:
		case len(r.Figures) == 0:
			r.Figures = []Figure{f}
		default:
			r.Figures[0].Value += f.Value
		}
	}
}

// Share is the part of a load that one of load.Clients processes carries.
func (l Load) Share(process int) Load {
	n := max(1, l.Clients)
	share := l
	share.Clients = 0
	share.Workers = l.Workers / n
	if process < l.Workers%n {
		share.Workers++
	}
	share.Rate = l.Rate / float64(n)
	return share
}

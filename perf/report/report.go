package report

import (
	"encoding/json"
	"io"
	"time"

	"lockd/perf/measure"
	"lockd/perf/workload"
)

// Report is one run of perf.
type Report struct {
	// Version is the commit that perf was built from, and Command what it was
	// told.
	Version string          `json:"version"`
	Command []string        `json:"command"`
	Machine measure.Machine `json:"machine"`
	Targets []Target        `json:"targets"`
	// Missing are targets that were asked for and could not be measured.
	Missing []Missing `json:"missing,omitempty"`
	// Cells are the measurements, in the order of their first round.
	Cells []*Cell `json:"cells"`
	// Baseline is the target that others are compared with.
	Baseline string `json:"baseline,omitempty"`
}

// Target is a service as the report names it.
type Target struct {
	Name       string `json:"name"`
	Durability string `json:"durability"`
	// Server and Client name the programs with their versions.
	Server string `json:"server"`
	Client string `json:"client"`
}

// Missing is a target that was not measured, and why.
type Missing struct {
	Target string `json:"target"`
	Reason string `json:"reason"`
}

// Cell is one target under one load, in every round.
type Cell struct {
	Target string        `json:"target"`
	Load   workload.Load `json:"load"`
	Rounds []Round       `json:"rounds"`
}

// Round is one measurement of a cell and what it cost.
type Round struct {
	workload.Result
	// Client is the CPU time that perf itself used, Servers that of each server
	// process.
	Client  time.Duration `json:"client_cpu_ns"`
	Servers []Server      `json:"servers"`
	// Other is the CPU time that the rest of the machine used, and Steal what
	// its host took away: noise.
	Other time.Duration `json:"other_cpu_ns"`
	Steal time.Duration `json:"steal_ns"`
}

// Server is the CPU time of one server process in one round.
type Server struct {
	Name string        `json:"name"`
	CPU  time.Duration `json:"cpu_ns"`
}

// Find returns the cell of a target and a load, or a new one.
func (r *Report) Find(target string, load workload.Load) *Cell {
	for _, c := range r.Cells {
		if c.Target == target && c.Load == load {
			return c
		}
	}
	c := &Cell{Target: target, Load: load}
	r.Cells = append(r.Cells, c)
	return c
}

// WriteJSON writes the report with every round.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// spread sums up one figure of all rounds.
func (c *Cell) spread(figure func(Round) float64) measure.Spread {
	var values []float64
	for _, round := range c.Rounds {
		values = append(values, figure(round))
	}
	return measure.SpreadOf(values)
}

// perPair is a cost in microseconds per pair, or 0 without pairs.
func (r Round) perPair(cost time.Duration) float64 {
	pairs := r.PairsPerSecond * r.Elapsed.Seconds()
	if pairs == 0 {
		return 0
	}
	return float64(cost.Nanoseconds()) / 1e3 / pairs
}

// servers is the CPU time of all server processes.
func (r Round) servers() time.Duration {
	var total time.Duration
	for _, s := range r.Servers {
		total += s.CPU
	}
	return total
}

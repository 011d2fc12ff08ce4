package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"lockd/perf/measure"
	"lockd/perf/workload"
)

// Format is the version of the JSON. A reader refuses another one.
const Format = 1

// Report is one run of perf.
type Report struct {
	// Format is the version of this form.
	Format int `json:"format"`
	// Version is the commit that perf was built from, and Command what it was
	// told.
	Version string          `json:"version"`
	Command []string        `json:"command"`
	Machine measure.Machine `json:"machine"`
	Targets []Target        `json:"targets"`
	// Missing are targets that were asked for and could not be measured, Unfit
	// the loads that make no sense for a target.
	Missing []Missing `json:"missing,omitempty"`
	Unfit   []Unfit   `json:"unfit,omitempty"`
	// Baseline is the target that others are compared with.
	Baseline string `json:"baseline,omitempty"`
	// Cells are the measurements, in the order of their first round.
	Cells []*Cell `json:"cells"`
}

// Target is a service as the report names it.
type Target struct {
	Name       string `json:"name"`
	Durability string `json:"durability"`
	// Server and Client name the programs with their versions, Flags what the
	// servers were told besides.
	Server string `json:"server"`
	Client string `json:"client"`
	Flags  string `json:"flags,omitempty"`
}

// Missing is a target that was not measured, and why.
type Missing struct {
	Target string `json:"target"`
	Reason string `json:"reason"`
}

// Unfit is a workload that was asked for and not run on a target, and why.
type Unfit struct {
	Target   string `json:"target"`
	Workload string `json:"workload"`
	Reason   string `json:"reason"`
}

// Cell is one target under one load, in every round.
type Cell struct {
	Target string        `json:"target"`
	Load   workload.Load `json:"load"`
	// Rounds are in the order of time. In a summary there is one, and every figure
	// of it is the median of those that ended; Rate and Summed then tell of them.
	Rounds []Round         `json:"rounds"`
	Rate   *measure.Spread `json:"rate,omitempty"`
	Summed int             `json:"summed,omitempty"`
}

// Round is one measurement of a cell and what it cost.
type Round struct {
	workload.Result
	// Broken says why the measurement ended before its time, if it did.
	Broken string `json:"broken,omitempty"`
	// Client is the CPU time that perf itself used, with the client processes it
	// started, Servers that of each server process.
	Client  time.Duration `json:"client_cpu_ns"`
	Servers []Server      `json:"servers,omitempty"`
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

// AddTarget adds a target, if it is not there yet.
func (r *Report) AddTarget(t Target) {
	for _, known := range r.Targets {
		if known == t {
			return
		}
	}
	r.Targets = append(r.Targets, t)
}

// AddMissing adds a target that is not measured, if it is not there yet.
func (r *Report) AddMissing(m Missing) {
	for _, known := range r.Missing {
		if known == m {
			return
		}
	}
	r.Missing = append(r.Missing, m)
}

// AddUnfit adds a load that is not run, if it is not there yet.
func (r *Report) AddUnfit(u Unfit) {
	for _, known := range r.Unfit {
		if known == u {
			return
		}
	}
	r.Unfit = append(r.Unfit, u)
}

// WriteJSON writes the report, a cell a line.
func (r *Report) WriteJSON(w io.Writer) error {
	head := *r
	head.Format, head.Cells = Format, nil
	text, err := json.MarshalIndent(head, "", " ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	before, after, _ := bytes.Cut(text, []byte("\n \"cells\": null"))
	var b bytes.Buffer
	b.Write(before)
	b.WriteString("\n \"cells\": [")
	for i, cell := range r.Cells {
		line, err := json.Marshal(cell)
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n  ")
		b.Write(line)
	}
	b.WriteByte(']')
	b.Write(after)
	b.WriteByte('\n')
	_, err = w.Write(b.Bytes())
	return err
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(from io.Reader) (*Report, error) {
	r := &Report{}
	if err := json.NewDecoder(from).Decode(r); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if r.Format != Format {
		return nil, fmt.Errorf("report: it has form %d, this perf knows %d; measure anew",
			r.Format, Format)
	}
	return r, nil
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

// cores is CPU time as a number of busy cores.
func (r Round) cores(used time.Duration) float64 {
	if r.Elapsed == 0 {
		return 0
	}
	return used.Seconds() / r.Elapsed.Seconds()
}

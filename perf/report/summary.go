package report

import (
	"slices"
	"time"

	"lockd/perf/measure"
	"lockd/perf/workload"
)

// Summary is the report with one round a cell, each figure of which is the
// median of all. The summary of a summary is itself.
func (r *Report) Summary() *Report {
	s := *r
	s.Cells = nil
	for _, c := range r.Cells {
		if len(c.Rounds) == 0 {
			continue
		}
		s.Cells = append(s.Cells, c.sum())
	}
	return &s
}

// sum is the cell with one round. Requires: it has one at least.
func (c *Cell) sum() *Cell {
	if c.Rate != nil {
		return c
	}
	var rates []float64
	for _, round := range ended(c.Rounds) {
		rates = append(rates, round.PairsPerSecond)
	}
	rate := measure.SpreadOf(rates)
	return &Cell{
		Target: c.Target, Load: c.Load, Rate: &rate, Summed: len(rates),
		Rounds: []Round{middle(c.Rounds)},
	}
}

// ended are the rounds that came to their end, or all if none did: what broke has
// no figures, and zeros for them would make a median of what nobody measured.
func ended(rounds []Round) []Round {
	whole := slices.DeleteFunc(slices.Clone(rounds), func(r Round) bool { return r.Broken != "" })
	if len(whole) == 0 {
		return rounds
	}
	return whole
}

// middle makes a round of the medians of those that ended; errors are added up.
func middle(all []Round) Round {
	rounds := ended(all)
	number := func(figure func(Round) float64) float64 {
		var values []float64
		for _, round := range rounds {
			values = append(values, figure(round))
		}
		return measure.SpreadOf(values).Median
	}
	length := func(figure func(Round) time.Duration) time.Duration {
		return time.Duration(number(func(r Round) float64 { return float64(figure(r)) }))
	}
	latency := func(of func(Round) measure.Latency) measure.Latency {
		return measure.Latency{
			Count: int64(number(func(r Round) float64 { return float64(of(r).Count) })),
			Mean:  length(func(r Round) time.Duration { return of(r).Mean }),
			P50:   length(func(r Round) time.Duration { return of(r).P50 }),
			P99:   length(func(r Round) time.Duration { return of(r).P99 }),
			P999:  length(func(r Round) time.Duration { return of(r).P999 }),
			Max:   length(func(r Round) time.Duration { return of(r).Max }),
		}
	}
	m := Round{
		Result: workload.Result{
			PairsPerSecond: number(func(r Round) float64 { return r.PairsPerSecond }),
			Elapsed:        length(func(r Round) time.Duration { return r.Elapsed }),
			Pair:           latency(func(r Round) measure.Latency { return r.Pair }),
			Lock:           latency(func(r Round) measure.Latency { return r.Lock }),
		},
		Client: length(func(r Round) time.Duration { return r.Client }),
		Other:  length(func(r Round) time.Duration { return r.Other }),
		Steal:  length(func(r Round) time.Duration { return r.Steal }),
	}
	for _, round := range all {
		m.Errors += round.Errors
		if m.Broken == "" {
			m.Broken = round.Broken
		}
		if m.FirstError == "" {
			m.FirstError = round.FirstError
		}
	}
	m.Timeline = middleTimeline(rounds)
	first := whole(rounds)
	for i, server := range first.Servers {
		m.Servers = append(m.Servers, Server{Name: server.Name,
			CPU: length(func(r Round) time.Duration { return at(r.Servers, i).CPU })})
	}
	for i, figure := range first.Figures {
		figure.Value = number(func(r Round) float64 { return at(r.Figures, i).Value })
		m.Figures = append(m.Figures, figure)
	}
	return m
}

// whole is the round with the most servers and figures: one that broke has none.
func whole(rounds []Round) Round {
	return slices.MaxFunc(rounds, func(a, b Round) int {
		return len(a.Servers) + len(a.Figures) - len(b.Servers) - len(b.Figures)
	})
}

// at is an element, or a zero where there is none.
func at[T any](list []T, i int) T {
	if i < len(list) {
		return list[i]
	}
	var none T
	return none
}

// middleTimeline is that of the round whose gap is the middle one.
func middleTimeline(rounds []Round) *workload.Timeline {
	var with []Round
	for _, round := range rounds {
		if round.Timeline != nil {
			with = append(with, round)
		}
	}
	if len(with) == 0 {
		return nil
	}
	slices.SortFunc(with, func(a, b Round) int { return int(a.Lock.P50 - b.Lock.P50) })
	return with[len(with)/2].Timeline
}

// Noise is the part of a core, or more than one, that the rest of the machine
// and its host took while pairs were measured, in the middle of all cells.
func (r *Report) Noise() float64 {
	var cores []float64
	for _, c := range r.Summary().Cells {
		if c.Rounds[0].Elapsed > 0 {
			cores = append(cores, c.Rounds[0].cores(c.Rounds[0].Other+c.Rounds[0].Steal))
		}
	}
	return measure.SpreadOf(cores).Median
}

// Broken counts the measurements that ended before their time, and quotes one.
func (r *Report) Broken() (count int, first string) {
	for _, c := range r.Cells {
		for _, round := range c.Rounds {
			if round.Broken == "" {
				continue
			}
			count++
			if first == "" {
				first = c.Target + ", " + c.Load.String() + ": " + round.Broken
			}
		}
	}
	return count, first
}

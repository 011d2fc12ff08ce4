package main

import (
	"time"

	"lockd/perf/launch"
	"lockd/perf/measure"
	"lockd/perf/report"
	"lockd/perf/workload"
)

// usage is the CPU time that everything has used up to a moment.
type usage struct {
	client  time.Duration
	servers []report.Server
	system  measure.SystemCPU
}

func readUsage(c *launch.Cluster) (usage, error) {
	var u usage
	var err error
	if u.client, err = measure.OwnCPU(); err != nil {
		return u, err
	}
	for _, p := range c.Processes {
		used, err := p.CPU()
		if err != nil {
			return u, err
		}
		u.servers = append(u.servers, report.Server{Name: p.Name(), CPU: used})
	}
	u.system, err = measure.ReadSystemCPU()
	return u, err
}

// since is a measurement with what was used since before.
func (u usage) since(before usage, result workload.Result) report.Round {
	round := report.Round{
		Result: result,
		Client: u.client - before.client,
		Steal:  u.system.Steal - before.system.Steal,
	}
	ours := round.Client
	for i, server := range u.servers {
		used := server.CPU - before.servers[i].CPU
		ours += used
		round.Servers = append(round.Servers, report.Server{Name: server.Name, CPU: used})
	}
	round.Other = max(0, u.system.Busy-before.system.Busy-ours)
	return round
}

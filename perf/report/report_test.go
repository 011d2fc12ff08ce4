package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"lockd/perf/measure"
	"lockd/perf/workload"
)

// sample is a report of two targets in three rounds.
func sample() *Report {
	r := &Report{
		Version:  "abc",
		Command:  []string{"perf", "run"},
		Machine:  measure.Machine{CPU: "Fast 3", Cores: 2, SyncAlone: 120 * time.Microsecond},
		Targets:  []Target{{"lockd", "synced", "lockd 1", "our own"}, {"redis", "none", "redis 7", "go"}},
		Baseline: "redis",
	}
	load := workload.Load{Workload: "uncontended", Workers: 20}
	for i, rate := range []float64{3000, 1000, 2000} {
		for _, target := range []string{"lockd", "redis"} {
			round := Round{
				Result: workload.Result{
					PairsPerSecond: rate,
					Elapsed:        time.Second,
					Pair:           measure.Latency{P50: 1500 * time.Microsecond},
				},
				Client:  10 * time.Millisecond,
				Servers: []Server{{target + "-1", 20 * time.Millisecond}},
			}
			if target == "redis" {
				round.PairsPerSecond *= 2
			}
			if i == 1 && target == "lockd" {
				round.Errors, round.FirstError = 3, "no leader"
			}
			c := r.Find(target, load)
			c.Rounds = append(c.Rounds, round)
		}
	}
	return r
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2 cores of Fast 3",
		"120 µs alone",
		"| lockd | synced | lockd 1 | our own |",
		"| uncontended, 20 workers | lockd | 2000 (1000–3000) | 0.50 | – | 1.50 ms |",
		"| uncontended, 20 workers | redis | 4000 (2000–6000) | 1.00 |",
		"| uncontended, 20 workers | lockd | 5.00 | 10.00 | lockd-1 10.00 |",
		"lockd, round 2: 3 errors, the first: no leader",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("got\n%s\nwant it to contain %q", b.String(), want)
		}
	}
}

func TestJSONKeepsEveryRound(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Cells) != 2 || len(got.Cells[0].Rounds) != 3 {
		t.Fatalf("got %d cells, want 2 of 3 rounds", len(got.Cells))
	}
	if rate := got.Cells[1].Rounds[0].PairsPerSecond; rate != 6000 {
		t.Errorf("first round of redis: got %v pairs/s, want 6000", rate)
	}
}

func TestShort(t *testing.T) {
	tests := map[time.Duration]string{
		0:                       "–",
		215 * time.Microsecond:  "215 µs",
		1234 * time.Microsecond: "1.23 ms",
		85 * time.Millisecond:   "85.0 ms",
		2 * time.Second:         "2.00 s",
	}
	for d, want := range tests {
		if got := short(d); got != want {
			t.Errorf("short(%d): got %q, want %q", d, got, want)
		}
	}
}

package report

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"lockd/perf/measure"
	"lockd/perf/workload"
)

// sample is a report of two targets in three rounds.
func sample() *Report {
	r := &Report{
		Version: "abc",
		Command: []string{"perf", "run"},
		Machine: measure.Machine{CPU: "Fast 3", Cores: 2, SyncAlone: 120 * time.Microsecond},
		Targets: []Target{
			{"lockd", "synced", "lockd 1", "our own", ""}, {"redis", "none", "redis 7", "go", ""},
		},
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
		"| uncontended, 20 workers | lockd | 2000 (1000–3000) | 0.50 \\* | – | 1.50 ms |",
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

// wholeReport is a report with something for every table and picture.
func wholeReport() *Report {
	r := sample()
	for _, workers := range []int{1, 320} {
		for _, target := range []string{"lockd", "redis"} {
			c := r.Find(target, workload.Load{Workload: "uncontended", Workers: workers})
			c.Rounds = append(c.Rounds, Round{Result: workload.Result{
				PairsPerSecond: float64(workers) * 100, Elapsed: time.Second,
			}, Client: time.Second, Servers: []Server{{target + "-1", time.Second}}})
		}
	}
	for _, rate := range []float64{100, 1000} {
		c := r.Find("lockd", workload.Load{Workload: "open", Workers: 9, Rate: rate})
		c.Rounds = append(c.Rounds, Round{Result: workload.Result{
			Pair: measure.Latency{P50: time.Millisecond, P99: 9 * time.Millisecond},
		}})
	}
	c := r.Find("lockd", workload.Load{Workload: "failover", Workers: 20, Trials: 3})
	for _, gap := range []time.Duration{time.Second, time.Millisecond, 80 * time.Millisecond} {
		c.Rounds = append(c.Rounds, Round{Result: workload.Result{
			Lock: measure.Latency{P50: gap},
			Timeline: &workload.Timeline{Bucket: 10 * time.Millisecond, Before: 20 * time.Millisecond,
				Pairs: []int{10, 10, int(gap.Milliseconds()), 10}},
		}})
	}
	c = r.Find("lockd", workload.Load{Workload: "memory", Count: 100})
	for _, bytes := range []float64{170, 150, 160} {
		c.Rounds = append(c.Rounds, Round{Result: workload.Result{
			Figures: []workload.Figure{{Name: "server memory per lock", Value: bytes, Unit: "B"}},
		}})
	}
	r.AddMissing(Missing{Target: "etcd", Reason: "not there"})
	r.AddUnfit(Unfit{Target: "redis", Workload: "failover", Reason: "one process"})
	r.AddUnfit(Unfit{Target: "redis", Workload: "failover", Reason: "one process"})
	return r
}

// TestSummaryIsEnough writes the same document from every round and from a
// summary that was written and read.
func TestSummaryIsEnough(t *testing.T) {
	full := wholeReport()
	var text strings.Builder
	if err := full.Summary().WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	read, err := ReadJSON(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	// Which round failed is all that a summary has lost.
	before, _, _ := strings.Cut(full.body(full.Pictures()), "round 2: 3 errors")
	after, _, _ := strings.Cut(read.body(read.Pictures()), "round 1: 3 errors")
	if before != after {
		t.Errorf("from all rounds\n%s\nfrom the summary\n%s", before, after)
	}
	for i, p := range full.Pictures() {
		if string(p.SVG) != string(read.Pictures()[i].SVG) {
			t.Errorf("%s differs when it is drawn from the summary", p.Name)
		}
	}
	for _, want := range []string{
		"| memory, up to 100 locks | lockd | server memory per lock | 160 B |",
		"| etcd | not measured: not there | – | – |",
		"- failover was not run on redis: one process\n",
	} {
		if !strings.Contains(after, want) {
			t.Errorf("got\n%s\nwant it to contain %q", after, want)
		}
	}
	if strings.Count(after, "failover was not run") != 1 {
		t.Error("what is unfit is said twice")
	}
}

// A round that broke has no figures, and is none of those of which a median is made.
func TestBrokenRoundsAreInNoMedian(t *testing.T) {
	r := sample()
	c := r.Cells[0]
	c.Rounds = append(c.Rounds, Round{Broken: "no pair"}, Round{Broken: "no pair"})
	got := r.Summary().Cells[0]
	if got.Rate.Median != 2000 || got.Rate.Min != 1000 || got.Rounds[0].PairsPerSecond != 2000 {
		t.Errorf("got %+v and %v pairs/s, want those of three rounds", got.Rate,
			got.Rounds[0].PairsPerSecond)
	}
	if got.Rounds[0].Broken == "" {
		t.Error("that rounds broke is forgotten")
	}
}

func TestPictures(t *testing.T) {
	var names []string
	for _, p := range wholeReport().Pictures() {
		names = append(names, p.Name)
		if strings.Contains(string(p.SVG), "NaN") {
			t.Errorf("%s has places that are none", p.Name)
		}
	}
	if got, want := strings.Join(names, " "),
		"throughput.svg latency.svg cpu.svg failover.svg"; got != want {
		t.Errorf("got pictures %s, want %s", got, want)
	}
	if line := wholeReport().Summary().of("failover")[0].Rounds[0].Timeline.Pairs[2]; line != 80 {
		t.Errorf("timeline: got that of a gap of %d ms, want the middle one, 80", line)
	}
	if pictures := (&Report{}).Pictures(); len(pictures) != 0 {
		t.Errorf("an empty report: got %d pictures", len(pictures))
	}
}

func TestReadJSONRefusesAnotherForm(t *testing.T) {
	for _, text := range []string{`{"format":99}`, `{}`, `[`} {
		if _, err := ReadJSON(strings.NewReader(text)); err == nil {
			t.Errorf("%s: got no error", text)
		}
	}
}

func TestUnlike(t *testing.T) {
	if unlike := wholeReport().Unlike(wholeReport()); len(unlike) != 0 {
		t.Errorf("a report and itself: got %q", unlike)
	}
	other := wholeReport()
	other.Machine.Cores, other.Targets[1].Server = 20, "redis 8"
	unlike := strings.Join(other.Unlike(wholeReport()), "; ")
	const want = "cores: 20 here, 2 there; redis's servers: redis 8 here, redis 7 there"
	if unlike != want {
		t.Errorf("got %q, want %q", unlike, want)
	}
	other = wholeReport()
	other.Machine.MemoryBytes, other.Machine.Kernel = 24<<30, "6.18"
	other.Machine.SyncAlone = 300 * time.Microsecond
	unlike = strings.Join(other.Unlike(wholeReport()), "; ")
	const slower = "memory: 24 GiB here, 0 GiB there; kernel: 6.18 here,  there; " +
		"a sync of the disk: 300 µs here, 120 µs there"
	if unlike != slower {
		t.Errorf("got %q, want %q", unlike, slower)
	}
	other = wholeReport()
	other.Targets[0].Server = "lockd 2"
	if unlike := other.Unlike(wholeReport()); len(unlike) != 0 {
		t.Errorf("another version of lockd is what is compared: got %q", unlike)
	}
}

func TestRewriteNeedsItsMarks(t *testing.T) {
	const begin, end = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
	for _, document := range []string{"", begin, end, end + begin, begin + begin + end,
		begin + end + end} {
		if _, err := wholeReport().Rewrite(document, nil); !errors.Is(err, ErrMarks) {
			t.Errorf("%q: got %v, want ErrMarks", document, err)
		}
	}
}

// TestPaired proves which loads have a line among the rates: those beside locks that
// are held have servers of their own, and pairs all the same.
func TestPaired(t *testing.T) {
	for load, want := range map[workload.Load]bool{
		{Workload: "uncontended"}:              true,
		{Workload: "uncontended", Held: 1_000}: true,
		{Workload: "memory", Count: 1_000}:     false,
	} {
		if got := load.Paired(); got != want {
			t.Errorf("%s: got %v, want %v", load, got, want)
		}
	}
}

// The table of goals has those that were measured, each on the right side of its bound.
func TestGoals(t *testing.T) {
	r := &Report{Machine: measure.Machine{SyncOfThree: 300 * time.Microsecond}}
	add := func(target string, load workload.Load, rate float64, pair, lock time.Duration) {
		c := r.Find(target, load)
		c.Rounds = append(c.Rounds, Round{
			Result: workload.Result{PairsPerSecond: rate, Elapsed: time.Second,
				Pair: measure.Latency{P50: pair, P99: 2 * pair}, Lock: measure.Latency{P50: lock, P99: lock}},
			Client: 3 * time.Second, Servers: []Server{{target + "-1", 6 * time.Second}},
		})
	}
	one := workload.Load{Workload: "uncontended", Workers: 1}
	many := workload.Load{Workload: "uncontended", Workers: 320}
	add("lockd", one, 900, 1500*time.Microsecond, 0)
	add("etcd", one, 200, 0, 0)
	add("echo", one, 9000, 110*time.Microsecond, 50*time.Microsecond)
	add("lockd", many, 30_000, 9*time.Millisecond, 0)
	add("lockd-one", many, 90_000, 4*time.Millisecond, 0)
	add("redis", many, 60_000, 5*time.Millisecond, 0)
	add("lockd", workload.Load{Workload: "failover", Trials: 9}, 1, 0, 310*time.Millisecond)
	add("lockd", workload.Load{Workload: "contended", Workers: 150, Keys: 15}, 15_000, 0, 0)
	add("lockd", workload.Load{Workload: "contended", Workers: 1500, Keys: 15}, 15_000, 0, 0)
	r.Cells[len(r.Cells)-1].Rounds[0].Errors = 2
	paused := workload.Load{Workload: "uncontended", Workers: 1, Think: workload.QueuePause}
	add("lockd", workload.Load{Workload: "handoff", Workers: 1}, 250, 0, 600*time.Microsecond)
	add("echo", paused, 290, 150*time.Microsecond, 80*time.Microsecond)
	add("fsync-3", paused, 220, 800*time.Microsecond, 350*time.Microsecond)
	var b strings.Builder
	if err := r.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 1 worker, × etcd | ≥ 4 | 4.50 | yes | – | – |",
		"| hand-over, p50, × (2 echoes + 1 sync of three at once) | ≤ 1.30 | 1.50 | no | – | – |",
		"| the same, × that floor after the pause that precedes each hand-over | ≤ 1.30 | 1.20 | " +
			"yes | – | – |",
		"| 1 worker, p50 of a pair, × (4 echoes + 2 syncs of three at once) | ≤ 1.50 | 1.88 | " +
			"no | – | – |",
		"| 320 workers, × Redis in memory | ≥ 1.50 | 0.50 | no | 1.50 | yes |",
		"| 320 workers, p99 of a pair, × that of Redis in memory | ≤ 1 | 1.80 | no | 0.80 | yes |",
		"| 150 workers on 15 keys | ≥ 15000 pairs/s | 15000 pairs/s | yes | – | – |",
		"| 320 workers, processor time of a pair, nodes and client | ≤ 14 µs | 300 µs | no | " +
			"100 µs | no |",
		"| a leader is killed: longest wait after it, p99 of the kills | ≤ 300 ms | " +
			"310 ms (the longest of 9) | no | – | – |",
		"| 1,500 workers on 15 keys | ≥ 15000 pairs/s | 15000 pairs/s (2 calls failed) | no | – | – |",
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("got\n%s\nwant it to contain %q", b.String(), want)
		}
	}
	for _, other := range []string{"ZooKeeper", "| 20 workers", "held for 50 ms"} {
		if strings.Contains(b.String(), other) {
			t.Errorf("got a goal of %q, which was not measured", other)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/perf/report"
	"lockd/perf/target"
	"lockd/perf/workload"
)

// TestClientProcesses shares a load between processes of this test's binary.
func TestClientProcesses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	name := filepath.Join(dir, "out.json")
	err := command(ctx, []string{"run", "--target", "echo,fsync", "--workers", "5", "--clients", "2",
		"--duration", "100ms", "--warmup", "10ms", "--rounds", "1", "--dir", dir, "--json", name,
		"--markdown", filepath.Join(dir, "out.md")})
	if err != nil {
		t.Fatal(err)
	}
	r, err := readReport(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 1 || len(r.Unfit) != 1 || r.Unfit[0].Target != "fsync" {
		t.Fatalf("got %d cells and unfit %v, want echo measured and fsync unfit", len(r.Cells), r.Unfit)
	}
	round := r.Cells[0].Rounds[0]
	if round.PairsPerSecond <= 0 || round.Pair.Count == 0 || round.Raw != nil || round.Client <= 0 {
		t.Errorf("got %+v, want pairs, latencies and the CPU of the client processes", round)
	}
}

func TestClientProcessSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"": "load", "{": "load", `{"target":"nonsense"}`: "nonsense",
	} {
		err := loadCommand(t.Context(), strings.NewReader(in+"\n"), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("task %q: got %v, want an error with %q", in, err, want)
		}
	}
}

// A measurement of pairs in which none ended is no figure, whatever else was right.
func TestNothingIsNoFigure(t *testing.T) {
	pairs, memory := workload.Load{Workload: "contended"}, workload.Load{Workload: "memory"}
	some := report.Round{Result: workload.Result{PairsPerSecond: 1}}
	for _, c := range []struct {
		load  workload.Load
		round report.Round
		want  error
	}{{pairs, report.Round{}, errNoPair}, {pairs, some, nil}, {memory, report.Round{}, nil}} {
		if got := nothing(c.load, c.round); got != c.want {
			t.Errorf("%s, %v pairs/s: got %v, want %v", c.load, c.round.PairsPerSecond, got, c.want)
		}
	}
}

// TestSuiteIsWhole has every workload and every target in it, and fits a budget.
func TestSuiteIsWhole(t *testing.T) {
	var targets, loads []string
	for _, s := range suite(extent{time.Second, time.Second, 1, 1}) {
		targets = append(targets, s.targets...)
		for _, load := range s.loads {
			loads = append(loads, load.Workload)
		}
	}
	for _, name := range target.Names() {
		if !slices.Contains(targets, name) {
			t.Errorf("the suite leaves out the target %s", name)
		}
	}
	for _, name := range workload.Names() {
		if !slices.Contains(loads, name) {
			t.Errorf("the suite leaves out the workload %s", name)
		}
	}
	p := plan{prewarm: time.Second}
	p.fit(time.Minute)
	least := p.estimate()
	if least > 20*time.Minute {
		t.Errorf("the briefest suite takes %v", least)
	}
	for _, budget := range []time.Duration{
		least + time.Minute, 30 * time.Minute, 45 * time.Minute, time.Hour,
	} {
		p.fit(budget)
		if off := (p.estimate() - budget).Abs(); off > time.Minute {
			t.Errorf("budget %v: got a plan of %v", budget, p.estimate())
		}
	}
}

// TestInterruptLeavesNothing ends a run in the middle: what was measured is
// written, and nothing stays.
func TestInterruptLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond+2*time.Second)
	defer cancel()
	name := filepath.Join(dir, "out.json")
	err := command(ctx, []string{"run", "--target", "echo", "--workers", "1", "--duration", "10s",
		"--warmup", "0s", "--rounds", "1", "--dir", dir, "--json", name})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("got %v left behind, %v", left, err)
	}
}

// fakeReport has lockd and redis under two loads.
func fakeReport(rate float64) *report.Report {
	r := &report.Report{Format: report.Format, Version: "abc", Baseline: "redis"}
	r.AddTarget(report.Target{Name: "lockd", Durability: "synced", Server: "lockd 1"})
	r.AddTarget(report.Target{Name: "redis", Durability: "none", Server: "redis-server 7"})
	for _, workers := range []int{1, 20} {
		load := workload.Load{Workload: "uncontended", Workers: workers, Duration: time.Second}
		for _, t := range r.Targets {
			c := r.Find(t.Name, load)
			round := report.Round{Result: workload.Result{PairsPerSecond: rate, Elapsed: time.Second}}
			if t.Name == "redis" {
				round.PairsPerSecond = 2000
			}
			c.Rounds = append(c.Rounds, round)
		}
	}
	return r
}

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	document, saved := filepath.Join(dir, "performance.md"), filepath.Join(dir, "results")
	if err := save(fakeReport(1000), saved); err != nil {
		t.Fatal(err)
	}
	args := []string{"publish", "--json", filepath.Join(saved, "run.json"), "--doc", document}
	text := "# By hand\n\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nalso by hand\n"
	if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // publishing again changes nothing
		if err := command(t.Context(), args); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"# By hand\n\n<!--", "-->\nalso by hand\n", "perf/throughput.svg",
			"| uncontended, 20 workers | lockd | 1000 (1000–1000) | 0.50"} {
			if !strings.Contains(string(got), want) {
				t.Errorf("got\n%s\nwant it to contain %q", got, want)
			}
		}
		if strings.Contains(string(got), "old") {
			t.Error("what was measured before is still there")
		}
	}
	for _, name := range []string{"last.json", "throughput.svg", "cpu.svg"} {
		if _, err := os.Stat(filepath.Join(dir, "perf", name)); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(document, []byte("# No marks\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := command(t.Context(), args); !errors.Is(err, report.ErrMarks) {
		t.Errorf("a document without marks: got %v, want ErrMarks", err)
	}
}

func TestSmokeComparesAndFailsOnlyOnBrokenRuns(t *testing.T) {
	last := filepath.Join(t.TempDir(), "last.json")
	says := func(r *report.Report, want string) {
		t.Helper()
		var b bytes.Buffer
		if err := smokeResult(&b, r, last); err != nil {
			t.Error(err)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("got\n%s\nwant it to contain %q", b.String(), want)
		}
	}
	says(fakeReport(1000), "there is no "+last)
	if err := writeFile(last, fakeReport(1000).Summary().WriteJSON); err != nil {
		t.Fatal(err)
	}
	says(fakeReport(100), "lockd, uncontended, 1 worker: 100 pairs/s, 0.05 × redis; "+
		"last run 1000 (now 0.10 of it), 0.50 × redis (now 0.10 of that)")
	unlike := fakeReport(1000)
	unlike.Targets[0].Flags = "--groups=3"
	says(unlike, "NOT COMPARED")
	says(unlike, "lockd's flags: --groups=3 here,  there")
	broken := fakeReport(1000)
	broken.Cells[1].Rounds[0].Errors, broken.Cells[1].Rounds[0].FirstError = 1, "no leader"
	if err := smokeResult(&bytes.Buffer{}, broken, last); err == nil ||
		!strings.Contains(err.Error(), "no leader") {
		t.Errorf("a broken run: got %v, want an error that quotes it", err)
	}
	broken.Cells[1].Rounds[0].Errors, broken.Cells[1].Rounds[0].Broken = 0, "no quorum"
	if err := smokeResult(&bytes.Buffer{}, broken, last); err == nil ||
		!strings.Contains(err.Error(), "no quorum") {
		t.Errorf("a measurement that ended early: got %v, want an error that quotes it", err)
	}
	if err := smokeResult(&bytes.Buffer{}, fakeReport(0), last); err == nil {
		t.Error("a run without a pair: got no error")
	}
}

// TestWhatDoesNotStartIsLeftOut has a service that ends at once beside one that
// works.
func TestWhatDoesNotStartIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "lockd")
	script := "#!/bin/sh\nif [ $1 = version ]; then echo lockd 9; else echo no such disk; exit 1; fi\n"
	if err := os.WriteFile(broken, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "out.json")
	err := command(t.Context(), []string{"run", "--target", "lockd,echo", "--lockd", broken,
		"--workers", "1", "--duration", "20ms", "--warmup", "1ms", "--rounds", "1", "--dir", dir,
		"--json", name, "--markdown", filepath.Join(dir, "out.md")})
	if err != nil {
		t.Fatal(err)
	}
	r, err := readReport(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 1 || r.Cells[0].Target != "echo" || len(r.Missing) != 1 ||
		!strings.Contains(r.Missing[0].Reason, "no such disk") {
		t.Errorf("got %d cells and missing %q, want echo alone and why", len(r.Cells), r.Missing)
	}
}

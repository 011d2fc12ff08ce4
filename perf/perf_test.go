package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/perf/launch"
	"lockd/perf/report"
	"lockd/perf/workload"
)

// TestMain lets the test binary serve the echo target and be a client process, as
// perf does.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "echo" || len(os.Args) == 2 && os.Args[1] == "load" {
		if err := command(context.Background(), os.Args[1:]); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestOptionsMakeLoads(t *testing.T) {
	o, err := parseOptions(strings.Fields("--workload uncontended,contended,handoff,open,failover,"+
		"readwrite,semaphore,crowd --workers 1,20 --keys 7 --rate 500,900 --trials 3 --hold 0,50ms "+
		"--reads 90 --permits 3 --clients 4 --lockd-flags --groups=8"), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, load := range o.loads() {
		got = append(got, load.String())
	}
	want := []string{
		"uncontended, 1 worker, 4 client processes", "uncontended, 20 workers, 4 client processes",
		"contended, 1 workers on 7 keys, hold 0s, 4 client processes",
		"contended, 1 workers on 7 keys, hold 50ms, 4 client processes",
		"contended, 20 workers on 7 keys, hold 0s, 4 client processes",
		"contended, 20 workers on 7 keys, hold 50ms, 4 client processes",
		"handoff (release to grant)",
		"open, 500 pairs/s, 4 client processes", "open, 900 pairs/s, 4 client processes",
		"open, 500 pairs/s, 4 client processes", "open, 900 pairs/s, 4 client processes",
		"failover, 3 kills (lock: longest wait after each)",
		"failover, 3 kills (lock: longest wait after each)",
		"read-write 90/10, 1 workers on 7 keys, 4 client processes",
		"read-write 90/10, 20 workers on 7 keys, 4 client processes",
		"semaphore of 3, 1 workers on 7 keys, hold 0s, 4 client processes",
		"semaphore of 3, 1 workers on 7 keys, hold 50ms, 4 client processes",
		"semaphore of 3, 20 workers on 7 keys, hold 0s, 4 client processes",
		"semaphore of 3, 20 workers on 7 keys, hold 50ms, 4 client processes",
		"crowd, 200 waiters for one lock",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got loads %q, want %q", got, want)
	}
	if want := []string{"--groups=8"}; !slices.Equal(o.lockdFlags, want) {
		t.Errorf("got lockd flags %q, want %q", o.lockdFlags, want)
	}
}

// TestOptionsMakeLoadsBesideOthers multiplies locks held and payloads.
func TestOptionsMakeLoadsBesideOthers(t *testing.T) {
	o, err := parseOptions(strings.Fields("--workers 20 --held 0,1000 --payload 0,64"),
		&bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	fresh := 0
	for _, load := range o.loads() {
		got = append(got, load.String())
		if load.Fresh() {
			fresh++
		}
	}
	want := []string{
		"uncontended, 20 workers", "uncontended, 20 workers, payload of 64 B",
		"uncontended, 20 workers, beside 1000 locks held",
		"uncontended, 20 workers, beside 1000 locks held, payload of 64 B",
	}
	if !slices.Equal(got, want) || fresh != 2 {
		t.Errorf("got loads %q, %d on servers of their own; want %q, 2", got, fresh, want)
	}
}

func TestOptionsSayWhatIsWrong(t *testing.T) {
	tests := map[string]string{
		"--workers 0":              "--workers",
		"--workers ,":              "--workers",
		"--workload hammer":        `"hammer"`,
		"--target ,":               "--target",
		"--rounds 0":               "--rounds",
		"--duration -1s":           "--duration",
		"uncontended":              `"uncontended"`,
		"--workload open --rate 0": "--rate",
		"--hold -1s":               "--hold",
		"--reads 101":              "--reads",
		"--clients 65":             "--clients",
		"--count 0":                "--count",
		"--held -1":                "--held",
		"--payload x":              "--payload",
	}
	for args, want := range tests {
		_, err := parseOptions(strings.Fields(args), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that names %s", args, err, want)
		}
	}
	if _, err := parseOptions([]string{"-h"}, &bytes.Buffer{}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: got %v, want help", err)
	}
}

// TestRunMeasuresEcho runs the whole program against the echo target.
func TestRunMeasuresEcho(t *testing.T) {
	dir := t.TempDir()
	name, table := filepath.Join(dir, "out.json"), filepath.Join(dir, "out.md")
	err := command(t.Context(), []string{"run", "--target", "echo", "--workload",
		"uncontended,open", "--workers", "3", "--duration", "60ms", "--warmup", "10ms",
		"--rounds", "2", "--rate", "1000", "--dir", dir, "--json", name, "--markdown", table})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 2 || len(r.Cells[0].Rounds) != 2 || r.Format != report.Format {
		t.Fatalf("got %d cells of form %d, want 2 of 2 rounds", len(r.Cells), r.Format)
	}
	for _, cell := range r.Cells {
		for _, round := range cell.Rounds {
			if round.PairsPerSecond <= 0 || round.Pair.Count == 0 || round.Errors != 0 {
				t.Errorf("%s: got %+v, want pairs and no errors", cell.Load, round.Result)
			}
		}
	}
	if text, err := os.ReadFile(table); err != nil || !strings.Contains(string(text), "echo") {
		t.Errorf("table: got %q, %v", text, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "lockd-perf-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("got directories %v left behind, %v", left, err)
	}
}

func TestRunNamesWhatIsMissing(t *testing.T) {
	err := command(t.Context(), []string{"run", "--target", "lockd",
		"--lockd", "/nonexistent/lockd"})
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("without a binary: got %v, want the way to get one", err)
	}
	err = command(t.Context(), []string{"run", "--target", "lockd,echo", "--lockd", "/nonexistent",
		"--workers", "1", "--duration", "20ms", "--warmup", "1ms", "--rounds", "1",
		"--markdown", filepath.Join(t.TempDir(), "out.md"), "--dir", t.TempDir()})
	if err != nil {
		t.Errorf("one of two without a binary: got %v, want the other measured", err)
	}
	err = command(t.Context(), []string{"run", "--target", "echo", "--workload",
		"failover,async", "--workers", "1", "--dir", t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "outlive one of its processes") {
		t.Errorf("failover of echo: got %v, want what it needs", err)
	}
}

func TestProfilesAreFetched(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/debug/pprof/") {
				_, _ = w.Write([]byte(r.URL.RequestURI()))
				return
			}
			http.NotFound(w, r)
		}))
	defer server.Close()
	dir := t.TempDir()
	s := &service{cluster: &launch.Cluster{
		Admin: []string{server.URL}, Processes: []*launch.Process{{}},
	}}
	load := workload.Load{Workload: "uncontended", Workers: 20, Duration: 2 * time.Second}
	if err := fetchProfiles(t.Context(), dir, s, load); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "-uncontended-20.cpu.pprof"))
	if want := "/debug/pprof/profile?seconds=2"; err != nil || string(got) != want {
		t.Errorf("CPU profile: got %q, %v, want what came from %q", got, err, want)
	}
	if err := download(t.Context(), server.URL+"/none", filepath.Join(dir, "x")); err == nil {
		t.Error("an address without a profile: got no error")
	}
}

func TestEchoStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		serveConns(ctx, listener, echo)
		close(ended)
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("got %d bytes back, %v, want 1", n, err)
	}
	cancel()
	<-ended
}

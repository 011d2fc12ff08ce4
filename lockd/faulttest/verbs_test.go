package faulttest

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
)

// TestElectionVerbs has two candidates run a command in turn while a third looks on.
func TestElectionVerbs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "test"})
	watch := startVerb(t, c, "election", "observe", "--events", "3", "boss")
	first := startVerb(t, c, "election", "run", "--value", "host:1", "boss", "--", "sleep", "1000")
	awaitLeader(t, cl, "boss", "host:1")
	second := startVerb(t, c, "election", "run", "--value", "host:2", "boss", "--", "sh", "-c",
		`test "$LOCKD_NAME" = boss && test "$LOCKD_TOKEN" -gt 0 && sleep 1000`)
	awaitWaiters(t, cl, "boss", 1)
	if code, out := onCluster(t, c, "election", "run", "-n", "boss", "--", "true"); code != 1 ||
		!strings.Contains(out, "is held") {
		t.Errorf("-n: got exit code %d and %q, want 1", code, out)
	}
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := first.code(t); got != 128+int(syscall.SIGTERM) {
		t.Errorf("first: got exit code %d and %q", got, first.out.String())
	}
	awaitLeader(t, cl, "boss", "host:2")
	code, out := onCluster(t, c, "election", "observe", "--events", "1", "-o", "json", "boss")
	var seen struct {
		Leader, Value string
		Token         uint64
	}
	if err := json.Unmarshal([]byte(out), &seen); err != nil || code != 0 ||
		seen.Value != "host:2" || seen.Token == 0 || !strings.Contains(seen.Leader, "(pid ") {
		t.Errorf("got exit code %d and %q, %v, want host:2", code, out, err)
	}
	if err := second.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	second.code(t)
	if got := watch.code(t); got != 0 {
		t.Errorf("observe: got exit code %d", got)
	}
	lines := strings.Split(strings.TrimSpace(watch.out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(watch.out.String(), "\thost:1\n") {
		t.Errorf("observe: got %q, want nobody or a leader in three lines", lines)
	}
}

// awaitLeader waits until one with a value leads.
func awaitLeader(t *testing.T, cl *client.Client, name, value string) {
	t.Helper()
	for l, err := range cl.Election(name, nil).Observe(within(t, 20*time.Second)) {
		if err != nil {
			t.Fatal(err)
		}
		if string(l.Value) == value {
			return
		}
	}
}

// TestBench measures a cluster for a moment and looks for what that leaves behind.
func TestBench(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	code, out := onCluster(t, c, "bench", "--duration", "500ms", "--workers", "3", "-o", "json")
	var b struct {
		Workers      int
		Duration     int64 `json:"duration_us"`
		Lock, Unlock measured
		Pair         measured
	}
	if err := json.Unmarshal([]byte(out), &b); err != nil || code != 0 {
		t.Fatalf("got exit code %d and %q: %v", code, out, err)
	}
	for _, m := range []measured{b.Lock, b.Unlock, b.Pair} {
		if m.Count != b.Pair.Count || m.Count == 0 || m.P50 <= 0 || m.P50 > m.P99 || m.P99 > m.Max {
			t.Errorf("got %+v", b)
		}
	}
	// A worker does one pair after the other, so their times fit into what it had.
	if total := int64(b.Pair.Count) * b.Pair.P50 / 2; total > 3*b.Duration || b.Duration < 500_000 {
		t.Errorf("got %d pairs of %d us in %d us", b.Pair.Count, b.Pair.P50, b.Duration)
	}
	code, out = onCluster(t, c, "bench", "--duration", "300ms", "--workers", "1")
	if code != 0 || !strings.Contains(out, "pair\t") || !strings.Contains(out, "pairs a second") {
		t.Errorf("got exit code %d and %q, want a table", code, out)
	}
	said := typed(t, nil, "bench", "--addr", c.Addresses()[0], "--duration", "2500ms", "--workers",
		"1")
	if !strings.Contains(said, "lockd: waiting: measuring for another") {
		t.Errorf("at a terminal: got %q, want how long it goes on", said)
	}
	stopped := startVerb(t, c, "bench", "--duration", "1h")
	cl := dial(t, c, client.Options{Name: "test"})
	for _, err := range cl.Watch(within(t, 20*time.Second), "lockd-bench/",
		client.WatchOptions{Prefix: client.NamePrefix}) {
		if err != nil {
			t.Fatal(err)
		}
		break // it has begun
	}
	if err := stopped.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := stopped.code(t); got != 128+int(syscall.SIGINT) {
		t.Errorf("stopped: got exit code %d and %q", got, stopped.out.String())
	}
	list, err := cl.List(within(t, 10*time.Second), "", client.ListOptions{})
	if err != nil || len(list) > 0 {
		t.Errorf("got %v, %v, want nothing left behind", list, err)
	}
	for _, n := range c.Nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if code, out := onCluster(t, c, "bench", "--timeout", "1s"); code != 69 {
		t.Errorf("no cluster: got exit code %d and %q, want 69", code, out)
	}
}

// measured is a row of lockd bench.
type measured struct {
	Count int
	P50   int64 `json:"p50_us"`
	P99   int64 `json:"p99_us"`
	Max   int64 `json:"max_us"`
}

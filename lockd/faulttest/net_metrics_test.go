package faulttest

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// metric sums up a metric of a node over its labels. Part, if not empty, must
// occur in the labels.
func metric(t *testing.T, n *Node, name, part string) float64 {
	t.Helper()
	c := http.Client{Timeout: 5 * time.Second}
	resp, err := c.Get("http://" + n.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sum, found := 0.0, false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		key, value, ok := strings.Cut(line, " ")
		bare, labels, _ := strings.Cut(key, "{")
		if !ok || bare != name || !strings.Contains(labels, part) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Fatalf("node %d has no metric %s with %q", n.ID, name, part)
	}
	return sum
}

// metricAll sums up a metric over all nodes.
//
//lint:ignore U1000 tests with the fault tag use it
func metricAll(t *testing.T, c *Cluster, name, part string) float64 {
	t.Helper()
	sum := 0.0
	for _, n := range c.Nodes {
		sum += metric(t, n, name, part)
	}
	return sum
}

// awaitLinks waits until every node has a link to every other.
//
//lint:ignore U1000 tests with the fault tag use it
func awaitLinks(t *testing.T, c *Cluster, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	want := float64(len(c.Nodes) * (len(c.Nodes) - 1))
	for {
		got := metricAll(t, c, "lockd_peer_up", "")
		if got == want {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("after %v: got %v links up, want %v", limit, got, want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// memoryOf returns the resident memory of a node and its peak, in bytes.
//
//lint:ignore U1000 tests with the fault tag use it
func memoryOf(t *testing.T, n *Node) (resident, peak int64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			resident = kib << 10
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			peak = kib << 10
		}
	}
	return resident, peak
}

// secretFile writes a cluster secret.
//
//lint:ignore U1000 tests with the fault tag use it
func secretFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("a secret of some length\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

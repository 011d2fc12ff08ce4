package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"lockd/lockd/faulttest"
)

// ask reads a page of a node's admin listener.
func ask(ctx context.Context, n *faulttest.Node, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("node %d: %s: %s", n.ID, path, resp.Status)
	}
	return body, nil
}

// metrics returns the values of a node that have no labels.
func metrics(ctx context.Context, n *faulttest.Node) (map[string]float64, error) {
	page, err := ask(ctx, n, "/metrics")
	if err != nil {
		return nil, err
	}
	values := make(map[string]float64)
	lines := bufio.NewScanner(bytes.NewReader(page))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if x, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = x
		}
	}
	return values, lines.Err()
}

// collectGarbage has a node collect its garbage, so that what is measured next
// is what it keeps.
func collectGarbage(ctx context.Context, n *faulttest.Node) error {
	_, err := ask(ctx, n, "/debug/pprof/heap?gc=1")
	return err
}

// residentBytes returns the memory of a node's process.
func residentBytes(n *faulttest.Node) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		return 0, fmt.Errorf("no VmRSS of node %d", n.ID)
	}
	kib, err := strconv.ParseUint(fields[0], 10, 64)
	return kib << 10, err
}

// clockTick is the unit of times in /proc: USER_HZ is 100 wherever Go runs.
const clockTick = 10 * time.Millisecond

// cpuTime returns what a node's process has computed so far.
func cpuTime(n *faulttest.Node) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.PID()))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat of node %d has %d fields", n.ID, len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// memory is what the nodes need together. Live is without the buffers of the
// checkpoints: they double up to a bound while anything at all is written, and
// with few things a step of theirs is more than the things.
type memory struct{ live, resident uint64 }

// memoryOf measures all nodes after they have collected their garbage.
func memoryOf(ctx context.Context, c *faulttest.Cluster) (memory, error) {
	var sum memory
	for _, n := range c.Nodes {
		if err := collectGarbage(ctx, n); err != nil {
			return sum, err
		}
		values, err := metrics(ctx, n)
		if err != nil {
			return sum, err
		}
		resident, err := residentBytes(n)
		if err != nil {
			return sum, err
		}
		heap, buffers := values["go_memstats_heap_alloc_bytes"], values["lockd_checkpoint_buffer_bytes"]
		if buffers == 0 || heap < buffers {
			return sum, fmt.Errorf("node %d: %v bytes of buffers in a heap of %v", n.ID, buffers, heap)
		}
		sum.live += uint64(heap - buffers)
		sum.resident += resident
	}
	return sum, nil
}

//go:build fault

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockd/lockd/faulttest"
)

// TestFK3Scale is the small form of the measurement: a hundred thousand locks,
// thirty thousand sessions, a thousand waiters. What it asserts does not depend on
// who else uses the machine: memory, definite answers, no leader deposed (I22,
// I29). Times are for make scale on a quiet one.
func TestFK3Scale(t *testing.T) {
	binary := os.Getenv("FAULTTEST_LOCKD")
	if binary == "" {
		binary = filepath.Join(t.TempDir(), "lockd")
		build := exec.Command("go", "build", "-o", binary, "lockd/lockd")
		build.Env = withoutC()
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building lockd: %v\n%s", err, out)
		}
	}
	o := options{binary: binary, locks: 100_000, sessions: 30_000, waiters: 1_000, holds: 20_000,
		groups: 12}
	// What the log and the peers that lag may keep is not the price of a lock.
	flags := append(o.flags(), "--retain", "1MiB", "--checkpoint", "1MiB")
	cluster, err := faulttest.New(faulttest.Options{Binary: binary, Dir: t.TempDir(), Name: "scale",
		Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	m := newMeasurement(o, cluster)
	err = m.all(ctx)
	m.closeClients()
	if closeErr := cluster.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		for _, n := range cluster.Nodes {
			t.Logf("node %d:\n%s", n.ID, n.Log())
		}
		t.Fatal(err)
	}
	var text strings.Builder
	m.table.print(&text)
	t.Log(text.String())
	for _, complaint := range m.complaints {
		t.Error(complaint)
	}
}

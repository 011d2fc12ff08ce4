package faulttest

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lockd/client"
)

// lockdPath is the lockd under test; TestMain writes it once.
var lockdPath string

func TestMain(m *testing.M) {
	if os.Getenv(holderEnv) != "" {
		os.Exit(runHolder(os.Stdin, os.Stdout))
	}
	if os.Getenv(attackersEnv) != "" {
		os.Exit(runAttackers(os.Stdin, os.Stdout))
	}
	if os.Getenv(resumerEnv) != "" {
		os.Exit(runResumer(os.Stdin, os.Stdout))
	}
	os.Exit(buildAndRun(m))
}

// buildAndRun builds lockd unless FAULTTEST_LOCKD names one.
func buildAndRun(m *testing.M) int {
	if lockdPath = os.Getenv("FAULTTEST_LOCKD"); lockdPath != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "lockd-fault-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	lockdPath = filepath.Join(dir, "lockd")
	build := exec.Command("go", "build", "-o", lockdPath, "lockd/lockd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building lockd: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// sources looks at all from which lockd may be built. No package of the daemon is
// imported here, so the go command would take an earlier result for that of a lockd
// that has changed since; what a test looks at it looks at, too.
var sources = sync.OnceValue(func() error {
	const root = "../.."
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return fs.SkipDir
		case filepath.Ext(path) != ".go" && d.Name() != "go.mod" ||
			strings.HasSuffix(path, "_test.go"):
			return nil
		}
		_, err = os.Stat(path)
		return err
	})
})

// groups of the clusters under test: enough to spread, few enough to be quick.
const groups = 12

// smallFlags make segments and checkpoints turn over within seconds.
func smallFlags() []string {
	return []string{"--groups", fmt.Sprint(groups), "--wal-segment", "1MiB", "--wal-segments", "3",
		"--wal-segments-max", "32", "--batch", "256KiB", "--checkpoint", "512KiB",
		"--checkpoint-cache", "4MiB"}
}

// newCluster starts a cluster that the test's end kills.
func newCluster(t *testing.T, nodes int, flags ...string) *Cluster {
	t.Helper()
	return startCluster(t, Options{Nodes: nodes, Flags: append(smallFlags(), flags...)})
}

// startCluster starts a cluster of the binary under test in a directory of its
// own. The test's end kills it.
func startCluster(t *testing.T, o Options) *Cluster {
	t.Helper()
	c := makeCluster(t, o)
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// newStoppedCluster is newCluster without the start.
//
//lint:ignore U1000 tests with the fault tag use it
func newStoppedCluster(t *testing.T, nodes int, flags ...string) *Cluster {
	t.Helper()
	return makeCluster(t, Options{Nodes: nodes, Flags: append(smallFlags(), flags...)})
}

// makeCluster is startCluster without a start.
func makeCluster(t *testing.T, o Options) *Cluster {
	t.Helper()
	if err := sources(); err != nil {
		t.Fatal(err)
	}
	o.Binary, o.Dir = lockdPath, t.TempDir()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("killing what is left: %v", err)
		}
		if t.Failed() {
			for _, n := range c.Nodes {
				t.Logf("node %d:\n%s", n.ID, tail(n.Log(), 30))
			}
		}
	})
	return c
}

// within is a context that ends with the test or after a while.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// dial connects a client that the test's end closes.
func dial(t *testing.T, c *Cluster, o client.Options) *client.Client {
	t.Helper()
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	cl, err := c.Dial(within(t, 10*time.Second), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The nodes may be gone; a context that has ended closes all the same.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = cl.Close(ctx)
	})
	return cl
}

// lockd runs the binary to its end and returns exit code and output.
func lockd(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	cmd := exec.CommandContext(within(t, 20*time.Second), lockdPath, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("lockd %q: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// rig is a cluster under load with holds that must be kept.
type rig struct {
	cluster *Cluster
	load    *Load
	keep    *Keep
	watch   *client.Client
}

func newRig(t *testing.T, seed uint64) *rig {
	t.Helper()
	return startRig(t, newCluster(t, 3), seed)
}

// startRig puts load and holds onto a cluster that runs.
func startRig(t *testing.T, c *Cluster, seed uint64) *rig {
	t.Helper()
	r := &rig{cluster: c}
	r.watch = dial(t, c, client.Options{Name: "watch"})
	holder := dial(t, c, client.Options{Name: "holder", Lease: time.Minute})
	other := dial(t, c, client.Options{Name: "other", Lease: time.Minute})
	var err error
	if r.keep, err = NewKeep(within(t, 20*time.Second), holder, other, 8); err != nil {
		t.Fatal(err)
	}
	clients := []*client.Client{
		dial(t, c, client.Options{Name: "load a"}),
		dial(t, c, client.Options{Name: "load b"}),
	}
	r.load = StartLoad(LoadOptions{Clients: clients, Workers: 16, Names: 6, Groups: groups,
		Seed: seed})
	t.Cleanup(func() { r.load.cancel() })
	r.serves(t)
	return r
}

// serves demands that locks are granted again.
func (r *rig) serves(t *testing.T) {
	t.Helper()
	if err := r.load.AwaitGrants(within(t, 20*time.Second), 5); err != nil {
		t.Fatalf("the cluster does not serve: %v", err)
	}
}

// intact demands that nothing has been violated or lost.
func (r *rig) intact(t *testing.T, when string) {
	t.Helper()
	if err := r.load.Err(); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if err := r.keep.Check(within(t, 20*time.Second)); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
}

// finish ends the load, converges, and passes the kept locks on.
func (r *rig) finish(t *testing.T) {
	t.Helper()
	if err := r.load.Stop(); err != nil {
		t.Fatal(err)
	}
	r.intact(t, "at the end")
	if err := r.keep.PassOn(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := r.cluster.AwaitEqual(within(t, 20*time.Second), r.watch); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d grants, %d holds lost, %d calls without an answer", r.load.Grants.Load(),
		r.load.Lost.Load(), r.load.Refused.Load())
}

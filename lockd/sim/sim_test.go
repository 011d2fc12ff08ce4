package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lockd/lockd/node"
	"lockd/netio/wire"
)

// short draws a world for a test that runs on each change.
func short(seed uint64) Options { return Draw(seed).Short() }

// runSeeds runs worlds on all cores until one reports false.
func runSeeds(from, seeds uint64, options func(uint64) Options, each func(Report) bool) {
	var next, stop atomic.Uint64
	next.Store(from)
	var mu sync.Mutex
	var pool sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		pool.Go(func() {
			for seed := next.Add(1) - 1; seed < from+seeds && stop.Load() == 0; seed = next.Add(1) - 1 {
				r := New(options(seed), nil).Run()
				mu.Lock()
				if !each(r) {
					stop.Store(1)
				}
				mu.Unlock()
			}
		})
	}
	pool.Wait()
}

func TestShortSeedsAreClean(t *testing.T) {
	if err := Plant(""); err != nil && !errors.Is(err, ErrNotPlantable) {
		t.Fatal(err)
	}
	total := make(map[string]uint64)
	runSeeds(1, 100, short, func(r Report) bool {
		if r.Failure != nil {
			t.Errorf("seed %d: %v\nrepeat: %s -v", r.Seed, r.Failure, r.Command)
		}
		for name, n := range r.Coverage { // order: sums
			total[name] += n
		}
		return true
	})
	for _, name := range []string{"held", "checkpoint", "snapshot", "power cut", "session expired",
		"power cut inside a flush", "died between two operations of a flush",
		"cancel lost to grant", "command park", "command renew", "damage found",
		"disk error stopped a node", "peer refused", "records copied forward"} {
		if total[name] == 0 {
			t.Errorf("%q happened in no seed, want it in some: the faults no longer reach it", name)
		}
	}
}

// A row of the fault matrix whose counts no long run has to reach would be shown
// by luck only.
func TestRowsMustBeReached(t *testing.T) {
	must := make(map[string]bool)
	for _, name := range slices.Concat(Reachable(), ReachableUnderFaults()) {
		must[name] = true
	}
	for _, row := range Rows() {
		for _, name := range row.Counts {
			if !must[name] {
				t.Errorf("%s: %q need not be reached by any run", row.ID, name)
			}
		}
	}
}

// TestSameSeedSameRun compares whole traces, because a hash says only that they
// differ.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		var one, two bytes.Buffer
		New(short(seed), &one).Run()
		New(short(seed), &two).Run()
		a, b := bytes.Split(one.Bytes(), []byte("\n")), bytes.Split(two.Bytes(), []byte("\n"))
		if len(b) > len(a) {
			t.Fatalf("seed %d: %d lines in one run, %d in the other", seed, len(a), len(b))
		}
		for i := range a {
			if i >= len(b) || !bytes.Equal(a[i], b[i]) {
				t.Fatalf("seed %d: line %d is %q in one run and differs in the other", seed, i, a[i])
			}
		}
	}
}

func TestWorldWithoutFaultsIsQuiet(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		o := short(seed)
		o.Faults = 0
		if r := New(o, nil).Run(); r.Failure != nil {
			t.Errorf("seed %d with nothing going wrong: %v\nrepeat: %s -v", seed, r.Failure,
				r.Command)
		}
	}
}

// Circles over several groups are told to whoever closes them, for one name, for several,
// be it for an owner, and by a conversion, and none is left (I17).
func TestCirclesOfAllKinds(t *testing.T) {
	told := map[string]uint64{}
	options := func(seed uint64) Options {
		o := short(seed)
		o.Faults, o.SafetyOnly, o.Search, o.Drift, o.Spares = 0, false, false, maxDrift, 0
		o.Owners, o.Converts, o.Several = true, true, true
		o.Nodes, o.Groups, o.Names, o.Clients, o.Cores = 3, 3, 3, 1, 4
		o.Think = 100 * millisecond
		o.Node = drawNode(newDice(seed, "circles"), &o)
		limits := node.Defaults().Limits
		limits.Seed = 0
		o.Node.Limits = limits
		return o
	}
	runSeeds(1, 12, options, func(r Report) bool {
		if r.Failure != nil {
			t.Errorf("seed %d: %v", r.Seed, r.Failure)
		}
		for name, n := range r.Coverage { // order: sums
			told[name] += n
		}
		return true
	})
	for _, name := range []string{"to " + wire.KindAcquire.String(),
		"to " + wire.KindAcquireAll.String(), "to " + wire.KindConvert.String(), "for an owner"} {
		name = "circle over groups told " + name
		t.Logf("%d: %s", told[name], name)
		if told[name] == 0 {
			t.Errorf("%q never, want it", name)
		}
	}
}

// Links that flap, and clogs that let go one by one, depose nobody whom a quorum
// hears, and leave nothing behind (F-N3).
func TestFN3LinksFlapAndClog(t *testing.T) {
	flapping := uint64(0)
	options := func(seed uint64) Options {
		o := short(seed)
		o.Faults, o.Episode, o.SafetyOnly = FaultFlap|FaultClog, "link flaps", false
		o.Spares, o.Drift = 0, maxDrift
		return o
	}
	runSeeds(1, 40, options, func(r Report) bool {
		if r.Failure != nil {
			t.Errorf("seed %d: %v", r.Seed, r.Failure)
		}
		flapping += r.Coverage["episode: link flaps"]
		return true
	})
	if flapping < 15 {
		t.Errorf("got %d links that flapped, want 15 at least", flapping)
	}
}

// A node lives by the moments that its turns are handed, a client's Core by those
// of its calls, a machine by ticks, and a log by the clock in its options. If any
// of them asked for the time of day, jumps of wall clocks would have to be
// simulated (F-T1).
func TestFT1NodeHasNoWallClock(t *testing.T) {
	asks := map[string]bool{ // files of the client that show moments to people, or make its clock
		"clock_linux.go": true, "clock_other.go": true, "lock.go": true, "query.go": true,
		"turn.go": true, "several.go": true, "why.go": true, "history.go": true,
	}
	dirs := []string{"lockd/node", "lockd/placement", "paxos", "lockfsm", "wal", "client"}
	for _, dir := range dirs {
		files, err := filepath.Glob("../../" + dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("no sources of %s: %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") || dir == "client" && asks[filepath.Base(name)] {
				continue
			}
			text, err := os.ReadFile(built(t, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range []string{"time.Now(", "time.Since(", "time.Until("} {
				if bytes.Contains(text, []byte(call)) {
					t.Errorf("%s calls %s: it has no clock of its own", name, call)
				}
			}
		}
	}
}

// built is the file that go builds in the place of one: itself, unless an overlay
// says otherwise, through which a rule is taken out (package mutants).
func built(t *testing.T, name string) string {
	t.Helper()
	_, overlay, found := strings.Cut(os.Getenv("GOFLAGS"), "-overlay=")
	if !found {
		return name
	}
	text, err := os.ReadFile(strings.Fields(overlay)[0])
	if err != nil {
		t.Fatal(err)
	}
	var by struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &by); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	if other := by.Replace[path]; other != "" {
		return other
	}
	return name
}

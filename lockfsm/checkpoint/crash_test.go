package checkpoint

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"lockd/lockfsm/checkpoint/checkpointtest"
)

// state is what a group may be found at after a crash.
type state struct {
	slot    uint64
	content checkpointtest.Content
	// chunks and id are those of the snapshot by which it comes, if it does.
	chunks [][]byte
	id     Content
}

// crashed is one file system after a power cut, and what it may hold.
type crashed struct {
	fs        *vfs.MemFS
	point     string
	old, next map[uint16]state
}

// crashWorld runs saves and installs on a file system that loses power again
// and again: the hook is called before every write, also of Pebble's own
// goroutines, and keeps clones; check opens them.
type crashWorld struct {
	t    *testing.T
	fs   *vfs.MemFS
	s    *Store
	cuts int
	// resumed counts installs that went on after a crash with what had arrived.
	resumed int

	mu struct {
		sync.Mutex
		rng    *rand.Rand
		writes int
		all    bool // no write is passed over
		clones []crashed
		// old is each group's last acknowledged state; next the one under way.
		old, next map[uint16]state
	}
}

// MaybeError is the hook: it never fails a write.
func (w *crashWorld) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.mu.writes++; w.mu.writes%2 == 0 || w.mu.all {
			w.cutLocked(fmt.Sprintf("write %d, kind %d of %s", w.mu.writes, op.Kind, op.Path))
		}
	}
	return nil
}

// String names the hook.
func (w *crashWorld) String() string { return "crash" }

func (w *crashWorld) cutLocked(point string) {
	percent := []int{0, 50, 100}[w.mu.rng.IntN(3)]
	old, next := maps.Clone(w.mu.old), maps.Clone(w.mu.next)
	clone := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: w.mu.rng})
	w.mu.clones = append(w.mu.clones,
		crashed{clone, fmt.Sprintf("%s, %d%% unsynced", point, percent), old, next})
}

// cutAll has the power cut before every write, or before every second again.
func (w *crashWorld) cutAll(all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.all = all
}

// begin and done say which state a group is on its way to, and that it is there.
func (w *crashWorld) begin(g uint16, to state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.next[g] = to
}

func (w *crashWorld) done(g uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.old[g] = w.mu.next[g]
	delete(w.mu.next, g)
	w.cutLocked("after an answer")
}

func (w *crashWorld) state(g uint16) state {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.old[g]
}

// check opens what the crashes left: for each group the old state or the one
// under way, whole (I12).
func (w *crashWorld) check() {
	w.mu.Lock()
	clones := w.mu.clones
	w.mu.clones = nil
	w.mu.Unlock()
	for _, c := range clones {
		s, err := open(c.fs, "db", testOptions(w.t))
		if err != nil {
			w.t.Fatalf("%s: open: got %v, want no error", c.point, err)
		}
		for g, old := range c.old {
			got, slot, err := checkpointtest.Read(subject{s}, g)
			next, moving := c.next[g]
			switch {
			case err != nil:
				w.t.Fatalf("%s: group %d: got %v, want no error", c.point, g, err)
			case slot == old.slot && maps.Equal(got, old.content):
				if moving && next.chunks != nil {
					w.goOn(c.point, s, g, next)
				}
			case moving && slot == next.slot && maps.Equal(got, next.content):
			default:
				w.t.Fatalf("%s: group %d: got slot %d with %d records, want slot %d or %d whole",
					c.point, g, slot, len(got), old.slot, next.slot)
			}
		}
		if err := s.Close(); err != nil {
			w.t.Fatalf("close: got %v, want no error", err)
		}
		w.cuts++
	}
}

// goOn ends after a crash the install that was under way: from where it was.
func (w *crashWorld) goOn(point string, s *Store, g uint16, to state) {
	in, err := s.Begin(g, to.id)
	if err != nil {
		w.t.Fatalf("%s: begin group %d again: got %v, want no error", point, g, err)
	}
	from, _ := in.Position()
	if from > 0 {
		w.resumed++
	}
	for _, c := range to.chunks[from:] {
		if err := in.Add(c); err != nil {
			w.t.Fatalf("%s: group %d: add: got %v, want no error", point, g, err)
		}
	}
	if err := in.Commit(); err != nil {
		w.t.Fatalf("%s: group %d: commit: got %v, want no error", point, g, err)
	}
	checkpointtest.Expect(w.t, subject{s}, g, to.slot, to.content)
}

// TestFC1PowerCut is F-C1: power is cut before the writes of saves, installs and
// Pebble's own flushes, with none, half and all of the unsynced data kept.
func TestFC1PowerCut(t *testing.T) {
	resumed := 0
	for seed := uint64(1); seed <= 3; seed++ {
		resumed += crashRun(t, seed)
	}
	if resumed < 10 {
		t.Errorf("got %d installs that went on after a crash, want at least 10", resumed)
	}
}

func crashRun(t *testing.T, seed uint64) (resumed int) {
	w := &crashWorld{t: t, fs: vfs.NewCrashableMem()}
	w.mu.rng = rand.New(rand.NewPCG(seed, 2))
	w.mu.old, w.mu.next = map[uint16]state{}, map[uint16]state{}
	for g := uint16(1); g <= 3; g++ {
		w.mu.old[g] = state{content: checkpointtest.Content{}}
	}
	w.s = mustOpen(t, errorfs.Wrap(w.fs, w), testOptions(t))
	for round := range 16 {
		if round%4 == 3 {
			w.installRound(uint16(1 + round/4%3))
		} else {
			w.saveRound(uint16(1+round%3), round)
		}
		if round%5 == 4 {
			if err := w.s.db.Flush(); err != nil {
				t.Fatalf("flush: got %v, want no error", err)
			}
		}
		if round%6 == 5 {
			w.reopen()
		}
		w.check()
	}
	if err := w.s.Close(); err != nil {
		t.Fatalf("close: got %v, want no error", err)
	}
	w.check()
	if w.cuts < 60 {
		t.Errorf("seed %d: got %d crashes, want at least 60", seed, w.cuts)
	}
	return w.resumed
}

// reopen makes Pebble move on to another manifest while there is something to
// lose.
func (w *crashWorld) reopen() {
	if err := w.s.Close(); err != nil {
		w.t.Fatalf("close: got %v, want no error", err)
	}
	w.s = mustOpen(w.t, errorfs.Wrap(w.fs, w), testOptions(w.t))
}

func (w *crashWorld) saveRound(g uint16, round int) {
	content := maps.Clone(w.state(g).content)
	records := content.Change(round, round, round+80)
	slot := w.state(g).slot + 10
	w.begin(g, state{slot: slot, content: content})
	if err := w.s.Save(g, slot, records); err != nil {
		w.t.Fatalf("save: got %v, want no error", err)
	}
	w.done(g)
}

// installRound copies the next group over g, having moved it ahead if need be.
func (w *crashWorld) installRound(g uint16) {
	from := 1 + g%3
	for w.state(from).slot <= w.state(g).slot {
		w.saveRound(from, int(w.state(from).slot))
	}
	target := w.state(from)
	n, err := w.s.OpenSnapshot(from)
	if err != nil {
		w.t.Fatalf("snapshot: got %v, want no error", err)
	}
	chunks := checkpointtest.Chunks(w.t, reader{n}, 1500)
	target.chunks, target.id = chunks, n.Content()
	if err := n.Close(); err != nil {
		w.t.Fatalf("close: got %v, want no error", err)
	}
	w.s.stageSyncBytes = 3000
	w.cutAll(true)
	defer w.cutAll(false)
	in, err := w.s.Begin(g, target.id)
	if err != nil {
		w.t.Fatalf("begin: got %v, want no error", err)
	}
	w.begin(g, target)
	for _, c := range chunks {
		if err := in.Add(c); err != nil {
			w.t.Fatalf("add: got %v, want no error", err)
		}
	}
	if err := in.Commit(); err != nil {
		w.t.Fatalf("commit: got %v, want no error", err)
	}
	w.done(g)
}

package node

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockd/lockfsm"
)

// storeStub takes saves.
type storeStub struct {
	Checkpoints
	saves []SaveRequest
}

func (s *storeStub) Save(r SaveRequest) { s.saves = append(s.saves, r) }

// collectWorld is a node of which only the collector is alive.
type collectWorld struct {
	t     testing.TB
	n     *Node
	g     *group
	store *storeStub
	out   lockfsm.Outcome
	batch lockfsm.BatchBuilder
	held  []lockfsm.Token
	names int
}

func newCollectWorld(t testing.TB, locks int) *collectWorld {
	t.Helper()
	o := Defaults()
	l := o.machineLimits()
	l.ClaimsPerSession = l.Claims
	m, err := lockfsm.New(l)
	if err != nil {
		t.Fatal(err)
	}
	w := &collectWorld{t: t, g: newGroup(0, nil, m), store: &storeStub{}}
	w.n = &Node{inbox: NewInbox(1 << 20), deps: Deps{Checkpoints: w.store}}
	w.batch.Append(&lockfsm.Command{Op: lockfsm.OpOpenSession, Lease: 10_000,
		Nonce: lockfsm.Nonce{1}})
	w.apply()
	w.acquire(locks)
	return w
}

func (w *collectWorld) apply() {
	w.t.Helper()
	if err := w.g.machine.Apply(w.g.machine.Applied()+1, w.batch.Bytes(), &w.out); err != nil {
		w.t.Fatal(err)
	}
	w.batch.Reset()
}

func lockName(i int) []byte { return fmt.Appendf(nil, "tenant/orders/%08d", i) }

// acquire takes n fresh locks.
func (w *collectWorld) acquire(n int) {
	w.t.Helper()
	for done := 0; done < n; done += 1000 {
		for range min(1000, n-done) {
			w.names++
			w.batch.Append(&lockfsm.Command{Op: lockfsm.OpAcquire, Session: 1,
				Request: lockfsm.RequestID(w.names), Name: lockName(w.names), Mode: lockfsm.ModeEX})
		}
		w.apply()
		for _, r := range w.out.Results {
			w.held = append(w.held, r.Token)
		}
	}
}

// churn gives n locks back, oldest and newest in turn, and takes as many.
func (w *collectWorld) churn(n int) {
	w.t.Helper()
	for i := range min(n, len(w.held)) {
		at := i * (len(w.held) / n)
		if w.held[at] == 0 {
			continue
		}
		w.batch.Append(&lockfsm.Command{Op: lockfsm.OpRelease, Session: 1, Token: w.held[at],
			Name: lockName(at + 1)})
		w.held[at] = 0
	}
	w.apply()
	w.acquire(n)
}

// collect runs turns, with something between them, until a save is asked for.
func (w *collectWorld) collect(between func()) (turns int) {
	w.t.Helper()
	w.n.collector.begin(w.g)
	for saves := len(w.store.saves); len(w.store.saves) == saves; turns++ {
		if turns > 10_000 {
			w.t.Fatal("the collection has no end")
		}
		w.n.collect()
		between()
	}
	return turns
}

// stored is the machine that a store has after the saves.
func (w *collectWorld) stored() *lockfsm.Machine {
	w.t.Helper()
	n := &testNode{w: &world{t: w.t, opts: Defaults()}}
	n.w.opts.Limits = w.g.machine.Limits()
	all := make(map[string][]byte)
	for _, r := range w.store.saves {
		for _, kv := range slices.Concat(r.Changes...) {
			if kv.Value == nil {
				delete(all, string(kv.Key))
			} else {
				all[string(kv.Key)] = kv.Value
			}
		}
	}
	return n.load(all)
}

// A change set that many turns collect, while the machine goes on, is that of
// the slot it names.
func TestCollectionInPartsIsOfOneSlot(t *testing.T) {
	w := newCollectWorld(t, 20_000)
	for round := range 3 {
		slot, digest := uint64(0), uint64(0)
		turns := w.collect(func() {
			if len(w.store.saves) > round {
				return
			}
			w.churn(200)
			slot, digest = w.g.machine.Applied(), w.g.machine.Digest()
		})
		if got := w.store.saves[round].Slot; got != slot {
			t.Fatalf("slot: got %d, want %d, that of the last turn", got, slot)
		}
		m := w.stored()
		if m.Applied() != slot || m.Digest() != digest {
			t.Fatalf("round %d: got slot %d digest %x, want %d %x", round, m.Applied(), m.Digest(),
				slot, digest)
		}
		if round == 0 && turns < 20_000/collectRecords {
			t.Errorf("turns: got %d, want at least %d", turns, 20_000/collectRecords)
		}
		w.churn(5000)
	}
}

// Changes that come faster than a turn's share is do not keep it from ending.
func TestCollectionEndsUnderAnyLoad(t *testing.T) {
	w := newCollectWorld(t, 4000)
	w.collect(func() { w.churn(2 * collectRecords) })
}

// A group that leaves the node while its change set is collected leaves nothing
// behind.
func TestCollectionEndsWithItsGroup(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[3].node
	g := n.groups[0]
	n.save(g)
	n.retire(g, 9)
	if n.collector.g != nil || n.saving != -1 {
		t.Errorf("got a collection of group %v and a save of group %d, want none", n.collector.g,
			n.saving)
	}
}

// BenchmarkCollect collects the change set of a million new locks and reports
// the turns.
func BenchmarkCollect(b *testing.B) {
	var took []time.Duration
	for range b.N {
		b.StopTimer()
		w := newCollectWorld(b, 1_000_000)
		b.StartTimer()
		last := time.Now()
		w.collect(func() {
			took = append(took, time.Since(last))
			last = time.Now()
		})
		if got := len(slices.Concat(w.store.saves[0].Changes...)); got < w.names {
			b.Errorf("records: got %d, want at least %d", got, w.names)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/turn-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/turn-p99")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "µs/turn-max")
}

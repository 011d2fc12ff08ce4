package node

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// heapOf is by how much f makes the heap grow.
func heapOf(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return after.HeapAlloc - before.HeapAlloc
}

// longName is the i-th name of the greatest length.
func longName(i int) []byte {
	name := bytes.Repeat([]byte{'x'}, wire.MaxNameBytes)
	copy(name, fmt.Sprintf("%08d", i))
	return name
}

// TestFN5WatchBytesBoundsTheHeap fills all that a node may keep for watches with names
// of the greatest length, and finds no more on the heap than is counted for it (I22).
func TestFN5WatchBytesBoundsTheHeap(t *testing.T) {
	for _, scope := range []wire.Scope{wire.ScopeLock, wire.ScopePrefix, wire.ScopeWaiter} {
		t.Run(fmt.Sprint(scope), func(t *testing.T) {
			w := newWorld(t, testOptions())
			n := w.leaderOf(0).node
			var full []*watches
			grown := heapOf(func() {
				for i := range maxWatches {
					full = append(full, n.fillWatch(scope, i))
				}
				for i := range maxContended {
					n.contention.refused(0, longName(i), n.now)
				}
			})
			if n.watching != maxWatches || len(n.contention.entries) != maxContended {
				t.Fatalf("%d watches and %d names, want all that there may be", n.watching,
					len(n.contention.entries))
			}
			counted := WatchBytes(0)
			t.Logf("%d bytes on the heap, %d counted", grown, counted)
			if grown > counted {
				t.Errorf("the heap has %d bytes of watches, and %d are counted", grown, counted)
			}
			runtime.KeepAlive(full)
			runtime.KeepAlive(w)
		})
	}
}

// fillWatch begins the i-th watch as startWatch does. After as many prefixes as a group
// may have, what was begun stands for that of another group.
func (n *Node) fillWatch(scope wire.Scope, i int) *watches {
	g, c := n.groups[0], n.conns.open(ConnID(1000+i/maxConnWatches))
	if scope == wire.ScopePrefix && i%maxPrefixes == 0 {
		g.watches = nil
	}
	r := read{request: uint64(i + 1), scope: scope, name: longName(i),
		claim: waitKey{lockfsm.SessionID(i + 1), lockfsm.RequestID(i + 1)}}
	n.startWatch(g, c, &r)
	if w := g.watches.of[watchKey{c.id, r.request}]; scope == wire.ScopePrefix {
		w.after = longName(i)
	}
	return g.watches
}

package lockfsm

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
)

// bench drives a machine with one session, a batch at a time.
type bench struct {
	tb    testing.TB
	m     *Machine
	batch BatchBuilder
	out   Outcome
}

func newBench(tb testing.TB, l Limits) *bench {
	tb.Helper()
	m, err := New(l)
	if err != nil {
		tb.Fatalf("new: got %v, want no error", err)
	}
	b := &bench{tb: tb, m: m}
	b.open(1)
	return b
}

// bigLimits let a benchmark hold millions of locks in one session.
func bigLimits() Limits {
	l := DefaultLimits()
	l.Locks, l.Claims, l.ClaimsPerSession, l.Sessions = 1<<23, 1<<23, 1<<23, 1<<21
	l.WaitersPerLock = 1 << 21
	return l
}

func (b *bench) open(nonce uint64) {
	c := Command{Op: OpOpenSession, Lease: 10_000}
	binary.LittleEndian.PutUint64(c.Nonce[:], nonce)
	b.one(&c, CodeOK)
}

func (b *bench) acquire(r RequestID, name []byte, mode Mode) {
	b.one(&Command{Op: OpAcquire, Session: 1, Request: r, Name: name, Mode: mode}, CodeOK)
}

func (b *bench) one(c *Command, want Code) {
	b.batch.Reset()
	b.batch.Append(c)
	b.apply()
	if got := b.out.Results[0].Code; got != want {
		b.tb.Fatalf("%v: got %v, want %v", c.Op, got, want)
	}
}

func (b *bench) apply() {
	if err := b.m.Apply(b.m.Applied()+1, b.batch.Bytes(), &b.out); err != nil {
		b.tb.Fatalf("apply: got %v, want no error", err)
	}
}

// fill takes n locks with names of 24 bytes, many to a batch.
func (b *bench) fill(n int) {
	name := make([]byte, 24)
	for i := 0; i < n; {
		b.batch.Reset()
		for ; i < n && b.batch.Len() < 1000; i++ {
			benchName(name, uint64(i))
			b.batch.Append(&Command{Op: OpAcquire, Session: 1, Request: RequestID(i + 1),
				Name: name, Mode: ModeEX})
		}
		b.apply()
	}
}

func benchName(name []byte, i uint64) {
	copy(name, "tenant-0/orders/")
	binary.BigEndian.PutUint64(name[16:], i*0x9e3779b97f4a7c15)
}

// pairs locks and unlocks fresh names in batches of 200 commands.
func (b *bench) pairs(first uint64, n int) {
	name := make([]byte, 24)
	for done := 0; done < n; done += 100 {
		b.batch.Reset()
		for i := range uint64(100) {
			benchName(name, first+i)
			b.batch.Append(&Command{Op: OpAcquire, Session: 1, Request: RequestID(first + i + 1),
				Name: name, Mode: ModeEX})
		}
		b.apply()
		results := b.out.Results
		b.batch.Reset()
		for i := range uint64(100) {
			benchName(name, first+i)
			b.batch.Append(&Command{Op: OpRelease, Session: 1, Token: results[i].Token, Name: name})
		}
		b.apply()
		if r := b.out.Results[99]; r.Code != CodeOK {
			b.tb.Fatalf("release: got %v, want %v", r.Code, CodeOK)
		}
	}
}

func BenchmarkPair(b *testing.B) {
	for _, live := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("live=%d", live), func(b *testing.B) {
			w := newBench(b, bigLimits())
			w.fill(live)
			w.pairs(1<<40, 100)
			b.ReportAllocs()
			b.ResetTimer()
			w.pairs(1<<40, b.N)
		})
	}
}

// BenchmarkHandover passes one lock round a queue of 1000.
func BenchmarkHandover(b *testing.B) {
	w := newBench(b, bigLimits())
	wait := Command{Op: OpAcquire, Session: 1, Name: []byte("hot"), Mode: ModeEX, Flags: Wait}
	give := Command{Op: OpRelease, Session: 1, Name: []byte("hot")}
	wait.Request = 1
	w.one(&wait, CodeOK)
	give.Token = w.out.Results[0].Token
	for range 1000 {
		wait.Request++
		w.one(&wait, CodeQueued)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		wait.Request++
		w.batch.Reset()
		w.batch.Append(&give)
		w.batch.Append(&wait)
		w.apply()
		give.Token = w.out.Events[0].Token
	}
}

// BenchmarkRenew ticks with 1000 renewals of 100,000 sessions.
func BenchmarkRenew(b *testing.B) {
	w := newBench(b, bigLimits())
	for i := range uint64(100_000) {
		w.open(i + 2)
	}
	ids := make([]SessionID, 1000)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		for k := range ids {
			ids[k] = SessionID((i*1000+k)%100_000 + 1)
		}
		w.batch.Reset()
		w.batch.Tick(20, ids)
		w.apply()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/renewal")
}

// BenchmarkNames lists all names of a group with 100,000 locks, page by page: as long ones
// as an answer has room for with short names, and as short ones as there were once.
func BenchmarkNames(b *testing.B) {
	for _, entries := range []int{64, 480} {
		b.Run(fmt.Sprintf("page=%d", entries), func(b *testing.B) {
			w := newBench(b, bigLimits())
			const live = 100_000
			w.fill(live)
			var names [][]byte
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				found := 0
				var after []byte
				var s *Search
				for more := true; more; {
					if s == nil || !s.Covers(nil, after) {
						s = w.m.Search(nil, after, SearchBounds{2048, 64 << 10})
						s.Look(w.m, live)
					}
					names, after = s.Names(names[:0], w.m, after, entries)
					more = after != nil
					found += len(names)
				}
				if found < live {
					b.Fatalf("got %d names, want at least %d", found, live)
				}
			}
		})
	}
}

// BenchmarkDirty writes 1000 changed locks out of 100,000.
func BenchmarkDirty(b *testing.B) {
	w := newBench(b, bigLimits())
	w.fill(100_000)
	n := 0
	count := func(_, _ []byte) { n++ }
	w.m.Dirty(count)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		w.pairs(1<<40, 1000)
		for r := ref(1); r <= 1000; r++ {
			w.m.touchLock(r)
		}
		b.StartTimer()
		w.m.Dirty(count)
	}
}

// BenchmarkLoad rebuilds a machine with 100,000 held locks.
func BenchmarkLoad(b *testing.B) {
	w := newBench(b, bigLimits())
	w.fill(100_000)
	var all Records
	w.m.All(all.Set)
	b.ResetTimer()
	for range b.N {
		m, err := New(bigLimits())
		if err != nil {
			b.Fatalf("new: got %v, want no error", err)
		}
		for i := range all.Len() {
			key, value := all.At(i)
			if err := m.Load(key, value); err != nil {
				b.Fatalf("load: got %v, want no error", err)
			}
		}
		if err := m.Loaded(); err != nil {
			b.Fatalf("loaded: got %v, want no error", err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/lock")
}

// TestNoAllocs: a warm machine allocates nothing, whatever the command.
func TestNoAllocs(t *testing.T) {
	if checkInvariants {
		t.Skip("Validate allocates")
	}
	w := newBench(t, DefaultLimits())
	w.fill(2000)
	ids := []SessionID{1}
	drop := func(_, _ []byte) {}
	round := func() {
		w.pairs(1<<40, 200)
		w.batch.Reset()
		w.batch.Tick(1, ids)
		long := [100]byte{1}
		open := Command{Op: OpOpenSession, Lease: 5000, Nonce: Nonce{9}, Name: long[:50]}
		id := w.m.lastSession + 1
		w.batch.Append(&open)
		for _, c := range [...]Command{
			{Op: OpAcquire, Session: 1, Request: 1 << 50, Name: long[:], Mode: ModeEX},
			{Op: OpAcquire, Session: id, Request: 1, Name: long[:], Mode: ModePR, Flags: Wait},
			{Op: OpAcquire, Session: id, Request: 2, Name: long[:], Mode: ModePR},
			{Op: OpAcquire, Session: 5, Request: 2, Name: long[:9], Flags: Detached, Lease: 100},
			{Op: OpPark, Session: id},
			{Op: OpCancel, Session: id, Epoch: 1, Request: 1, Name: long[:]},
			{Op: OpTake, Session: id, Epoch: 1, Request: 3, Name: long[:8], Permits: 2, Capacity: 2},
			{Op: OpTake, Session: id, Epoch: 1, Request: 4, Name: long[:8], Permits: 1, Capacity: 2,
				Flags: Wait},
			{Op: OpEnter, Session: id, Epoch: 1, Request: 5, Name: long[:7], Owner: 7, Mode: ModeEX},
			{Op: OpEnter, Session: id, Epoch: 1, Request: 6, Name: long[:7], Owner: 7, Mode: ModeEX},
			{Op: OpLeave, Session: id, Epoch: 1, Request: 5, Name: long[:7], Token: w.m.stamps + 7},
			{Op: OpLeave, Session: id, Epoch: 1, Request: 6, Name: long[:7], Token: w.m.stamps + 7},
			{Op: OpCloseSession, Session: id, Epoch: 1},
			{Op: OpRelease, Session: 1, Name: long[:], Token: w.m.stamps + 1},
			{Op: OpRelease, Session: 5, Name: long[:9], Token: w.m.stamps + 4, Flags: Detached},
		} {
			w.batch.Append(&c)
		}
		w.apply()
		for i, r := range w.out.Results {
			if r.Code != CodeOK && i != 2 && i != 3 && i != 6 && i != 8 {
				t.Fatalf("command %d: got %v %v, want %v", i, r.Op, r.Code, CodeOK)
			}
		}
		w.m.Dirty(drop)
	}
	round()
	if got := testing.AllocsPerRun(200, round); got != 0 {
		t.Errorf("allocations per round of 416 commands: got %v, want 0", got)
	}
}

// TestMemory measures what a held lock, an idle session and a waiter cost.
func TestMemory(t *testing.T) {
	measure := func(n int, fill func()) float64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		fill()
		runtime.GC()
		runtime.ReadMemStats(&after)
		return float64(after.HeapAlloc-before.HeapAlloc) / float64(n)
	}
	n := 200_000
	if checkInvariants {
		n = 2_000
	}
	locks, sessions := newBench(t, bigLimits()), newBench(t, bigLimits())
	waiters := newBench(t, bigLimits())
	waiters.acquire(1, []byte("hot"), ModeEX)
	perLock := measure(n, func() { locks.fill(n) })
	perSession := measure(n, func() {
		for i := range n {
			sessions.open(uint64(i + 2))
		}
	})
	perWaiter := measure(n, func() {
		for i := range n {
			waiters.one(&Command{Op: OpAcquire, Session: 1, Request: RequestID(i + 2),
				Name: []byte("hot"), Mode: ModeEX, Flags: Wait}, CodeQueued)
		}
	})
	t.Logf("%d each: %.0f bytes per held lock, %.0f per idle session, %.0f per waiter",
		n, perLock, perSession, perWaiter)
	runtime.KeepAlive(locks)
	if !checkInvariants && (perLock > 160 || perSession > 160 || perWaiter > 96) {
		t.Errorf("got %.0f, %.0f, %.0f bytes, want at most 160, 160, 96",
			perLock, perSession, perWaiter)
	}
	runtime.KeepAlive(sessions)
	runtime.KeepAlive(waiters)
}

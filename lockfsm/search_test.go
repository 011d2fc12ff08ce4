package lockfsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// searched finds names at once.
func searched(m *Machine, prefix, after string, limit int) (names [][]byte, covered []byte) {
	s := m.Search([]byte(prefix), []byte(after), SearchBounds{max(2, limit), 1 << 20})
	for !s.Look(m, 9) {
	}
	return s.Names(nil, m, []byte(after), limit)
}

// inUseBehind returns the names in use as the machine describes them.
func inUseBehind(m *Machine, prefix, after string) (names []string) {
	m.ForEachLock(func(x *LockInfo) bool {
		if name := string(x.Name); strings.HasPrefix(name, prefix) && name > after {
			names = append(names, name)
		}
		return true
	})
	return names
}

// A search finds what is in use when it is asked, whatever came and went since it
// began: each page is the first names behind its cursor, or all up to where it says
// that it covers. A name that was in use all the time is on some page.
func TestSearchWhileNamesComeAndGo(t *testing.T) {
	pushed := 0 // searches whose end moved before the cursor
	for seed := range uint64(400) {
		dice := rand.New(rand.NewPCG(seed, 0))
		b := newBench(t, massLimits())
		b.m.Note(NotingOn)
		held, request := map[string]Token{}, RequestID(0)
		var s *Search
		// change takes or releases some names, and has the search hear of it.
		change := func(n int) {
			for range n {
				name := fmt.Sprintf("%c/%d", 'a'+byte(dice.IntN(2)), dice.IntN(60))
				if token := held[name]; token != 0 {
					b.one(&Command{Op: OpRelease, Session: 1, Token: token, Name: []byte(name)}, CodeOK)
					delete(held, name)
				} else {
					request++
					b.acquire(request, []byte(name), ModeEX)
					held[name] = b.out.Results[0].Token
				}
				if s != nil {
					for i := range b.out.Touched {
						s.Note(b.m, b.out.Touched[i].Name)
					}
				}
				if dice.IntN(20) == 0 {
					b.m.Dirty(func(_, _ []byte) {}) // ghosts come and go
				}
			}
		}
		change(80)
		bounds := SearchBounds{1 + dice.IntN(20), 1 + dice.IntN(80)}
		prefix, after := []string{"", "a/", "b/3"}[dice.IntN(3)], []byte(nil)
		for more := true; more; more = after != nil {
			if s == nil || !s.Covers([]byte(prefix), after) {
				s = b.m.Search([]byte(prefix), after, bounds)
			}
			for !s.Look(b.m, 1+dice.IntN(30)) {
				change(dice.IntN(10))
			}
			change(dice.IntN(5))
			limit := 1 + dice.IntN(9)
			want := inUseBehind(b.m, prefix, string(after))
			names, covered := s.Names(nil, b.m, after, limit)
			if covered != nil {
				want = slices.DeleteFunc(want, func(n string) bool { return n > string(covered) })
			}
			if covered != nil && string(covered) <= string(after) && len(names) == 0 {
				pushed++
				continue
			}
			if got := fmt.Sprintf("%s", names); got != fmt.Sprint(want) || len(names) > limit ||
				covered != nil && string(covered) <= string(after) {
				t.Fatalf("seed %d: got %s behind %q up to %q, want %v", seed, got, after, covered, want)
			}
			after = covered
		}
	}
	if pushed == 0 {
		t.Error("no search had its end moved before the cursor")
	}
}

// BenchmarkSearch looks through a quarter of a million locks whose names come in the worst
// order, and in none that matter, and reports what it takes for one place that it says
// to have spent: that is to be about the same.
func BenchmarkSearch(b *testing.B) {
	const locks = 1 << 18
	for _, row := range []struct{ what, prefix string }{{"descending", "lock/"}, {"others", "x"}} {
		b.Run(row.what, func(b *testing.B) {
			f := newBench(b, bigLimits())
			for i := range locks {
				f.acquire(RequestID(i+1), fmt.Appendf(nil, "lock/%08d", locks-i), ModeEX)
			}
			spent := 0
			b.ResetTimer()
			for b.Loop() {
				s := f.m.Search([]byte(row.prefix), nil, SearchBounds{Names: 2 << 10, Bytes: 64 << 10})
				for !s.Look(f.m, 16<<10) {
				}
				spent += s.Spent()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(spent), "ns/place")
		})
	}
}

// A look takes no longer than its places do, however many names it has to put in order:
// they come in the worst order here. Each look gets on.
func TestLookIsBounded(t *testing.T) {
	const locks, names = 4000, 50
	b := newBench(t, bigLimits())
	for i := range locks {
		b.acquire(RequestID(i+1), fmt.Appendf(nil, "%06d", locks-i), ModeEX)
	}
	for _, places := range []int{1, 100, 2000} {
		s := b.m.Search(nil, nil, SearchBounds{Names: names, Bytes: 1 << 20})
		spent, before, order := 0, s.next, 2*names*placesPerName
		for ; !s.Look(b.m, places); before = s.next {
			k := s.Spent()
			if spent += k; k < 1 || k > places+order {
				t.Fatalf("a look for %d places took as long as %d, want at most %d more", places, k, order)
			}
			if looked := int(s.next - before); looked > (places/order+2)*2*names {
				t.Fatalf("a look for %d places came %d names further, all of which were to be put in "+
					"order, %d at once", places, looked, 2*names)
			}
		}
		got, _ := s.Names(nil, b.m, nil, names)
		if len(got) != names || string(got[0]) != "000001" {
			t.Errorf("got %d names from %s on, want the first %d", len(got), got[0], names)
		}
		if spent < locks {
			t.Errorf("spent %d, want no less than there are places", spent)
		}
	}
}

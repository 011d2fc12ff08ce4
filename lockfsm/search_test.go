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

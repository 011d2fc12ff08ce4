package node

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// longNames returns n names of group 0 that are as long as a name may be, ascending.
func longNames(groups, n int) (all [][]byte) {
	for i := 0; len(all) < n; i++ {
		name := append(fmt.Appendf(nil, "long/%06d/", i), bytes.Repeat([]byte("x"), wire.MaxNameBytes)...)
		if name = name[:wire.MaxNameBytes]; wire.GroupOf("", name, uint16(groups)) == 0 {
			all = append(all, name)
		}
	}
	return all
}

// A page has as many entries as it has room for, and says that there are more: all pages
// have each name once, be the names long or short.
func TestListPages(t *testing.T) {
	o := testOptions()
	w := newWorld(t, o)
	a := w.lasting(1, 0, 60_000)
	names := longNames(o.Groups, 130)
	for i := range 150 {
		names = append(names, w.nameIn(0, i))
	}
	for _, name := range names {
		a.lock(name)
	}
	found, pages := map[string]bool{}, 0
	var after []byte
	for more := wire.MorePages; more == wire.MorePages; pages++ {
		h := a.header(wire.KindList)
		h.Flags = wire.FlagVersion3
		r := w.call(a.conn, h, wire.AppendList(nil, h, &wire.List{Limit: wire.MaxListPage,
			After: after}))
		page, err := wire.DecodeListPage3(r.Payload)
		if r.Status != wire.StatusOK || err != nil || len(page.Entries) == 0 ||
			len(r.Payload) > wire.MaxListBytes+4 {
			t.Fatalf("page %d: got %v, %v, %d entries in %d bytes", pages, r.Status, err,
				len(page.Entries), len(r.Payload))
		}
		for i := range page.Entries {
			name := string(page.Entries[i].Name)
			if found[name] || name <= string(after) {
				t.Fatalf("page %d: got %.20q after %.20q", pages, name, after)
			}
			found[name], after = true, []byte(name)
		}
		more = page.More
	}
	if len(found) != len(names) || pages < 2 || pages > 3 {
		t.Errorf("got %d names in %d pages, want %d in two or three", len(found), pages, len(names))
	}
}

// list asks for all pages of group 0 and returns the names on them, and has other work
// done before each.
func (u *user) list(limit uint16, before func()) (names []string, pages int) {
	u.w.t.Helper()
	var after []byte
	for more := wire.MorePages; more == wire.MorePages; pages++ {
		before()
		h := u.header(wire.KindList)
		h.Flags = wire.FlagVersion3
		r := u.w.call(u.conn, h, wire.AppendList(nil, h, &wire.List{Limit: limit, After: after}))
		page, err := wire.DecodeListPage3(r.Payload)
		if r.Status != wire.StatusOK || err != nil {
			u.w.t.Fatalf("page %d: got %v, %v", pages, r.Status, err)
		}
		for i := range page.Entries {
			after = append([]byte(nil), page.Entries[i].Name...)
			names = append(names, string(after))
		}
		more = page.More
	}
	return names, pages
}

// The names of a list are looked for a piece a turn, and what was found serves the
// pages that follow: names that come are there, names that have gone are not. Who lists
// more than is found at once has it looked for again.
func TestListLooksInPieces(t *testing.T) {
	const locks, step, kept, limit = 200, 10, 50, 7
	o := testOptions()
	o.SearchStep, o.SearchNames = step, kept
	w := newWorld(t, o)
	a := w.lasting(1, 0, 60_000)
	var names []string
	tokens := map[string]uint64{}
	for i := range locks {
		name := string(w.nameIn(0, i))
		names, tokens[name] = append(names, name), a.lock([]byte(name)).Token
	}
	slices.Sort(names)
	n := w.leaderOf(0).node
	before := n.Stats()
	got, pages := a.list(limit, func() {})
	if !slices.Equal(got, names) || pages < locks/limit {
		t.Fatalf("got %d names on %d pages, want %d, in order", len(got), pages, locks)
	}
	now := n.Stats()
	searches, turns := now.Searches-before.Searches, now.Turns-before.Turns
	if least := uint64(locks / kept); searches < least || searches > 2*least {
		t.Errorf("got %d searches for %d pages, want about %d", searches, pages, least)
	}
	if turns < searches*locks/step {
		t.Errorf("got %d turns for %d searches of %d locks, %d in each", turns, searches, locks, step)
	}

	// Behind where the list has come one name goes before each page, and stays away.
	gone, ahead := map[string]bool{}, 20 // how many pages the list does not come there for
	got, _ = a.list(limit, func() {
		if k := len(names) - 1 - 2*len(gone); len(gone) < ahead {
			gone[names[k]] = true
			a.release([]byte(names[k]), tokens[names[k]])
		}
	})
	want := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return gone[name] })
	if !slices.Equal(got, want) {
		t.Errorf("got %d names, want the %d in use, in order", len(got), len(want))
	}
	w.run(searchKept + Second)
	if k := len(n.group(0).searches); k != 0 {
		t.Errorf("got %d searches that nobody uses, want none", k)
	}
}

// Names that come while a client pages, before where it has come, push out what was
// found behind it: that is looked for again, and no name is listed twice or out of order.
func TestListBehindWhatCameSince(t *testing.T) {
	o := testOptions()
	o.SearchNames = 3
	w := newWorld(t, o)
	a := w.lasting(1, 0, 60_000)
	names := longNames(o.Groups, 8)
	for _, name := range names[2:] {
		a.lock(name)
	}
	pages := 0
	got, _ := a.list(2, func() {
		if pages++; pages == 2 {
			a.lock(names[0])
			a.lock(names[1])
		}
	})
	var want []string
	for _, name := range names[2:] {
		want = append(want, string(name))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %.14q, want %.14q", got, want)
	}
}

// firstInUse returns the first names that the machine of a group has in use.
func firstInUse(g *group, limit int) (names []string) {
	g.machine.ForEachLock(func(x *lockfsm.LockInfo) bool {
		names = append(names, string(x.Name))
		return true
	})
	slices.Sort(names)
	return names[:min(limit, len(names))]
}

// What is touched while names are looked for is heard of by the search, be it more than
// is kept. A search that is done and used by nobody costs no Apply anything: it goes.
func TestSearchesHearWhatIsTouched(t *testing.T) {
	const kept = 3
	o := testOptions()
	o.SearchStep, o.SearchNames = 1, kept
	w := newWorld(t, o)
	a := w.lasting(1, 0, 60_000)
	names := longNames(o.Groups, 80)
	tokens := make(map[int]uint64)
	lock := func(i int) { tokens[i] = a.lock(names[i]).Token }
	for i := 40; i < 80; i++ {
		lock(i)
	}
	n := w.leaderOf(0).node
	g := n.groups[0]
	search := func() bool {
		_, ready, cost := n.namesBehind(g, nil, nil, kept)
		if cost < 1 {
			t.Fatalf("a search cost %d", cost)
		}
		return ready
	}
	check := func(when string) {
		t.Helper()
		for !search() {
		}
		if got, want := fmt.Sprintf("%q", n.names), fmt.Sprintf("%q", firstInUse(g, kept)); got != want {
			t.Errorf("%s: got %.80s, want %.80s", when, got, want)
		}
	}
	for range 10 {
		if search() {
			t.Fatal("all names were found too soon")
		}
	}
	for i := 10; i < 40; i++ { // the first ones are not kept any more when it is done
		lock(i)
	}
	if k := len(g.touches.names); k > kept || len(g.searches) != 1 {
		t.Errorf("got %d names kept for %d searches, want at most %d for one", k, len(g.searches), kept)
	}
	check("names came while they were looked for")
	lock(9)
	check("a name came since")
	a.release(names[9], tokens[9])
	check("a name went since")
	for i := 8; i >= 0; i-- {
		lock(i)
	}
	if len(g.searches) != 0 {
		t.Errorf("got %d searches not used since much was touched, want none", len(g.searches))
	}
	check("looked for again")
}

// No more than a few searches of a group are under way at once, because all of them hear
// what is touched. Who comes later has his turn when one is done, or given up.
func TestSearchesOfAGroupAtOnce(t *testing.T) {
	o := testOptions()
	o.SearchStep = 1
	w := newWorld(t, o)
	a := w.lasting(1, 0, 60_000)
	for i := range 20 {
		a.lock(w.nameIn(0, i))
	}
	n := w.leaderOf(0).node
	g := n.groups[0]
	search := func(i int) bool {
		_, ready, _ := n.namesBehind(g, nil, []byte{'z' - byte(i)}, 9) // none covers it
		return ready
	}
	for i := range 2 * maxLooking {
		if search(i) {
			t.Fatal("all names were found too soon")
		}
	}
	if len(g.searches) != maxLooking {
		t.Errorf("got %d searches at once, want %d", len(g.searches), maxLooking)
	}
	for !search(0) {
	}
	if search(2*maxLooking-1) || len(g.searches) != maxLooking+1 {
		t.Errorf("got %d searches once one is done, want one more", len(g.searches))
	}
	w.run(2 * searchIdle)
	if search(2*maxLooking-2) || g.searches[len(g.searches)-1].used != n.now {
		t.Error("no search of those that nobody waits for has made room")
	}
}

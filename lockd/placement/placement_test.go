package placement

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lockd/paxos"
)

func cluster(nodes, groups int, replicas uint8) Record {
	var ns []Node
	for i := range nodes {
		ns = append(ns, Node{ID: paxos.NodeID(i + 1), Disk: paxos.DiskID(100 + i), State: Member})
	}
	return Birth(ns, groups, replicas, 1)
}

// A cluster that grows one node at a time stays even.
func TestGrowingStaysEven(t *testing.T) {
	r := cluster(3, 64, 3)
	for id := paxos.NodeID(4); id <= MaxKeepers; id++ {
		r = join(t, r, id)
		even(t, &r, fmt.Sprintf("%d nodes", id))
	}
}

// counts returns how many replicas and how many first places each node has.
func counts(r *Record) (load, leads map[paxos.NodeID]int) {
	load, leads = map[paxos.NodeID]int{}, map[paxos.NodeID]int{}
	for _, home := range r.Homes {
		leads[home[0]]++
		for _, id := range home {
			load[id]++
		}
	}
	return load, leads
}

// spread is the difference between the most and the least of the members.
func spread(r *Record, of map[paxos.NodeID]int) int {
	var all []int
	for _, id := range r.keepers() {
		all = append(all, of[id])
	}
	return slices.Max(all) - slices.Min(all)
}

// even wants replicas and leaderships of the members to differ by one at most.
func even(t *testing.T, r *Record, what string) {
	t.Helper()
	load, leads := counts(r)
	if s := spread(r, leads); s > 1 {
		t.Errorf("%s: leaderships %v differ by %d, want at most 1", what, leads, s)
	}
	if s := spread(r, load); s > 1 {
		t.Errorf("%s: replicas %v differ by %d, want at most 1", what, load, s)
	}
}

func must(t *testing.T, r Record, c Change) Record {
	t.Helper()
	next, err := r.Apply(&c)
	if err != nil {
		t.Fatalf("%v node %d: %v", c.Kind, c.Node, err)
	}
	back, err := DecodeRecord(next.Append(nil))
	if err != nil || !reflect.DeepEqual(back, next) {
		t.Fatalf("record does not come back: %v\ngot  %+v\nwant %+v", err, back, next)
	}
	return next
}

// join adds a node and binds its disk.
func join(t *testing.T, r Record, id paxos.NodeID) Record {
	t.Helper()
	r = must(t, r, Change{Kind: Add, Node: id, Peer: fmt.Sprint("p:", id),
		Client: fmt.Sprint("c:", id)})
	return must(t, r, Change{Kind: Bind, Node: id, Disk: paxos.DiskID(1000 + id)})
}

func TestBirthSpreadsLeadersAndReplicas(t *testing.T) {
	for nodes := 1; nodes <= MaxKeepers; nodes++ {
		for _, groups := range []int{1, 16, 64, 65, 100} {
			r := cluster(nodes, groups, 3)
			even(t, &r, fmt.Sprintf("%d groups on %d nodes", groups, nodes))
		}
	}
}

// A new node takes its share, from everybody, and nothing else moves.
func TestAddedNodeTakesItsShare(t *testing.T) {
	before := cluster(3, 64, 3)
	after := join(t, before, 4)
	load, leads := counts(&after)
	if load[4] != 48 || spread(&after, load) > 1 || spread(&after, leads) > 1 {
		t.Errorf("got replicas %v and leaderships %v, want 48 and 16 each", load, leads)
	}
	moved := 0
	for g := range before.Homes {
		for _, id := range after.Homes[g] {
			if !slices.Contains(before.Homes[g], id) {
				moved++
			}
		}
	}
	if moved != load[4] {
		t.Errorf("replicas moved: got %d, want the %d of the new node", moved, load[4])
	}
}

func TestRemovedNodeKeepsNothing(t *testing.T) {
	r := join(t, cluster(3, 64, 3), 4)
	r = must(t, r, Change{Kind: Remove, Node: 2})
	load, _ := counts(&r)
	if load[2] != 0 || spread(&r, load) > 1 {
		t.Errorf("got replicas %v, want none of node 2", load)
	}
	r = must(t, r, Change{Kind: Release, Node: 2})
	if _, err := r.Apply(&Change{Kind: Add, Node: 2, Peer: "h:1", Client: "h:2"}); !errors.Is(err,
		ErrRefused) {
		t.Errorf("an id that was used is given out again: got %v, want ErrRefused", err)
	}
}

// A replaced node keeps its groups on a new disk, and its old disk is out.
func TestReplacedNodeNeedsAnotherDisk(t *testing.T) {
	r := must(t, cluster(3, 8, 3), Change{Kind: Replace, Node: 3})
	if _, known := r.Home(0); known {
		t.Error("the home is known before node 3 has shown a disk")
	}
	if _, err := r.Apply(&Change{Kind: Bind, Node: 3, Disk: 102}); !errors.Is(err, ErrRefused) {
		t.Errorf("the disk that was given up: got %v, want ErrRefused", err)
	}
	r = must(t, r, Change{Kind: Bind, Node: 3, Disk: 7})
	home, known := r.Home(0)
	if !known || !slices.Contains(home, paxos.Acceptor{Node: 3, Disk: 7}) {
		t.Errorf("home: got %v, want node 3 with disk 7", home)
	}
}

func TestChangesThatAreRefused(t *testing.T) {
	three, four := cluster(3, 8, 3), cluster(4, 8, 3)
	leaves := must(t, four, Change{Kind: Remove, Node: 4})
	invited := must(t, three, Change{Kind: Add, Node: 4, Peer: "h:1", Client: "h:2"})
	for _, c := range []struct {
		name string
		from Record
		c    Change
		want error
	}{
		{"remove below the replicas", three, Change{Kind: Remove, Node: 1}, ErrRefused},
		{"remove a stranger", three, Change{Kind: Remove, Node: 9}, ErrRefused},
		{"add without address", three, Change{Kind: Add, Node: 9}, ErrRefused},
		{"add who is there", three, Change{Kind: Add, Node: 1}, ErrNoChange},
		{"a peer address of another", join(t, three, 4), Change{Kind: Add, Node: 5, Peer: "p:4",
			Client: "c:5"}, ErrRefused},
		{"a client address of another", join(t, three, 4), Change{Kind: Add, Node: 5, Peer: "p:5",
			Client: "c:4"}, ErrRefused},
		{"a peer address that is another's for clients", join(t, three, 4), Change{Kind: Add, Node: 5,
			Peer: "c:4", Client: "c:5"}, ErrRefused},
		{"one address twice", three, Change{Kind: Add, Node: 5, Peer: "h", Client: "h"}, ErrRefused},
		{"replace at another's address", join(t, three, 4), Change{Kind: Replace, Node: 1, Peer: "p:4",
			Client: "c:1"}, ErrRefused},
		{"two at a time", invited, Change{Kind: Add, Node: 5, Peer: "h", Client: "h"}, ErrBusy},
		{"replace beside it", invited, Change{Kind: Replace, Node: 1}, ErrBusy},
		{"bind who has a disk", three, Change{Kind: Bind, Node: 1, Disk: 9}, ErrRefused},
		{"release a member", three, Change{Kind: Release, Node: 1}, ErrNoChange},
		{"lower the format", three, Change{Kind: Raise, Format: 1}, ErrNoChange},
		{"move to a stranger", three, Change{Kind: Move, Node: 9}, ErrRefused},
		{"move a group there is not", three, Change{Kind: Move, Node: 1, Group: 8}, ErrRefused},
		{"move to who was invited", invited, Change{Kind: Move, Node: 4}, ErrRefused},
		{"move to who leads", three, Change{Kind: Move, Node: 1}, ErrNoChange},
		{"move to who leads and is awaited", must(t, three, Change{Kind: Replace, Node: 1}),
			Change{Kind: Move, Node: 1}, ErrNoChange},
		{"move to who is awaited", must(t, three, Change{Kind: Replace, Node: 2}),
			Change{Kind: Move, Node: 2}, ErrBusy},
		{"keep who stays", three, Change{Kind: Keep, Node: 1}, ErrNoChange},
		{"keep who was invited", invited, Change{Kind: Keep, Node: 4}, ErrNoChange},
		{"keep who has gone", must(t, invited, Change{Kind: Remove, Node: 4}),
			Change{Kind: Keep, Node: 4}, ErrRefused},
		{"add while one leaves", leaves, Change{Kind: Add, Node: 6, Peer: "h", Client: "h"}, ErrBusy},
		{"remove beside an invitation", must(t, four, Change{Kind: Add, Node: 5, Peer: "h:1",
			Client: "h:2"}), Change{Kind: Remove, Node: 1}, ErrBusy},
		{"remove another than who is awaited", must(t, four, Change{Kind: Replace, Node: 1}),
			Change{Kind: Remove, Node: 2}, ErrBusy},
		{"remove one too many", leaves, Change{Kind: Remove, Node: 3}, ErrRefused},
		{"replace who is awaited", must(t, three, Change{Kind: Replace, Node: 1}),
			Change{Kind: Replace, Node: 1}, ErrNoChange},
	} {
		if _, err := c.from.Apply(&c.c); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if r := must(t, invited, Change{Kind: Remove, Node: 4}); r.Node(4).State != Gone {
		t.Error("an invitation cannot be taken back")
	}
}

// A change that cannot be carried out gives way to another: who leaves may stay, who
// is lost meanwhile gets a new disk, or leaves too, and who is awaited may be awaited
// elsewhere or let go. Homes are made of those who stay, and are even.
func TestWhatIsUnderWayIsWithdrawn(t *testing.T) {
	leaves := must(t, cluster(4, 16, 3), Change{Kind: Remove, Node: 4})
	replaced := must(t, leaves, Change{Kind: Replace, Node: 3})
	if replaced.Node(4).State != Leaving || replaced.Node(3).Disk != 0 {
		t.Errorf("replaced while another leaves: got %+v", replaced.Nodes)
	}
	elsewhere := must(t, replaced, Change{Kind: Replace, Node: 3, Peer: "q:3", Client: "d:3"})
	if n := elsewhere.Node(3); n.Peer != "q:3" || n.Client != "d:3" || len(n.Retired) != 1 {
		t.Errorf("awaited elsewhere: got %+v", n)
	}
	_, err := leaves.Apply(&Change{Kind: Remove, Node: 3})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "cluster remove --undo 4") {
		t.Errorf("too few would stay: got %v, want to hear how node 4 can", err)
	}
	stays := must(t, replaced, Change{Kind: Keep, Node: 4})
	even(t, &stays, "node 4 stays")
	gone := must(t, stays, Change{Kind: Remove, Node: 3})
	even(t, &gone, "node 3 leaves instead")
	if load, _ := counts(&gone); load[3] != 0 || load[4] != 16 {
		t.Errorf("replicas: got %v, want all on nodes 1, 2 and 4", load)
	}
	both := must(t, must(t, cluster(5, 16, 3), Change{Kind: Remove, Node: 5}),
		Change{Kind: Remove, Node: 4})
	if load, _ := counts(&both); load[4] != 0 || load[5] != 0 {
		t.Errorf("replicas: got %v, want none on those who leave", load)
	}
}

// A move changes who is the first of one group, and the way back changes it back.
// Until somebody joins or leaves it stays, and then leaderships are even again.
func TestMoveStaysUntilSomebodyJoinsOrLeaves(t *testing.T) {
	before := cluster(4, 16, 3)
	leads := func(r *Record, id paxos.NodeID) (k int) {
		for _, home := range r.Homes {
			if home[0] == id {
				k++
			}
		}
		return k
	}
	r := before
	for g, home := range before.Homes {
		if at := slices.Index(home, 2); at > 0 {
			r = must(t, r, Change{Kind: Move, Node: 2, Group: paxos.GroupID(g)})
			back := must(t, r, Change{Kind: Move, Node: home[0], Group: paxos.GroupID(g)})
			if got := back.Homes[g]; !slices.Equal(got, home) {
				t.Fatalf("group %d moved there and back: got home %v, want %v", g, got, home)
			}
		} else if at < 0 {
			_, err := r.Apply(&Change{Kind: Move, Node: 2, Group: paxos.GroupID(g)})
			if want := listOf(home); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
				t.Errorf("group %d moved to who does not keep it: got %v, want nodes %s named", g, err, want)
			}
		}
	}
	r = must(t, r, Change{Kind: Raise, Format: 9})
	r = must(t, r, Change{Kind: Replace, Node: 2})
	r = must(t, r, Change{Kind: Bind, Node: 2, Disk: 7})
	if got := leads(&r, 2); got != 12 {
		t.Errorf("node 2 is to lead %d groups, want the 12 that it keeps", got)
	}
	joined := join(t, r, 5)
	even(t, &joined, "node 5 joined")
	left := must(t, r, Change{Kind: Remove, Node: 1})
	even(t, &left, "node 1 leaves")
	_, err := left.Apply(&Change{Kind: Move, Node: 1})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "node 1 is leaving") {
		t.Errorf("a group moved to who leaves: got %v, want a refusal that says so", err)
	}
}

// Whatever is changed, every group has a home of the right size among members, and
// no node has more than one replica or, unless they were moved since somebody joined
// or left, leadership above another. The same change of the same record gives the same.
func TestRandomChanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		r := cluster(3+rng.IntN(5), 16, 3)
		next := paxos.NodeID(20)
		uneven := false // leaderships were moved since they were made even
		for range 30 {
			var c Change
			switch rng.IntN(8) {
			case 0:
				c = Change{Kind: Add, Node: next, Peer: fmt.Sprint("p:", next),
					Client: fmt.Sprint("c:", next)}
				next++
			case 1:
				c = Change{Kind: Bind, Node: next - 1, Disk: paxos.DiskID(rng.Uint64())}
			case 2:
				c = Change{Kind: Remove, Node: r.Nodes[rng.IntN(len(r.Nodes))].ID}
			case 3:
				c = Change{Kind: Release, Node: r.Nodes[rng.IntN(len(r.Nodes))].ID}
			case 4:
				c = Change{Kind: Replace, Node: r.Nodes[rng.IntN(len(r.Nodes))].ID}
			case 5:
				c = Change{Kind: Keep, Node: r.Nodes[rng.IntN(len(r.Nodes))].ID}
			default:
				c = Change{Kind: Move, Node: r.Nodes[rng.IntN(len(r.Nodes))].ID,
					Group: paxos.GroupID(rng.IntN(17))}
			}
			after, err := r.Apply(&c)
			if err != nil {
				continue
			}
			joins := c.Kind == Bind && r.Node(c.Node).State == Joining
			before := r
			r = after
			for g, home := range r.Homes {
				if len(home) != 3 {
					t.Fatalf("group %d is at home on %v after %v", g, home, c.Kind)
				}
			}
			switch c.Kind {
			case Move:
				uneven = true
			case Bind, Remove, Keep:
				uneven = uneven && r.Node(c.Node).State != Leaving && !joins && c.Kind != Keep
			}
			if !uneven {
				even(t, &r, fmt.Sprint("after ", c.Kind))
			}
			if again, _ := before.Apply(&c); !reflect.DeepEqual(again, r) {
				t.Errorf("%v gives %+v, and then %+v", c.Kind, r, again)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// From any seats to any home the steps end, never take two conditions at once,
// change acceptors only for a home whose newcomers observe, and let somebody go only once
// the others have all that was chosen before. A node on another disk is a newcomer.
func TestStepsReachTheHome(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func() []paxos.Acceptor {
		var as []paxos.Acceptor
		for _, id := range rng.Perm(6)[:3] {
			as = append(as, paxos.Acceptor{Node: paxos.NodeID(id + 1), Disk: paxos.DiskID(rng.IntN(2))})
		}
		return as
	}
	for range 2000 {
		now := paxos.Configuration{From: 1, Acceptors: draw()}
		home := draw()
		steps := 0
		for {
			if steps == 2 { // the home changes on the way
				home = draw()
			}
			next, when, ok := Next(&now, home)
			if !ok {
				break
			}
			if steps++; steps > 8 {
				t.Fatalf("no end: now %+v, home %v", now, home)
			}
			var fresh []paxos.Acceptor
			for _, a := range next.Acceptors {
				if slices.Contains(now.Acceptors, a) {
					continue
				}
				fresh = append(fresh, a)
				if when != CaughtUp || !slices.Contains(now.Observers, a.Node) {
					t.Fatalf("%+v accepts at once in %+v", a, next)
				}
			}
			if got := Newcomers(&now, &next); !slices.Equal(got, fresh) {
				t.Fatalf("newcomers: got %v, want %v: %+v after %+v", got, fresh, next, now)
			}
			if gone := without(named(&now), named(&next)); len(gone) > 0 && when != Settled {
				t.Fatalf("nodes %v are let go at once: %+v after %+v", gone, next, now)
			}
			b := AppendSeats(nil, &now, &next)
			next.From = now.From + 10
			seats, err := DecodeSeats(b, next.From)
			if err != nil || fmt.Sprint(seats.Now) != fmt.Sprint(next) {
				t.Fatalf("seats: got %+v, %v, want %+v", seats.Now, err, next)
			}
			now = next
		}
		if len(now.Acceptors) != 3 || len(now.Observers) != 0 {
			t.Fatalf("ended with %+v, home %v", now, home)
		}
	}
}

// named are the nodes that a configuration names in any role.
func named(c *paxos.Configuration) []paxos.NodeID {
	return append(nodesOf(c.Acceptors), c.Observers...)
}

// What a log says of the record it has seen is read as it was written, or not at all.
func TestSeen(t *testing.T) {
	for _, version := range []uint64{0, 1, 1 << 60} {
		b := AppendSeen(nil, version)
		if got, err := DecodeSeen(b); err != nil || got != version {
			t.Errorf("got %d, %v, want %d", got, err, version)
		}
		newer := slices.Clone(b)
		newer[0]++
		for _, bad := range [][]byte{nil, b[:len(b)-1], append(slices.Clone(b), 0), newer} {
			if got, err := DecodeSeen(bad); !errors.Is(err, ErrMalformed) {
				t.Errorf("%x: got %d, %v, want ErrMalformed", bad, got, err)
			}
		}
	}
}

// A record gives something up while a node is to leave, and once a disk was replaced.
func TestGivesUp(t *testing.T) {
	r := cluster(4, 8, 3)
	for _, row := range []struct {
		c    Change
		want bool
	}{
		{Change{Kind: Move, Node: r.Homes[0][1]}, false},
		{Change{Kind: Remove, Node: 4}, true},
		{Change{Kind: Keep, Node: 4}, false},
		{Change{Kind: Replace, Node: 3}, true},
		{Change{Kind: Bind, Node: 3, Disk: 999}, true},
	} {
		next, err := r.Apply(&row.c)
		if err != nil {
			t.Fatal(err)
		}
		if r = next; r.GivesUp() != row.want {
			t.Errorf("after %v: gives up %v, want %v", row.c.Kind, r.GivesUp(), row.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := cluster(4, 8, 3)
	f.Add(r.Append(nil))
	f.Add(AppendChange(nil, &Change{Kind: Add, Node: 4, Peer: "a", Client: "b"}))
	f.Add(AppendChange(nil, &Change{Kind: Move, Node: 2, Group: 7}))
	f.Add(AppendChange(nil, &Change{Kind: Keep, Node: 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeRecord(b); err == nil {
			if got := r.Append(nil); !slices.Equal(got, b) {
				t.Errorf("record: got %x, want %x", got, b)
			}
		}
		if c, err := DecodeChange(b); err == nil {
			if got := AppendChange(nil, &c); !slices.Equal(got, b) {
				t.Errorf("change: got %x, want %x", got, b)
			}
		}
		if s, err := DecodeSeats(b, 99); err == nil {
			s.Now.From = 0
			_ = AppendSeats(nil, &s.Before, &s.Now)
		}
	})
}

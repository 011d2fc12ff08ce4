package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/lockd/node"
	"lockd/paxos"
)

func TestEventsBecomeLines(t *testing.T) {
	var out bytes.Buffer
	l := newEventLog(newLogger(&out, "info", "text"))
	l.write(node.Event{Kind: node.EventPeerDown, Node: 2, Cause: node.DownReset})
	l.write(node.Event{Kind: node.EventLeading, Group: 7})
	for range 3 {
		l.write(node.Event{Kind: node.EventRefusedUs, Node: 3, Text: "go away"})
	}
	l.write(node.Event{Kind: node.EventCheckpointFailed, Group: 0, Slot: 9, Text: "full"})
	l.write(node.Event{Kind: node.EventForced, Group: 3, Slot: 11, Forced: &node.Forced{
		Name: "a b", Token: 7, Mode: "EX", Held: node.Second, Holder: 9, Client: "ci", Who: "ops",
		Reason: "host\ndead"}})
	got := out.String()
	for _, want := range []string{`msg="peer down" peer=2 cause=reset`,
		`msg="refused by peer" peer=3 reason="go away"`,
		`msg="checkpoint failed" group=0 slot=9 reason=full`,
		`level=WARN msg="lock released by force" group=3 slot=11 name="a b" token=7 mode=EX ` +
			`held=1s holder=9 client=ci by=ops reason="host\ndead"`} {
		if strings.Count(got, want) != 1 {
			t.Errorf("got\n%swant one line with %s", got, want)
		}
	}
	if strings.Contains(got, "group=7") {
		t.Errorf("got\n%swant no line for each group that is led", got)
	}
}

// TestLinesNameTheGroup: a line about one group says which, group 0 included, and
// no other line names one.
func TestLinesNameTheGroup(t *testing.T) {
	without := []node.EventKind{node.EventBorn, node.EventPeerUp, node.EventPeerDown,
		node.EventRefusedUs, node.EventRosterConflict, node.EventDrained, node.EventDiskStalled,
		node.EventDiskMoves, node.EventFailed, node.EventRecord, node.EventChangeFailed,
		node.EventTold, node.EventDisbelieved}
	for k := node.EventBorn; k <= node.EventDisbelieved; k++ {
		var out bytes.Buffer
		newEventLog(newLogger(&out, "debug", "text")).write(node.Event{Kind: k})
		want := !slices.Contains(without, k)
		if got := strings.Contains(out.String(), " group=0"); got != want {
			t.Errorf("%v: got %q, want a group: %v", k, out.String(), want)
		}
	}
}

// A group that has left counts no more.
func TestLeaderTableForgetsGroupsThatLeft(t *testing.T) {
	tab := leaderTable{leader: make(map[paxos.GroupID]paxos.NodeID),
		own: make(map[paxos.GroupID]struct{})}
	for g := range paxos.GroupID(3) {
		tab.note(node.Event{Kind: node.EventLeader, Group: g, Node: 1})
		tab.note(node.Event{Kind: node.EventLeading, Group: g})
	}
	tab.note(node.Event{Kind: node.EventLeader, Group: 0})
	tab.note(node.Event{Kind: node.EventDeposed, Group: 0})
	if !tab.note(node.Event{Kind: node.EventRetired, Group: 1}) {
		t.Error("a group that left changed nothing")
	}
	if len(tab.leader) != 1 || len(tab.own) != 1 {
		t.Errorf("got %v, leading %v, want group 2 alone", tab.leader, tab.own)
	}
}

// TestEventLogNeverBlocks hands over more events than fit while nobody writes.
func TestEventLogNeverBlocks(t *testing.T) {
	var out bytes.Buffer
	l := newEventLog(newLogger(&out, "info", "json"))
	for range eventQueue + 5 {
		l.observe(node.Event{Kind: node.EventBorn})
	}
	if got := l.lost.Load(); got != 5 {
		t.Errorf("lost: got %d, want 5", got)
	}
}

func TestRepeatsThinOutTheSameWords(t *testing.T) {
	var r repeats
	now := time.Unix(1000, 0)
	for i, row := range []struct {
		peer uint16
		text string
		at   time.Duration
		want bool
	}{
		{1, "a", 0, true}, {1, "a", time.Second, false}, {2, "a", time.Second, true},
		{1, "b", 2 * time.Second, true}, {1, "b", 3 * time.Second, false},
		{1, "b", 2*time.Second + repeatEvery, true},
	} {
		if got := r.news(row.peer, row.text, now.Add(row.at)); got != row.want {
			t.Errorf("step %d: got %v, want %v", i, got, row.want)
		}
	}
}

// TestRepeatsAreBounded: whoever makes up ids and words gets no line for each, and no
// memory; what is said first is written, and so is what comes later.
func TestRepeatsAreBounded_FN6(t *testing.T) {
	var r repeats
	now := time.Unix(1000, 0)
	for range 3 {
		lines := 0
		for id := range uint16(10_000) {
			for _, text := range []string{"a", "b"} {
				if r.news(id, text, now) {
					lines++
				}
			}
		}
		if lines != mostLines || len(r.mu.said) > 2*mostLines {
			t.Errorf("got %d lines and %d ids kept, want %d and %d at most", lines, len(r.mu.said),
				mostLines, 2*mostLines)
		}
		now = now.Add(repeatEvery)
	}
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"lockd/lockd/node"
)

func TestEventsBecomeLines(t *testing.T) {
	var out bytes.Buffer
	l := newEventLog(newLogger(&out, "info", "text"), 64)
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

// TestEventLogNeverBlocks hands over more events than fit while nobody writes.
func TestEventLogNeverBlocks(t *testing.T) {
	var out bytes.Buffer
	l := newEventLog(newLogger(&out, "info", "json"), 64)
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

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

func TestWhyText(t *testing.T) {
	held := client.Holder{Client: "ci", Token: 7}
	kept := client.Holder{Kept: true, Token: 7, LeaseLeft: 3200 * time.Millisecond}
	why := func(position int, info client.LockInfo) *client.WhyInfo {
		info.Name = "x"
		return &client.WhyInfo{Position: position, Estimate: -1, LockInfo: info}
	}
	ending := why(1, client.LockInfo{HolderCount: 1, Holders: []client.Holder{kept}})
	ending.Estimate = 3200 * time.Millisecond
	one := client.LockInfo{HolderCount: 1, Holders: []client.Holder{held}}
	event, pair := client.LockInfo{Gate: client.GateEvent}, client.LockInfo{Gate: client.GateEvent}
	pair.WaiterCount = 2
	latch := client.LockInfo{Gate: client.GateLatch, Number: 3, WaiterCount: 1}
	barrier := client.LockInfo{Gate: client.GateBarrier, Number: 3, WaiterCount: 1}
	nearly := client.LockInfo{Gate: client.GateBarrier, Number: 3, WaiterCount: 2}
	for want, w := range map[string]*client.WhyInfo{
		`lock "x" would be granted at once`: why(0, client.LockInfo{}), "holder : ci": why(1, one),
		"comes free by itself": ending, "grant  : in 3.2s": ending,
		`event "x" is set`: why(0, event), `event "x" is not set: 2 waiting`: why(3, pair),
		`latch "x" has 3 left to count: 1 waiting`:  why(2, latch),
		"wants 3 parties, 1 wait: 2 more must come": why(2, barrier),
		"2 wait: with the next all go through":      why(0, nearly),
	} {
		var b bytes.Buffer
		if err := printWhy(&b, w); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("got %q, %v, want %q in it", b.String(), err, want)
		}
	}
}

func TestHolderIsNeverBlank(t *testing.T) {
	for want, h := range map[string]holderCell{"ci": {client: "ci"}, "unnamed": {},
		"detached": {detached: true}, "nobody (stays taken)": {kept: true},
		"nobody (stands)": {stands: true}} {
		if h.String() != want {
			t.Errorf("%+v: got %q, want %q", h, h, want)
		}
	}
	list := []client.ListEntry{{Name: "a", HolderCount: 1, Kept: true}}
	if got := listTable(list).rows[0][1]; got != "nobody (stays taken)" {
		t.Errorf("ls: got %q, want that it stays taken", got)
	}
}

package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/netio/wire"
)

// taleOf is what a node tells: holds by slot, each of which began and ended so many seconds
// after the epoch, and ranges of slots that it knows.
func taleOf(node uint16, spans []wire.Span, holds ...PastHold) tale {
	return tale{node: node, done: true, spans: spans, holds: holds}
}

func pastHold(slot uint64, from, to int64) PastHold {
	return PastHold{slot: slot, Token: slot, How: EndReleased, Mode: Exclusive, Session: 9,
		Start: time.Unix(from, 0), End: time.Unix(to, 0)}
}

// known are the slots above after up to to, which were at ten times as many seconds.
func knownSlots(after, to uint64) wire.Span {
	return wire.Span{After: after, To: to, AfterMillis: after * 10_000, ToMillis: to * 10_000}
}

func merged(asked Period, slot uint64, limit int, tales ...tale) *History {
	h := &History{Name: "a"}
	h.merge(tales)
	h.begin()
	h.trim(asked, limit)
	h.know(tales, asked, slot)
	return h
}

func historyText(h *History) string {
	var b strings.Builder
	for i := range h.Holds {
		p := &h.Holds[i]
		fmt.Fprintf(&b, "%d:%d-%d ", p.Token, p.Start.Unix(), p.End.Unix())
	}
	for _, u := range h.Unknown {
		fmt.Fprintf(&b, "unknown %d-%d ", max(0, u.From.Unix()), u.To.Unix())
	}
	return strings.TrimSpace(b.String())
}

// What several nodes tell is one history: a gap of one is filled by another, what nobody
// knows is said, and of two times that by who knows it better counts.
func TestHistoriesAreMerged(t *testing.T) {
	all := Period{To: time.Unix(1000, 0)}
	vague := pastHold(4, 41, 42)
	vague.StartAbout = -1
	for _, row := range []struct {
		what  string
		asked Period
		slot  uint64
		tales []tale
		want  string
		since int64
	}{
		{"one knows all", all, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(0, 9)}, pastHold(7, 60, 70), pastHold(2, 10, 20))},
			"7:60-70 2:10-20", 0},
		{"a gap is filled", all, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(0, 3), knownSlots(6, 9)}, pastHold(7, 60, 70),
				pastHold(2, 10, 20)),
			taleOf(2, []wire.Span{knownSlots(2, 7)}, pastHold(7, 60, 70), pastHold(4, 30, 40))},
			"7:60-70 4:30-40 2:10-20", 0},
		{"a gap is left", all, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(0, 3), knownSlots(7, 9)}),
			taleOf(2, []wire.Span{knownSlots(2, 5)})}, "unknown 50-70", 0},
		{"it reaches not so far", all, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(3, 9)}), taleOf(2, []wire.Span{knownSlots(4, 9)})},
			"unknown 0-30", 30},
		{"far enough for what is asked", Period{time.Unix(55, 0), time.Unix(60, 0)}, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(0, 3), knownSlots(5, 9)})}, "", 0},
		{"what stood then may have ended in a later gap", Period{time.Unix(20, 0), time.Unix(25, 0)},
			9, []tale{taleOf(1, []wire.Span{knownSlots(0, 3), knownSlots(7, 9)})}, "unknown 30-70", 0},
		{"who leads is silent", all, 12, []tale{taleOf(1, []wire.Span{knownSlots(0, 9)})},
			"unknown 90-1000", 0},
		{"nobody knows anything", all, 0, []tale{taleOf(1, nil)}, "unknown 0-1000", -1},
		{"the better clock", all, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(0, 9)}, vague),
			taleOf(2, []wire.Span{knownSlots(0, 9)}, pastHold(4, 30, 40))}, "4:30-40", 0},
		{"the better clock knows that it is none", all, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(0, 9)}, vague), taleOf(2, []wire.Span{knownSlots(3, 9)})},
			"", 0},
		{"one that does not have it knows nothing", all, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(0, 9)}, vague), taleOf(2, []wire.Span{knownSlots(4, 9)})},
			"4:41-42", 0},
		{"a wrong clock overrules nobody who is sure", all, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(0, 9)}, pastHold(4, 30, 40)),
			taleOf(2, []wire.Span{knownSlots(0, 9)})}, "4:30-40", 0},
		{"a gap between two clocks", all, 9, []tale{
			taleOf(1, []wire.Span{knownSlots(0, 3)}),
			taleOf(2, []wire.Span{{After: 5, To: 9, AfterMillis: 29_000, ToMillis: 90_000}})},
			"unknown 29-30", 0},
	} {
		h := merged(row.asked, row.slot, 10, row.tales...)
		if got := historyText(h); got != row.want {
			t.Errorf("%s: got %q, want %q", row.what, got, row.want)
		}
		switch {
		case row.since < 0 && !h.Since.IsZero(), row.since == 0 && !h.Complete,
			row.since > 0 && (h.Complete || h.Since.Unix() != row.since):
			t.Errorf("%s: got complete %v, since %s", row.what, h.Complete, h.Since)
		}
	}
}

// A node that has not come so far leaves nothing out, and more than was asked for is cut at
// the end of what all tell.
func TestHistoryIsCut(t *testing.T) {
	all := Period{To: time.Unix(1000, 0)}
	spans := []wire.Span{knownSlots(0, 9)}
	short := taleOf(1, spans, pastHold(8, 80, 81), pastHold(7, 70, 71))
	short.next.Block = 3 // there is more
	long := taleOf(2, spans, pastHold(8, 80, 81), pastHold(7, 70, 71), pastHold(5, 50, 51))
	h := merged(all, 9, 2, short, long)
	if got := historyText(h); got != "8:80-81 7:70-71" || !h.More {
		t.Errorf("got %q, more %v", got, h.More)
	}
	bad := tale{node: 3, err: errors.New("down"), done: true, spans: spans}
	h = merged(all, 9, 10, short, long, bad)
	if got := historyText(h); got != "8:80-81 7:70-71 5:50-51" || h.More || len(h.Silent) != 1 {
		t.Errorf("got %q, more %v, silent %v", got, h.More, h.Silent)
	}
}

// A hold that was converted is told as two, of which the second begins where the first ended;
// what stood when the cluster was asked and has ended is told once.
func TestHistoryOfAConvertedHold(t *testing.T) {
	first := pastHold(4, 30, 40)
	first.Mode, first.How, first.To = Shared, EndConverted, Exclusive
	second := pastHold(8, 30, 80)
	second.Moved = true
	standing := PastHold{Token: 8, Mode: Exclusive, Session: 9, Start: time.Unix(30, 0)}
	h := &History{Holds: []PastHold{standing}}
	tales := []tale{taleOf(1, []wire.Span{knownSlots(0, 9)}, second, first)}
	h.merge(tales)
	h.begin()
	if got := historyText(h); got != "8:40-80 4:30-40" {
		t.Errorf("got %q", got)
	}
	h.trim(Period{time.Unix(35, 0), time.Unix(36, 0)}, 9)
	if got := historyText(h); got != "4:30-40" {
		t.Errorf("at a moment before it was converted: got %q", got)
	}
	h = &History{Holds: []PastHold{standing}}
	h.merge([]tale{taleOf(1, []wire.Span{knownSlots(0, 9)}, first)})
	h.begin()
	if !h.Holds[0].Stands() || h.Holds[0].Start.Unix() != 40 {
		t.Errorf("standing: got %+v", h.Holds)
	}
}

// What is known is what every page says: one may meet a damaged block, another a second,
// and the oldest may go while the pages are read.
func TestHistoryOfSeveralPages(t *testing.T) {
	x := tale{node: 1}
	for i, spans := range [][]wire.Span{
		{knownSlots(0, 9)}, {knownSlots(0, 6), knownSlots(7, 9)},
		{knownSlots(0, 3), knownSlots(4, 9)}, {knownSlots(1, 12)}} {
		page := wire.HistoryPage{Block: uint64(9 - i), Spans: spans}
		x.call = &Call{Response: wire.Response{Payload: wire.AppendHistoryPage(nil, &page)}}
		if x.take(10); x.err != nil {
			t.Fatal(x.err)
		}
	}
	want := []wire.Span{knownSlots(1, 3), knownSlots(4, 6), knownSlots(7, 9)}
	if !slices.Equal(x.spans, want) {
		t.Errorf("got %v, want %v", x.spans, want)
	}
}

// A node that does not come to an end is not believed, and one that is busy is asked again.
func TestHistoryOfABadNode(t *testing.T) {
	page := func(x wire.HistoryPage) *Call {
		return &Call{Response: wire.Response{Payload: wire.AppendHistoryPage(nil, &x)}}
	}
	x := tale{node: 1}
	for i, c := range []*Call{page(wire.HistoryPage{Block: 7, Index: 3}),
		page(wire.HistoryPage{Block: 7, Index: 2}), page(wire.HistoryPage{Block: 6, Index: 40})} {
		if x.call = c; x.take(10) || x.done || x.err != nil {
			t.Fatalf("page %d: got %+v", i, x)
		}
	}
	for _, c := range []*Call{page(wire.HistoryPage{Block: 6, Index: 40}),
		page(wire.HistoryPage{Block: 8}), {Response: wire.Response{Payload: []byte("x")}}} {
		y := x
		if y.call = c; y.take(10) || !y.done || !errors.Is(y.err, ErrProtocol) {
			t.Errorf("got %+v, want ErrProtocol", y)
		}
	}
	x.call = &Call{Err: ErrBusy}
	for i := range busyTries {
		if !x.take(10) || x.done {
			t.Fatalf("busy %d: got %+v", i, x)
		}
	}
	if x.take(10) || !errors.Is(x.err, ErrBusy) {
		t.Errorf("busy for long: got %+v", x)
	}
	x = tale{call: &Call{Err: ErrNotFound}}
	if x.take(10) || !errors.Is(x.err, ErrNoHistory) {
		t.Errorf("none: got %+v", x)
	}
	if all := slices.Clone([]tale{x}); !errors.Is((&Client{}).failedPast(t.Context(), "a", all),
		ErrNoHistory) {
		t.Errorf("none anywhere: got another error")
	}
}

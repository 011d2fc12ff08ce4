package main

import (
	"bytes"
	"strings"
	"testing"

	"lockd/netio"
	"lockd/wal"
	"lockd/wal/disk"
)

// TestSmallLogIsNotCramped opens logs of the smallest and the default size of
// segments: with nothing in them new work is welcome.
func TestSmallLogIsNotCramped(t *testing.T) {
	for _, segment := range []int64{64 << 10, 1 << 20, 16 << 20} {
		dir, err := disk.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		w, err := wal.Open(dir, wal.Options{SegmentBytes: segment},
			func(wal.LSN, wal.Record) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		s := wal.StartSyncer(w, wal.SyncerOptions{
			OnDurable: func(wal.LSN) {},
			OnFailed:  func(err error) { t.Error(err) },
		})
		if p := newLogPort(s, segment); p.Cramped() {
			t.Errorf("segments of %d bytes: an empty log has room for %d bytes, wanted are %d",
				segment, s.Stats().RoomBytes, p.leastRoom)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestMeetingAgainTakesNoRoom names the same peers over and over, as a node does that
// comes to many records in one turn, while the loop that links them waits: it may wait
// for the very event loop that this turn is on.
func TestMeetingAgainTakesNoRoom(t *testing.T) {
	p := newPeerPort(nil, nil, nil)
	for range cap(p.changes) {
		p.Meet(2, "two:1")
		p.Meet(3, "")
	}
	p.Meet(2, "two:2")
	p.Part(3)
	p.Meet(3, "")
	want := []peerChange{{peer: netio.Peer{Node: 2, Addr: "two:1"}, meet: true},
		{peer: netio.Peer{Node: 3}, meet: true},
		{peer: netio.Peer{Node: 2, Addr: "two:2"}, meet: true, moved: true},
		{peer: netio.Peer{Node: 3}}, {peer: netio.Peer{Node: 3}, meet: true}}
	for _, c := range want {
		select {
		case got := <-p.changes:
			if got != c {
				t.Errorf("got %+v, want %+v", got, c)
			}
		default:
			t.Fatalf("got nothing, want %+v", c)
		}
	}
	if n := len(p.changes); n > 0 {
		t.Errorf("got %d changes more, want none", n)
	}
}

// TestMissingAddressIsNamed: a node whose list lacks one of the cluster's is told which,
// and what to do.
func TestMissingAddressIsNamed(t *testing.T) {
	var out bytes.Buffer
	p := newPeerPort(nil, newLogger(&out, "info", "text"), map[uint16]string{2: "two:1"})
	p.change(peerChange{peer: netio.Peer{Node: 3}, meet: true})
	for _, want := range []string{"level=WARN", "write it into cluster.nodes", "peer=3"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %q, want it to say %q", &out, want)
		}
	}
}

// TestWhoseAddressCounts: what the configuration says of a node counts when this one starts,
// and what the cluster is told later counts then; one that the configuration does not name is
// where the record says.
func TestWhoseAddressCounts(t *testing.T) {
	var out bytes.Buffer
	p := newPeerPort(nil, newLogger(&out, "info", "text"), map[uint16]string{2: "two:1",
		3: "three:1"})
	for _, row := range []struct {
		node          uint16
		record, where string
		warned        string
	}{
		{2, "", "two:1", ""}, {2, "two:2", "two:2", ""}, {2, "two:3", "two:3", ""},
		{3, "three:0", "three:1", "record=three:0"}, {3, "three:2", "three:2", ""},
		{4, "four:1", "four:1", ""}, {4, "four:2", "four:2", ""},
	} {
		out.Reset()
		p.Meet(row.node, row.record)
		c := <-p.changes
		if got := p.address(&c); got != row.where || (out.Len() > 0) != (row.warned != "") ||
			!strings.Contains(out.String(), row.warned) {
			t.Errorf("node %d, record %q: got %q and %q, want %q", row.node, row.record, got, &out,
				row.where)
		}
	}
}

// TestStrangersAreNamedInFewLines: one who does not prove the secret is named in the
// log, with what it says, and after a while it is said that more of them are not.
func TestStrangersAreNamedInFewLines_FN6(t *testing.T) {
	var out bytes.Buffer
	p := newPeerPort(nil, newLogger(&out, "info", "text"), nil)
	for id := range uint16(10 * mostLines) {
		p.unproven(id, "you are none of us")
	}
	for want, n := range map[string]int{`reason="you are none of us"`: mostLines,
		"further lines": 1} {
		if got := strings.Count(out.String(), want); got != n {
			t.Errorf("%s: got %d lines, want %d", want, got, n)
		}
	}
}

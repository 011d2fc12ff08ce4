package paxos

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func sampleMessages() []Message {
	return []Message{
		{Kind: KindHeartbeat, Group: 9, From: 1, To: 2, Ballot: Ballot{7, 1}, Chosen: 5, Seq: 3},
		{Kind: KindPreAnswer, Flags: FlagRefused, Group: 1, From: 2, To: 1,
			Ballot: Ballot{8, 1}, Promised: Ballot{7, 3}, Chosen: 4},
		{Kind: KindPromise, Flags: FlagMore, Group: 1, From: 2, To: 1, Ballot: Ballot{8, 1},
			Slot: 3, Last: 9, Entries: []Entry{
				{Slot: 3, Ballot: Ballot{2, 2}, Value: []byte("three")},
				{Slot: 9, Ballot: Ballot{1, 1}, Value: []byte{}},
			}},
		{Kind: KindTakeOver, From: 1, To: 2},
	}
}

func TestMessageGoldenBytes(t *testing.T) {
	m := Message{Kind: KindAccept, Group: 0x0102, From: 3, To: 4, Ballot: Ballot{5, 3}, Chosen: 6,
		Entries: []Entry{{Slot: 7, Ballot: Ballot{5, 3}, Value: []byte("v")}}}
	want := []byte{
		5, 0, 0x51, 0, 0x02, 0x01, 3, 0, 4, 0, // kind, flags, present, group, from, to
		5, 0, 0, 0, 0, 0, 0, 0, 3, 0, // ballot
		6, 0, 0, 0, 0, 0, 0, 0, // chosen
		1, 0, 0, 0, // entries
		7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 'v',
	}
	if got := AppendMessage(nil, &m); !bytes.Equal(got, want) {
		t.Errorf("AppendMessage:\ngot  %x\nwant %x", got, want)
	}
}

func TestRecordGoldenBytes(t *testing.T) {
	e := Entry{Slot: 1, Ballot: Ballot{5, 3}, Value: []byte("v")}
	for _, c := range []struct {
		kind RecordKind
		want []byte
	}{
		{RecordPromise, []byte{1, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0}},
		{RecordAccept, []byte{1, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 'v'}},
		{RecordChosen, []byte{1}},
	} {
		if got := appendRecordData(nil, c.kind, &e); !bytes.Equal(got, c.want) {
			t.Errorf("record kind %d: got %x, want %x", c.kind, got, c.want)
		}
	}
}

func TestMessagesInARow(t *testing.T) {
	var b []byte
	for _, m := range sampleMessages() {
		b = AppendMessage(b, &m)
	}
	var got Message
	for _, want := range sampleMessages() {
		rest, err := DecodeMessage(b, &got)
		if err != nil {
			t.Fatalf("%v: %v", want.Kind, err)
		}
		b = rest
		if len(want.Entries) == 0 {
			got.Entries = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if len(b) != 0 {
		t.Errorf("got %d bytes left over, want 0", len(b))
	}
}

func TestMessageCutAnywhereIsMalformed(t *testing.T) {
	for _, m := range sampleMessages() {
		b := AppendMessage(nil, &m)
		for n := range b {
			var got Message
			if _, err := DecodeMessage(b[:n], &got); !errors.Is(err, ErrMalformed) {
				t.Errorf("%v cut at %d of %d: got %v, want ErrMalformed", m.Kind, n, len(b), err)
			}
		}
	}
}

func TestRecordOfLaterVersionIsTooNew(t *testing.T) {
	var r Recovered
	err := r.Add(Record{Kind: RecordChosen, Slot: 1, Data: []byte{recordVersion + 1}})
	if !errors.Is(err, ErrTooNew) || errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrTooNew", err)
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range sampleMessages() {
		f.Add(AppendMessage(nil, &m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		rest, err := DecodeMessage(b, &m)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			return
		}
		if got, want := AppendMessage(nil, &m), b[:len(b)-len(rest)]; !bytes.Equal(got, want) {
			t.Fatalf("decoded and encoded again:\ngot  %x\nwant %x", got, want)
		}
	})
}

func FuzzRecord(f *testing.F) {
	e := Entry{Slot: 1, Ballot: Ballot{5, 3}, Value: []byte("v")}
	for kind := RecordPromise; kind <= RecordChosen; kind++ {
		f.Add(uint8(kind), appendRecordData(nil, kind, &e))
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		rec := Record{Kind: RecordKind(kind), Slot: 1, Data: data}
		e, err := decodeRecord(&rec)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooNew) {
				t.Fatalf("got %v, want ErrMalformed or ErrTooNew", err)
			}
			return
		}
		if got := appendRecordData(nil, rec.Kind, &e); !bytes.Equal(got, data) {
			t.Fatalf("decoded and encoded again: got %x, want %x", got, data)
		}
	})
}

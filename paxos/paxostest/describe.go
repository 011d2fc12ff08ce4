package paxostest

import (
	"encoding/binary"
	"fmt"
	"strings"

	"lockd/paxos"
)

// ballotOf reads the ballot of a promise or accept record.
func ballotOf(r paxos.Record) paxos.Ballot {
	return paxos.Ballot{
		Round: binary.LittleEndian.Uint64(r.Data[1:]),
		Node:  paxos.NodeID(binary.LittleEndian.Uint16(r.Data[9:])),
	}
}

// entryOf reads the entry of an accept record.
func entryOf(r paxos.Record) paxos.Entry {
	return paxos.Entry{Slot: r.Slot, Ballot: ballotOf(r), Value: r.Data[11:]}
}

func describeEntry(e paxos.Entry) string {
	if len(e.Value) == 0 {
		return fmt.Sprintf("%d@%v:no-op", e.Slot, e.Ballot)
	}
	return fmt.Sprintf("%d@%v:%.16s", e.Slot, e.Ballot, e.Value)
}

func describeRecord(r paxos.Record) string {
	switch r.Kind {
	case paxos.RecordPromise:
		return fmt.Sprintf("promise %v", ballotOf(r))
	case paxos.RecordAccept:
		return "accept " + describeEntry(entryOf(r))
	default:
		return fmt.Sprintf("chosen %d", r.Slot)
	}
}

// Describe writes a message on one line, with the fields that are set.
func Describe(m *paxos.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d→%d %v", m.From, m.To, m.Kind)
	if !m.Ballot.IsZero() {
		fmt.Fprintf(&b, " %v", m.Ballot)
	}
	if !m.Promised.IsZero() {
		fmt.Fprintf(&b, " promised=%v", m.Promised)
	}
	for _, f := range []struct {
		name  string
		value uint64
	}{
		{"slot", uint64(m.Slot)}, {"last", uint64(m.Last)},
		{"chosen", uint64(m.Chosen)}, {"seq", m.Seq},
	} {
		if f.value != 0 {
			fmt.Fprintf(&b, " %s=%d", f.name, f.value)
		}
	}
	for _, f := range []struct {
		name string
		flag paxos.Flags
	}{
		{"refused", paxos.FlagRefused}, {"more", paxos.FlagMore},
		{"released", paxos.FlagReleased},
	} {
		if m.Flags.Has(f.flag) {
			b.WriteString(" " + f.name)
		}
	}
	for _, e := range m.Entries {
		b.WriteString(" " + describeEntry(e))
	}
	return b.String()
}

package admin

import (
	"errors"

	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/lockfsm"
	"lockd/wal"
)

// settledSamples are those of a cluster that was just made, and of a configuration.
func settledSamples() map[string][][]byte {
	const odd = "\xff"
	nodes := []NodeAddresses{{Node: 1, Client: "a:1", Peer: "a:2", Admin: "a:3"}}
	parts := func(settings string) Bound { return Bound{Parts: []BoundPart{{Settings: settings}}} }
	settled := func(value, settings string) []byte {
		return AppendSettled(nil, &Settled{Settings: []SettingValue{{"node.id", value}},
			Nodes: []NodeAddresses{{Node: 1}}, Memory: parts(settings), Disk: parts(settings)})
	}
	return map[string][][]byte{
		"dev":    {AppendDev(nil, "a:1", "dev", odd, nodes)},
		"config": {settled(odd, "node.batch"), settled("1", "")},
	}
}

// dumpedSamples are those of a data directory.
func dumpedSamples() map[string][][]byte {
	const odd = "\xff"
	bad := errors.New("bad")
	listed := func(peer, client string) []byte {
		return AppendDirectory(nil, &node.Identity{Cluster: odd, Record: &placement.Record{
			Nodes: []placement.Node{{ID: 1, Peer: peer, Client: client}}}})
	}
	whole := NewDumpedGroup(1, 2, 3)
	whole.Machine(4, 5)
	whole.Session(&lockfsm.SessionInfo{Name: []byte(odd), Parked: true, Ending: true})
	whole.Lock(&lockfsm.LockInfo{Name: []byte(odd), Capacity: 2, Taken: 1,
		Holders: []lockfsm.ClaimInfo{{Permits: 1, Kept: true, Detached: true}},
		Waiters: []lockfsm.ClaimInfo{{Permits: 1, Parked: true}}})
	modes := NewDumpedGroup(1, 2, 3)
	modes.Machine(4, 5)
	modes.Session(&lockfsm.SessionInfo{})
	modes.Lock(&lockfsm.LockInfo{Holders: []lockfsm.ClaimInfo{{Owner: 7, Depth: 1}},
		Waiters: []lockfsm.ClaimInfo{{Owner: 7, Depth: 1}}})
	broken, young := NewDumpedGroup(1, 2, 3), NewDumpedGroup(1, 2, 3)
	broken.Damaged(bad)
	young.TooNew(bad)
	return map[string][][]byte{
		"directory": {listed("a:1", "a:2"), listed("", ""), AppendDirectory(nil, &node.Identity{})},
		"checkpoint": {whole.Append(nil), modes.Append(nil), broken.Append(nil),
			young.Append(nil)},
		"log": {AppendDumpedLog(nil, &DumpedLog{Next: 1, Segments: []wal.Item{{Segment: 1}},
			Damage: []Damage{{In: "f", Offset: 1, Err: bad}}}),
			AppendDumpedLog(nil, &DumpedLog{Damage: []Damage{{In: "f", Offset: -1, Err: bad}}})},
	}
}

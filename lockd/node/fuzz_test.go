package node

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
)

func testIdentity() Identity {
	return Identity{Cluster: "test", Node: 2, Disk: 77, Groups: 4, Settings: 99, Born: true,
		Birth: recordOfNodes([]placement.Node{{ID: 1, Disk: 5, State: placement.Member},
			{ID: 2, Disk: 77, State: placement.Member}})}
}

// Whatever decodes encodes to the same bytes again, and nothing panics, the
// checksum being right or not.
func FuzzDecodeIdentity(f *testing.F) {
	id := testIdentity()
	whole := AppendIdentity(nil, &id)
	f.Add(whole, false)
	f.Add(whole, true)
	f.Add(whole[:len(whole)-1], false)
	f.Add(AppendIdentity(nil, &Identity{}), true)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed && len(b) >= 4 {
			body := b[: len(b)-4 : len(b)-4]
			sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
			b = binary.LittleEndian.AppendUint32(body, sum)
		}
		id, err := DecodeIdentity(b)
		if err != nil {
			return
		}
		if again := AppendIdentity(nil, &id); len(again) != len(b) {
			t.Errorf("%+v: got %d bytes, want %d", id, len(again), len(b))
		}
	})
}

func TestDamagedIdentityIsNoticed(t *testing.T) {
	id := testIdentity()
	whole := AppendIdentity(nil, &id)
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			if got, err := DecodeIdentity(b); err == nil {
				t.Fatalf("byte %d bit %d flipped: got %+v, want an error", i, bit, got)
			}
		}
		if _, err := DecodeIdentity(whole[:i]); err == nil {
			t.Fatalf("cut at byte %d: got no error", i)
		}
	}
}

// heard runs a cluster of three in which node 1 was told what the fuzzer says.
func heard(t *testing.T, tell func(n *testNode)) {
	o := testOptions()
	o.Groups = 2
	w := newWorld(t, o)
	tell(w.nodes[1])
	w.nodes[2].node, w.nodes[3].node = nil, nil
	w.run(20 * Millisecond)
}

// No frame of a peer makes a node panic (I26).
func FuzzPeerFrame(f *testing.F) {
	m := paxos.Message{Kind: paxos.KindAccept, From: 2, To: 1,
		Ballot:  paxos.Ballot{Round: 9, Node: 2},
		Entries: []paxos.Entry{{Slot: 3, Ballot: paxos.Ballot{Round: 9, Node: 2}, Value: []byte{1, 0}}}}
	f.Add(uint8(wire.PeerKindMessages), paxos.AppendMessage(make([]byte, messagesHeadBytes), &m))
	for k := paxos.KindPrePrepare; k <= paxos.KindTakeOver; k++ {
		m := paxos.Message{Kind: k, From: 2, To: 1, Ballot: paxos.Ballot{Round: 99, Node: 2},
			Slot: 4, Last: 9, Chosen: 7}
		f.Add(uint8(wire.PeerKindMessages), paxos.AppendMessage(make([]byte, messagesHeadBytes), &m))
	}
	f.Add(uint8(wire.PeerKindRoster), make([]byte, 9))
	for kind := uint8(1); kind <= 4; kind++ {
		head := appendSnapshotHead(nil, snapshotHead{kind, 1, 99})
		f.Add(uint8(wire.PeerKindSnapshotAck), append(head, 0, 0, 0, 0))
		f.Add(uint8(wire.PeerKindSnapshot), append(head, make([]byte, 16)...))
	}
	f.Add(uint8(99), []byte{1})
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		heard(t, func(n *testNode) { n.inbox.PeerFrame(2, kind, b) })
	})
}

// No frame of a client makes a node panic (I26).
func FuzzRequest(f *testing.F) {
	h := wire.Header{Group: 1, Request: 1}
	name := []byte("a")
	f.Add(wire.AppendOpenSession(nil, h, &wire.OpenSession{Nonce: wire.Nonce{1}, Epoch: 1,
		LeaseMillis: 2000, Name: name}))
	f.Add(wire.AppendCloseSession(nil, h, &wire.CloseSession{Session: 1, Epoch: 1}))
	f.Add(wire.AppendAcquire(nil, h, &wire.Acquire{Session: 1, Epoch: 1, Mode: 5, Name: name}))
	f.Add(wire.AppendRelease(nil, h, &wire.Release{Session: 1, Token: 1, Epoch: 1, Name: name}))
	f.Add(wire.AppendCancel(nil, h, &wire.Cancel{Session: 1, Target: 1, Epoch: 1, Name: name}))
	f.Add(wire.AppendRenewHold(nil, h, &wire.RenewHold{Session: 1 << 63, Token: 1,
		TTLMillis: 9, Name: name}))
	f.Add(wire.AppendKeepalive(nil, h, []wire.SessionRef{{Group: 1, Session: 1}, {Group: 9}}))
	f.Add(wire.AppendGet(nil, h, &wire.Get{Name: name}))
	f.Add(wire.AppendList(nil, h, &wire.List{Limit: 3}))
	f.Add(wire.AppendStatus(nil, h))
	f.Add(wire.AppendTake(nil, h, &wire.Take{Session: 1, Epoch: 1, Permits: 2, Capacity: 3,
		Name: name}))
	f.Add(wire.AppendEnter(nil, h, &wire.Enter{Session: 1, Epoch: 1, Owner: 7, Mode: 5,
		Name: name}))
	f.Add(wire.AppendLeave(nil, h, &wire.Leave{Session: 1, Epoch: 1, Target: 1, Token: 1,
		Name: name}))
	f.Add(wire.AppendConvert(nil, h, &wire.Convert{Session: 1, Epoch: 1, Target: 1, Token: 1,
		Mode: wire.ModePR, Name: name}))
	f.Add(wire.AppendGiveBack(nil, h, &wire.GiveBack{Session: 1, Epoch: 1, Target: 1, Token: 1,
		Name: name}))
	f.Add(wire.AppendAcquireAll(nil, h, &wire.AcquireAll{Session: 1, Epoch: 1,
		Wants: wire.Wants(nil).Append(wire.Want{Mode: wire.ModeEX, Name: name})}))
	f.Add(wire.AppendReleaseAll(nil, h, &wire.ReleaseAll{Session: 1, Token: 1, Target: 1}))
	f.Add(wire.AppendFindSession(nil, h, &wire.FindSession{Nonce: wire.Nonce{1}, After: 1}))
	f.Add(wire.AppendCheckTokens(nil, h, []wire.TokenRef{{Token: 1, Name: name}}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		heard(t, func(n *testNode) {
			n.inbox.Request(1, frame)
			n.inbox.Request(1, frame)
			n.inbox.ConnClosed(1)
		})
	})
}

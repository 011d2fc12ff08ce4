package netio

import (
	"bytes"
	"testing"

	"lockd/netio/wire"
)

// FuzzHandshake_FW1: whatever opens a link, it is cut into frames of bounded
// size, and who claims to be somebody else is told so. A hello that is taken
// names a peer that dials this node, or a stranger where strangers are heard.
func FuzzHandshake_FW1(f *testing.F) {
	hello := wire.PeerHello{Version: wire.PeerVersion, MinVersion: wire.MinPeerVersion,
		Cluster: testCluster, Disk: testDisk, From: 1, To: 2}
	f.Add(wire.AppendPeerHello(nil, wire.PeerKindHello, &hello))
	f.Add(wire.AppendPeerHello(nil, wire.PeerKindWelcome, &hello))
	newer := hello
	newer.Version, newer.MinVersion = wire.PeerVersion+9, wire.PeerVersion+9
	f.Add(wire.AppendPeerHello(nil, wire.PeerKindHello, &newer))
	f.Add(wire.AppendPeerProof(nil, &wire.Proof{1}))
	f.Add(wire.AppendPeerRefused(nil, peerRefusal(wire.RefusedDisk, "wiped")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		ls := &Links{handler: newRecorder(), opts: LinkOptions{Self: 2}}
		p := &peer{node: 1}
		ls.peers.Store(&map[uint16]*peer{1: p})
		in := bytes.NewReader(stream)
		kind, payload, err := readHandshake(in)
		if used := len(stream) - in.Len(); used > handshakeFrameBytes {
			t.Fatalf("read %d bytes for one frame, want at most %d", used, handshakeFrameBytes)
		}
		if err != nil {
			return
		}
		from, h, refusal := ls.checkHello(kind, payload)
		if (from == nil) != (refusal != nil) {
			t.Fatalf("hello: got peer %v and refusal %v, want one of them", from, refusal)
		}
		if refusal == nil {
			refusal = ls.check(from, h)
		}
		if refusal == nil && (h.From != 1 || h.To != 2) {
			t.Fatalf("hello from %d to %d was taken by node 2", h.From, h.To)
		}
		ls.opts.Stranger = hears(newRecorder())
		from, h, refusal = ls.checkHello(kind, payload)
		if refusal == nil && (from.stranger == (h.From == 1) || from.node != h.From || h.From == 2) {
			t.Fatalf("hello of node %d was taken for that of %+v", h.From, from)
		}
		if h, refusal := ls.checkWelcome(p, kind, payload); refusal == nil && h.From != 1 {
			t.Fatalf("welcome of node %d was taken for that of node 1", h.From)
		}
		_, _ = wire.DecodePeerProof(payload)
		_, _ = wire.DecodePeerRefused(payload)
	})
}

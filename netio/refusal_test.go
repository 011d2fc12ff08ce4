package netio

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lockd/netio/wire"
)

// secretly are options with the secret of these tests.
func secretly(o LinkOptions) LinkOptions {
	o.Secret = []byte("between us")
	return o
}

// answering is a peer port written by hand: each conn is handed to answer with the
// payload of the hello it brought.
func answering(t *testing.T, answer func(p *rawPeer, hello []byte)) Peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			if _, payload, err := readHandshake(c); err == nil {
				answer(&rawPeer{t: t, TCPConn: c.(*net.TCPConn)}, payload)
			}
			_ = c.Close()
		}
	}()
	return Peer{Node: 2, Addr: ln.Addr().String()}
}

// Who does not show that it knows the secret is believed no refusal, whichever side it
// is on: a node ends for good when a peer says that it was removed or rolled back.
func TestRefusalNeedsAProof_FN6(t *testing.T) {
	for _, code := range []wire.Refusal{wire.RefusedRemoved, wire.RefusedRollback,
		wire.RefusedDisk} {
		refused := wire.AppendPeerRefused(nil, peerRefusal(code, "you are none of us"))
		forged := wire.AppendPeerProof(refused, &wire.Proof{1})
		two := newRecorder()
		ls := open(t, secretly(LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}}), two)
		for _, last := range [][]byte{refused, forged} {
			stranger := dialRaw(t, ls)
			h := rawHello(1)
			stranger.send(wire.AppendPeerHello(nil, wire.PeerKindHello, &h))
			if kind, _ := stranger.frame(); kind != wire.PeerKindWelcome {
				t.Fatalf("got %v, want a welcome with a challenge", kind)
			}
			stranger.send(last)
			_ = stranger.CloseWrite()
		}
		await(t, func() bool { return ls.Stats().Failed == 2 })
		two.quiet(t, 0)

		one := newRecorder()
		var tries atomic.Int64
		at := answering(t, func(p *rawPeer, _ []byte) {
			_, _ = p.Write([][]byte{refused, forged}[tries.Add(1)%2])
		})
		dialer := open(t, secretly(LinkOptions{Self: 1, Peers: []Peer{at}}), one)
		await(t, func() bool { return dialer.Stats().Peers[0].Failures > 2 })
		one.quiet(t, 0)
		if got := dialer.Stats().Peers[0]; got.Refused != 0 ||
			!strings.Contains(got.Problem, "you are none of us") {
			t.Errorf("got %d refusals, problem %q, want none, and what was said", got.Refused, got.Problem)
		}
	}
}

// A refusal of one who knows the secret is heard, whichever side refuses, and no link
// comes up before it.
func TestProvenRefusalIsHeard_FN6(t *testing.T) {
	wiped := func(uint16) wire.PeerHello { return wire.PeerHello{Cluster: testCluster, Disk: 0xbad} }
	for _, x := range []struct {
		name           string
		hello1, hello2 func(uint16) wire.PeerHello
	}{{"by the accepting side", wiped, testHello(2)}, {"by the dialing side", testHello(1), wiped}} {
		t.Run(x.name, func(t *testing.T) {
			one, two := newRecorder(), newRecorder()
			b := open(t, secretly(LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}, Hello: x.hello2}), two)
			open(t, secretly(LinkOptions{Self: 1, Hello: x.hello1,
				Peers: []Peer{{Node: 2, Addr: b.Addr().String()}}}), one)
			hears, silent := one, two
			if x.name == "by the dialing side" {
				hears, silent = two, one
			}
			for range 3 {
				if e := hears.next(t, "refused"); e.refusal.Code != wire.RefusedDisk {
					t.Errorf("got %v, want %v", e.refusal.Code, wire.RefusedDisk)
				}
			}
			silent.quiet(t, 0)
		})
	}
}

// judge is a recorder that counts whom it is asked about.
type judge struct {
	*recorder
	asked atomic.Int64
}

func (j *judge) Check(h wire.PeerHello) *wire.PeerRefused {
	j.asked.Add(1)
	return j.recorder.Check(h)
}

// Nobody is asked what to think of a node before that has shown that it knows the
// secret: who does not can claim to be any, and each claim is a line in a log.
func TestStrangersAreNotJudged_FN6(t *testing.T) {
	j := &judge{recorder: newRecorder()}
	ls, err := OpenLinks(secretly(LinkOptions{Self: 2, Addr: "127.0.0.1:0", Server: readers(t),
		Peers: []Peer{{Node: 1}}, Hello: testHello(2), Stranger: j.Check}), j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(ls) })
	for from := range uint16(9) {
		h := rawHello(1)
		h.From, h.Disk = from+100, 0xbad
		stranger := dialRaw(t, ls)
		if kind := stranger.shake(h); kind != wire.PeerKindWelcome {
			t.Fatalf("got %v, want a welcome with a challenge", kind)
		}
		kind, payload := stranger.frame()
		if r, err := wire.DecodePeerRefused(payload); kind != wire.PeerKindRefused || err != nil ||
			r.Code != wire.RefusedPermission {
			t.Errorf("got %v %v, %v, want %v", kind, r.Code, err, wire.RefusedPermission)
		}
	}
	if got := j.asked.Load(); got != 0 {
		t.Errorf("the handler was asked %d times, want not once", got)
	}
}

// oldShake is the handshake of a dialing node of a build which expects nothing after
// its proof.
func (p *rawPeer) oldShake(h wire.PeerHello) {
	p.t.Helper()
	frame := wire.AppendPeerHello(nil, wire.PeerKindHello, &h)
	p.send(frame)
	kind, payload := p.frame()
	if kind != wire.PeerKindWelcome {
		p.t.Fatalf("got %v, want a welcome", kind)
	}
	seen := transcript{hello: frame[wire.PeerHeaderBytes:], welcome: payload}
	proof := seen.proof([]byte("between us"), dialerRole)
	p.send(wire.AppendPeerProof(nil, &proof))
}

// A node whose build knows of no verdict is linked, and refused, all the same.
func TestOlderDialerIsAnswered_FN6(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	ls := open(t, secretly(LinkOptions{Self: 2, Peers: []Peer{{Node: 1}}}), two)
	p := dialRaw(t, ls)
	p.oldShake(rawHello(1))
	two.next(t, "up")
	ls.Send(1, messages([]byte("first")))
	if kind, _ := p.frame(); kind != wire.PeerKindMessages {
		t.Errorf("the first frame of a link: got %v, want %v", kind, wire.PeerKindMessages)
	}
	p.send(wire.AppendPeerRefused(nil, peerRefusal(wire.RefusedDisk, "wiped")))
	if e := two.next(t, "refused"); e.refusal.Code != wire.RefusedDisk {
		t.Errorf("got %v, want %v", e.refusal.Code, wire.RefusedDisk)
	}
	two.down(t, DownRefused)

	wiped := rawHello(1)
	wiped.Disk = 0xbad
	p = dialRaw(t, ls)
	p.oldShake(wiped)
	kind, payload := p.frame()
	if r, err := wire.DecodePeerRefused(payload); kind != wire.PeerKindRefused || err != nil ||
		r.Code != wire.RefusedDisk {
		t.Errorf("got %v %v, %v, want %v", kind, r.Code, err, wire.RefusedDisk)
	}
	two.quiet(t, 0)

	at := answering(t, func(p *rawPeer, hello []byte) {
		h := testHello(2)(1)
		h.Version, h.MinVersion, h.From, h.To = wire.PeerVersion, wire.MinPeerVersion, 2, 1
		seen := transcript{hello: hello}
		seen.welcome = wire.AppendPeerHello(nil, wire.PeerKindWelcome, &h)[wire.PeerHeaderBytes:]
		h.Proof = seen.proof([]byte("between us"), acceptorRole)
		_, _ = p.Write(wire.AppendPeerHello(nil, wire.PeerKindWelcome, &h))
		if kind, _, err := readHandshake(p); kind != wire.PeerKindProof || err != nil {
			t.Errorf("got %v, %v, want a proof", kind, err)
		}
		_, _ = p.Write(messages([]byte("first")))
		_, _ = p.Read(make([]byte, 1)) // until the link is closed
	})
	seen := make(chan string, 16)
	one.frame = func(_ uint16, _ wire.PeerKind, payload []byte) { seen <- string(payload) }
	a := open(t, secretly(LinkOptions{Self: 1, Peers: []Peer{at}}), one)
	one.next(t, "up")
	if got := <-seen; got != "first" {
		t.Errorf("first frame: got %q", got)
	}
	a.RemovePeer(2)
}

package netio

import (
	"testing"
	"time"

	"lockd/netio/wire"
)

// hears admits strangers as the recorder admits peers.
func hears(r *recorder) func(wire.PeerHello) *wire.PeerRefused { return r.Check }

// introducing are the options of node 2 that knows node 1 at an address.
func introducing(one *Links) LinkOptions {
	return LinkOptions{Self: 2, Peers: []Peer{{Node: 1, Addr: one.Addr().String()}},
		IntroduceAfter: 20 * time.Millisecond}
}

// A node that does not know another with a higher id hears it all the same, for a
// while and without answering, and is its peer once it has heard of it.
func TestNodeWithHigherIDIntroducesItself(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	frames := make(chan wire.PeerKind, 10)
	one.frame = func(n uint16, kind wire.PeerKind, payload []byte) {
		if n == 2 && string(payload) == "record" {
			frames <- kind
		}
	}
	two.frame = func(n uint16, kind wire.PeerKind, _ []byte) {
		t.Errorf("a stranger was sent %v by node %d", kind, n)
	}
	a := open(t, LinkOptions{Self: 1, Stranger: hears(one)}, one)
	b := open(t, introducing(a), two)
	if e := one.next(t, "up"); e.node != 2 {
		t.Fatalf("up: got node %d, want 2", e.node)
	}
	two.next(t, "up")
	b.Send(1, wire.AppendPeer(nil, wire.PeerKindRecord, []byte("record")))
	if got := <-frames; got != wire.PeerKindRecord {
		t.Errorf("got %v, want the record", got)
	}
	a.Send(2, messages([]byte("nothing of this arrives")))
	if s := a.Stats(); s.Introduced != 1 || len(s.Peers) != 0 {
		t.Errorf("stats: got %+v, want one introduction and no peer", s)
	}

	two.frame = nil
	if err := a.SetPeer(Peer{Node: 2, Addr: b.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	one.down(t, DownClosed)
	one.next(t, "up")
	two.next(t, "down")
	two.next(t, "up")
	if s := a.Stats(); len(s.Peers) != 1 || !s.Peers[0].Up {
		t.Errorf("stats: got %+v, want a linked peer", s)
	}
	one.quiet(t, 100*time.Millisecond)
	two.quiet(t, 100*time.Millisecond)
}

// A stranger with a lower id dials as it always does.
func TestStrangerWithLowerIDIsHeard(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	b := open(t, LinkOptions{Self: 2, Stranger: hears(two)}, two)
	open(t, LinkOptions{Self: 1, Peers: []Peer{{Node: 2, Addr: b.Addr().String()}}}, one)
	two.next(t, "up")
	one.next(t, "up")
	if err := b.SetPeer(Peer{Node: 1}); err != nil {
		t.Fatal(err)
	}
	two.down(t, DownClosed)
	one.down(t, DownReset)
	two.next(t, "up")
	one.next(t, "up")
	if s := b.Stats().Peers[0]; !s.Up {
		t.Errorf("stats: got %+v, want a link", s)
	}
}

// Nobody is heard without the secret, nor whom the handler does not want, nor any
// stranger where no function admits one.
func TestStrangersMustBeAdmitted_FN6(t *testing.T) {
	for _, x := range []struct {
		name           string
		secret         string
		cluster        uint64
		want, wantNone wire.Refusal
	}{
		{"admitted", "between us", testCluster, 0, wire.RefusedNode},
		{"without the secret", "guessed", testCluster, wire.RefusedPermission, wire.RefusedPermission},
		{"other cluster", "between us", 7, wire.RefusedCluster, wire.RefusedNode},
	} {
		t.Run(x.name, func(t *testing.T) {
			for _, hear := range []bool{true, false} {
				one, two := newRecorder(), newRecorder()
				o := LinkOptions{Self: 1, Secret: []byte("between us")}
				want := x.wantNone
				if hear {
					o.Stranger, want = hears(one), x.want
				}
				a := open(t, o, one)
				o = introducing(a)
				o.Secret = []byte(x.secret)
				o.Hello = func(uint16) wire.PeerHello {
					return wire.PeerHello{Cluster: x.cluster, Disk: testDisk + 2}
				}
				b := open(t, o, two)
				if want == 0 {
					one.next(t, "up")
					two.next(t, "up")
					continue
				}
				// Who dials with the wrong secret notices first, and says so; nobody
				// listens to what a stranger refuses.
				if want != wire.RefusedPermission {
					if e := two.next(t, "refused"); e.refusal.Code != want {
						t.Errorf("got %v, want %v", e.refusal.Code, want)
					}
				}
				await(t, func() bool { return b.Stats().Peers[0].Failures > 0 })
				one.quiet(t, 50*time.Millisecond)
				if got := a.Stats().Introduced; got != 0 {
					t.Errorf("introduced: got %d, want none", got)
				}
			}
		})
	}
}

// A wrong proof ends the handshake of a stranger before anything of it is heard.
func TestStrangerProvesTheSecret_FN6(t *testing.T) {
	two := newRecorder()
	ls := open(t, LinkOptions{Self: 2, Stranger: hears(two), Secret: []byte("between us")}, two)
	stranger := dialRaw(t, ls)
	if kind := stranger.shake(rawHello(1)); kind != wire.PeerKindWelcome {
		t.Fatalf("got %v, want a welcome with a challenge", kind)
	}
	kind, payload := stranger.frame()
	if r, err := wire.DecodePeerRefused(payload); kind != wire.PeerKindRefused || err != nil ||
		r.Code != wire.RefusedPermission {
		t.Errorf("wrong proof: got %v %v, %v, want %v", kind, r.Code, err, wire.RefusedPermission)
	}
	two.quiet(t, 50*time.Millisecond)
}

// Strangers are heard for a bounded time, a bounded number at once, and each once.
func TestStrangersAreBounded_FN6(t *testing.T) {
	const self = 99
	r := newRecorder()
	ls := open(t, LinkOptions{Self: self, Stranger: hears(r), IntroductionTime: time.Second}, r)
	hello := func(from uint16) wire.PeerHello {
		h := rawHello(byte(from))
		h.From, h.To, h.Disk = from, self, testDisk+uint64(from)
		return h
	}
	refused := func(from uint16, want wire.Refusal) {
		t.Helper()
		p := dialRaw(t, ls)
		if kind := p.shake(hello(from)); kind != wire.PeerKindWelcome {
			t.Fatalf("got %v, want a welcome", kind)
		}
		kind, payload := p.frame()
		if x, err := wire.DecodePeerRefused(payload); kind != wire.PeerKindRefused || err != nil ||
			x.Code != want {
			t.Errorf("node %d: got %v %v, %v, want %v", from, kind, x.Code, err, want)
		}
	}
	for id := range uint16(maxIntroduced) {
		dialRaw(t, ls).shake(hello(id + 1))
		r.next(t, "up")
	}
	refused(1, wire.RefusedDuplicate)
	refused(maxIntroduced+1, wire.RefusedConns)
	for range maxIntroduced {
		r.down(t, DownClosed)
	}
	dialRaw(t, ls).shake(hello(maxIntroduced + 1))
	r.next(t, "up")
	// A frame too large for a record ends the link, be it before all of it is sent.
	big := dialRaw(t, ls)
	big.shake(hello(maxIntroduced + 3))
	r.next(t, "up")
	_, _ = big.Write(messages(make([]byte, introducedFrameBytes)))
	r.down(t, DownGarbled)
	// What a stranger says of this node is not passed on.
	p := dialRaw(t, ls)
	p.shake(hello(maxIntroduced + 2))
	r.next(t, "up")
	p.send(wire.AppendPeerRefused(nil, peerRefusal(wire.RefusedRemoved, "gone")))
	r.down(t, DownRefused)
}

// Who knows the dialer refuses it as ever, and is dialed seldom.
func TestPeerThatShouldDialIsNotCrossed(t *testing.T) {
	one, two := newRecorder(), newRecorder()
	// Node 1 dials where nobody answers.
	a := open(t, LinkOptions{Self: 1, Stranger: hears(one),
		Peers: []Peer{{Node: 2, Addr: "127.0.0.1:1"}}}, one)
	o := introducing(a)
	o.IntroduceAfter = 200 * time.Millisecond
	began := time.Now()
	open(t, o, two)
	for range 3 {
		if e := two.next(t, "refused"); e.refusal.Code != wire.RefusedNode {
			t.Errorf("got %v, want %v", e.refusal.Code, wire.RefusedNode)
		}
	}
	if took := time.Since(began); took < 3*o.IntroduceAfter {
		t.Errorf("three dials in %v, want %v at least", took, 3*o.IntroduceAfter)
	}
	one.quiet(t, 50*time.Millisecond)
}

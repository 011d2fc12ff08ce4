package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// TestCut proves that a body cut anywhere, or with a byte too many, is refused
// as such (F-W1).
func TestCut(t *testing.T) {
	check := func(s sample, body []byte) {
		open := strings.HasPrefix(s.name, "response_granted") ||
			strings.HasPrefix(s.name, "response_not_leader") ||
			strings.HasPrefix(s.name, "response_other_kind")
		if s.name == "peer_messages" {
			return // opaque
		}
		for n := range body {
			if open && n >= responseFixedBytes {
				break
			}
			_, err := s.decode(body[:n:n])
			magic := errors.Is(err, ErrMagic) && n < 4
			if !errors.Is(err, ErrTruncated) && !magic {
				t.Errorf("%s cut to %d of %d bytes: got %v, want ErrTruncated", s.name, n, len(body), err)
			}
		}
		if _, err := s.decode(append(bytes.Clone(body), 0)); !open && !errors.Is(err, ErrTrailing) {
			t.Errorf("%s and a byte: got %v, want ErrTrailing", s.name, err)
		}
	}
	for _, s := range samples() {
		check(s, s.append(nil)[HeaderBytes:])
	}
	for _, s := range peerSamples() {
		check(s, s.append(nil)[PeerHeaderBytes:])
	}
}

// TestFrameBytes proves that a bad length is refused as soon as it is there.
func TestFrameBytes(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		b    []byte
		want int
		err  error
	}{
		{nil, 0, nil},
		{[]byte{12, 0, 0}, 0, nil},
		{le.AppendUint32(nil, 12), 16, nil},
		{le.AppendUint32(nil, 11), 0, ErrTruncated},
		{le.AppendUint32(nil, 0), 0, ErrTruncated},
		{le.AppendUint32(nil, MaxFrameBytes-4), MaxFrameBytes, nil},
		{le.AppendUint32(nil, MaxFrameBytes-3), 0, ErrTooLarge},
		{[]byte{255, 255, 255, 255}, 0, ErrTooLarge},
	} {
		if got, err := FrameBytes(c.b, MaxFrameBytes); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%x: got %d, %v, want %d, %v", c.b, got, err, c.want, c.err)
		}
	}
	if got, err := PeerFrameBytes([]byte{4, 0, 0, 0}, 100); got != 0 || !errors.Is(err, ErrTruncated) {
		t.Errorf("peer: got %d, %v, want ErrTruncated", got, err)
	}
	if got, err := PeerFrameBytes([]byte{97, 0, 0, 0}, 100); got != 0 || !errors.Is(err, ErrTooLarge) {
		t.Errorf("peer: got %d, %v, want ErrTooLarge", got, err)
	}
}

// TestParseLength proves that a frame must be exactly as long as it says.
func TestParseLength(t *testing.T) {
	f := AppendGet(nil, Header{}, &Get{Name: []byte("a")})
	if _, _, err := Parse(f[:len(f)-1]); !errors.Is(err, ErrTruncated) {
		t.Errorf("short: got %v, want ErrTruncated", err)
	}
	if _, _, err := Parse(append(f, 0)); !errors.Is(err, ErrTrailing) {
		t.Errorf("long: got %v, want ErrTrailing", err)
	}
	if _, _, err := Parse(f[:10]); !errors.Is(err, ErrTruncated) {
		t.Errorf("header: got %v, want ErrTruncated", err)
	}
}

// TestTooNew proves that "too new" is told from garbage, and that a newer side
// which still speaks our version is understood, fields of its own included
// (I27).
func TestTooNew(t *testing.T) {
	x := Hello{Version: 9, MinVersion: 1, Name: []byte("later")}
	body := append(AppendHello(nil, Header{}, &x)[HeaderBytes:], "new field"...)
	if got, err := DecodeHello(body); err != nil || string(got.Name) != "later" {
		t.Errorf("newer: got %+v, %v, want no error", got, err)
	}
	x.MinVersion = Version + 1
	got, err := DecodeHello(AppendHello(nil, Header{}, &x)[HeaderBytes:])
	if !errors.Is(err, ErrVersion) || got.Version != 9 || got.MinVersion != Version+1 {
		t.Errorf("too new: got %+v, %v, want ErrVersion with versions", got, err)
	}
	if got, err := Negotiate(1, 1); got != 1 || err != nil {
		t.Errorf("version 1: got %d, %v, want it spoken", got, err)
	}
	if _, err := Negotiate(1, 2); !errors.Is(err, ErrField) {
		t.Errorf("crossed versions: got %v, want ErrField", err)
	}
	if _, err := Negotiate(0, 0); !errors.Is(err, ErrVersion) {
		t.Errorf("too old: got %v, want ErrVersion", err)
	}
	p := PeerHello{Version: 3, MinVersion: 3}
	_, err = DecodePeerHello(AppendPeerHello(nil, PeerKindHello, &p)[PeerHeaderBytes:])
	if !errors.Is(err, ErrVersion) {
		t.Errorf("peer too new: got %v, want ErrVersion", err)
	}
	w := AppendWelcome(nil, Header{}, &Welcome{Version: Version + 1, Leaders: []uint16{1}})
	if _, err := DecodeWelcome(w[HeaderBytes:]); !errors.Is(err, ErrVersion) {
		t.Errorf("welcome: got %v, want ErrVersion", err)
	}
	if _, err := DecodeHello([]byte("GET / HTTP/1.1\r\n")); !errors.Is(err, ErrMagic) {
		t.Errorf("http: got %v, want ErrMagic", err)
	}
}

// TestPeerChecksum proves that no flipped bit of a peer frame goes unseen (F-N4).
func TestPeerChecksum(t *testing.T) {
	f := AppendPeer(nil, PeerKindMessages, []byte("messages"))
	for bit := range 8 * len(f) {
		bad := bytes.Clone(f)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, _, err := ParsePeer(bad); err == nil {
			t.Errorf("bit %d flipped: got no error", bit)
		}
	}
	if _, _, err := ParsePeer(AppendPeer(nil, peerKindEnd, nil)); !errors.Is(err, ErrKind) {
		t.Errorf("unknown kind: got %v, want ErrKind", err)
	}
}

// TestPeerProofAt proves that the proof stands where those who compute one leave
// it out.
func TestPeerProofAt(t *testing.T) {
	x := PeerHello{Version: 1, MinVersion: 1, Proof: Proof{1, 2, 3}}
	payload := AppendPeerHello(nil, PeerKindHello, &x)[PeerHeaderBytes:]
	if got := payload[PeerProofAt:]; !bytes.Equal(got, x.Proof[:]) {
		t.Errorf("behind PeerProofAt: got %x, want %x", got, x.Proof)
	}
}

// TestGroupOf proves the vectors that doc.go gives to other implementations.
func TestGroupOf(t *testing.T) {
	for _, c := range []struct {
		tenant, name  string
		of64, ofThree uint16
	}{
		{"", "a", 20, 1},
		{"", "orders/42", 10, 0},
		{"", "nightly", 29, 0},
		{"acme", "orders/42", 62, 2},
		{"", "é", 39, 0},
	} {
		if got := GroupOf(c.tenant, c.name, 64); got != c.of64 {
			t.Errorf("%q %q of 64: got %d, want %d", c.tenant, c.name, got, c.of64)
		}
		if got := GroupOf(c.tenant, []byte(c.name), 3); got != c.ofThree {
			t.Errorf("%q %q of 3: got %d, want %d", c.tenant, c.name, got, c.ofThree)
		}
	}
	counts := make([]int, 64)
	for i := range 64_000 {
		counts[GroupOf("", binary.AppendUvarint([]byte("job/"), uint64(i)), 64)]++
	}
	for g, n := range counts {
		if n < 800 || n > 1200 {
			t.Errorf("group %d: got %d of 64000 names, want about 1000", g, n)
		}
	}
}

// TestCheckName proves what may name a lock.
func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"": false, "a": true, "a\x00b": false, "ü/…": true,
		strings.Repeat("x", 512): true, strings.Repeat("x", 513): false,
	} {
		if err := CheckName(name, MaxNameBytes); (err == nil) != ok || (!ok && !errors.Is(err, ErrName)) {
			t.Errorf("%.20q: got %v, want valid %v", name, err, ok)
		}
	}
}

// TestStatusNumbers pins the numbers: they are the protocol.
func TestStatusNumbers(t *testing.T) {
	for want, s := range []Status{0, StatusOK, StatusQueued, StatusHeld, StatusNotLeader,
		StatusUncertain, StatusBusy, StatusStaleEpoch, StatusSessionUnknown, StatusSessionEnded,
		StatusNotHolder, StatusCancelled, StatusAlreadyGranted, StatusTooManyWaiters,
		StatusTooManySessions, StatusTooManyHolds, StatusBadRequest, StatusNameTooLong,
		StatusNotFound, StatusWrongGroup, StatusStopping, StatusPermission, StatusOtherKind,
		StatusOtherMode, StatusUnsupported, StatusDeadlock, StatusTooMuchData,
		StatusNotWriter, 28, 29, StatusAlreadySet, StatusBroken} {
		if int(s) != want {
			t.Errorf("%s: got %d, want %d", s, s, want)
		}
		if s.Known() == strings.HasPrefix(s.String(), "status ") {
			t.Errorf("%d: got name %q and known %v", s, s, s.Known())
		}
	}
}

// TestNoAllocation guards the frames of the hot path.
func TestNoAllocation(t *testing.T) {
	name, buffer := []byte("orders/42"), make([]byte, 0, 1024)
	acquire := Acquire{Session: 1, Epoch: 2, Mode: ModeEX, Name: name}
	release := Release{Session: 1, Token: 2, Name: name}
	response := Response{Token: 1, Status: StatusOK}
	refs := []SessionRef{{1, 2}, {3, 4}}
	got := testing.AllocsPerRun(100, func() {
		b := AppendAcquire(buffer, Header{Request: 1}, &acquire)
		_, body, _ := Parse(b)
		_, err := DecodeAcquire(body)
		n := len(b)
		b = AppendRelease(b, Header{Request: 2}, &release)
		_, body, _ = Parse(b[n:])
		_, err2 := DecodeRelease(body)
		n = len(b)
		b = AppendResponse(b, Header{Request: 2}, &response)
		_, body, _ = Parse(b[n:])
		_, err3 := DecodeResponse(body)
		n = len(b)
		b = AppendKeepalive(b, Header{}, refs)
		_, body, _ = Parse(b[n:])
		k, err4 := DecodeKeepalive(body)
		if err != nil || err2 != nil || err3 != nil || err4 != nil || k.At(1) != refs[1] {
			t.Fatal("does not decode")
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}

// FuzzDecode feeds every decoder; whatever is taken must read the same after it
// is written again, where the encoder takes the decoded form.
func FuzzDecode(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.append(nil)[HeaderBytes:])
	}
	for _, s := range peerSamples() {
		f.Add(s.append(nil)[PeerHeaderBytes:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		again(t, b, DecodeHello, AppendHello)
		again(t, b, DecodeWelcome, AppendWelcome)
		again(t, b, DecodeRefused, AppendRefused)
		again(t, b, DecodeOpenSession, AppendOpenSession)
		again(t, b, DecodeCloseSession, AppendCloseSession)
		again(t, b, DecodeAcquire, AppendAcquire)
		again(t, b, DecodeRelease, AppendRelease)
		again(t, b, DecodeForce, AppendForce)
		again(t, b, DecodeCancel, AppendCancel)
		again(t, b, DecodeRenewHold, AppendRenewHold)
		again(t, b, DecodeGet, AppendGet)
		again(t, b, DecodeList, AppendList)
		again(t, b, DecodeResponse, AppendResponse)
		again(t, b, DecodeMoved, AppendMoved)
		again(t, b, DecodeLost, AppendLost)
		again(t, b, DecodeSessionLost, AppendSessionLost)
		again(t, b, DecodeTake, AppendTake)
		again(t, b, DecodeEnter, AppendEnter)
		again(t, b, DecodeLeave, AppendLeave)
		again(t, b, DecodeConvert, AppendConvert)
		again(t, b, DecodeGiveBack, AppendGiveBack)
		again(t, b, DecodeAsk, AppendAsk)
		again(t, b, DecodeAmend, AppendAmend)
		again(t, b, DecodeLockInfo3, payload(AppendLockInfo3))
		again(t, b, DecodeLockValue, payload(AppendLockValue))
		again(t, b, DecodeAcquireAll, AppendAcquireAll)
		again(t, b, DecodeReleaseAll, AppendReleaseAll)
		again(t, b, DecodeGate, gate(KindAwait))
		watchesAgain(t, b)
		chasesAgain(t, b)
		again(t, b, DecodeLockInfo2, payload(AppendLockInfo2))
		again(t, b, DecodeListPage3, payload(AppendListPage3))
		again(t, b, DecodeListPage2, payload(AppendListPage2))
		again(t, b, DecodeLockInfo, payload(AppendLockInfo))
		again(t, b, DecodeListPage, payload(AppendListPage))
		again(t, b, DecodeNodeStatus, payload(AppendNodeStatus))
		again(t, b, DecodeNodeStatus3, payload(AppendNodeStatus3))
		again(t, b, DecodeTokenStates, payload(AppendTokenStates))
		again(t, b, DecodeCheckTokens, appendChecks)
		again(t, b, DecodeFindSession, AppendFindSession)
		again(t, b, DecodeSessionClaims, payload(AppendSessionClaims))
		again(t, b, DecodeCircle, payload(AppendCircle))
		again(t, b, DecodePeerHello, func(dst []byte, _ Header, x *PeerHello) []byte {
			body := AppendPeerHello(dst, PeerKindHello, x)[PeerHeaderBytes:]
			return append(make([]byte, HeaderBytes), body...)
		})
		if k, err := DecodeKeepalive(b); err == nil {
			for i := range k.Len() {
				k.At(i)
			}
		}
		if k, err := DecodeKeepaliveAck(b); err == nil {
			for i := range k.Len() {
				k.At(i)
			}
		}
		_, _ = DecodePeerRefused(b)
		_, _ = DecodePeerProof(b)
	})
}

// appendChecks writes a decoded CheckTokens again.
func appendChecks(dst []byte, h Header, x *CheckTokens) []byte {
	var refs []TokenRef
	x.Each(func(_ int, ref TokenRef) bool {
		refs = append(refs, ref)
		return true
	})
	return AppendCheckTokens(dst, h, refs)
}

// payload makes the encoder of a payload look like that of a frame.
func payload[T any](enc func([]byte, *T) []byte) func([]byte, Header, *T) []byte {
	return func(dst []byte, _ Header, x *T) []byte {
		return enc(append(dst, make([]byte, HeaderBytes)...), x)
	}
}

func again[T any](t *testing.T, b []byte, dec func([]byte) (T, error),
	enc func([]byte, Header, *T) []byte) {
	x, err := dec(b)
	if err != nil {
		return
	}
	out := enc(nil, Header{}, &x)[HeaderBytes:]
	newer := len(out) < len(b) // a newer greeting loses what we do not know
	if !newer && !bytes.Equal(out, b) {
		t.Fatalf("%T: got %x, want %x", x, out, b)
	}
}

// FuzzFrame feeds the splitters.
func FuzzFrame(f *testing.F) {
	f.Add(AppendStatus(nil, Header{}))
	f.Add(AppendPeer(nil, PeerKindRoster, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := FrameBytes(b, MaxFrameBytes); err == nil && n > 0 && n <= len(b) {
			if _, _, err := Parse(b[:n]); err != nil {
				t.Fatalf("FrameBytes takes %x, Parse says %v", b[:n], err)
			}
		}
		if n, err := PeerFrameBytes(b, MaxPeerFrameBytes); err == nil && n > 0 && n <= len(b) {
			_, _, _ = ParsePeer(b[:n])
		}
	})
}

func BenchmarkAcquire(b *testing.B) {
	x := Acquire{Session: 1, Epoch: 2, Mode: ModeEX, Name: []byte("orders/42")}
	buffer := make([]byte, 0, 128)
	for b.Loop() {
		frame := AppendAcquire(buffer, Header{Request: 1}, &x)
		_, body, _ := Parse(frame)
		if _, err := DecodeAcquire(body); err != nil {
			b.Fatal(err)
		}
	}
}

package node

import (
	"slices"
	"testing"

	"lockd/netio/wire"
)

// check asks where tokens stand.
func (u *user) check(refs ...wire.TokenRef) wire.Response {
	u.w.t.Helper()
	h := u.header(wire.KindCheckTokens)
	return u.w.call(u.conn, h, wire.AppendCheckTokens(nil, h, refs))
}

// states does too, and decodes the answer.
func (u *user) states(refs ...wire.TokenRef) []wire.TokenState {
	u.w.t.Helper()
	x := u.check(refs...)
	got, err := wire.DecodeTokenStates(x.Payload)
	if x.Status != wire.StatusOK || err != nil {
		u.w.t.Fatalf("check: got %v, %v, want ok", x.Status, err)
	}
	return got.States
}

// Only the token of a present hold is current: not one of the past, not one of
// another name, not one that was never granted.
func TestCheckTokens(t *testing.T) {
	w := newWorld(t, testOptions())
	a := w.user(1, 0)
	name, other, free := w.nameIn(0, 0), w.nameIn(0, 1), w.nameIn(0, 2)
	past := a.lock(name).Token
	if x := a.unlock(name, past); x.Status != wire.StatusOK {
		t.Fatalf("release: got %v, want ok", x.Status)
	}
	present, beside := a.lock(name).Token, a.lock(other).Token
	got := a.states(wire.TokenRef{Token: past, Name: name}, wire.TokenRef{Token: present, Name: name},
		wire.TokenRef{Token: beside, Name: name}, wire.TokenRef{Token: beside, Name: other},
		wire.TokenRef{Token: present, Name: free}, wire.TokenRef{Name: name})
	want := []wire.TokenState{{Newest: present}, {Newest: present, Standing: wire.TokenCurrent},
		{Newest: present}, {Newest: beside, Standing: wire.TokenCurrent}, {}, {Newest: present}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if x := a.check(wire.TokenRef{Token: 1, Name: w.nameIn(1, 0)}); x.Status != wire.StatusWrongGroup {
		t.Errorf("name of another group: got %v, want wrong group", x.Status)
	}
	if x := a.check(wire.TokenRef{Token: 1}); x.Status != wire.StatusNameTooLong {
		t.Errorf("empty name: got %v, want bad name", x.Status)
	}
	if x := a.check(); x.Status != wire.StatusBadRequest {
		t.Errorf("no tokens: got %v, want bad request", x.Status)
	}
}

// Of many readers every token is current, and a question that takes long to
// answer is answered in part.
func TestCheckTokensOfReaders(t *testing.T) {
	const readers = 200
	w := newWorld(t, testOptions())
	a := w.user(1, 0)
	name := w.nameIn(0, 0)
	var refs []wire.TokenRef
	for range readers {
		h := a.header(wire.KindAcquire)
		x := w.call(a.conn, h, wire.AppendAcquire(nil, h, &wire.Acquire{Session: a.session,
			Epoch: a.epoch, Mode: wire.ModePR, Name: name}))
		refs = append(refs, wire.TokenRef{Token: x.Token, Name: name})
	}
	for _, s := range a.states(refs...) {
		if s.Standing != wire.TokenCurrent || s.Newest != refs[readers-1].Token {
			t.Fatalf("got %+v, want current, newest %d", s, refs[readers-1].Token)
		}
	}
	// The oldest is found last.
	old := make([]wire.TokenRef, wire.MaxChecks)
	for i := range old {
		old[i] = refs[0]
	}
	if got, want := len(a.states(old...)), (checkLooks+readers-1)/readers; got != want {
		t.Errorf("got %d states, want %d", got, want)
	}
}

// Long questions are refused as Busy when too many wait.
func TestCheckTokensAreBounded(t *testing.T) {
	w := newWorld(t, testOptions())
	a := w.user(1, 0)
	name := w.nameIn(0, 0)
	refs := make([]wire.TokenRef, wire.MaxChecks)
	for i := range refs {
		refs[i] = wire.TokenRef{Token: 1, Name: name}
	}
	cost := checkCost(wire.AppendCheckTokens(nil, wire.Header{}, refs)[wire.HeaderBytes:])
	var requests []uint64
	for range listsCost/cost + 1 {
		h := a.header(wire.KindCheckTokens)
		w.leaderOf(0).inbox.Request(a.conn, wire.AppendCheckTokens(nil, h, refs))
		requests = append(requests, h.Request)
	}
	for i, r := range requests {
		want := wire.StatusOK
		if i == len(requests)-1 {
			want = wire.StatusBusy
		}
		a.want(r, want)
	}
	if got := w.leaderOf(0).node.turnstile.lists; got != 0 {
		t.Errorf("cost of what waits: got %d, want 0", got)
	}
}

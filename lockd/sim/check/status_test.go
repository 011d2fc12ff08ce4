package check

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// What a session is found to have is told with its epoch, its lease and all its waits.
func TestHistoryWantsAllOfASessionFound(t *testing.T) {
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	other := open
	other.Nonce = lockfsm.Nonce{2}
	theirs := lockfsm.Command{Op: lockfsm.OpAcquire, Session: 2, Epoch: 1, Request: 1,
		Name: []byte("a"), Mode: lockfsm.ModeEX}
	mine := theirs
	mine.Session, mine.Epoch, mine.Flags = 1, 3, lockfsm.Wait
	h := played(t, open, other, theirs, mine)
	wait := wire.Claim{Request: 1, Mode: wire.ModeEX, Name: []byte("a")}
	whole := wire.SessionClaims{Session: 1, Epoch: 3, LeaseMillis: 1000, Claims: []wire.Claim{wait}}
	for _, c := range []struct {
		name  string
		spoil func(x *wire.SessionClaims)
		want  string
	}{
		{"nothing", func(*wire.SessionClaims) {}, ""},
		{"epoch", func(x *wire.SessionClaims) { x.Epoch = 1 }, "I24"},
		{"lease", func(x *wire.SessionClaims) { x.LeaseMillis = 999 }, "I24"},
		{"wait left out", func(x *wire.SessionClaims) { x.Claims = nil }, "I24"},
		{"mode", func(x *wire.SessionClaims) { x.Claims[0].Mode = wire.ModePR }, "I24"},
		{"owner", func(x *wire.SessionClaims) { x.Claims[0].Owner = 1 }, "I24"},
		{"permits", func(x *wire.SessionClaims) { x.Claims[0].Permits = 1 }, "I24"},
		{"token", func(x *wire.SessionClaims) { x.Claims[0].Token = 1 }, "I24"},
		{"max hold", func(x *wire.SessionClaims) { x.Claims[0].Flags = wire.ClaimMaxHold }, "I24"},
	} {
		x := whole
		x.Claims = []wire.Claim{wait}
		c.spoil(&x)
		t.Run(c.name, func(t *testing.T) {
			q := Question{Kind: wire.KindFindSession, Nonce: wire.Nonce{1}}
			wants(t, h.Answered(&q, &wire.Response{Status: wire.StatusOK, Slot: 1,
				Payload: wire.AppendSessionClaims(nil, &x)}), c.want)
		})
	}
}

// A try that is refused as a read is answered is told of the oldest hold in its way, and
// only if there is one. A hold of a session that has ended may have gone.
func TestRefusalIsThatOfTheLog(t *testing.T) {
	const pr, cr, ex = lockfsm.ModePR, lockfsm.ModeCR, lockfsm.ModeEX
	tokens := []lockfsm.Token{4, 6, 9}
	held := func(modes ...lockfsm.Mode) *Version {
		return &Version{Holders: len(modes), Tokens: tokens[:len(modes)], Modes: modes,
			Whose: make([]Whose, len(modes))}
	}
	ended := held(pr, pr)
	ended.Whose[0].gone = true
	taken := held(lockfsm.ModeNL, lockfsm.ModeNL)
	taken.capacity, taken.Whose[0].Permits, taken.Whose[1].Permits = 3, 1, 1
	for _, c := range []struct {
		name    string
		v       *Version
		mode    lockfsm.Mode
		permits lockfsm.Permits
		token   lockfsm.Token
		most    uint32
		want    bool
	}{
		{"the oldest in the way", held(cr, pr, pr), lockfsm.ModePW, 0, 6, 9, true},
		{"a newer one", held(pr, pr), ex, 0, 6, 9, false},
		{"nobody in the way", held(pr, pr), pr, 0, 4, 9, false},
		{"no room", held(pr, pr), pr, 0, 4, 2, true},
		{"no room, and the newest", held(pr, pr), pr, 0, 6, 2, false},
		{"free", held(), ex, 0, 4, 9, false},
		{"the ended one", ended, ex, 0, 4, 9, true},
		{"the next, the ended one gone", ended, ex, 0, 6, 9, true},
		{"no room left by the ended one", ended, pr, 0, 6, 2, false},
		{"more permits than are left", taken, lockfsm.ModeNL, 2, 4, 9, true},
		{"as many permits as are left", taken, lockfsm.ModeNL, 1, 4, 9, false},
		{"of another kind", taken, ex, 0, 4, 9, false},
	} {
		if got := c.v.refuses(c.mode, c.permits, c.token, c.most); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}

// A node counts as the log does after the slot that it names.
func TestStatusCountsAsTheLog(t *testing.T) {
	h, _, _ := playedTwo(t)
	m := h.models[0]
	fits := wire.GroupStatus{Applied: 1, Chosen: 1, Sessions: 1, Locks: 2}
	wants(t, m.Counted(&fits), "")
	wants(t, m.Counted(&wire.GroupStatus{}), "")
	ahead, behind, sessions, names := fits, fits, fits, fits
	ahead.Applied, ahead.Chosen = 2, 2
	behind.Chosen = 0
	sessions.Sessions, names.Locks = 2, 1
	for _, x := range []*wire.GroupStatus{&ahead, &behind, &sessions, &names} {
		wants(t, m.Counted(x), "status")
	}
}

// What is wanted most comes first, and no more waited for it than the log says.
func TestTopIsAsTheLog(t *testing.T) {
	h, lock, also := playedTwo(t)
	m := h.models[0]
	m.joins["a"], m.joins["b"] = 3, 1
	a := wire.TopEntry{Score: 2, Waits: 3, UsualMillis: wire.UnknownMillis, Name: lock.Name}
	b := wire.TopEntry{Score: 1, Refusals: 1, UsualMillis: wire.UnknownMillis, Name: also.Name}
	many, none, high, long := a, a, b, b
	many.Waits, none.Name, high.Score, long.UsualMillis = 4, []byte("c"), 3, 1
	none.Waits, none.Refusals = 0, 2
	for _, c := range []struct {
		name    string
		entries []wire.TopEntry
		want    string
	}{
		{"all", []wire.TopEntry{a, b}, ""},
		{"out of order", []wire.TopEntry{b, a}, "top"},
		{"twice", []wire.TopEntry{a, a}, "top"},
		{"more waits", []wire.TopEntry{many}, "top"},
		{"of a name that nobody asked for", []wire.TopEntry{none}, "top"},
		{"more score than requests", []wire.TopEntry{high}, "top"},
		{"longer than the group has gone on", []wire.TopEntry{long}, "top"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wants(t, Contended(&wire.TopPage{Entries: c.entries}, func([]byte) *Model { return m }), c.want)
		})
	}
}

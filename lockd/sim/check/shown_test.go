package check

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

func TestShownHoldersAndWaitersAreThoseOfTheLog(t *testing.T) {
	m := NewModel(0, lockfsm.Limits{})
	m.locks["x"] = &lockModel{history: []Version{{Slot: 3, Holders: 2, Waiters: 1,
		Tokens: []lockfsm.Token{4, 6}, Modes: []lockfsm.Mode{lockfsm.ModePR, lockfsm.ModeCR},
		Whose: []Whose{{Session: 1}, {}}, Line: []Whose{{Session: 2, Mode: lockfsm.ModeEX}}}}}
	tests := []struct {
		name  string
		spoil func(x *wire.LockInfo)
		want  string
	}{
		{"nothing", func(*wire.LockInfo) {}, ""},
		{"holders", func(x *wire.LockInfo) { x.HolderCount = 1 }, "I24"},
		{"waiters", func(x *wire.LockInfo) { x.WaiterCount = 0 }, "I24"},
		{"token of the second", func(x *wire.LockInfo) { x.Holders[1].Token = 5 }, "I24"},
		{"mode", func(x *wire.LockInfo) { x.Holders[1].Mode = wire.ModePR }, "I24"},
		{"session", func(x *wire.LockInfo) { x.Holders[0].Session = 2 }, "I24"},
		{"session of a detached", func(x *wire.LockInfo) { x.Holders[1].Session = 1 }, "I24"},
		{"session that waits", func(x *wire.LockInfo) { x.Waiters[0].Session = 1 }, "I24"},
		{"mode that waits", func(x *wire.LockInfo) { x.Waiters[0].Mode = wire.ModePR }, "I24"},
	}
	for _, test := range tests {
		x := &wire.LockInfo{Name: []byte("x"), HolderCount: 2, WaiterCount: 1,
			Holders: []wire.Holder{{Session: 1, Token: 4, Mode: wire.ModePR},
				{Session: wire.DetachedOwner | 9, Token: 6, Mode: wire.ModeCR}},
			Waiters: []wire.Waiter{{Session: 2, Mode: wire.ModeEX}}}
		test.spoil(x)
		t.Run(test.name, func(t *testing.T) { wants(t, m.Shown(3, x), test.want) })
	}
}

func TestSessionThatLivesIsNotSaidToBeOver(t *testing.T) {
	m := NewModel(0, lockfsm.Limits{})
	m.sessions[1], m.sessions[2] = &Session{ID: 1}, &Session{ID: 2, ended: true}
	wants(t, m.ToldOver(1), "I21")
	wants(t, m.ToldOver(2), "")
	wants(t, m.ToldOver(3), "")
}

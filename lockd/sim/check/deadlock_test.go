package check

import (
	"testing"

	"lockd/lockfsm"
)

// Of two owners who wait for each other the second is refused, with the circle as it
// is; who may give back meanwhile may wait.
func TestModelJudgesCircles(t *testing.T) {
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	a := lockfsm.Command{Op: lockfsm.OpEnter, Session: 1, Epoch: 1, Request: 1, Owner: 1,
		Name: []byte("a"), Mode: lockfsm.ModeEX}
	b, ab := a, a
	b.Request, b.Owner, b.Name = 2, 2, []byte("b")
	ab.Request, ab.Name, ab.Flags = 3, b.Name, lockfsm.Wait|lockfsm.Detect
	ba := ab
	ba.Request, ba.Owner, ba.Name = 4, 2, a.Name
	plain := ba
	plain.Request, plain.Flags = 5, lockfsm.Wait
	commands := []lockfsm.Command{open, a, b, ab, ba, plain}
	for _, c := range []struct {
		name  string
		spoil func(*lockfsm.Outcome)
		want  string
	}{
		{"as it was", func(*lockfsm.Outcome) {}, ""},
		{"both wait", func(o *lockfsm.Outcome) { o.Results[4].Code = lockfsm.CodeQueued }, "I17"},
		{"no steps", func(o *lockfsm.Outcome) { o.Results[4].Steps = 0 }, "I17"},
		{"refused with one who may give back", func(o *lockfsm.Outcome) {
			o.Results[5] = o.Results[4]
			o.Results[5].Request = 5
		}, "I17"},
		{"begins with another", func(o *lockfsm.Outcome) { o.Steps[0].Owner = 1 }, "I17"},
		{"another is in the way", func(o *lockfsm.Outcome) { o.Steps[1].Owner = 3 }, "I17"},
		{"another hold is in the way", func(o *lockfsm.Outcome) { o.Steps[1].Token = 1 },
			"I17"},
		{"one waits for nobody", func(o *lockfsm.Outcome) { o.Steps[1].Token = 0 }, "I17"},
	} {
		t.Run(c.name, func(t *testing.T) { wants(t, applied(t, c.spoil, commands...), c.want) })
	}
}

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

// Circles through acquires of several names, and through conversions, are judged step by
// step too: what is in the way at one name is so for all of them, and the hold that is
// converted is in its own way never.
func TestModelJudgesCirclesOfKinds(t *testing.T) {
	open := lockfsm.Command{Op: lockfsm.OpOpenSession, Nonce: lockfsm.Nonce{1}, Lease: 1000, Epoch: 1}
	other := open
	other.Nonce = lockfsm.Nonce{2}
	acquire := func(s lockfsm.SessionID, r lockfsm.RequestID, name string, mode lockfsm.Mode,
		f lockfsm.Flags) lockfsm.Command {
		return lockfsm.Command{Op: lockfsm.OpAcquire, Session: s, Epoch: 1, Request: r,
			Name: []byte(name), Mode: mode, Flags: f}
	}
	const word = lockfsm.Wait | lockfsm.Detect
	ex := lockfsm.ModeEX
	several := lockfsm.Command{Op: lockfsm.OpAcquireAll, Session: 1, Epoch: 1, Request: 10,
		Flags: word, Parts: lockfsm.Parts(nil).AppendPart(lockfsm.Part{Mode: ex, Name: []byte("b")}).
			AppendPart(lockfsm.Part{Mode: ex, Name: []byte("c")})}
	convert := lockfsm.Command{Op: lockfsm.OpConvert, Session: 1, Epoch: 1, Request: 10, Target: 2,
		Token: 2, Name: []byte("r"), Mode: ex, Flags: word}
	all := []lockfsm.Command{open, other, acquire(1, 1, "a", ex, 0), acquire(2, 1, "c", ex, 0),
		several, acquire(2, 2, "b", ex, word)}
	closes := []lockfsm.Command{open, other, acquire(1, 1, "a", ex, 0), acquire(2, 1, "c", ex, 0),
		acquire(2, 2, "a", ex, word), several}
	turns := []lockfsm.Command{open, other, acquire(1, 1, "a", ex, 0),
		acquire(1, 2, "r", lockfsm.ModePR, 0), acquire(2, 1, "r", lockfsm.ModePR, 0), convert,
		acquire(2, 2, "a", ex, word)}
	twice := []lockfsm.Command{open, other, acquire(1, 1, "a", ex, 0),
		acquire(1, 2, "r", lockfsm.ModePR, 0), acquire(2, 1, "r", lockfsm.ModePR, 0),
		acquire(2, 2, "a", ex, word), convert}
	for _, c := range []struct {
		name     string
		commands []lockfsm.Command
		spoil    func(*lockfsm.Outcome)
		want     string
	}{
		{"behind several", all, nil, ""},
		{"behind several, and waits", all, func(o *lockfsm.Outcome) {
			o.Results[5].Code = lockfsm.CodeQueued
		}, "I17"},
		{"behind several, by a token", all, func(o *lockfsm.Outcome) { o.Steps[1].Token = 1 }, "I17"},
		{"several", closes, nil, ""},
		{"several, and waits", closes, func(o *lockfsm.Outcome) {
			o.Results[5].Code = lockfsm.CodeQueued
		}, "I17"},
		{"several, for the other name", closes, func(o *lockfsm.Outcome) {
			o.Steps[0].Name, o.Results[5].Part = []byte("b"), 0
		}, "I17"},
		{"several, of no such part", closes, func(o *lockfsm.Outcome) { o.Results[5].Part = 2 }, "I17"},
		{"who converts", turns, nil, ""},
		{"who converts, and waits", turns, func(o *lockfsm.Outcome) {
			o.Results[6].Code = lockfsm.CodeQueued
		}, "I17"},
		{"who converts, for its own hold", turns, func(o *lockfsm.Outcome) {
			o.Steps[1].Token = 2
		}, "I17"},
		{"converts", twice, nil, ""},
		{"converts, and waits", twice, func(o *lockfsm.Outcome) {
			o.Results[6].Code = lockfsm.CodeQueued
		}, "I17"},
		{"converts, and is told none", twice, func(o *lockfsm.Outcome) {
			o.Results[6].Steps = 0
		}, "in a circle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spoil := c.spoil
			if spoil == nil {
				spoil = func(o *lockfsm.Outcome) {
					if last := o.Results[len(o.Results)-1]; last.Steps != 2 {
						t.Errorf("got %d steps, want 2", last.Steps)
					}
				}
			}
			wants(t, applied(t, spoil, c.commands...), c.want)
		})
	}
}

// The turn of one part that waits for itself is a circle too, whatever part leads to it
// first; and what the acquire would let pass is none.
func TestModelJudgesCirclesOfOneTurn(t *testing.T) {
	var opens []lockfsm.Command
	for i := range 3 {
		opens = append(opens, lockfsm.Command{Op: lockfsm.OpOpenSession, Epoch: 1, Lease: 1000,
			Nonce: lockfsm.Nonce{byte(i + 1)}})
	}
	acquire := func(s lockfsm.SessionID, r lockfsm.RequestID, name string, mode lockfsm.Mode,
		f lockfsm.Flags) lockfsm.Command {
		return lockfsm.Command{Op: lockfsm.OpAcquire, Session: s, Epoch: 1, Request: r,
			Name: []byte(name), Mode: mode, Flags: f}
	}
	const word = lockfsm.Wait | lockfsm.Detect
	ex, cw, cr, pr := lockfsm.ModeEX, lockfsm.ModeCW, lockfsm.ModeCR, lockfsm.ModePR
	several := lockfsm.Command{Op: lockfsm.OpAcquireAll, Session: 1, Epoch: 1, Request: 10, Weight: 1,
		Flags: word, Parts: lockfsm.Parts(nil).AppendPart(lockfsm.Part{Mode: ex, Name: []byte("a")}).
			AppendPart(lockfsm.Part{Mode: pr, Name: []byte("g")})}
	commands := append(opens, acquire(3, 1, "g", cw, 0), acquire(2, 1, "e", ex, 0),
		acquire(2, 2, "a", ex, 0), acquire(1, 1, "g", pr, lockfsm.Wait), acquire(2, 3, "g", cr, word),
		acquire(3, 2, "e", ex, word), several)
	for name, want := range map[string]string{"told": "", "waits": "I17",
		"for the other name": "I17"} {
		t.Run(name, func(t *testing.T) {
			wants(t, applied(t, func(o *lockfsm.Outcome) {
				last := &o.Results[len(o.Results)-1]
				if last.Steps != 3 {
					t.Errorf("got %d steps, want 3", last.Steps)
				}
				switch name {
				case "waits":
					last.Code = lockfsm.CodeQueued
				case "for the other name":
					o.Steps[0].Name, last.Part = []byte("a"), 0
				}
			}, commands...), want)
		})
	}
}

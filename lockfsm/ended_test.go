package lockfsm

import (
	"fmt"
	"strings"
	"testing"
)

// standing is one hold as it can be seen from outside.
type standing struct {
	name  string
	token Token
	mode  Mode
	kept  bool
}

// holdsOf lists the holds of all locks.
func holdsOf(m *Machine) map[standing]ClaimInfo {
	all := map[standing]ClaimInfo{}
	m.ForEachLock(func(info *LockInfo) bool {
		for _, c := range info.Holders {
			if info.Gate == 0 {
				all[standing{string(info.Name), c.Token, c.Mode, c.Kept}] = c
			}
		}
		return true
	})
	return all
}

func endedText(all []Ended) string {
	var b strings.Builder
	for i := range all {
		e := &all[i]
		fmt.Fprintf(&b, "%s %s %v", e.Name, e.How, e.Mode)
		if e.How == HoldConverted {
			fmt.Fprintf(&b, ">%v", e.To)
		}
		fmt.Fprintf(&b, " permits=%d session=%d token=%d owner=%d since=%d client=%s flags=%d",
			e.Permits, e.Session, e.Token, e.Owner, e.Since, e.Client, e.Flags)
		if len(e.Reason) > 0 {
			fmt.Fprintf(&b, " who=%s reason=%s", e.Who, e.Reason)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestEndedHoldsAreNoted proves, in random worlds, that a hold which stood before an
// Apply and does not after it is told as ended once, with what it was, that nothing is
// told of a hold that stands as it did, and that a machine which comes of checkpoints
// tells the same.
func TestEndedHoldsAreNoted(t *testing.T) {
	met := map[HoldEnd]int{}
	for seed := range uint64(60) {
		w, err := newWorld(seed + 1)
		if err != nil {
			t.Fatal(err)
		}
		if seed%5 == 4 {
			w.draw = w.severalCommand
		}
		before := holdsOf(w.a)
		for range 120 {
			w.a.NoteEnds(NotingOn)
			w.b.NoteEnds(NotingOn)
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			a, b := endedText(w.outA.Ended), endedText(w.outB.Ended)
			if a != b {
				t.Fatalf("seed %d: got\n%sfrom a machine of checkpoints, want\n%s", seed, b, a)
			}
			after := holdsOf(w.a)
			told := map[standing]int{}
			for i := range w.outA.Ended {
				e := &w.outA.Ended[i]
				met[e.How]++
				told[standing{string(e.Name), e.Token, e.Mode, e.Flags&EndedKept != 0}]++
			}
			for h, c := range before {
				_, stands := after[h]
				switch {
				case !stands && told[h] != 1:
					t.Fatalf("seed %d: end of %+v: got it told %d times, want once:\n%s", seed, h,
						told[h], a)
				case stands && told[h] != 0:
					t.Fatalf("seed %d: %+v: got it told as ended, and it stands:\n%s", seed, h, a)
				}
				for i := range w.outA.Ended {
					e := &w.outA.Ended[i]
					if e.Token == h.token && string(e.Name) == h.name && e.Mode == h.mode && !h.kept &&
						e.Flags&EndedKept == 0 &&
						(e.Session != c.Session || e.Since != c.Since || e.Permits != c.Permits) {
						t.Fatalf("seed %d: got %+v, want the end of %+v", seed, e, c)
					}
				}
			}
			before = after
		}
	}
	for how := HoldReleased; how < holdEndCount; how++ {
		if met[how] == 0 && how != HoldForced && how != HoldMaxHold {
			t.Errorf("ends met: got none by %v", how)
		}
	}
}

// ender runs batches and says what ended.
type ender struct {
	t   *testing.T
	m   *Machine
	b   BatchBuilder
	out Outcome
}

func (x *ender) apply(tick Millis, commands ...Command) string {
	x.t.Helper()
	x.b.Reset()
	if tick > 0 {
		x.b.Tick(tick, nil)
	}
	for i := range commands {
		x.b.Append(&commands[i])
	}
	if err := x.m.Apply(x.m.Applied()+1, x.b.Bytes(), &x.out); err != nil {
		x.t.Fatal(err)
	}
	var short []string
	for i := range x.out.Ended {
		e := &x.out.Ended[i]
		text := fmt.Sprintf("%s %v %v", e.Name, e.How, e.Mode)
		if e.How == HoldConverted {
			text += fmt.Sprintf(">%v", e.To)
		}
		if e.Permits > 0 {
			text += fmt.Sprintf(" permits=%d", e.Permits)
		}
		if e.Flags != 0 {
			text += fmt.Sprintf(" flags=%04b", e.Flags)
		}
		if len(e.Client) > 0 {
			text += " by " + string(e.Client)
		}
		if len(e.Reason) > 0 {
			text += fmt.Sprintf(" forced by %s: %s", e.Who, e.Reason)
		}
		short = append(short, fmt.Sprintf("%s [%d,%d]", text, e.Since, x.m.LogTime()))
	}
	return strings.Join(short, "; ")
}

func newEnder(t *testing.T) *ender {
	l := DefaultLimits()
	l.LeaseMin, l.HoldMin, l.TickCap = 100, 50, 100
	m, err := New(l)
	if err != nil {
		t.Fatal(err)
	}
	m.NoteEnds(NotingOn)
	x := &ender{t: t, m: m}
	for i := range 3 {
		x.apply(0, Command{Op: OpOpenSession, Lease: 1000, Nonce: Nonce{byte(i + 1)},
			Name: []byte{'s', byte('1' + i)}})
	}
	return x
}

// TestEveryEnd names each way in which a hold ends.
func TestEveryEnd(t *testing.T) {
	x := newEnder(t)
	n := func(s string) []byte { return []byte(s) }
	acquire := func(s SessionID, r RequestID, name string, mode Mode) Command {
		return Command{Op: OpAcquire, Flags: Wait, Session: s, Request: r, Name: n(name), Mode: mode}
	}
	with := func(c Command, t Terms) Command { c.Terms = t; return c }
	token := func() Token { return x.out.Results[0].Token }
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	x.apply(0, acquire(1, 1, "a", ModeEX))
	got := x.apply(10, Command{Op: OpRelease, Session: 1, Token: token(), Name: n("a")})
	check("released", got, "a released EX by s1 [0,10]")

	x.apply(0, Command{Op: OpTake, Session: 1, Request: 2, Name: n("p"), Permits: 2, Capacity: 3})
	got = x.apply(10, Command{Op: OpGiveBack, Session: 1, Target: 2, Token: token(), Name: n("p")})
	check("permits", got, "p released NL permits=2 by s1 [10,20]")

	enter := func(r RequestID) Command {
		return Command{Op: OpEnter, Session: 1, Request: r, Owner: 7, Name: n("e"), Mode: ModeEX}
	}
	x.apply(0, enter(3), enter(4))
	entered := token()
	leave := func(r RequestID) Command {
		return Command{Op: OpLeave, Session: 1, Request: r, Token: entered, Name: n("e")}
	}
	check("one level", x.apply(0, leave(3)), "")
	check("last level", x.apply(0, leave(4)), "e released EX by s1 [20,20]")

	convertedEnds(t, x, acquire)
	all := Command{Op: OpAcquireAll, Session: 1, Request: 8}
	all.Parts = all.Parts.AppendPart(Part{ModeEX, n("x")}).AppendPart(Part{ModePR, n("y")})
	x.apply(0, all)
	got = x.apply(0, Command{Op: OpReleaseAll, Session: 1, Request: 8, Token: token()})
	check("several", got, "x released EX by s1 [30,30]; y released PR by s1 [30,30]")

	x.apply(0, acquire(1, 9, "f", ModeEX))
	got = x.apply(0, Command{Op: OpForce, Token: token(), Name: n("f"), Who: n("me"),
		Value: n("stuck")})
	check("forced", got, "f forced EX by s1 forced by me: stuck [30,30]")

	x.apply(0, Command{Op: OpAcquire, Flags: Detached, Session: 99, Request: 1, Lease: 50,
		Name: n("d"), Mode: ModeEX})
	check("ttl", x.apply(60), "d ttl EX flags=0001 [30,90]")

	x.apply(0, with(acquire(1, 10, "m", ModeEX), Terms{Fields: TermMaxHold, MaxHold: 50}))
	ends := []string{}
	for range 16 {
		if e := x.apply(100); e != "" {
			ends = append(ends, e)
		}
		x.b.Reset()
		x.b.Tick(0, []SessionID{1, 2, 3})
		if err := x.m.Apply(x.m.Applied()+1, x.b.Bytes(), &x.out); err != nil {
			t.Fatal(err)
		}
	}
	if len(ends) != 1 || !strings.HasPrefix(ends[0], "m max-hold EX by s1 [90,") {
		t.Errorf("max hold: got %q", ends)
	}
	lastEnds(t, x, acquire)
}

// convertedEnds is about a hold that goes through three modes.
func convertedEnds(t *testing.T, x *ender,
	acquire func(SessionID, RequestID, string, Mode) Command) {
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	x.apply(0, acquire(1, 5, "c", ModePR))
	held := x.out.Results[0].Token
	convert := func(r RequestID, to Mode) Command {
		return Command{Op: OpConvert, Flags: Wait, Session: 1, Request: r, Target: 5, Token: held,
			Name: []byte("c"), Mode: to}
	}
	check("stronger", x.apply(10, convert(6, ModeEX)), "c converted PR>EX by s1 [20,30]")
	check("weaker", x.apply(0, convert(7, ModeCR)), "c converted EX>CR flags=1000 by s1 [20,30]")
	got := x.apply(0, Command{Op: OpGiveBack, Session: 1, Target: 5, Token: held, Name: []byte("c")})
	check("converted", got, "c released CR flags=1000 by s1 [20,30]")
}

// lastEnds is about what stays taken, and about sessions that end.
func lastEnds(t *testing.T, x *ender, acquire func(SessionID, RequestID, string, Mode) Command) {
	kept := acquire(1, 11, "k", ModeEX)
	kept.Terms = Terms{Fields: TermMinHold, MinHold: 50}
	x.apply(0, kept)
	token, since := x.out.Results[0].Token, x.m.LogTime()
	got := x.apply(0, Command{Op: OpRelease, Session: 1, Token: token, Name: []byte("k")})
	if want := fmt.Sprintf("k released EX flags=0100 by s1 [%d,%d]", since, since); got != want {
		t.Errorf("kept: got %q, want %q", got, want)
	}
	got = ""
	for range 16 {
		got += x.apply(100)
	}
	if !strings.HasPrefix(got, fmt.Sprintf("k freed EX flags=0010 [%d,", since)) {
		t.Errorf("freed: got %q", got)
	}
	for i := range 2 {
		x.apply(0, Command{Op: OpOpenSession, Lease: 1000, Nonce: Nonce{byte(i + 7)},
			Name: []byte{'s', byte('4' + i)}})
	}
	x.apply(0, acquire(4, 12, "z", ModeEX), acquire(5, 1, "z", ModeEX))
	got = x.apply(0, Command{Op: OpCloseSession, Session: 4})
	if !strings.HasPrefix(got, "z closed EX by s4") {
		t.Errorf("closed: got %q", got)
	}
	got = ""
	for range 16 {
		got += x.apply(100)
	}
	if !strings.HasPrefix(got, "z expired EX by s5") {
		t.Errorf("expired: got %q", got)
	}
}

// TestEndsAreNotedWithoutAllocation guards the steady state.
func TestEndsAreNotedWithoutAllocation(t *testing.T) {
	b := newBench(t, bigLimits())
	b.m.NoteEnds(NotingOn)
	name, request := []byte("orders/42"), RequestID(0)
	var token Token
	round := func() {
		request++
		b.acquire(request, name, ModeEX)
		token = b.out.Results[0].Token
		b.one(&Command{Op: OpRelease, Session: 1, Token: token, Name: name}, CodeOK)
		if len(b.out.Ended) != 1 {
			t.Fatalf("ended: got %d, want 1", len(b.out.Ended))
		}
	}
	if got := testing.AllocsPerRun(100, round); got != 0 {
		t.Errorf("allocations for a hold: got %v, want 0", got)
	}
	b.m.NoteEnds(NotingOff)
	b.acquire(request+1, name, ModeEX)
	b.one(&Command{Op: OpRelease, Session: 1, Token: b.out.Results[0].Token, Name: name}, CodeOK)
	if len(b.out.Ended) != 0 {
		t.Errorf("ended: got %d, want none when nobody asks", len(b.out.Ended))
	}
}

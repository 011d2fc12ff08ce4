package client

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/netio/wire"
)

// amend changes the data of a hold.
func (d *dumbCluster) amend(g *dumbGroup, p proposal) wire.Response {
	x, err := wire.DecodeAmend(p.body)
	if err != nil {
		d.fail("amend: %v", err)
	}
	if s := g.enter(x.Session, x.Epoch); s != wire.StatusOK {
		return wire.Response{Status: s}
	}
	l := g.lock(string(x.Name))
	for i := range l.holds {
		y := &l.holds[i]
		if y.session != x.Session || y.token != x.Token || y.request != x.Target {
			continue
		}
		if d.mostData > 0 && len(x.Terms.Payload) > d.mostData {
			return wire.Response{Status: wire.StatusTooMuchData}
		}
		if x.Terms.Fields&wire.TermPayload != 0 {
			y.terms.Payload = x.Terms.Payload
		}
		if x.Terms.Fields&wire.TermLabels != 0 {
			y.terms.Labels = x.Terms.Labels
		}
		return wire.Response{Status: wire.StatusOK}
	}
	return wire.Response{Status: wire.StatusNotHolder}
}

// shown returns the first holder of a lock.
func shown(t *testing.T, c *Client, name string) Holder {
	t.Helper()
	info, err := c.Get(t.Context(), name)
	if err != nil || len(info.Holders) == 0 {
		t.Fatalf("get %q: got %+v, %v, want a holder", name, info, err)
	}
	return info.Holders[0]
}

// TestAmendsTakeTurns proves that amends of one hold are sent one after the other: the nodes
// take one that comes behind a later one for a retry.
func TestAmendsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		h, err := n.client(t, Options{}).Lock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		turn, err := h.amendTurn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = h.SetLabels(ctx, map[string]string{"step": "2"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("labels beside another amend: got %v, want that it waits", err)
		}
		<-turn
		if err := h.SetLabels(t.Context(), map[string]string{"step": "3"}); err != nil {
			t.Errorf("labels after it: got %v", err)
		}
	})
}

// TestValuesAreWrittenInOrder proves that a value which is written while one before it is
// refused for lack of room, and sent again, stands behind it: for the nodes, and in what
// the hold says.
func TestValuesAreWrittenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		h := lock(t, n.client(t, Options{}), "a")
		var seen []string
		n.with(func(d *dumbCluster) {
			d.filter = func(_ *dumbConn, x wire.Header, body []byte) wire.Status {
				if x.Kind != wire.KindAmend {
					return wire.StatusOK
				}
				amend, err := wire.DecodeAmend(body)
				if err != nil {
					d.fail("amend: %v", err)
				}
				if seen = append(seen, string(amend.Terms.Value)); len(seen) == 1 {
					return wire.StatusBusy
				}
				return wire.StatusOK
			}
		})
		written := make(chan error, 2)
		for _, value := range []string{"one", "two"} {
			go func() { written <- h.SetValue(t.Context(), []byte(value)) }()
			synctest.Wait()
		}
		n.with(func(*dumbCluster) {
			if len(seen) != 1 {
				t.Errorf("got %q sent while the first is to be sent again, want no more", seen)
			}
		})
		for range 2 {
			if err := <-written; err != nil {
				t.Error(err)
			}
		}
		n.with(func(*dumbCluster) {
			if !slices.Equal(seen, []string{"one", "one", "two"}) {
				t.Errorf("got %q sent, want the first twice and the second behind it", seen)
			}
		})
		if v := h.Value(); string(v.Data) != "two" || v.Token != h.Token() {
			t.Errorf("the hold says %q of token %d, want what was written last", v.Data, v.Token)
		}
	})
}

// TestData proves that what an acquire of any kind brings is read by others, in
// Get and in what a refused try says.
func TestData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		n.mu.d.details = true
		c, other := n.client(t, Options{Name: "ci-runner-7"}), n.client(t, Options{})
		opts := LockOptions{Payload: []byte("step 3"), Labels: map[string]string{"run": "1234",
			"host": "a1"}}
		take := map[string]func() (*Held, error){
			"lock": func() (*Held, error) { return c.LockWith(t.Context(), "lock", opts) },
			"try":  func() (*Held, error) { return c.TryLockWith(t.Context(), "try", opts) },
			"sem":  func() (*Held, error) { return c.Semaphore("sem", 3).AcquireWith(t.Context(), 3, opts) },
			"enter": func() (*Held, error) {
				owned := opts
				owned.Owner = 7
				return c.LockWith(t.Context(), "enter", owned)
			},
			"detached": func() (*Held, error) {
				return c.TryDetachedWith(t.Context(), "detached", 1e10, opts)
			},
		}
		for name, ask := range take {
			h, err := ask()
			if err != nil {
				t.Fatalf("%s: got %v, want no error", name, err)
			}
			if got := shown(t, other, name); string(got.Payload) != "step 3" ||
				!maps.Equal(got.Labels, opts.Labels) {
				t.Errorf("%s: got %q %v, want the data", name, got.Payload, got.Labels)
			}
			unlock(t, h)
		}
		opts.Payload[0] = 'S' // the caller's again
		h, err := c.LockWith(t.Context(), "a", opts)
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.TryLock(t.Context(), "a")
		if got := err.Error(); !strings.Contains(got, "holder : ci-runner-7  label host=a1, run=1234\n") {
			t.Errorf("try: got %q, want the labels in it", got)
		}
		unlock(t, h)
	})
}

// TestSetPayload proves that who holds may change the data, and that who does not
// any more is told so.
func TestSetPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		h := lock(t, c, "a")
		if err := h.SetPayload(t.Context(), []byte("one")); err != nil {
			t.Fatal(err)
		}
		if err := h.SetLabels(t.Context(), map[string]string{"k": "v"}); err != nil {
			t.Fatal(err)
		}
		if got := shown(t, c, "a"); string(got.Payload) != "one" || got.Labels["k"] != "v" {
			t.Errorf("got %q %v, want one and k=v", got.Payload, got.Labels)
		}
		if err := h.SetLabels(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := shown(t, c, "a"); string(got.Payload) != "one" || got.Labels != nil {
			t.Errorf("got %q %v, want one and no labels", got.Payload, got.Labels)
		}
		n.mu.Lock()
		n.mu.d.mostData = 3
		n.mu.Unlock()
		if err := h.SetPayload(t.Context(), []byte("long")); !errors.Is(err, ErrTooMuchData) {
			t.Errorf("no room: got %v, want ErrTooMuchData", err)
		}
		_, err := c.TryLockWith(t.Context(), "b", LockOptions{Payload: []byte("long")})
		if !errors.Is(err, ErrTooMuchData) {
			t.Errorf("no room: got %v, want ErrTooMuchData", err)
		}
		unlock(t, h)
		if err := h.SetPayload(t.Context(), nil); !errors.Is(err, ErrUnlocked) {
			t.Errorf("unlocked: got %v, want ErrUnlocked", err)
		}
	})
}

// TestBadData proves that data beyond its bounds is refused before it is sent.
func TestBadData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 4).client(t, Options{})
		long := strings.Repeat("x", 128)
		many := map[string]string{}
		for i := range 9 {
			many[long[:i+1]] = ""
		}
		wide := map[string]string{}
		for i := range 5 {
			wide[long[:i+1]] = long[:127]
		}
		for _, o := range []LockOptions{
			{Payload: bytes.Repeat([]byte{1}, 4097)}, {Labels: map[string]string{"": "x"}},
			{Labels: map[string]string{long[:64]: "x"}}, {Labels: map[string]string{"x": long}},
			{Labels: many}, {Labels: wide},
		} {
			if _, err := c.LockWith(t.Context(), "a", o); !errors.Is(err, ErrOptions) {
				t.Errorf("%.60v: got %v, want ErrOptions", o, err)
			}
		}
	})
}

// TestDataSurvivesMove proves that an acquire with data and a change of it find
// their way through changes of leaders.
func TestDataSurvivesMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		c, other := n.client(t, Options{}), n.client(t, Options{})
		first := lock(t, other, "a")
		got := make(chan *Held, 1)
		go func() {
			h, err := c.LockWith(context.Background(), "a", LockOptions{Payload: []byte("x")})
			if err != nil {
				t.Errorf("lock: got %v, want no error", err)
			}
			got <- h
		}()
		synctest.Wait()
		n.with(func(d *dumbCluster) { d.lead(0, 2) })
		unlock(t, first)
		h := <-got
		n.with(func(d *dumbCluster) { d.lead(0, 3) })
		if err := h.SetPayload(t.Context(), []byte("y")); err != nil {
			t.Fatal(err)
		}
		if s := shown(t, other, "a"); string(s.Payload) != "y" {
			t.Errorf("got %q, want y", s.Payload)
		}
	})
}

// TestOldNodesAndData proves that nodes which do not know of data yet are told apart.
func TestOldNodesAndData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		n.mu.d.version = wire.VersionKinds
		c := n.client(t, Options{})
		_, err := c.LockWith(t.Context(), "a", LockOptions{Payload: []byte("x")})
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("lock: got %v, want ErrUnsupported", err)
		}
		h := lock(t, c, "a")
		if err := h.SetPayload(t.Context(), nil); !errors.Is(err, ErrUnsupported) {
			t.Errorf("set: got %v, want ErrUnsupported", err)
		}
	})
}

// TestTimes proves that what is asked for of a lock's times is sent, rounded up to
// milliseconds, and that nothing is sent where nothing is asked for.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 1)
		var sent []wire.Terms
		n.setFilter(func(_ *dumbConn, h wire.Header, body []byte) wire.Status {
			if h.Kind == wire.KindAsk {
				x, err := wire.DecodeAsk(body)
				if err != nil {
					t.Errorf("ask: %v", err)
				}
				sent = append(sent, x.Terms)
			}
			return 0
		})
		c := n.client(t, Options{})
		h, err := c.LockWith(t.Context(), "a", LockOptions{MinHold: time.Microsecond,
			LockDelay: 15 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		unlock(t, h)
		unlock(t, lock(t, c, "a"))
		if len(sent) != 1 || sent[0].Fields != wire.TermMinHold|wire.TermDelay ||
			sent[0].MinHoldMillis != 1 || sent[0].DelayMillis != 15_000 {
			t.Errorf("got %+v, want one with a min hold of 1 ms and a delay of 15 s", sent)
		}
		for _, o := range []LockOptions{{MinHold: -1}, {LockDelay: -1}, {LockDelay: 1 << 62}} {
			if _, err := c.LockWith(t.Context(), "a", o); !errors.Is(err, ErrOptions) {
				t.Errorf("%+v: got %v, want ErrOptions", o, err)
			}
		}
	})
}

// TestKeptText proves that a refused try says that the one in the way is over.
func TestKeptText(t *testing.T) {
	info := newLockInfo(&wire.LockInfo{HolderCount: 1, Holders: []wire.Holder{{Session: 1, Token: 9,
		LeaseMillis: 5000, Data: wire.HolderData{Flags: wire.HolderKept}}}}, time.Now())
	err := HeldError{Name: "a", Info: info}
	got := err.Error()
	if !info.Holders[0].Kept || !strings.Contains(got, "holder : nobody any more") {
		t.Errorf("got %q, want that nobody holds it any more", got)
	}
}

// TestTextOfOthersIsPlain: what somebody else wrote does not move the cursor of
// whoever reads of it, nor look like a line of ours.
func TestTextOfOthersIsPlain(t *testing.T) {
	err := HeldError{Name: "a", Info: &LockInfo{HolderCount: 1, Holders: []Holder{{
		Client: "evil\x1b[31m", Labels: map[string]string{"run": "1\nlockd: free"},
	}}}}
	text := err.Error()
	for _, raw := range []string{"\x1b", "\nlockd: free"} {
		if strings.Contains(text, raw) {
			t.Errorf("got %q, want no %q in it", text, raw)
		}
	}
	if got := LabelText(map[string]string{"run": "1234"}); got != "run=1234" {
		t.Errorf("got %q, want run=1234", got)
	}
}

// TestAmendsOfOneOwner proves that what two Helds of one owner write is sent one after
// the other: they are one hold at the nodes, which take what comes behind a later
// request for one that has had its effect, and say that it is written.
func TestAmendsOfOneOwner(t *testing.T) {
	for _, owner := range []uint64{5, 0} {
		b := newBench(t)
		for _, e := range b.core.endpoints {
			e.version = wire.VersionWhole
		}
		enter := func(kind wire.Kind, token uint64) *Call {
			x := &Call{Kind: kind, Flags: wire.FlagWait, Name: "a", Mode: wire.ModePR, Owner: owner}
			b.core.Start(x)
			if b.core.groups[0].session.state != sessionOpen {
				open := b.one(1, wire.KindOpenSession)
				b.respond(1, open, wire.Response{Status: wire.StatusOK, Token: 9})
			}
			b.respond(1, b.one(1, kind), wire.Response{Status: wire.StatusOK, Token: token})
			return x
		}
		kind, second := wire.KindEnter, uint64(1)
		if owner == 0 {
			kind, second = wire.KindAcquire, 2
		}
		one, two := enter(kind, 1), enter(kind, second)
		amend := func(h *Call, terms *wire.Terms) *Call {
			x := &Call{Kind: wire.KindAmend, Name: "a", Hold: h, Terms: terms}
			b.core.Start(x)
			return x
		}
		value := amend(one, &wire.Terms{Fields: wire.TermValue, Value: []byte("v")})
		b.one(1, wire.KindAmend)
		b.core.Disconnected(b.now, 1, errSilent) // lost on its way
		b.after(50 * time.Millisecond)
		first := b.one(2, wire.KindAmend)
		amend(two, &wire.Terms{Fields: wire.TermPayload, Payload: []byte("p")})
		if got := len(b.sent(2, wire.KindAmend)) > 0; got != (owner == 0) {
			t.Fatalf("owner %d: the second is sent beside the first: %v", owner, got)
		}
		if owner == 0 {
			continue // two holds, neither of which waits for the other
		}
		b.respond(2, first, wire.Response{Status: wire.StatusBusy, RetryMillis: 100})
		b.after(300 * time.Millisecond)
		again := b.sent(2, wire.KindAmend)
		if len(again) != 1 || again[0].Request != first.Request {
			t.Fatalf("got %v, want the first again, as request %d", again, first.Request)
		}
		b.respond(2, again[0], wire.Response{Status: wire.StatusOK})
		if value.State() != StateDone || value.Err != nil {
			t.Errorf("got state %d, %v, want it done", value.State(), value.Err)
		}
		if next := b.one(2, wire.KindAmend); next.Request <= first.Request {
			t.Errorf("got request %d behind %d, want a later one", next.Request, first.Request)
		}
	}
}

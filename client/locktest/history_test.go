package locktest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
)

// tell puts a history into a line for each hold.
func tell(h *client.History) string {
	var b strings.Builder
	for i := range h.Holds {
		p := &h.Holds[i]
		fmt.Fprintf(&b, "%s %v %v token %d", p.Client, p.Mode, p.How, p.Token)
		if p.Permits > 0 {
			fmt.Fprintf(&b, " permits %d", p.Permits)
		}
		if p.How == client.EndConverted {
			fmt.Fprintf(&b, " to %v", p.To)
		}
		if p.Who != "" {
			fmt.Fprintf(&b, " by %s: %s", p.Who, p.Reason)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func past(ctx context.Context, t *testing.T, c *client.Client, name string,
	opts client.HistoryOptions) *client.History {
	t.Helper()
	h, err := c.History(ctx, name, opts)
	if err != nil {
		t.Fatalf("history of %q: %v", name, err)
	}
	return h
}

// heldFor returns when a lock was held for so long.
func heldFor(ctx context.Context, t *testing.T, c *client.Client, name string, d time.Duration) {
	t.Helper()
	for {
		info, err := c.Get(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Holders[0].Held >= d {
			return
		}
	}
}

// Who held a lock is told with token, times and how it ended, whoever leads: a leader that
// is killed in between leaves no gap, and a node that comes back tells each hold once.
func TestHistory(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Groups: 1})
	ctx := within(t)
	a := cluster.Client(t, client.Options{Name: "alice"})
	b := cluster.Client(t, client.Options{Name: "bob"})
	want := ""
	const name = "orders/42"
	begun := time.Now()
	var middle time.Time
	var middleToken uint64
	round := func(c *client.Client, who string) {
		h := lock(ctx, t, c, name)
		token := h.Token()
		heldFor(ctx, t, c, name, 150*time.Millisecond)
		middle, middleToken = time.Now(), token
		heldFor(ctx, t, c, name, 400*time.Millisecond)
		if err := h.Unlock(ctx); err != nil {
			t.Fatal(err)
		}
		want = fmt.Sprintf("%s EX released token %d\n", who, token) + want
	}
	round(a, "alice")
	round(b, "bob")
	at, atToken := middle, middleToken
	leader := cluster.Leader(name)
	cluster.Kill(leader)
	round(a, "alice")
	round(b, "bob")
	if got := tell(past(ctx, t, a, name, client.HistoryOptions{})); got != want {
		t.Errorf("with a dead node: got\n%swant\n%s", got, want)
	}
	cluster.Start(leader)
	next := cluster.Leader(name)
	for n := range 3 {
		if n+1 != leader && n+1 != next {
			cluster.Kill(n + 1) // so what only the first knew it must know still
		}
	}
	h := past(ctx, t, b, name, client.HistoryOptions{})
	if got := tell(h); got != want || !h.Complete || len(h.Unknown) != 0 || h.Current != nil {
		t.Errorf("got\n%s%+v, want\n%s", got, h, want)
	}
	for i := range h.Holds {
		p := &h.Holds[i]
		if held := p.End.Sub(p.Start); held < 150*time.Millisecond || held > 3*time.Second ||
			p.Start.Before(begun.Add(-time.Second)) || p.End.After(time.Now().Add(time.Second)) {
			t.Errorf("%d: got held from %s to %s", i, p.Start, p.End)
		}
	}
	h = past(ctx, t, b, name, client.HistoryOptions{At: at})
	if len(h.Holds) != 1 || h.Holds[0].Token != atToken || h.Holds[0].Client != "bob" {
		t.Errorf("at a moment of bob: got\n%s, want token %d", tell(h), atToken)
	}
	h = past(ctx, t, b, name, client.HistoryOptions{At: begun.Add(-time.Hour)})
	if len(h.Holds) != 0 || !h.Complete {
		t.Errorf("an hour before: got %+v", h)
	}
	held := lock(ctx, t, a, name)
	h = past(ctx, t, b, name, client.HistoryOptions{Limit: 2})
	if len(h.Holds) != 2 || !h.Holds[0].Stands() || h.Holds[0].Token != held.Token() || !h.More {
		t.Errorf("while held: got\n%s%+v", tell(h), h)
	}
}

// Each way in which a hold ends is told apart.
func TestHistoryTellsEnds(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Nodes: 1})
	ctx := within(t)
	a := cluster.Client(t, client.Options{Name: "alice"})
	b := cluster.Client(t, client.Options{Name: "bob"})
	ends := func(name string) string {
		t.Helper()
		return strings.Join(strings.Fields(tell(past(ctx, t, b, name, client.HistoryOptions{}))), " ")
	}
	expect := func(name, format string, args ...any) {
		t.Helper()
		if got, want := ends(name), fmt.Sprintf(format, args...); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	forced := lock(ctx, t, a, "forced")
	if err := b.ForceRelease(ctx, "forced", forced.Token(), "stuck"); err != nil {
		t.Fatal(err)
	}
	expect("forced", "alice EX forced token %d by bob: stuck", forced.Token())

	rw := a.RWMutex("converted")
	read, err := rw.RLock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first := read.Token()
	if err := rw.Upgrade(ctx, read); err != nil {
		t.Fatal(err)
	}
	second := read.Token()
	if err := read.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	expect("converted", "alice EX released token %d alice PR converted token %d to EX",
		second, first)
	h := past(ctx, t, b, "converted", client.HistoryOptions{})
	if !h.Holds[0].Start.Equal(h.Holds[1].End) {
		t.Errorf("converted: got %+v, want the second to begin where the first ended", h.Holds)
	}

	permits, err := a.Semaphore("permits", 4).Acquire(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	token := permits.Token()
	if err := permits.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	expect("permits", "alice NL released token %d permits 3", token)

	capped, err := a.LockWith(ctx, "capped", client.LockOptions{MaxHold: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	lost := lock(ctx, t, b, "capped") // when that is over
	expect("capped", "bob EX standing token %d alice EX max hold over token %d",
		lost.Token(), capped.Token())
}

// Sessions that end take their holds with them, and who asks for nonsense is told.
func TestHistoryTellsSessions(t *testing.T) {
	t.Parallel()
	cluster := locktest.New(t, locktest.Options{Nodes: 1})
	ctx := within(t)
	a := cluster.Client(t, client.Options{Name: "alice"})
	b := cluster.Client(t, client.Options{Name: "bob"})
	ends := func(name string) string {
		t.Helper()
		return strings.TrimSpace(tell(past(ctx, t, b, name, client.HistoryOptions{})))
	}
	dead := lock(ctx, t, a, "expired")
	cluster.Expire("expired")
	want := fmt.Sprintf("alice EX session expired token %d", dead.Token())
	if got := ends("expired"); got != want {
		t.Errorf("expired: got %q, want %q", got, want)
	}

	c := cluster.Client(t, client.Options{Name: "carol"})
	closed := lock(ctx, t, c, "closed")
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	got := ends("closed")
	if got != fmt.Sprintf("carol EX released token %d", closed.Token()) &&
		got != fmt.Sprintf("carol EX session closed token %d", closed.Token()) {
		t.Errorf("closed: got %q", got)
	}
	if _, err := b.History(ctx, "", client.HistoryOptions{}); !errors.Is(err, client.ErrBadName) {
		t.Errorf("no name: got %v, want ErrBadName", err)
	}
	late := client.HistoryOptions{From: time.Now(), To: time.Now().Add(-time.Hour)}
	if _, err := b.History(ctx, "a", late); !errors.Is(err, client.ErrOptions) {
		t.Errorf("backwards: got %v, want ErrOptions", err)
	}
}

package faulttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// told are the holds that lockd history -o json prints.
type told struct {
	Holds []struct {
		Holder, End, Reason string
		Token               uint64
		From, To            time.Time
	}
	Complete bool
	Unknown  []any
	// Silent and Current are for who reads a failure.
	Silent  []any
	Current string `json:"current_error"`
}

func askHistory(t *testing.T, c *Cluster, args ...string) told {
	t.Helper()
	args = append([]string{"history", "--addr", strings.Join(c.Addresses(), ","), "-o", "json"},
		args...)
	code, out := lockd(t, args...)
	var h told
	if err := json.Unmarshal([]byte(out), &h); code != 0 || err != nil {
		t.Fatalf("%q: got exit code %d, %v and %s", args, code, err, out)
	}
	return h
}

// TestHistoryVerb proves that who held a lock is told after every node was killed, each at
// another moment, and all at once: by the verb, over HTTP, and at a moment.
func TestHistoryVerb(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ctx := within(t, 60*time.Second)
	cl := dial(t, c, client.Options{Name: "holder"})
	const name = "orders/42"
	var tokens []uint64
	hold := func() {
		t.Helper()
		h, err := cl.Lock(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, h.Token())
		time.Sleep(300 * time.Millisecond)
		if err := h.Unlock(ctx); err != nil {
			t.Fatal(err)
		}
	}
	whole := func(when string) told {
		t.Helper()
		h := askHistory(t, c, name)
		if len(h.Holds) != len(tokens) || !h.Complete || len(h.Unknown) != 0 {
			t.Fatalf("%s: got %+v, want all of %d holds", when, h, len(tokens))
		}
		for i, x := range h.Holds {
			if x.Token != tokens[len(tokens)-1-i] || x.Holder != "holder" {
				t.Errorf("%s: hold %d: got %+v, want token %d", when, i, x, tokens[len(tokens)-1-i])
			}
		}
		return h
	}
	for _, n := range c.Nodes {
		hold()
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		hold()
		startAll(t, n)
		whole("node " + fmt.Sprint(n.ID) + " was killed")
	}
	tokens = append(tokens, forceOne(t, c, cl, name))
	before := whole("all run")
	time.Sleep(1500 * time.Millisecond) // what is younger may be known less exactly
	for _, n := range c.Nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	startAll(t, c.Nodes...)
	after := whole("all were killed")
	historyIsTheSame(t, before, after)
	historyAtAMoment(t, c, name, after)
}

// startAll starts nodes and waits until they serve.
func startAll(t *testing.T, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		if err := n.AwaitReady(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

// forceOne has a hold ended by force and returns its token.
func forceOne(t *testing.T, c *Cluster, cl *client.Client, name string) uint64 {
	t.Helper()
	h, err := cl.Lock(within(t, 20*time.Second), name)
	if err != nil {
		t.Fatal(err)
	}
	code, out := lockd(t, "release", "--force", "--addr", strings.Join(c.Addresses(), ","), "--token",
		fmt.Sprint(h.Token()), "--reason", "host is gone", name)
	if code != 0 {
		t.Fatalf("force: got exit code %d and %s", code, out)
	}
	return h.Token()
}

// historyIsTheSame compares what was told before and after all nodes were killed.
func historyIsTheSame(t *testing.T, before, after told) {
	t.Helper()
	for i := range after.Holds {
		a, b := after.Holds[i], before.Holds[i]
		if d := a.From.Sub(b.From).Abs(); d > time.Second {
			t.Errorf("hold %d: got from %s, and %s before all were killed", i, a.From, b.From)
		}
		// Log time stands still for a while after a leader was killed.
		overKill := a.Token%2 == 0 || a.End == "forced"
		if held := a.To.Sub(a.From); !overKill && (held < 100*time.Millisecond ||
			held > 10*time.Second) {
			t.Errorf("hold %d: got held for %s", i, held)
		}
	}
	if x := after.Holds[0]; x.End != "forced" || x.Reason != "host is gone" {
		t.Errorf("forced: got %+v", x)
	}
}

// historyAtAMoment asks who held a lock in the middle of its first hold, as people do.
func historyAtAMoment(t *testing.T, c *Cluster, name string, all told) {
	t.Helper()
	x := all.Holds[len(all.Holds)-1]
	middle := x.From.Add(x.To.Sub(x.From) / 2).Local().Format("2006-01-02 15:04:05.000")
	h := askHistory(t, c, "--at", middle, name)
	if len(h.Holds) != 1 || h.Holds[0].Token != x.Token {
		t.Errorf("at %s: got %+v, want token %d", middle, h.Holds, x.Token)
	}
	addr := strings.Join(c.Addresses(), ",")
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{name}, fmt.Sprintf("holder\texclusive\t%d\t20", x.Token)},
		{[]string{"-n", "1", name}, "forced by "},
		{[]string{"--since", "1h", name}, "\treleased\t"},
		{[]string{"--at", "2001-01-01", name}, "nobody held \"orders/42\" from 2001-01-01"},
		{[]string{"--to", "2001-01-01", name}, "nobody held"},
		{[]string{"nobody's"}, "nobody held \"nobody's\""},
	} {
		args := append([]string{"history", "--addr", addr}, row.args...)
		if code, out := lockd(t, args...); code != 0 || !strings.Contains(out, row.want) {
			t.Errorf("%q: got exit code %d and\n%s\nwant 0 and %q", args, code, out, row.want)
		}
	}
	resp, err := http.Get("http://" + c.Nodes[0].Admin + "/v1/history?limit=2&name=orders/42")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page told
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || len(page.Holds) != 2 {
		t.Errorf("/v1/history: got %+v, %v", page, err)
	}
	if files, err := os.ReadDir(filepath.Join(c.Nodes[0].Dir, "history")); err != nil ||
		len(files) == 0 {
		t.Errorf("files: got %v, %v", files, err)
	}
}

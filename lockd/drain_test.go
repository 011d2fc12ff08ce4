package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"lockd/client"
)

// adminOf serves pages in the place of a node: each status in turn, the last again and
// again, and an answer to whatever is posted. It returns its address.
func adminOf(t *testing.T, code int, answer string, statuses ...string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, answer)
			return
		}
		_, _ = io.WriteString(w, statuses[0])
		if len(statuses) > 1 {
			statuses = statuses[1:]
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestMoveAndDrainWait is what the two verbs say and wait for.
func TestMoveAndDrainWait(t *testing.T) {
	const head = `{"node":2,"cluster":"c",`
	const (
		leads1 = head + `"leaders":[{"group":0,"leader":1,"preferred":2}],` +
			`"groups":[{"group":0,"leading":false}]}`
		leads2 = head + `"leaders":[{"group":0,"leader":2,"preferred":2}],` +
			`"groups":[{"group":0,"leading":true}]}`
		drains = head + `"draining":true,` +
			`"groups":[{"group":0,"leading":true},{"group":5,"leading":true}]}`
		drained = head + `"draining":true,"groups":[{"group":0,"leading":false}]}`
	)
	move, drain := []string{"move", "0", "2"}, []string{"drain"}
	undo := []string{"drain", "--undo"}
	for _, row := range []struct {
		args     []string
		wait     string
		statuses []string
		code     int
		says     []string
	}{
		{move, "0s", []string{leads1}, 0, []string{"node 2 of cluster c is to lead group 0\n"}},
		{move, "20s", []string{leads1, leads1, leads2}, 0, []string{"node 2 leads group 0\n"}},
		{move, "1ms", []string{leads1}, 1, []string{"is led by node 1, because node 2 is down"}},
		{drain, "0s", []string{leads2}, 0, []string{"node 2 of cluster c drains"}},
		{drain, "20s", []string{leads1, leads1, drains, drained}, 0, []string{"node 2 leads nothing\n"}},
		{drain, "300ms", []string{leads2, drains}, 1, []string{"node 2 still leads groups 0, 5, which"}},
		{drain, "300ms", []string{leads2}, 1, []string{"was started again and does not drain"}},
		{undo, "0s", []string{drained}, 0, []string{"node 2 of cluster c leads again"}},
		{undo, "20s", []string{drained, drained, leads1, leads2}, 0, []string{"node 2 leads group 0\n"}},
		{undo, "300ms", []string{leads1}, 1, []string{"node 2 does not lead group 0 yet"}},
		{append(drain, "--cluster", "d"), "0s", []string{leads1}, 1, []string{`of cluster "c", not "d"`}},
	} {
		at := adminOf(t, 200, "{}", row.statuses...)
		args := append([]string{"cluster"}, row.args...)
		code, out, problems := call(append(args, "--admin", at, "--wait", row.wait)...)
		for _, want := range row.says {
			if code != row.code || !strings.Contains(out+problems, want) {
				t.Errorf("%q --wait %s: got exit code %d and %q, want %d and %q", row.args, row.wait, code,
					out+problems, row.code, want)
			}
		}
	}
	for _, args := range [][]string{move, drain} {
		args = append([]string{"cluster"}, args...)
		at := adminOf(t, 409, `{"error":"for a reason"}`, leads1)
		code, _, problems := call(append(args, "--admin", at)...)
		if code != exitFailure || !strings.Contains(problems, "for a reason") {
			t.Errorf("%q refused: got exit code %d and %q, want 1 and why", args, code, problems)
		}
		if code, _, _ := call(append(args, "--admin", "127.0.0.1:1")...); code != exitUnavailable {
			t.Errorf("%q of nobody: got exit code %d, want %d", args, code, exitUnavailable)
		}
	}
}

// TestWaitThatHearsNothingSaysSo proves that nothing is said about a cluster of which
// nothing is known: a node that stops answering leads to no list of what is not moved.
func TestWaitThatHearsNothingSaysSo(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked > 2 { // who it is, and the change
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, `{"node":2,"cluster":"c"}`)
	}))
	t.Cleanup(s.Close)
	at := strings.TrimPrefix(s.URL, "http://")
	code, out, problems := call("cluster", "move", "0", "2", "--admin", at, "--wait", "300ms")
	if code != exitUnavailable || !strings.Contains(problems, "has not said in 300ms how far it is") ||
		!strings.Contains(out, "is to lead group 0") {
		t.Errorf("got exit code %d and %q, want %d and that nothing is known", code, out+problems,
			exitUnavailable)
	}
}

// A removal is taken back by the verb that asked for it, and by no other.
func TestRemoveIsUndone(t *testing.T) {
	const stays = `{"node":1,"cluster":"c","moving":0,"nodes":[{"node":4,"state":"joined"}]}`
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			asked = append(asked, r.URL.String())
		}
		_, _ = io.WriteString(w, stays)
	}))
	t.Cleanup(s.Close)
	at := strings.TrimPrefix(s.URL, "http://")
	code, out, problems := call("cluster", "remove", "--undo", "4", "--admin", at, "--wait", "20s")
	if code != 0 || !strings.Contains(out, "node 4 of cluster c stays") ||
		!strings.Contains(out, "node 4 has joined, all groups are at home") {
		t.Errorf("got exit code %d and %q, want 0 and what became of it", code, out+problems)
	}
	if len(asked) != 1 || asked[0] != "/v1/cluster/remove?node=4&undo=true" {
		t.Errorf("got %q asked, want that the removal of node 4 be undone", asked)
	}
	if code, _, _ := call("cluster", "replace", "--undo", "4", "--admin", at); code != exitUsage {
		t.Errorf("replace --undo: got exit code %d, want %d", code, exitUsage)
	}
}

// A change that can only not be made yet is asked for again, which is said; one that
// cannot be made now is refused at once.
func TestChangeIsAskedForAgain(t *testing.T) {
	for _, row := range []struct {
		retry      string
		code, asks int
	}{{"1", 0, 3}, {"", exitFailure, 1}} {
		asks := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				if asks++; asks < 3 {
					w.Header().Set("Retry-After", row.retry)
					w.WriteHeader(http.StatusConflict)
				}
			}
			_, _ = io.WriteString(w, `{"node":1,"cluster":"c","error":"for a reason"}`)
		}))
		t.Cleanup(s.Close)
		at := strings.TrimPrefix(s.URL, "http://")
		code, out, problems := call("cluster", "replace", "3", "--admin", at)
		if code != row.code || asks != row.asks || !strings.Contains(problems, "for a reason") {
			t.Errorf("Retry-After %q: got exit code %d, %q and %d requests, want %d, the reason and %d",
				row.retry, code, out+problems, asks, row.code, row.asks)
		}
		if again := "asking again for up to 5s"; strings.Contains(problems, again) != (code == 0) {
			t.Errorf("Retry-After %q: got %q on standard error", row.retry, problems)
		}
	}
}

// A node that drains is shown as one.
func TestDrainingInStatus(t *testing.T) {
	var out bytes.Buffer
	all := []client.NodeStatus{{Node: 1, Groups: make([]client.GroupStatus, 1)},
		{Node: 2, Draining: true, Groups: make([]client.GroupStatus, 1)}}
	if err := nodeTable(all).print(&shell{out: &out}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "1\t\tup\t") ||
		!strings.Contains(got, "2\t\tdraining\t") {
		t.Errorf("got %q, want one up and one draining", got)
	}
}

// What cannot be closed, as a log whose disk does not move, holds up no further signal.
func TestFurtherSignalEndsTheClosing(t *testing.T) {
	stuck, signals := make(chan struct{}), make(chan os.Signal, 1)
	defer close(stuck)
	a := new(assembly)
	a.onClose(func() error { <-stuck; return nil })
	signals <- syscall.SIGTERM
	if err := a.closeUnless(signals); exitCode(err) != exitFailure {
		t.Errorf("got %v with exit code %d, want %d", err, exitCode(err), exitFailure)
	}
	b, bad := new(assembly), errors.New("not closed")
	b.onClose(func() error { return bad })
	if err := b.closeUnless(signals); !errors.Is(err, bad) {
		t.Errorf("got %v, want %v", err, bad)
	}
}

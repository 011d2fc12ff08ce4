package faulttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// runSeveral is --also: all or none, with what the command is told.
func runSeveral(t *testing.T, c *Cluster, cl *client.Client) {
	ctx := within(t, 30*time.Second)
	h, err := cl.Lock(ctx, "also/b")
	if err != nil {
		t.Fatal(err)
	}
	s := startRun(t, c, "-n", "-E", "9", "--also", "also/b", "also/a", "--", "true")
	if got := s.code(t); got != 9 || !strings.Contains(s.out.String(), `lock "also/b" is held`) {
		t.Errorf("-n: got exit code %d and %q, want 9 and the one that is held", got, s.out.String())
	}
	began := time.Now()
	s = startRun(t, c, "-w", "300ms", "--also", "also/b", "also/a", "--", "true")
	if got := s.code(t); got != 1 || time.Since(began) < 300*time.Millisecond ||
		!strings.Contains(s.out.String(), `lock "also/b" is held`) {
		t.Errorf("-w: got exit code %d and %q, want 1 and the one that is held", got, s.out.String())
	}
	free(t, cl, "also/a")
	if err := h.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	s = startRun(t, c, "--also", "also/b", "--also", "also/c", "also/a", "--", "sh", "-c",
		`echo "$LOCKD_NAME"; echo "$LOCKD_TOKENS"; echo "$LOCKD_TOKENS" | grep -c "^$LOCKD_TOKEN also/a$"
		 "$0" ls --addr "$1" -o json also/`, lockdPath, c.Nodes[0].Client)
	got := s.code(t)
	out := s.out.String()
	var token uint64
	var name string
	lines := strings.Split(out, "\n")
	if got != 0 || len(lines) < 6 || lines[0] != "also/a" || lines[4] != "1" ||
		strings.Count(lines[5], `"holders":1`) != 3 {
		t.Fatalf("got exit code %d and %q, want three names and their holders", got, out)
	}
	for i, want := range []string{"also/a", "also/b", "also/c"} {
		if _, err := fmt.Sscan(lines[1+i], &token, &name); err != nil || name != want || token == 0 {
			t.Errorf("line %d is %q, %v, want a token and %s", i, lines[1+i], err, want)
		}
	}
	for _, name := range []string{"also/a", "also/b", "also/c"} {
		free(t, cl, name)
	}
	runSeveralTerms(t, c)
	if code, out := onCluster(t, c, "run", "--also", "x", "x", "--", "true"); code != 2 ||
		!strings.Contains(out, "asked for twice") {
		t.Errorf("the same name twice: got exit code %d and %q, want 2", code, out)
	}
}

// runSeveralTerms proves that what --also holds has what the flags say, and that the
// command is stopped before the max hold of all is over.
func runSeveralTerms(t *testing.T, c *Cluster) {
	began := time.Now()
	s := startRun(t, c, "--max-hold", "1s", "--kill-grace", "200ms", "--label", "run=7", "--payload",
		"p", "--priority", "9", "--also", "most/b", "most/a", "--", "sh", "-c",
		`"$0" get --addr "$1" -o json most/b; sleep 60`, lockdPath, c.Nodes[0].Client)
	got, out := s.code(t), s.out.String()
	if took := time.Since(began); got != 79 || took > 20*time.Second ||
		!strings.Contains(out, `"run":"7"`) || !strings.Contains(out, "--max-hold") {
		t.Errorf("got exit code %d after %s and %q, want 79 by --max-hold, and the label", got, took,
			out)
	}
}

// runWithoutMajority proves that a wait in vain is a conflict only if somebody holds
// the lock, as far as anybody can know.
func runWithoutMajority(t *testing.T) {
	c := newCluster(t, 3)
	for _, n := range c.Nodes[1:] {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		s := startRun(t, c, "-w", "1s", "--timeout", "2s", name, "--", "true")
		if got := s.code(t); got != 69 || strings.Contains(s.out.String(), "held") ||
			!strings.Contains(s.out.String(), "majority") {
			t.Errorf("got exit code %d and %q, want 69 and why", got, s.out.String())
		}
	}
	// A wait without a bound goes on, and says so.
	path := filepath.Join(t.TempDir(), "problems")
	problems, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer problems.Close()
	latch := startVerb(t, c, "latch", "wait", "--timeout", "1s", "d")
	news := map[string]*started{
		`watch of "e"`:  startVerb(t, c, "watch", "--timeout", "1s", "--events", "1", "e"),
		`watch of "e/"`: startVerb(t, c, "watch", "--timeout", "1s", "--prefix", "--events", "1", "e/"),
		`election "f"`:  startVerb(t, c, "election", "observe", "--timeout", "1s", "--events", "1", "f"),
	}
	s := &started{}
	s.cmd = exec.CommandContext(within(t, 60*time.Second), lockdPath,
		atCluster(c, []string{"run", "--timeout", "1s", "c", "--", "true"})...)
	s.cmd.Stderr = problems
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := awaitFile(t, path)
	if !strings.HasPrefix(said, `lockd: waiting: lock "c": no leader of its group answers`) {
		t.Errorf("got %q, want what is waited for", said)
	}
	// Nobody can be asked whether the others have said what they have to say.
	pause(t.Context(), 4*time.Second)
	for _, n := range c.Nodes[1:] {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	cl := dial(t, c, client.Options{Name: "late"})
	if _, err := cl.Lock(within(t, 20*time.Second), "e/1"); err != nil {
		t.Fatal(err)
	}
	for what, s := range news {
		if got := s.code(t); got != 0 ||
			!strings.HasPrefix(s.out.String(), "lockd: waiting: "+what+": no leader of its group") {
			t.Errorf("%s: got exit code %d and %q, want 0 and what it waited for", what, got,
				s.out.String())
		}
	}
	if got := s.code(t); got != 0 {
		t.Errorf("got exit code %d after %q, want 0 once the nodes are back", got, said)
	}
	if got := latch.code(t); got != 0 ||
		!strings.HasPrefix(latch.out.String(), `lockd: waiting: latch "d": no leader of its group`) {
		t.Errorf("latch: got exit code %d and %q, want 0 and what it waited for", got,
			latch.out.String())
	}
}

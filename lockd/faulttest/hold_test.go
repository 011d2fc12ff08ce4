package faulttest

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
	"lockd/netio/wire"
)

// TestHolds is the contract of lockd lock, try, renew and release, on one cluster.
func TestHolds(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "test"})
	t.Run("Shell", func(t *testing.T) { holdsInAShell(t, c, cl) })
	t.Run("JSON", func(t *testing.T) { holdsInJSON(t, c, cl) })
	t.Run("Refused", func(t *testing.T) { holdsRefused(t, c, cl) })
	t.Run("Wait", func(t *testing.T) { holdsAfterAWait(t, c, cl) })
	t.Run("Failover", func(t *testing.T) { holdsAfterAFailover(t, c, cl) })
	t.Run("Over", func(t *testing.T) { holdsThatAreOver(t, c, cl) })
	t.Run("Modes", func(t *testing.T) { holdsInModes(t, c, cl) })
	t.Run("Unread", func(t *testing.T) { holdsThatNobodyReadsOf(t, c, cl) })
	t.Run("Unavailable", func(t *testing.T) { holdsOfNoCluster(t, c) })
}

// onCluster runs a verb against a cluster.
func onCluster(t *testing.T, c *Cluster, args ...string) (code int, out string) {
	t.Helper()
	return lockd(t, atCluster(c, args)...)
}

// holdsInAShell passes what is printed from verb to verb as the help says.
func holdsInAShell(t *testing.T, c *Cluster, cl *client.Client) {
	script := exec.CommandContext(within(t, 30*time.Second), "sh", "-ec", `
		held=$("$LOCKD" try "it's a" --ttl 1m --label run=7)
		eval "$held"
		test "$LOCKD_NAME" = "it's a"
		"$LOCKD" get "$LOCKD_NAME" | grep 'by=somebody@.*run=7'
		"$LOCKD" try "$LOCKD_NAME" 2>&1 | grep 'a detached hold.*by=somebody@'
		first=$LOCKD_UNTIL
		again=$("$LOCKD" renew "$LOCKD_NAME" --token "$LOCKD_TOKEN" --ttl 1h)
		eval "$again"
		test "$first" != "$LOCKD_UNTIL"
		"$LOCKD" release "$LOCKD_NAME" --token "$LOCKD_TOKEN" --session "$LOCKD_SESSION"
		held=$("$LOCKD" try --ttl 1m -- -dash)
		"$LOCKD" get -- -dash | grep detached
		eval "$held"
		"$LOCKD" get -- -dash | grep "detached $LOCKD_SESSION"
		again=$(printf '%s' "$held" | sed -n 's/^# give it back: lockd//p')
		eval "\"\$LOCKD\" $again"`)
	script.Env = append(script.Environ(), "USER=somebody", "LOCKD="+lockdPath,
		"LOCKD_ADDR="+strings.Join(c.Addresses(), ","))
	if out, err := script.CombinedOutput(); err != nil {
		t.Errorf("got %v and %s", err, out)
	}
	free(t, cl, "it's a")
	free(t, cl, "-dash")
}

// printedHold is a hold as -o json prints it.
type printedHold struct {
	Name           string
	Token, Session uint64
	Until          time.Time
}

func takenAs(t *testing.T, c *Cluster, args ...string) printedHold {
	t.Helper()
	code, out := onCluster(t, c, append(args, "-o", "json")...)
	var h printedHold
	if err := json.Unmarshal([]byte(out), &h); err != nil || code != 0 {
		t.Fatalf("%q: got exit code %d and %q: %v", args, code, out, err)
	}
	return h
}

func (h *printedHold) token() string { return strconv.FormatUint(h.Token, 10) }

func holdsInJSON(t *testing.T, c *Cluster, cl *client.Client) {
	h := takenAs(t, c, "lock", "json", "--ttl", "1m")
	if left := time.Until(h.Until); h.Name != "json" || left < 30*time.Second || left > time.Minute {
		t.Errorf("got %+v, %v left, want less than a minute", h, left)
	}
	info, err := cl.Get(within(t, 10*time.Second), "json")
	if err != nil || info.Holders[0].Token != h.Token || info.Holders[0].Session != h.Session {
		t.Errorf("got %+v, %v, want what was printed: %+v", info, err, h)
	}
	h2 := takenAs(t, c, "renew", "json", "--token", h.token(), "--ttl", "1h")
	if left := time.Until(h2.Until); h2.Token != h.Token || left < 50*time.Minute {
		t.Errorf("renew: got %+v, %v left, want an hour of the same", h2, left)
	}
	if code, out := onCluster(t, c, "release", "json", "--token", h.token()); code != 0 || out != "" {
		t.Errorf("release: got exit code %d and %q", code, out)
	}
	free(t, cl, "json")
}

// holdsRefused proves who is told to whom, with which exit code.
func holdsRefused(t *testing.T, c *Cluster, cl *client.Client) {
	h, err := cl.Lock(within(t, 10*time.Second), "refused")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Semaphore("other", 3).Acquire(within(t, 10*time.Second), 1); err != nil {
		t.Fatal(err)
	}
	token := strconv.FormatUint(h.Token(), 10)
	for _, row := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"try", "refused"}, 1, "holder : test"},
		{[]string{"lock", "-w", "0s", "refused"}, 1, "holder : test"},
		{[]string{"lock", "-w", "300ms", "refused"}, 1, "holder : test"},
		{[]string{"try", "other"}, 1, "a semaphore of 3 permits"},
		{[]string{"release", "refused", "--token", token}, 1, `its client "test" keeps it`},
		{[]string{"renew", "refused", "--token", token}, 1, `its client "test" keeps it`},
		{[]string{"release", "refused", "--token", token + "0"}, 79, "token in force is " + token},
		{[]string{"release", "nobody's", "--token", token}, 79, "nobody holds it"},
		{[]string{"try", "refused", "--payload", strings.Repeat("x", 5000)}, 2, "limit 4096"},
		{[]string{"try", strings.Repeat("x", 600)}, 2, "512"},
	} {
		code, out := onCluster(t, c, row.args...)
		if code != row.want || !strings.Contains(out, row.says) {
			t.Errorf("%.80q: got exit code %d and %q, want %d and %q", row.args, code, out, row.want,
				row.says)
		}
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// holdsAfterAWait proves that a wait ends with the hold before, by its release and by
// its time, and with a signal.
func holdsAfterAWait(t *testing.T, c *Cluster, cl *client.Client) {
	h, err := cl.Lock(within(t, 10*time.Second), "wait")
	if err != nil {
		t.Fatal(err)
	}
	s := startVerb(t, c, "lock", "--ttl", "500ms", "wait")
	stopped := startVerb(t, c, "lock", "wait")
	time.Sleep(300 * time.Millisecond)
	if err := stopped.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := stopped.code(t); got != 128+int(syscall.SIGINT) {
		t.Errorf("signal: got exit code %d and %q, want %d", got, stopped.out.String(), 128+2)
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := s.code(t); got != 0 || !strings.Contains(s.out.String(), "LOCKD_TOKEN=") {
		t.Errorf("after a release: got exit code %d and %q, want the hold", got, s.out.String())
	}
	began := time.Now()
	next := takenAs(t, c, "lock", "-w", "10s", "wait")
	if next.Token <= h.Token() || time.Since(began) > 8*time.Second {
		t.Errorf("after its time: got token %d after %d in %v", next.Token, h.Token(),
			time.Since(began))
	}
	if code, out := onCluster(t, c, "release", "wait", "--token", next.token()); code != 0 {
		t.Errorf("release: got exit code %d and %q", code, out)
	}
}

// holdsAfterAFailover kills the leader while lockd lock waits.
func holdsAfterAFailover(t *testing.T, c *Cluster, cl *client.Client) {
	ctx := within(t, 60*time.Second)
	const name = "failover"
	h, err := cl.Lock(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	s := startVerb(t, c, "lock", name)
	time.Sleep(300 * time.Millisecond)
	leader, err := c.Leader(ctx, cl, int(wire.GroupOf("", name, groups)))
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if got := s.code(t); got != 0 || !strings.Contains(s.out.String(), "LOCKD_TOKEN=") {
		t.Errorf("got exit code %d and %q, want the hold", got, s.out.String())
	}
	if err := errors.Join(leader.Start(), leader.AwaitReady(ctx)); err != nil {
		t.Fatal(err)
	}
}

func holdsThatAreOver(t *testing.T, c *Cluster, cl *client.Client) {
	h := takenAs(t, c, "try", "over", "--ttl", "200ms")
	held, err := cl.Lock(within(t, 10*time.Second), "over")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"renew", "over", "--token", h.token()},
		{"release", "over", "--token", h.token()},
		{"release", "over", "--token", h.token(), "--session", strconv.FormatUint(h.Session, 10)}} {
		if code, out := onCluster(t, c, args...); code != 79 {
			t.Errorf("%q: got exit code %d and %q, want 79", args, code, out)
		}
	}
	if !held.Valid() {
		t.Error("the new holder was disturbed")
	}
	h = takenAs(t, c, "try", "most", "--max-hold", "20s")
	h = takenAs(t, c, "renew", "most", "--token", h.token(), "--ttl", "1h")
	if left := time.Until(h.Until); left > 20*time.Second {
		t.Errorf("renewed beyond its max hold: %v left", left)
	}
	if err := held.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func holdsInModes(t *testing.T, c *Cluster, cl *client.Client) {
	a := takenAs(t, c, "try", "modes", "-s")
	b := takenAs(t, c, "try", "modes", "--mode", "CR")
	if code, _ := onCluster(t, c, "try", "modes"); code != 1 {
		t.Errorf("beside two that share: got exit code %d, want 1", code)
	}
	for _, h := range []printedHold{a, b} {
		if code, out := onCluster(t, c, "release", "modes", "--token", h.token()); code != 0 {
			t.Errorf("release: got exit code %d and %q", code, out)
		}
	}
	free(t, cl, "modes")
	p := takenAs(t, c, "lock", "permits", "--permits", "2/3")
	if code, out := onCluster(t, c, "try", "permits", "--permits", "2/3"); code != 1 ||
		!strings.Contains(out, "2 of 3 permits are taken") {
		t.Errorf("too many permits: got exit code %d and %q, want 1", code, out)
	}
	if code, out := onCluster(t, c, "release", "permits", "--token", p.token()); code != 0 {
		t.Errorf("release: got exit code %d and %q", code, out)
	}
}

// holdsThatNobodyReadsOf has no way to say what was taken: it is not left held, unless
// somebody asked for that.
func holdsThatNobodyReadsOf(t *testing.T, c *Cluster, cl *client.Client) {
	for _, row := range []struct {
		script string
		want   int
		says   string
	}{
		{`"$@" >&-`, 2, "token"},
		{`"$@" <&- >&-`, 2, "token"},
		{`"$@" <>/dev/null >&0`, 2, ">/dev/null"},
		{`"$@" >/dev/full`, 1, "no space left"},
		{`mkfifo "$FIFO"; : <"$FIFO" & exec 3>"$FIFO"; wait; rm "$FIFO"; "$@" >&3`, 141, ""},
	} {
		for _, verb := range []string{"try", "lock"} {
			cmd := exec.CommandContext(within(t, 20*time.Second), "sh", append([]string{"-c", row.script,
				"x", lockdPath}, atCluster(c, []string{verb, "unread", "--ttl", "1h"})...)...)
			cmd.Env = append(cmd.Environ(), "FIFO="+filepath.Join(t.TempDir(), "fifo"))
			out, _ := cmd.CombinedOutput() // the exit code says it
			if got := cmd.ProcessState.ExitCode(); got != row.want ||
				!strings.Contains(string(out), row.says) {
				t.Errorf("%s %s: got exit code %d and %q, want %d and %q", verb, row.script, got, out,
					row.want, row.says)
			}
			free(t, cl, "unread")
		}
	}
	wanted := exec.CommandContext(within(t, 20*time.Second), "sh", append([]string{"-c",
		`"$@" >/dev/null`, "x", lockdPath}, atCluster(c, []string{"try", "unread", "--ttl", "1h"})...)...)
	if out, err := wanted.CombinedOutput(); err != nil {
		t.Errorf(">/dev/null: got %v and %q, want it held", err, out)
	}
	if _, err := cl.TryLock(within(t, 10*time.Second), "unread"); !errors.Is(err, client.ErrHeld) {
		t.Errorf(">/dev/null: got %v, want it held", err)
	}
}

func holdsOfNoCluster(t *testing.T, c *Cluster) {
	for _, n := range c.Nodes[1:] {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"try", "--timeout", "500ms", "x"},
		{"lock", "-w", "1s", "--timeout", "2s", "x"},
		{"release", "--timeout", "500ms", "x", "--token", "7"}} {
		code, out := onCluster(t, c, args...)
		if code != 69 {
			t.Errorf("%q without a majority: got exit code %d and %q, want 69", args, code, out)
		}
	}
}

package faulttest

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
)

// TestGateVerbs waits at a latch, an event and a barrier from a shell, and lets through
// what waits there.
func TestGateVerbs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "test"})
	steps := func(rows [][]string) {
		t.Helper()
		for _, row := range rows {
			code, out := onCluster(t, c, strings.Fields(row[0])...)
			if want, _ := strconv.Atoi(row[1]); code != want || !strings.Contains(out, row[2]) {
				t.Errorf("%s: got exit code %d and %q, want %s and %q", row[0], code, out, row[1], row[2])
			}
		}
	}
	ends := func(s *started, want int, says string) {
		t.Helper()
		if got := s.code(t); got != want || !strings.Contains(s.out.String(), says) {
			t.Errorf("%q: got exit code %d and %q, want %d and %q", s.cmd.Args, got, s.out.String(), want,
				says)
		}
	}
	steps([][]string{{"latch wait l", "0", ""}, {"latch set l 3", "0", ""},
		{"latch set l 3", "1", "count of 3"}, {"latch wait -w 300ms l", "1", "in vain"},
		{"latch down l", "0", "2\n"}, {"get l", "0", "latch, 2 to count"},
		{"latch set l x", "2", "above 0"},
		{"latch down l 0", "2", "above 0"}, {"try l", "1", "in use as a latch"}})
	s := startVerb(t, c, "latch", "wait", "l")
	awaitWaiters(t, cl, "l", 1)
	steps([][]string{{"latch down l 2", "0", "0\n"}, {"latch set --ttl 1h m 1", "0", ""}})
	ends(s, 0, "")
	s = startVerb(t, c, "latch", "wait", "m")
	awaitWaiters(t, cl, "m", 1)
	steps([][]string{{"latch reset m", "0", ""}, {"event wait -w 300ms e", "1", "in vain"}})
	ends(s, 1, "broken")
	steps([][]string{{"event set e", "0", ""}, {"event wait e", "0", ""}, {"event reset e", "0", ""},
		{"event wait -w 300ms e", "1", "in vain"},
		{"barrier wait --parties 2 -w 300ms b", "1", "in vain"},
		{"barrier wait b", "2", "--parties is missing"}})
	nobody := func(info *client.LockInfo) bool { return info == nil }
	awaitGate(t, cl, "b", nobody)
	s = startVerb(t, c, "barrier", "wait", "--parties", "2", "b")
	one := func(info *client.LockInfo) bool { return info != nil && info.WaiterCount == 1 }
	awaitGate(t, cl, "b", one)
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	ends(s, 128+int(syscall.SIGINT), "")
	awaitGate(t, cl, "b", nobody)
	first := startVerb(t, c, "barrier", "wait", "--parties", "2", "b")
	second := startVerb(t, c, "barrier", "wait", "--parties", "2", "b")
	ends(first, 0, "\n")
	ends(second, 0, first.out.String())

	steps([][]string{{"event set --ttl 2s short", "0", ""}, {"event wait short", "0", ""},
		{"latch set --ttl 2s brief 1", "0", ""}, {"latch wait brief", "1", "broken"},
		{"latch wait brief", "0", ""}})
	awaitGate(t, cl, "short", nobody)
	steps([][]string{{"event wait -w 300ms short", "1", "in vain"}, {"latch set full 2", "0", ""}})
	full := exec.CommandContext(within(t, 20*time.Second), "sh", append([]string{"-c",
		`"$@" >/dev/full`, "x", lockdPath}, atCluster(c, []string{"latch", "down", "full"})...)...)
	out, _ := full.CombinedOutput() // the exit code says it
	if got := full.ProcessState.ExitCode(); got != 74 ||
		!strings.Contains(string(out), "had its effect") {
		t.Errorf("a print that failed: got exit code %d and %q, want 74", got, out)
	}
	steps([][]string{{"latch down -o json full", "0", `{"name":"full","left":0}`}})
	first = startVerb(t, c, "barrier", "wait", "-o", "json", "--parties", "2", "b")
	ends(startVerb(t, c, "barrier", "wait", "--parties", "2", "b"), 0, "\n")
	ends(first, 0, `{"name":"b","round":`)
}

// awaitGate waits until something is so of a name, of which nil is known if it is at rest.
func awaitGate(t *testing.T, cl *client.Client, name string, is func(*client.LockInfo) bool) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for {
		info, err := cl.Get(ctx, name)
		if err != nil && !errors.Is(err, client.ErrNotFound) {
			t.Fatal(err)
		}
		if is(info) {
			return
		}
		pause(ctx, 5*time.Millisecond)
	}
}

// TestValueAndTokenVerbs writes and reads the value of a lock, and asks about tokens.
func TestValueAndTokenVerbs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "test"})
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"value", "get", "v"}, 1, "has no value"},
		{[]string{"value", "set", "v", "so far\n"}, 0, ""},
		{[]string{"value", "get", "v"}, 0, "so far\n"},
		{[]string{"value", "get", "-o", "json", "v"}, 0,
			`{"name":"v","value":"so far\u000a","value_token":1,"value_doubtful":false}`},
		{[]string{"value", "set", "v", ""}, 0, ""},
		{[]string{"value", "get", "v"}, 1, "has no value"},
		{[]string{"value", "set", "v"}, 2, "TEXT is missing"},
		{[]string{"check-token", strings.Repeat("x", 600), "--token", "7"}, 2, "512"},
		{[]string{"check-token", "v", "--token", "7"}, 1, "stale\t0\n"},
		{[]string{"check-token", "-o", "json", "v", "--token", "7"}, 1,
			`{"name":"v","token":7,"current":false,"newest":0}`},
		{[]string{"check-token", "v"}, 2, "--token is missing"},
	} {
		code, out := onCluster(t, c, row.args...)
		if code != row.code || !strings.Contains(out, row.want) {
			t.Errorf("%q: got exit code %d and %q, want %d and %q", row.args, code, out, row.code, row.want)
		}
	}
	h, err := cl.Lock(within(t, 10*time.Second), "v")
	if err != nil {
		t.Fatal(err)
	}
	token := strconv.FormatUint(h.Token(), 10)
	if code, out := onCluster(t, c, "check-token", "v", "--token", token); code != 0 ||
		out != "current\t"+token+"\n" {
		t.Errorf("check-token: got exit code %d and %q, want it current", code, out)
	}
	if code, out := onCluster(t, c, "value", "set", "-w", "300ms", "v", "x"); code != 1 ||
		!strings.Contains(out, "is held") {
		t.Errorf("value set: got exit code %d and %q, want 1 and who holds it", code, out)
	}
}

package faulttest

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// TestWords is what the command line says where a user went wrong, on processes.
func TestWords(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--limit-hold-max", "1h", "--limit-data", "64B")
	cl := dial(t, c, client.Options{Name: "words"})
	h := takenAs(t, c, "try", "mine") // the label that says by whom has no room
	code, out := onCluster(t, c, "try", "labelled", "--label", "a=b")
	if code != 1 || !strings.Contains(out, "more than 64 bytes (cluster.limits.data)") {
		t.Errorf("a label that has no room: got exit code %d and %q, want 1 and the limit", code, out)
	}
	for _, args := range [][]string{{"run", "--min-hold", "2h", "x", "--", "true"},
		{"run", "--lock-delay", "2h", "x", "--", "true"}, {"try", "--ttl", "2h", "x"},
		{"renew", "--ttl", "2h", "mine", "--token", h.token()}} {
		code, out := onCluster(t, c, args...)
		if code != 2 || !strings.Contains(out, "cluster.limits.hold_max") {
			t.Errorf("%q: got exit code %d and %q, want 2 and the setting", args, code, out)
		}
	}
	if err := cl.Event("event").Set(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	code, out = onCluster(t, c, "get", "event", "-o", "json")
	if code != 0 || strings.Contains(out, "session") || !strings.Contains(out, `"gate":"event"`) {
		t.Errorf("get of an event: got exit code %d and %q, want no session", code, out)
	}
	for _, row := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"get", "--addr", c.Nodes[0].Admin, "--timeout", "1s", "x"}, 69, "client address"},
		{[]string{"get", "--addr", c.Nodes[0].Peer, "--timeout", "1s", "x"}, 69, "client address"},
		{[]string{"get", "--addr", "127.0.0.1:1", "--timeout", "1s", "x"}, 69, "connection refused"},
		{[]string{"cluster", "remove", "--admin", c.Nodes[0].Admin, "--cluster", "prod", "3"}, 1,
			`is of cluster "fault", not "prod"`},
		{[]string{"cluster", "remove", "--admin", c.Nodes[0].Client, "3"}, 69, "admin_listen"},
		{[]string{"cluster", "remove", "--admin", c.Nodes[0].Admin, "--cluster", "fault", "9"}, 1,
			"the cluster has no node 9"},
	} {
		code, out := lockd(t, row.args...)
		if code != row.want || !strings.Contains(out, row.says) || strings.Count(out, "\n") != 1 {
			t.Errorf("%q: got exit code %d and %q, want %d and a line with %q", row.args, code, out,
				row.want, row.says)
		}
	}
	t.Run("ReaderGone", func(t *testing.T) { watchWithoutReader(t, c, cl) })
	for _, n := range c.Nodes[1:] {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	code, out = onCluster(t, c, "ls", "--timeout", "1s")
	if code != 69 || strings.Count(out, "\n") != 1 || !strings.Contains(out, "more)") {
		t.Errorf("ls without a majority: got exit code %d and %q, want 69 and a line", code, out)
	}
}

// watchWithoutReader has a watch print to nobody: it ends, and says nothing.
func watchWithoutReader(t *testing.T, c *Cluster, cl *client.Client) {
	ctx := within(t, 20*time.Second)
	cmd := exec.CommandContext(ctx, lockdPath, "watch", "--addr", c.Nodes[0].Client, "gone")
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "TIME") {
		t.Fatalf("got %q, %v", line, err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		free(t, cl, "gone") // which is news
		select {
		case <-ended:
			if got := cmd.ProcessState.ExitCode(); got != 141 || problems.String() != "" {
				t.Errorf("got exit code %d and %q, want 141 and nothing", got, problems.String())
			}
			return
		case <-ctx.Done():
			t.Fatal("it watches on")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

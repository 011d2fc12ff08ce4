//go:build fault

package faulttest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestVerify has lockd verify try three processes with everything it has: faults of
// its own, of the nodes, one of which is killed, and commands that kill -9 and pause
// processes. Whoever dies is started again, as by systemd. No violation is found, each
// kind was injected without an error, and the record says the same.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("the secret of the faults"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, 3, "--allow-faults", "true", "--faults-secret-file", secret)
	pid := func(n *Node) string { return filepath.Join(dir, "pid"+strconv.Itoa(n.ID)) }
	var admins []string
	for _, n := range c.Nodes {
		admins = append(admins, n.Admin)
		writePID(t, n, pid(n))
	}
	history := filepath.Join(dir, "history")
	kinds := []string{"crash", "exec", "conns", "pause-client", "force", "move", "drain", "cut",
		"cut-in", "cut-out", "slow", "disk", "pause"}
	cmd := exec.Command(lockdPath, "verify", "--addr", strings.Join(c.Addresses(), ","), "--admin",
		strings.Join(admins, ","), "--faults-secret-file", secret, "--for", "70s", "-o", "json",
		"--faults", strings.Join(kinds, ","), "--fault-length", "1500ms", "--fault-rest", "500ms",
		"--exec-fault", "kill -9 $(cat "+pid(c.Nodes[0])+")", "--exec-heal", "true",
		"--exec-fault", "kill -STOP $(cat "+pid(c.Nodes[1])+")",
		"--exec-heal", "kill -CONT $(cat "+pid(c.Nodes[1])+")", "--history", history)
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err := superviseUntil(t, c, ended, pid)
	t.Logf("%s%s", &told, &out)
	if err != nil {
		t.Fatalf("lockd verify: %v", err)
	}
	var got struct {
		Linearizable bool
		Operations   int
		Faults       []struct{ Fault, Error string }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Linearizable || got.Operations < 1000 {
		t.Errorf("got linearizable %v, %d operations", got.Linearizable, got.Operations)
	}
	seen := map[string]bool{}
	for _, f := range got.Faults {
		if seen[f.Fault] = true; f.Error != "" {
			t.Errorf("%s: %s", f.Fault, f.Error)
		}
	}
	for _, kind := range []string{"crash", "exec-1", "exec-2", "conns", "pause-client"} {
		if !seen[kind] {
			t.Errorf("%s was not injected", kind)
		}
	}
	if code, text := lockd(t, "verify", "--check", history); code != 0 {
		t.Errorf("the record: got exit code %d and %s", code, text)
	}
}

// superviseUntil starts nodes again that died, until a command has ended.
func superviseUntil(t *testing.T, c *Cluster, ended <-chan error, pid func(*Node) string) error {
	t.Helper()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	limit := time.After(150 * time.Second)
	for {
		select {
		case err := <-ended:
			return err
		case <-limit:
			t.Fatal("lockd verify does not end")
		case <-look.C:
		}
		for _, n := range c.Nodes {
			if n.Running() {
				continue
			}
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
			writePID(t, n, pid(n))
		}
	}
}

func writePID(t *testing.T, n *Node, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strconv.Itoa(n.PID())), 0o600); err != nil {
		t.Fatal(err)
	}
}

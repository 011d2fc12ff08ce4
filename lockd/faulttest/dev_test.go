package faulttest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/lockd/faulttest/ports"
)

// dev is a lockd dev that runs.
type dev struct {
	cmd  *exec.Cmd
	said []string // until it was ready
	addr string   // of its first node
}

// startDev starts lockd dev and returns when it is ready.
func startDev(t *testing.T, port int, env []string, args ...string) *dev {
	t.Helper()
	d := &dev{addr: "127.0.0.1:" + strconv.Itoa(port)}
	d.cmd = exec.CommandContext(within(t, 60*time.Second), lockdPath, append([]string{"dev",
		"--port", strconv.Itoa(port)}, args...)...)
	d.cmd.Env = append(os.Environ(), env...)
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if d.said = append(d.said, lines.Text()); strings.HasPrefix(lines.Text(), "Stop with") ||
			strings.HasPrefix(lines.Text(), "{") {
			return d
		}
	}
	t.Fatalf("lockd dev ended early: %v after %q", d.cmd.Wait(), d.said)
	return nil
}

// stop ends it as Ctrl-C does.
func (d *dev) stop(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("lockd dev after SIGINT: %v, want exit code 0", err)
	}
}

// TestDev runs lockd dev as somebody does who tries it out: what it prints to be pasted
// shows what it is to show, a temporary directory is gone at the end, and one that was
// given is gone on with.
func TestDev(t *testing.T) {
	const nodes, perNode = 3, 10
	var claim ports.Claim
	t.Cleanup(func() { _ = claim.Close() })
	port, err := claim.Row(nodes * perNode)
	if err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	d := startDev(t, port, []string{"TMPDIR=" + temporary})
	if want := "lockd dev: 3 nodes are ready"; !strings.HasPrefix(d.said[0], want) {
		t.Errorf("got %q, want %q", d.said[0], want)
	}
	if got, _ := filepath.Glob(temporary + "/*"); len(got) != 1 {
		t.Errorf("got %q, want one directory", got)
	}
	var paste []string
	for i, line := range d.said {
		if line == "In another terminal:" {
			for _, line := range d.said[i+1:] {
				if !strings.HasPrefix(line, "  ") {
					break
				}
				paste = append(paste, line)
			}
		}
	}
	sh := exec.CommandContext(within(t, 20*time.Second), "sh", "-c", strings.Join(paste, "\n"))
	sh.Env = append(os.Environ(), "PATH="+filepath.Dir(lockdPath)+":"+os.Getenv("PATH"))
	out, err := sh.CombinedOutput()
	for _, want := range []string{"token 1\n", "holds\t", `lock "hello" is held`, "\n3\t127.0.0.1:"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("what is to be pasted, %q: got %v and %s, want %q in it", paste, err, out, want)
		}
	}
	d.stop(t)
	if got, _ := filepath.Glob(temporary + "/*"); len(got) != 0 {
		t.Errorf("got %q left, want nothing", got)
	}

	data := []string{"--data", t.TempDir()}
	d = startDev(t, port, nil, data...)
	if code, out := lockd(t, "try", "--addr", d.addr, "kept", "--ttl", "10m"); code != 0 {
		t.Errorf("try: got exit code %d and %q, want 0", code, out)
	}
	d.stop(t)
	d = startDev(t, port, nil, data...)
	if code, out := lockd(t, "get", "--addr", d.addr, "kept"); code != 0 {
		t.Errorf("after a restart: got exit code %d and %q, want the lock held", code, out)
	}
	if s := fmt.Sprint(d.said); !strings.Contains(s, data[1]) || !strings.Contains(s, d.addr) {
		t.Errorf("got %q, want the directory and the addresses", d.said)
	}
	d.stop(t)
	devForScripts(t, port, data)
}

// devForScripts has a script read where the nodes of lockd dev are, which ends if nobody
// can be told.
func devForScripts(t *testing.T, port int, args []string) {
	args = append(args, "-o", "json")
	d := startDev(t, port, nil, args...)
	var told struct {
		Addr, Data string
		Nodes      []struct {
			Node  int
			Admin string
		}
	}
	if err := json.Unmarshal([]byte(d.said[0]), &told); err != nil || len(d.said) != 1 {
		t.Fatalf("got %q, %v, want one line of JSON", d.said, err)
	}
	if told.Data != args[1] || len(told.Nodes) != 3 || told.Nodes[2].Node != 3 {
		t.Errorf("got %+v, want %s and three nodes", told, args[1])
	}
	if code, out := lockd(t, "get", "--addr", told.Addr, "kept"); code != 0 {
		t.Errorf("get: got exit code %d and %q, want the lock held", code, out)
	}
	if resp, err := http.Get("http://" + told.Nodes[2].Admin + "/readyz"); err != nil {
		t.Error(err)
	} else if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Errorf("/readyz: got status %d, want 200", resp.StatusCode)
	}
	d.stop(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("NOT RUN: there is no /dev/full")
	}
	defer full.Close()
	cmd := exec.CommandContext(within(t, 30*time.Second), lockdPath,
		append([]string{"dev", "--port", strconv.Itoa(port)}, args...)...)
	var problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = full, &problems
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 ||
		!strings.Contains(problems.String(), "no space left") {
		t.Errorf("a full disk: got %v and %q, want exit code 1 and why", err, &problems)
	}
}

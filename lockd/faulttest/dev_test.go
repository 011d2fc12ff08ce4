package faulttest

import (
	"bufio"
	"fmt"
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
		if d.said = append(d.said, lines.Text()); strings.HasPrefix(lines.Text(), "Stop with") {
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
}

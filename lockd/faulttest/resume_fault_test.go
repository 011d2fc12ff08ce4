//go:build fault

package faulttest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
)

// resumer is a process with a client that keeps its sessions in a file.
type resumer struct {
	cmd   *exec.Cmd
	in    io.Closer
	lines *bufio.Scanner
}

// startResumer starts one. It says what it has from the start before, and what it
// has locked since.
func startResumer(t *testing.T, c *Cluster, file string) *resumer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &resumer{cmd: exec.CommandContext(within(t, time.Minute), self)}
	r.cmd.Env = append(os.Environ(), resumerEnv+"="+strings.Join(c.Addresses(), ","),
		"RESUMER_FILE="+file)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.in, r.lines = in, bufio.NewScanner(out)
	return r
}

// line is the next that it prints.
func (r *resumer) line(t *testing.T) string {
	t.Helper()
	if !r.lines.Scan() {
		t.Fatalf("the process ended: %v", r.cmd.Wait())
	}
	return r.lines.Text()
}

// TestFT4ClientRestarts kills a process that holds locks, again and again, also
// while the leaders die: the next one has them, with the same tokens, and nobody
// else gets them in between.
func TestFT4ClientRestarts(t *testing.T) {
	c := newCluster(t, 3)
	watch := dial(t, c, client.Options{Name: "watch"})
	file := filepath.Join(t.TempDir(), "session")
	want := "resumed"
	for i := range 6 {
		r := startResumer(t, c, file)
		if got := r.line(t); got != want {
			t.Errorf("start %d: got %q, want %q", i, got, want)
		}
		var token uint64
		if _, err := fmt.Sscanf(r.line(t), "locked %d", &token); err != nil {
			t.Fatal(err)
		}
		want += fmt.Sprintf(" resumed/%d=%d", i, token)
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = r.cmd.Wait()
		if _, err := watch.TryLock(within(t, 10*time.Second), "resumed/0"); err == nil {
			t.Fatal("the lock of the dead process was granted")
		}
		if i%2 == 1 {
			n := c.Nodes[i%3]
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := c.Start(within(t, 20*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The last one is told to end, and leaves nothing.
	r := startResumer(t, c, file)
	r.line(t)
	r.line(t)
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := r.cmd.Wait()
	if status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok ||
		status.Signal() != syscall.SIGTERM {
		t.Errorf("after SIGTERM: got %v, want an end by it", err)
	}
	for i := range 7 {
		free(t, watch, fmt.Sprint("resumed/", i))
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is still there")
	}
}

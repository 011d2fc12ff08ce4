package faulttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
)

// holderEnv makes the test binary a holder: addresses, name and lease.
const holderEnv = "FAULTTEST_HOLDER"

// runHolder takes a lock in a process of its own, tells its token and session,
// and then answers what it is asked: "valid" or "unlock", a line each.
func runHolder(in io.Reader, out io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintln(out, err)
		return 1
	}
	words := strings.Fields(os.Getenv(holderEnv))
	lease, err := time.ParseDuration(words[2])
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, strings.Split(words[0], ","), client.Options{Name: "holder process",
		Lease: lease})
	if err != nil {
		return fail(err)
	}
	h, err := c.Lock(ctx, words[1])
	if err != nil {
		return fail(err)
	}
	fmt.Fprintln(out, h.Token(), h.Session())
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		switch lines.Text() {
		case "valid":
			fmt.Fprintln(out, h.Valid())
		case "unlock":
			fmt.Fprintln(out, "lost:", errors.Is(h.Unlock(ctx), client.ErrLost))
		}
	}
	return 0
}

// holder is such a process.
//
//lint:ignore U1000 tests with the fault tag use it
type holder struct {
	cmd            *exec.Cmd
	in             io.WriteCloser
	out            *bufio.Reader
	token, session uint64
}

//lint:ignore U1000 tests with the fault tag use it
func startHolder(t *testing.T, c *Cluster, name string, lease time.Duration) *holder {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{cmd: exec.CommandContext(within(t, 2*time.Minute), self)}
	h.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %v", holderEnv,
		strings.Join(c.Addresses(), ","), name, lease))
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.out = bufio.NewReader(out)
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.cmd.Process.Kill() // it may have ended
		_ = h.cmd.Wait()
	})
	if line := h.line(t); !scans(line, &h.token, &h.session) {
		t.Fatalf("the holder said %q, want token and session", line)
	}
	return h
}

//lint:ignore U1000 tests with the fault tag use it
func scans(line string, into ...any) bool {
	n, err := fmt.Sscan(line, into...)
	return err == nil && n == len(into)
}

// ask writes questions without waiting for answers.
//
//lint:ignore U1000 tests with the fault tag use it
func (h *holder) ask(t *testing.T, questions ...string) {
	t.Helper()
	if _, err := io.WriteString(h.in, strings.Join(questions, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
}

// line reads one answer.
//
//lint:ignore U1000 tests with the fault tag use it
func (h *holder) line(t *testing.T) string {
	t.Helper()
	line, err := h.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the holder ended: %v after %q", err, line)
	}
	return strings.TrimSpace(line)
}

// stop stops the process and waits until it stands still.
//
//lint:ignore U1000 tests with the fault tag use it
func (h *holder) stop(t *testing.T) {
	t.Helper()
	h.signal(t, syscall.SIGSTOP)
	awaitStopped(t, h.cmd.Process.Pid)
}

// awaitStopped waits until a process that was sent SIGSTOP has stopped.
//
//lint:ignore U1000 tests with the fault tag use it
func awaitStopped(t *testing.T, pid int) {
	t.Helper()
	ctx := within(t, 10*time.Second)
	for ctx.Err() == nil {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(stat), ") T ") {
			return
		}
		pause(ctx, time.Millisecond)
	}
	t.Fatalf("process %d does not stop", pid)
}

//lint:ignore U1000 tests with the fault tag use it
func (h *holder) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := h.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

package faulttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Node is one node of a Cluster: a directory, addresses, and the process when
// one runs. Its methods belong to one goroutine.
type Node struct {
	ID                  int
	Dir                 string
	Peer, Client, Admin string // host:port
	// Listen is where the node itself listens for clients, if a proxy has its
	// place at Client.
	Listen string
	// Prefix is the start of the node's command line, before the path of lockd:
	// a command that runs another, or nothing.
	Prefix []string
	// Binary is the path of lockd on this node, if it is not the cluster's.
	Binary string
	// Flags are added to the command line of this node.
	Flags []string

	cluster *Cluster
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	result  error         // of the process; set before ended is closed
}

// Start starts the process. Its output is appended to the node's log file.
func (n *Node) Start() error { return n.start(n.Args()) }

// StartWith starts the process with other arguments.
func (n *Node) StartWith(args ...string) error { return n.start(args) }

func (n *Node) start(args []string) error {
	if n.Running() {
		return fmt.Errorf("faulttest: node %d runs already", n.ID)
	}
	log, err := os.OpenFile(n.LogPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	line := append(append([]string(nil), n.Prefix...), cmp.Or(n.Binary, n.cluster.opts.Binary))
	line = append(line, args...)
	n.cmd = exec.Command(line[0], line[1:]...)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	// A test that dies takes its nodes along.
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = n.cmd.Start()
	if closeErr := log.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("faulttest: starting node %d: %w", n.ID, err)
	}
	n.ended = make(chan struct{})
	n.reap(n.cmd, n.ended)
	return nil
}

// Args is the command line of the node.
func (n *Node) Args() []string {
	args := []string{"serve", "--id", strconv.Itoa(n.ID), "--data", n.Dir, "--admin-listen", n.Admin,
		"--cluster", n.cluster.opts.Name}
	for _, other := range n.cluster.Nodes {
		peer := other.Peer
		if mesh := n.cluster.Mesh; mesh != nil {
			peer = mesh.addressFor(n.ID, other)
		}
		args = append(args, "--node", fmt.Sprintf("%d=%s/%s", other.ID, peer, other.Client))
	}
	if n.Listen != "" {
		args = append(args, "--client-listen", n.Listen)
	}
	return append(append(args, n.cluster.opts.Flags...), n.Flags...)
}

// LogPath is the file that collects the node's output over all its lives.
func (n *Node) LogPath() string {
	return filepath.Join(n.cluster.opts.Dir, fmt.Sprintf("node%d.log", n.ID))
}

// Log returns what the node printed so far.
func (n *Node) Log() string {
	b, err := os.ReadFile(n.LogPath())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Running reports whether the process runs, paused or not.
func (n *Node) Running() bool {
	if n.ended == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// PID is the number of the process. Requires: Start has succeeded.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Kill ends the process with signal 9 and waits until it is gone.
func (n *Node) Kill() error { return n.end(syscall.SIGKILL, 10*time.Second) }

// Stop asks the process to stop in order and waits for it.
func (n *Node) Stop() error {
	if err := n.end(syscall.SIGTERM, 20*time.Second); err != nil {
		return err
	}
	if n.result != nil {
		return fmt.Errorf("faulttest: node %d after SIGTERM: %w", n.ID, n.result)
	}
	return nil
}

func (n *Node) end(sig syscall.Signal, limit time.Duration) error {
	if !n.Running() {
		return nil
	}
	if err := n.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-n.ended:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("faulttest: node %d still runs %v after %v:\n%s", n.ID, limit, sig,
			n.stacks())
	}
}

// stacks ends a process that hangs so that it prints what it is waiting for.
func (n *Node) stacks() string {
	before := len(n.Log())
	if err := n.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return err.Error()
	}
	select {
	case <-n.ended:
	case <-time.After(5 * time.Second):
	}
	return n.Log()[before:]
}

// Wait waits until the process ends by itself and returns its exit code.
func (n *Node) Wait(ctx context.Context) (int, error) {
	select {
	case <-n.ended:
		return n.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("faulttest: node %d runs on: %w", n.ID, ctx.Err())
	}
}

// Pause stops the process in its tracks; Resume lets it go on.
func (n *Node) Pause() error { return n.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (n *Node) Resume() error { return n.cmd.Process.Signal(syscall.SIGCONT) }

// Ready asks the node whether it can serve; the text says why not.
func (n *Node) Ready() (string, bool) {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + n.Admin + "/readyz")
	if err != nil {
		return err.Error(), false
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err.Error(), false
	}
	return strings.TrimSpace(string(body)), resp.StatusCode == http.StatusOK
}

// AwaitReady waits until the node can serve. It gives up when the process ends.
func (n *Node) AwaitReady(ctx context.Context) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		reason, ok := n.Ready()
		if ok {
			return nil
		}
		select {
		case <-n.ended:
			return fmt.Errorf("faulttest: node %d ended before it was ready: %w\n%s",
				n.ID, n.result, tail(n.Log(), 15))
		case <-ctx.Done():
			return fmt.Errorf("faulttest: node %d is not ready: %s: %w\n%s",
				n.ID, reason, ctx.Err(), tail(n.Log(), 15))
		case <-poll.C:
		}
	}
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

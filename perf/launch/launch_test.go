package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/lockd/faulttest/ports"
)

// TestMain makes the test binary double as the server that the tests start.
func TestMain(m *testing.M) {
	if mode := os.Getenv("LAUNCH_FAKE"); mode != "" {
		fakeServer(mode, os.Args[1:])
		return
	}
	os.Exit(m.Run())
}

// fakeServer prints its arguments, listens at the last one and behaves as mode
// says until it is stopped.
func fakeServer(mode string, args []string) {
	fmt.Println("fake server with", strings.Join(args, " "))
	if mode == "fail" {
		fmt.Println("no such key: nonsense")
		os.Exit(3)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	listener, err := net.Listen("tcp", args[len(args)-1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer func() { _ = listener.Close() }()
	for range stop {
		if mode != "deaf" {
			return
		}
	}
}

// fake is a command that starts the test binary as a server.
func fake(t *testing.T, mode string) Command {
	t.Helper()
	t.Setenv("LAUNCH_FAKE", mode)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var claim ports.Claim
	t.Cleanup(func() { _ = claim.Close() })
	address, err := claim.Address()
	if err != nil {
		t.Fatal(err)
	}
	return Command{
		Name: "fake", Path: path, Args: []string{"--at", address}, Dir: t.TempDir(),
		Ready: answers(address),
	}
}

func TestStartKillRestartStop(t *testing.T) {
	command := fake(t, "serve")
	p, err := Start(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	if used, err := p.CPU(); err != nil || used < 0 {
		t.Errorf("CPU: got %v, %v", used, err)
	}
	p.Kill()
	if err := command.Ready(t.Context()); err == nil {
		t.Error("after Kill: got an answer, want none")
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("second Stop: got %v, want nil", err)
	}
	if _, err := p.CPU(); err != nil {
		t.Errorf("CPU of an ended process: got %v, want the time it used", err)
	}
}

func TestStartQuotesTheOutput(t *testing.T) {
	_, err := Start(t.Context(), fake(t, "fail"))
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"fake", "exit status 3", "no such key: nonsense"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to contain %q", err, want)
		}
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	command := fake(t, "serve")
	never := errors.New("never ready")
	command.Ready = func(context.Context) error { return never }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, command)
	if !errors.Is(err, never) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline and the last answer", err)
	}
}

func TestStartWithoutAProgram(t *testing.T) {
	command := fake(t, "serve")
	command.Path = "/nonexistent/lockd"
	if _, err := Start(t.Context(), command); err == nil ||
		!strings.Contains(err.Error(), "/nonexistent/lockd") {
		t.Errorf("got %v, want an error that names the program", err)
	}
}

// TestLockdCommandLine starts a fake server as lockd and reads what it was told.
func TestLockdCommandLine(t *testing.T) {
	command := fake(t, "serve")
	dir := t.TempDir()
	// The fake listens at its last argument, which is no address: it fails, and
	// the error quotes what it was told.
	_, err := Lockd{Path: command.Path, Nodes: 1, Flags: []string{"--log-level", "no-address"}}.
		Start(t.Context(), dir)
	if err == nil {
		t.Fatal("a server that cannot listen: got no error")
	}
	for _, want := range []string{"lockd-1", "serve --cluster perf --id 1 --data " + dir,
		"--node 1=127.0.0.1:", "--admin-listen 127.0.0.1:", "--log-level no-address"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to contain %q", err, want)
		}
	}
}

func TestRedis(t *testing.T) {
	needs(t, Redis{})
	c, err := Redis{Replicas: 1, Sync: true}.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := redisInfo(t.Context(), c.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"aof_enabled:1", "connected_slaves:1"} {
		if !strings.Contains(text, want) {
			t.Errorf("got no %q in the state of the first process", want)
		}
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
}

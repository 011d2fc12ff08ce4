package faulttest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lockd/netio/wire"
)

// attack is one way to harm a node by what clients send and do not read.
type attack struct {
	name  string
	conns int
	// act is what one conn does until ctx ends. It may return early: a node
	// that closes it has defended itself.
	act func(ctx context.Context, a *attacker)
	// want is a status that the node must have answered at least once.
	want wire.Status
}

// attacks lists them.
func attacks() []attack {
	return []attack{
		{name: "conns that say nothing", conns: 3000, act: sayNothing},
		{name: "conns and hellos without end", conns: 50, act: comeAndGo},
		{name: "idle conns", conns: 10_000, act: idle},
		{name: "frames begun and not ended", conns: 1000, act: beginFrame},
		{name: "frames a byte at a time", conns: 500, act: dribble},
		{name: "status never read", conns: 50, act: neverRead(statusFrame)},
		{name: "lists never read", conns: 50, act: neverRead(listFrame)},
		{name: "tries never read", conns: 50, act: neverRead(tryFrame)},
		{name: "tries without end", conns: 50, act: readAll(tryFrame)},
		{name: "frames of 64 KiB", conns: 20, act: readSlowly(largestFrame)},
		{name: "keepalives of strangers", conns: 20, act: readSlowly(strangersFrame)},
		{name: "sessions without end", conns: 8, act: openWithoutEnd,
			want: wire.StatusTooManySessions},
		{name: "locks with the longest names", conns: 8, act: holdAndWait(holdLong),
			want: wire.StatusTooManyHolds},
		{name: "waiters without end", conns: 8, act: holdAndWait(waitHot),
			want: wire.StatusTooManyWaiters},
	}
}

// statusCount counts the answers of nodes by status.
type statusCount struct {
	mu struct {
		sync.Mutex
		count map[wire.Status]int
	}
}

func (s *statusCount) add(x wire.Status, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.count == nil {
		s.mu.count = make(map[wire.Status]int)
	}
	s.mu.count[x] += n
}

func (s *statusCount) of(x wire.Status) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.count[x]
}

// each calls fn for every status that was answered, in order.
func (s *statusCount) each(fn func(x wire.Status, n int)) {
	for x := wire.Status(0); x < 255; x++ {
		if n := s.of(x); n > 0 {
			fn(x, n)
		}
	}
}

func (s *statusCount) String() string {
	var all []string
	s.each(func(x wire.Status, n int) { all = append(all, fmt.Sprintf("%d × %s", n, x)) })
	return strings.Join(all, ", ")
}

// attackersEnv makes the test binary attackers: addresses and the name of the
// attack. They have a process of their own: ten thousand of their goroutines
// that become ready together would else keep the polite client waiting in its
// own process, which is nothing that a node does.
const attackersEnv = "FAULTTEST_ATTACKERS"

// runAttackers attacks until its input ends, then prints what it was answered.
func runAttackers(in io.Reader, out io.Writer) int {
	addresses, name, _ := strings.Cut(os.Getenv(attackersEnv), " ")
	all := attacks()
	i := slices.IndexFunc(all, func(a attack) bool { return a.name == name })
	if i < 0 {
		fmt.Fprintf(out, "no attack is called %q\n", name)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	nodes := strings.Split(addresses, ",")
	seen := &statusCount{}
	var running sync.WaitGroup
	for number := range all[i].conns {
		running.Go(func() { act(ctx, nodes[number%len(nodes)], number, all[i], seen) })
	}
	_, _ = io.Copy(io.Discard, in)
	cancel()
	running.Wait()
	seen.each(func(x wire.Status, n int) { fmt.Fprintln(out, uint8(x), n) })
	return 0
}

// startAttackers starts such a process. What it returns ends it and tells what it
// was answered.
//
//lint:ignore U1000 tests with the fault tag use it
func startAttackers(t *testing.T, c *Cluster, a attack) (end func() *statusCount) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), attackersEnv+"="+strings.Join(c.Addresses(), ",")+" "+a.name)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() *statusCount {
		t.Helper()
		_ = in.Close()
		seen := &statusCount{}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var x, n int
			if !scans(lines.Text(), &x, &n) {
				t.Fatalf("%s: the attackers said %q", a.name, lines.Text())
			}
			seen.add(wire.Status(x), n)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%s: the attackers ended: %v", a.name, err)
		}
		return seen
	}
}

// attacker is one conn of an attack.
type attacker struct {
	net.Conn
	number  int
	leaders []uint16
	node    uint16
	seen    *statusCount
	request uint64
}

package netio

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/netio/wire"
)

// childEnv names the variable that makes the test binary run as a server with
// few descriptors: its parent's limit cannot be lowered and raised again
// without disturbing other tests.
const childEnv = "NETIO_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childEnv); mode != "" {
		os.Exit(child(mode))
	}
	os.Exit(m.Run())
}

// child serves with a limit of 128 open files, prints its address, and runs
// until its input ends or its event loops do.
func child(mode string) int {
	lim := syscall.Rlimit{Cur: 128, Max: 128}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		fmt.Println(err)
		return 1
	}
	e := &echo{served: make(chan struct{}), closed: make(chan ConnID, 1<<16)}
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, e)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	e.server = s
	close(e.served)
	fmt.Println(s.Addr(), s.opts.MaxConns)
	if mode == "exhaust" {
		for {
			if _, err := os.Open(os.DevNull); err != nil {
				break
			}
		}
		fmt.Println("exhausted")
	}
	input := make(chan struct{})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		close(input)
	}()
	select {
	case <-s.Done():
		fmt.Println("ended:", s.Err())
		return 3
	case <-input:
		stats := s.Stats()
		fmt.Println("refused:", stats.OverLimit > 0, "open within bound:", stats.Open <= 64)
		return 0
	}
}

type childProcess struct {
	lines *bufio.Scanner
	stop  func() error // ends the input and waits
	addr  string
	conns string
}

func startChild(t *testing.T, mode string) *childProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+mode)
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
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	p := &childProcess{lines: bufio.NewScanner(out), stop: in.Close}
	p.addr, p.conns, _ = strings.Cut(p.line(t), " ")
	return p
}

func (p *childProcess) line(t *testing.T) string {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("child printed nothing more: %v", p.lines.Err())
	}
	return p.lines.Text()
}

// A flood of more conns than the process may have descriptors is refused above
// the bound; who is in is served all the while, and newcomers are once there is
// room again.
func TestConnFlood_FR1(t *testing.T) {
	p := startChild(t, "flood")
	if p.conns != "64" {
		t.Fatalf("bound of conns with 128 open files: got %s, want 64", p.conns)
	}
	addr, err := net.ResolveTCPAddr("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	guest := greeted(t, addr)
	var flood []net.Conn
	for range 600 {
		c, err := net.DialTimeout("tcp", p.addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(hello()); err != nil {
			t.Fatal(err)
		}
		flood = append(flood, c)
		if len(flood)%50 == 0 {
			guest.send(statusRequest(uint64(len(flood))))
			if h, _ := guest.frame(); h.Request != uint64(len(flood)) {
				t.Fatalf("guest amid %d conns: got request %d", len(flood), h.Request)
			}
		}
	}
	for _, c := range flood { // until each has its answer, or has given way before
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, _ = c.Read(make([]byte, 1))
	}
	if r := connect(t, addr).refused(); r.Code != wire.RefusedConns {
		t.Errorf("conn above the bound: got %v, want %v", r.Code, wire.RefusedConns)
	}
	for _, c := range flood {
		_ = c.Close()
	}
	await(t, func() bool {
		c := connect(t, addr)
		c.send(hello())
		h, _, err := c.tryFrame()
		return err == nil && h.Kind == wire.KindWelcome
	})
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	if got, want := p.line(t), "refused: true open within bound: true"; got != want {
		t.Errorf("child: got %q, want %q", got, want)
	}
}

// Without descriptors gnet ends its engine and returns nil; the server must say
// so, with the reason.
func TestEngineEndSurfaces_FR1(t *testing.T) {
	p := startChild(t, "exhaust")
	if got := p.line(t); got != "exhausted" {
		t.Fatalf("child: got %q, want exhausted", got)
	}
	// The engine may end before it has taken this conn, which is then reset.
	if c, err := net.DialTimeout("tcp", p.addr, patience); err == nil {
		defer func() { _ = c.Close() }()
	}
	if got := p.line(t); !strings.HasPrefix(got, "ended: netio: event loops ended") ||
		!strings.Contains(got, "too many open files") {
		t.Errorf("child: got %q, want the end of the event loops and why", got)
	}
}

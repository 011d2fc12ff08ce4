package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"lockd/client/locktest"
)

// nodes returns the addresses of a cluster. That of the examples runs in this process,
// from the first that asks for it to the end.
var nodes = sync.OnceValue(func() []string {
	return locktest.New(exampleTest{}, locktest.Options{}).Addrs()
})

// exampleTest is a test as far as an example has one.
type exampleTest struct{ testing.TB }

func (exampleTest) Helper()                           {}
func (exampleTest) Cleanup(func())                    {}
func (exampleTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// process stands for the process of a client, whose conns it makes.
type process struct {
	mu struct {
		sync.Mutex
		conns  []net.Conn
		killed bool
	}
}

func (p *process) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	sock, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.killed {
		return nil, errors.Join(errors.New("the process was killed"), sock.Close())
	}
	p.mu.conns = append(p.mu.conns, sock)
	return sock, nil
}

// kill ends the conns, as the system does when a process is killed, and lets no others be
// made.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.killed = true
	for _, sock := range p.mu.conns {
		sock.Close()
	}
}

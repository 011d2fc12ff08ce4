package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
)

// The ports that are claimed, and how many make a block: enough for seven nodes
// with a proxy between any two and before each.
const (
	firstPort  = 10_000
	blocks     = 200
	blockPorts = 100
)

// ErrNone means that every block is claimed or full.
var ErrNone = errors.New("ports: no free ports of loopback are left")

// Claim is some ports that belong to whoever made it, until Close. Any goroutine
// may use it. The zero Claim has no ports yet.
type Claim struct {
	mu struct {
		sync.Mutex
		held []net.Listener // at the first port of each claimed block
		next int            // the next port to give out, of the newest block
		end  int            // the end of that block
	}
}

// Address gives out a port, as host:port.
func (c *Claim) Address() (string, error) {
	port, err := c.Row(1)
	return address(port), err
}

// Addresses gives out some ports, each as host:port.
func (c *Claim) Addresses(count int) ([]string, error) {
	var all []string
	for range count {
		one, err := c.Address()
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Row gives out ports that follow one another and returns the first. Requires:
// fewer than a block has.
func (c *Claim) Row(count int) (first int, err error) {
	if count < 1 || count >= blockPorts {
		panic(fmt.Sprintf("ports: a row of %d, blocks have %d", count, blockPorts))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for range blocks {
		for first = c.mu.next; first+count <= c.mu.end; first++ {
			c.mu.next = first + 1
			if free(first, count) {
				c.mu.next = first + count
				return first, nil
			}
		}
		if err := c.grow(); err != nil {
			return 0, err
		}
	}
	return 0, ErrNone
}

// grow claims another block. Requires: c.mu is locked.
func (c *Claim) grow() error {
	start := rand.IntN(blocks)
	for i := range blocks {
		first := firstPort + (start+i)%blocks*blockPorts
		ln, err := net.Listen("tcp", address(first))
		if err != nil {
			continue // somebody has it
		}
		c.mu.held = append(c.mu.held, ln)
		c.mu.next, c.mu.end = first+1, first+blockPorts
		return nil
	}
	return ErrNone
}

// Close gives everything back. Requires: nobody listens there any more, and
// nobody will.
func (c *Claim) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var problems []error
	for _, ln := range c.mu.held {
		problems = append(problems, ln.Close())
	}
	c.mu.held, c.mu.next, c.mu.end = nil, 0, 0
	return errors.Join(problems...)
}

// free reports whether nobody listens at any of some ports. No process is started
// meanwhile: until it executes its program it has copies of this one's listeners,
// and a port would stay in use after it was found free.
func free(first, count int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for port := first; port < first+count; port++ {
		ln, err := net.Listen("tcp", address(port))
		if err != nil || ln.Close() != nil {
			return false
		}
	}
	return true
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

//go:build fault

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockd/client"
	"lockd/netio/wire"
)

// attackTime is how long each attack goes on.
const attackTime = 4 * time.Second

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

// attacker is one conn of an attack.
type attacker struct {
	net.Conn
	number  int
	leaders []uint16
	node    uint16
	seen    *statusCount
	request uint64
}

// statusCount counts the answers of a node by status.
type statusCount struct {
	mu struct {
		sync.Mutex
		count map[wire.Status]int
	}
}

func (s *statusCount) add(x wire.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.count == nil {
		s.mu.count = make(map[wire.Status]int)
	}
	s.mu.count[x]++
}

func (s *statusCount) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for x := wire.Status(0); x < 255; x++ {
		if n := s.mu.count[x]; n > 0 {
			all = append(all, fmt.Sprintf("%d × %s", n, x))
		}
	}
	return strings.Join(all, ", ")
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

// TestFN5Attacks throws each attack at every node of a cluster and measures what
// somebody well-behaved notices: next to nothing, beyond what the same computing
// elsewhere would cost. Memory stays within what the node declares, and what the
// attackers are told is definite (I22, I26, I33; F-N5, F-R1, F-W1).
func TestFN5Attacks(t *testing.T) {
	raiseFileLimit(t, 15_000)
	c := newCluster(t, 3, "--limit-sessions", "5000", "--limit-locks", "2000",
		"--limit-waiters-per-lock", "1000", "--limit-claims", "40000", "--limit-detached", "1000",
		"--limit-claims-per-session", "30000", "--outbound", "1MiB")
	good := dial(t, c, client.Options{Name: "good", RequestTimeout: 30 * time.Second})
	held, err := good.Lock(within(t, 10*time.Second), "held")
	if err != nil {
		t.Fatal(err)
	}
	declared := uint64(metric(t, c.Nodes[0], "lockd_memory_bound_bytes", ""))
	t.Logf("a node declares %d MiB", declared>>20)
	t.Log("| attack | conns | others | most memory of a node | answers |")
	t.Log(underAttack(t, c, good, attack{name: "none", act: sayNothing}).row)
	control := beside(t, func() outcome {
		return underAttack(t, c, good, attack{name: "control: endless loops", act: sayNothing})
	})
	t.Log(control.row)
	for _, a := range attacks() {
		got := underAttack(t, c, good, a)
		t.Log(got.row)
		got.judge(t, &a, &control, declared)
		undisturbed(t, c, good, held)
	}
}

// Bounds of what a polite client may notice of an attack, on a machine that has
// nothing else to do. Attackers, nodes and the polite client share the cores here,
// and other programs may too: a pair of eight hand-overs between processes then
// takes some times what it takes beside endless loops, which never wait for each
// other. So the bound is at least a few times what those cost.
const (
	longestUsual = 100 * time.Millisecond // of 99 in a hundred pairs
	longestEver  = 500 * time.Millisecond

	usualTimes, everTimes = 1, 1
)

// beside runs fn while as many loops compute as nodes and attackers would.
func beside(t *testing.T, fn func() outcome) outcome {
	t.Helper()
	for range 4 * runtime.NumCPU() {
		b := exec.Command("sh", "-c", "while :; do :; done")
		b.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = b.Process.Kill() // it may have been killed already
			_ = b.Wait()
		}()
	}
	return fn()
}

// outcome is what one attack did.
type outcome struct {
	row            string
	usual, longest time.Duration
	resident       uint64
}

// judge compares an attack with the control and the node's own bounds.
func (o *outcome) judge(t *testing.T, a *attack, control *outcome, declared uint64) {
	t.Helper()
	if most := max(longestUsual, usualTimes*control.usual); o.usual > most {
		t.Errorf("%s: one pair of others in a hundred took %v, want at most %v", a.name, o.usual, most)
	}
	if most := max(longestEver, everTimes*control.longest); o.longest > most {
		t.Errorf("%s: a pair of others took %v, want at most %v", a.name, o.longest, most)
	}
	if o.resident > declared {
		t.Errorf("%s: a node took %d MiB, it declares %d", a.name, o.resident>>20, declared>>20)
	}
}

// underAttack runs one attack and returns a row of the table with its figures.
func underAttack(t *testing.T, c *Cluster, good *client.Client, a attack) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), attackTime)
	defer cancel()
	var running sync.WaitGroup
	seen := &statusCount{}
	for i := range a.conns {
		running.Add(1)
		go func() {
			defer running.Done()
			act(ctx, c.Nodes[i%len(c.Nodes)].Client, i, a, seen)
		}()
	}
	var resident uint64
	pairs, refused, failed := 0, 0, []error(nil)
	var longest time.Duration
	var took []time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		h, err := good.Lock(within(t, 30*time.Second), fmt.Sprintf("good/%d", pairs))
		if err == nil {
			err = h.Unlock(within(t, 30*time.Second))
		}
		switch {
		case errors.Is(err, client.ErrBusy):
			refused++ // by a bound that the attackers have used up
		case err != nil:
			failed = append(failed, err)
		}
		took = append(took, time.Since(began))
		longest = max(longest, time.Since(began))
		pairs++
		resident = max(resident, mostMemory(t, c))
	}
	cancel()
	running.Wait()
	if len(failed) > 0 {
		t.Errorf("%s: %d of %d pairs of others failed, the first: %v", a.name, len(failed), pairs,
			failed[0])
	}
	if a.want != 0 && seen.mu.count[a.want] == 0 {
		t.Errorf("%s: got %s, want some %s", a.name, seen, a.want)
	}
	usual := quantile(took, 99)
	const row = "| %s | %d | %d pairs, %d refused, p50 %v, p99 %v, max %v | %d MiB | %s |"
	return outcome{usual: usual, longest: longest, resident: resident,
		row: fmt.Sprintf(row, a.name, a.conns, pairs, refused, quantile(took, 50), usual,
			longest.Round(time.Millisecond), resident>>20, seen)}
}

//go:build fault

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
)

// attackTime is how long each attack goes on.
const attackTime = 4 * time.Second

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
	t.Log(underAttack(t, c, good, attack{name: "none"}).row)
	control := burn(t, c, good)
	for _, a := range attacks() {
		var slow []string
		for try := range attackTries {
			if try > 0 {
				control = burn(t, c, good)
			}
			got := underAttack(t, c, good, a)
			t.Log(got.row)
			if got.resident > declared {
				t.Errorf("%s: a node took %d MiB, it declares %d", a.name, got.resident>>20, declared>>20)
			}
			if slow = got.compare(&control); len(slow) == 0 {
				break
			}
		}
		for _, complaint := range slow {
			t.Errorf("%s: %s", a.name, complaint)
		}
		undisturbed(t, c, good, held)
	}
}

// Bounds of what a polite client may notice of an attack. Attackers, nodes and
// the polite client share the cores, and other programs may want them too: so no
// attack is held to less than what endless loops cost at that time, and one that
// seems to cost too much is tried again. A busy machine makes a defence look
// worse than it is, never better.
const (
	longestUsual = 100 * time.Millisecond // of 99 in a hundred pairs
	longestEver  = 500 * time.Millisecond
	attackTries  = 3
)

// burn measures what somebody notices of endless loops.
func burn(t *testing.T, c *Cluster, good *client.Client) outcome {
	t.Helper()
	control := beside(t, func() outcome {
		return underAttack(t, c, good, attack{name: "control: endless loops"})
	})
	t.Log(control.row)
	return control
}

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

// compare says where an attack was noticed more than it may be.
func (o *outcome) compare(control *outcome) (slow []string) {
	if most := max(longestUsual, control.usual); o.usual > most {
		slow = append(slow, fmt.Sprintf("one pair of others in a hundred took %v, want at most %v",
			o.usual, most))
	}
	if most := max(longestEver, control.longest); o.longest > most {
		slow = append(slow, fmt.Sprintf("a pair of others took %v, want at most %v", o.longest, most))
	}
	return slow
}

// underAttack runs one attack and returns a row of the table with its figures.
func underAttack(t *testing.T, c *Cluster, good *client.Client, a attack) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), attackTime)
	defer cancel()
	end := func() *statusCount { return &statusCount{} }
	if a.conns > 0 {
		end = startAttackers(t, c, a)
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
	seen := end()
	if len(failed) > 0 {
		t.Errorf("%s: %d of %d pairs of others failed, the first: %v", a.name, len(failed), pairs,
			failed[0])
	}
	if a.want != 0 && seen.of(a.want) == 0 {
		t.Errorf("%s: got %s, want some %s", a.name, seen, a.want)
	}
	usual := quantile(took, 99)
	const row = "| %s | %d | %d pairs, %d refused, p50 %v, p99 %v, max %v | %d MiB | %s |"
	return outcome{usual: usual, longest: longest, resident: resident,
		row: fmt.Sprintf(row, a.name, a.conns, pairs, refused, quantile(took, 50), usual,
			longest.Round(time.Millisecond), resident>>20, seen)}
}

// mostMemory returns the memory of the largest node.
func mostMemory(t *testing.T, c *Cluster) uint64 {
	t.Helper()
	var most uint64
	for _, n := range c.Nodes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.PID()))
		fields := strings.Fields(string(text))
		if err != nil || len(fields) < 2 {
			t.Fatalf("memory of node %d: %v", n.ID, err)
		}
		pages, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, pages*uint64(os.Getpagesize()))
	}
	return most
}

// quantile returns the value below which so many in a hundred lie.
func quantile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)*percent/100].Round(100 * time.Microsecond)
}

// raiseFileLimit lets this process and those it starts have many open files.
func raiseFileLimit(t *testing.T, files uint64) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if before.Cur >= files {
		return
	}
	after := syscall.Rlimit{Cur: files, Max: max(files, before.Max)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &after); err != nil {
		t.Skipf("%d open files are needed, the limit is %d: %v; ulimit -n %d as root", files,
			before.Cur, err, files)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) })
}

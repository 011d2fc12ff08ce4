package ports

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// otherEnv makes the test binary the other process of a test: it claims so many
// times, prints what it was given and keeps it until its input ends.
const otherEnv = "PORTS_TEST_OTHER"

func TestMain(m *testing.M) {
	if count := os.Getenv(otherEnv); count != "" {
		os.Exit(other(count))
	}
	os.Exit(m.Run())
}

func other(count string) int {
	n, err := strconv.Atoi(count)
	for range n {
		c := new(Claim)
		var all []string
		if all, err = c.Addresses(perClaim); err != nil {
			break
		}
		fmt.Println(strings.Join(all, " "))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("done")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// perClaim is what a cluster of three nodes with proxies asks for.
const perClaim = 15

// TestNobodySharesPorts has several goroutines of several processes ask at the
// same time. Nobody listens anywhere meanwhile, as while nodes are down.
//
// It fails when ports are found free and then let go of.
func TestNobodySharesPorts(t *testing.T) {
	const each, processes, goroutines = 5, 3, 4
	var mu sync.Mutex
	owners := map[string]string{}
	own := func(owner string, addresses []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range addresses {
			if had := owners[a]; had != "" {
				t.Errorf("%s was given to %s and to %s", a, had, owner)
			}
			owners[a] = owner
		}
	}
	var running sync.WaitGroup
	for p := range processes {
		out := startOther(t, each)
		running.Go(func() {
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "done"; {
				own(fmt.Sprint("process ", p), strings.Fields(lines.Text()))
			}
		})
	}
	for g := range goroutines {
		running.Go(func() {
			for range each {
				c := new(Claim)
				t.Cleanup(func() { _ = c.Close() })
				all, err := c.Addresses(perClaim)
				if err != nil {
					t.Error(err)
				}
				own(fmt.Sprint("goroutine ", g), all)
			}
		})
	}
	running.Wait()
	if got, want := len(owners), (processes+goroutines)*each*perClaim; got != want {
		t.Errorf("got %d different ports, want %d", got, want)
	}
}

// startOther starts another process that claims and returns what it prints.
func startOther(t *testing.T, count int) io.Reader {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), otherEnv+"="+strconv.Itoa(count))
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	})
	return out
}

// TestStrangersArePassedOver: a port that somebody listens at is not given out,
// and neither is a row that has it in it.
func TestStrangersArePassedOver(t *testing.T) {
	c := new(Claim)
	t.Cleanup(func() { _ = c.Close() })
	first, err := c.Row(1)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := net.Listen("tcp", address(first+3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Close() })
	got, err := c.Row(5)
	if err != nil || got <= first+3 && got+5 > first+3 {
		t.Errorf("got %d to %d, %v, want none of them to be %d", got, got+4, err, first+3)
	}
}

// TestForksKeepNoPort starts processes while ports are given out. A process that
// is being started has its parent's listeners until it executes its program.
//
// It fails when a process can start while a port is tried.
func TestForksKeepNoPort(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	enough := make(chan struct{})
	var starting sync.WaitGroup
	t.Cleanup(starting.Wait)
	t.Cleanup(func() { close(enough) })
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
				}
				if err := exec.Command(path, "-test.run", "^$").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		c := new(Claim)
		all, err := c.Addresses(blockPorts - 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			ln, err := net.Listen("tcp", a)
			if err != nil {
				t.Fatalf("a port was given out and is in use: %v", err)
			}
			if err := ln.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestClaimGrows asks one claim for more than a block has.
func TestClaimGrows(t *testing.T) {
	c := new(Claim)
	t.Cleanup(func() { _ = c.Close() })
	all, err := c.Addresses(2 * blockPorts)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	if got := len(slices.Compact(all)); got != 2*blockPorts {
		t.Errorf("got %d different ports, want %d", got, 2*blockPorts)
	}
}

// TestClaimIsGivenBack makes more claims than there are blocks.
func TestClaimIsGivenBack(t *testing.T) {
	for range 2 * blocks {
		c := new(Claim)
		if _, err := c.Address(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

package main

import (
	"runtime"
	"testing"
	"time"

	"lockd/lockd/config"
	"lockd/netio"
)

// TestAddProcessors adds processors until they are given back, also those of
// two, and leaves alone what the operator has set.
func TestAddProcessors(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	before := runtime.GOMAXPROCS(0)
	want := func(when string, n int) {
		t.Helper()
		if got := runtime.GOMAXPROCS(0); got != before+n {
			t.Errorf("%s: %d processors, want %d", when, got, before+n)
		}
	}
	first, second := addProcessors(3), addProcessors(4)
	want("two added", 7)
	first()
	want("one given back", 4)
	second()
	want("all given back", 0)
	t.Setenv("GOMAXPROCS", "2")
	restore := addProcessors(3)
	want("GOMAXPROCS is set", 0)
	restore()
	want("GOMAXPROCS was set", 0)
}

// TestBoundOfMemoryStands adds processors: what a node that runs may take is what it
// was when its event loops were counted.
func TestBoundOfMemoryStands(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	server, err := netio.Listen(netio.ServerOptions{Addr: "127.0.0.1:0"}, clientHandler{})
	if err != nil {
		t.Fatal(err)
	}
	a := &assembly{cfg: config.Defaults(), server: server}
	t.Cleanup(func() { _ = a.stopServer(time.Second) })
	want := a.cfg.Memory().Sum()
	defer addProcessors(30)()
	cfg := a.inForce()
	if got := cfg.Memory().Sum(); got != want {
		t.Errorf("got a bound of %d bytes, want %d as before", got, want)
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/node"
	"lockd/wal/disk"
)

// quietDir is a directory of files that are synced at once.
type quietDir struct{ disk.Dir }

func (quietDir) Create(string, int64) (disk.File, error) { return quietFile{}, nil }

type quietFile struct{ disk.File }

func (quietFile) Sync() error { return nil }

// linkless are faults of a node without any links.
func linkless() *faults {
	f := newFaults([]byte("secret"), newLogger(new(bytes.Buffer), "error", "text"))
	f.send, f.reset = func(uint16, []byte) {}, func(uint16) {}
	return f
}

// startFaults starts the faults of a node without any links.
func startFaults(t *testing.T) *faults {
	t.Helper()
	f := linkless()
	f.start()
	t.Cleanup(func() { _ = f.end() })
	return f
}

// TestNoFaultsCostNothing: a node that may not do any does as it would without them.
func TestNoFaultsCostNothing(t *testing.T) {
	var f *faults
	if f.takes(2, nil) || f.loses(2) || f.options() != nil {
		t.Error("a node without faults does one")
	}
	if got := f.disk(quietDir{}); got != disk.Dir(quietDir{}) {
		t.Error("the disk of a node without faults is wrapped")
	}
}

// TestFaultCuts: what is cut is lost in the ways that the kind says, to the peer it
// says, and only for its time.
func TestFaultCuts(t *testing.T) {
	for _, row := range []struct {
		kind    string
		peer    uint16
		out, in string // the peers that are cut off
	}{
		{admin.FaultCut, 0, "23", "23"}, {admin.FaultCut, 3, "3", "3"},
		{admin.FaultCutOut, 0, "23", ""}, {admin.FaultCutIn, 2, "", "2"}, {admin.FaultDisk, 0, "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := startFaults(t)
			x := admin.Fault{Kind: row.kind, Peer: row.peer, For: time.Second}
			if err := f.Begin(x); err != nil {
				t.Fatal(err)
			}
			if err := f.Begin(x); !errors.Is(err, admin.ErrFaultActive) {
				t.Errorf("a second fault: got %v, want %v", err, admin.ErrFaultActive)
			}
			cut := func() (out, in string) {
				for peer := range uint16(4) {
					if peer >= 2 && f.takes(peer, nil) {
						out += fmt.Sprint(peer)
					}
					if peer >= 2 && f.loses(peer) {
						in += fmt.Sprint(peer)
					}
				}
				return out, in
			}
			if out, in := cut(); out != row.out || in != row.in {
				t.Errorf("%v: got %q out, %q in, want %q, %q", x, out, in, row.out, row.in)
			}
			// Nobody heals it: it is over by itself.
			time.Sleep(time.Second + time.Millisecond)
			synctest.Wait()
			if out, in := cut(); out != "" || in != "" {
				t.Errorf("%v after its time: got %q out, %q in, want none", x, out, in)
			}
			if got, _ := f.Active(); got.Kind != "" {
				t.Errorf("after its time: got %v, want none", got)
			}
		})
	}
}

// TestFaultSlow: frames are late by the delay, in their order, also those that come
// when nothing is slow any more and some are late still.
func TestFaultSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := linkless()
		began := time.Now()
		var sent []string
		f.send = func(to uint16, frame []byte) {
			sent = append(sent, fmt.Sprintf("%s at %v", frame, time.Since(began)))
		}
		f.start()
		x := admin.Fault{Kind: admin.FaultSlow, Peer: 2, For: time.Minute, Delay: 50 * time.Millisecond}
		if err := f.Begin(x); err != nil {
			t.Fatal(err)
		}
		if f.takes(3, []byte("other")) {
			t.Error("a frame to a peer that is not slow is late")
		}
		frame := []byte("a")
		f.takes(2, frame)
		frame[0] = 'x' // it is the caller's again
		if f.takes(3, []byte("other")) {
			t.Error("a frame is late behind those to another peer, which is slow")
		}
		time.Sleep(20 * time.Millisecond)
		f.takes(2, []byte("b"))
		time.Sleep(40 * time.Millisecond)
		f.Heal()
		late := f.takes(2, []byte("c"))
		synctest.Wait()
		if err := f.end(); err != nil {
			t.Fatal(err)
		}
		want := "[a at 50ms b at 60ms c at 60ms]"
		if got := fmt.Sprint(sent); got != want || !late {
			t.Errorf("got %s, late %v, want %s", got, late, want)
		}
		if f.takes(2, []byte("d")) {
			t.Error("a frame is late after all were sent")
		}
	})
}

// TestFaultStands: a sync of a stalled disk and a turn of a paused node wait until the
// fault is healed, and others do not.
func TestFaultStands(t *testing.T) {
	for _, kind := range []string{admin.FaultDisk, admin.FaultPause} {
		synctest.Test(t, func(t *testing.T) {
			f := startFaults(t)
			file, err := f.disk(quietDir{}).Create("x", 4096)
			if err != nil {
				t.Fatal(err)
			}
			clock := f.clock(func() node.Nanos { return 7 })
			if err := f.Begin(admin.Fault{Kind: kind, For: time.Minute}); err != nil {
				t.Fatal(err)
			}
			ended := make(chan string, 2)
			go func() {
				if err := file.Sync(); err != nil {
					t.Error(err)
				}
				ended <- admin.FaultDisk
			}()
			go func() {
				clock()
				ended <- admin.FaultPause
			}()
			if got := <-ended; got == kind {
				t.Errorf("%s: it does not stand", kind)
			}
			synctest.Wait()
			if len(ended) > 0 {
				t.Errorf("%s: it does not stand", kind)
			}
			f.Heal()
			if got := <-ended; got != kind {
				t.Errorf("%s: it does not go on", kind)
			}
		})
	}
}

// TestFaultCrash kills the process, after the answer has had time to leave.
func TestFaultCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := linkless()
		began, crashed := time.Now(), make(chan time.Duration, 1)
		f.crash = func() { crashed <- time.Since(began) }
		f.start()
		defer f.end()
		if err := f.Begin(admin.Fault{Kind: admin.FaultCrash, For: time.Second}); err != nil {
			t.Fatal(err)
		}
		if got := <-crashed; got != crashAfter {
			t.Errorf("got a crash after %v, want %v", got, crashAfter)
		}
	})
}

// TestFaultIsLogged: who reads the log of a node sees what it does to itself.
func TestFaultIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		f := linkless()
		f.log = newLogger(&out, "warn", "text")
		f.start()
		if err := f.Begin(admin.Fault{Kind: admin.FaultCut, For: time.Second}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := f.end(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"a fault begins", "fault=cut", "a fault is over"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("got %s, want %q", &out, want)
			}
		}
	})
}

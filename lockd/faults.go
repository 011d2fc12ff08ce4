package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/node"
	"lockd/wal/disk"
)

// faults are what a node does to itself when lockd verify asks for it, one at a
// time. A nil *faults does none, and costs a comparison. It is safe for concurrent
// use. Each fault is over after its time, whoever asked for it may be gone.
type faults struct {
	secret []byte
	log    *slog.Logger
	// crash ends the process at once, as kill -9 does.
	crash func()
	// send and reset are those of the links, set before the loop starts, which alone
	// calls them.
	send  func(to uint16, frame []byte)
	reset func(peer uint16)
	// active is the present fault, nil if there is none; Begin and the loop write it.
	active atomic.Pointer[fault]
	// late counts frames that are not sent yet; it changes under mu.
	late atomic.Int64
	wake chan struct{} // capacity 1: there is something for the loop
	stop chan struct{} // closed by end
	done chan struct{} // closed by the loop

	mu struct {
		sync.Mutex
		queue []lateFrame
		bytes int // of queue
		// lateTo has those of late by their peer; it falls after the loop has sent one, so
		// that none passes another to the same peer.
		lateTo map[uint16]int
	}
}

// fault is one fault while it lasts.
type fault struct {
	admin.Fault
	until  time.Time
	healed atomic.Bool   // it is over; Heal writes it
	gate   chan struct{} // closed when it is over
}

// lateFrame is a frame for a peer that is sent later.
type lateFrame struct {
	to    uint16
	due   time.Time
	frame []byte
}

// maxLateBytes bounds the frames that are late; more are lost, as on a link that is
// full.
const maxLateBytes = 64 << 20

func newFaults(secret []byte, log *slog.Logger) *faults {
	f := &faults{
		secret: secret,
		log:    log,
		crash:  func() { _ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL) },
		wake:   make(chan struct{}, 1),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	f.mu.lateTo = make(map[uint16]int)
	return f
}

// options are what the admin listener needs, nil if there are no faults.
func (f *faults) options() *admin.Faults {
	if f == nil {
		return nil
	}
	return &admin.Faults{Secret: f.secret, Begin: f.Begin, Heal: f.Heal, Active: f.Active}
}

// Begin begins a fault. The error matches admin.ErrFaultActive while another lasts.
func (f *faults) Begin(x admin.Fault) error {
	next := &fault{Fault: x, until: time.Now().Add(x.For), gate: make(chan struct{})}
	if !f.active.CompareAndSwap(nil, next) {
		return admin.ErrFaultActive
	}
	f.log.Warn("a fault begins, asked for at the admin listener", "fault", x.Kind, "for", x.For,
		"peer", x.Peer, "delay", x.Delay)
	f.nudge()
	return nil
}

// Heal ends the present fault, if there is one.
func (f *faults) Heal() {
	if x := f.active.Load(); x != nil {
		x.healed.Store(true)
	}
	f.nudge()
}

// Active returns the present fault and how long it lasts yet.
func (f *faults) Active() (admin.Fault, time.Duration) {
	x := f.active.Load()
	if x == nil {
		return admin.Fault{}, 0
	}
	return x.Fault, max(0, time.Until(x.until))
}

func (f *faults) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// end heals and stops the loop.
func (f *faults) end() error {
	close(f.stop)
	<-f.done
	return nil
}

// crashAfter leaves time for the answer to who asked for it.
const crashAfter = 20 * time.Millisecond

// step does what is due and returns after what time there is more.
func (f *faults) step(now time.Time) time.Duration {
	next := f.sendLate(now)
	x := f.active.Load()
	switch {
	case x == nil:
		return next
	case !x.healed.Load() && x.until.After(now):
		if x.Kind == admin.FaultCrash {
			time.Sleep(crashAfter)
			f.crash()
			x.healed.Store(true) // it lives: this was a test
			return 0
		}
		return min(next, x.until.Sub(now))
	}
	f.active.Store(nil)
	close(x.gate)
	switch x.Kind {
	case admin.FaultCut, admin.FaultCutIn, admin.FaultCutOut:
		// What was lost would have been sent again by a link that was silent.
		f.reset(x.Peer)
	}
	f.log.Warn("a fault is over", "fault", x.Kind)
	return next
}

// sendLate sends the frames that are due, all of them if nothing is slow any more, and
// returns after what time the next one is.
func (f *faults) sendLate(now time.Time) time.Duration {
	x := f.active.Load()
	slow := x != nil && x.Kind == admin.FaultSlow && !x.healed.Load()
	for {
		f.mu.Lock()
		if len(f.mu.queue) == 0 {
			f.mu.Unlock()
			return time.Hour
		}
		first := f.mu.queue[0]
		if wait := first.due.Sub(now); slow && wait > 0 {
			f.mu.Unlock()
			return wait
		}
		f.mu.queue[0].frame = nil
		f.mu.queue = f.mu.queue[1:]
		f.mu.bytes -= len(first.frame)
		f.mu.Unlock()
		f.send(first.to, first.frame)
		f.mu.Lock()
		f.mu.lateTo[first.to]--
		f.late.Add(-1)
		f.mu.Unlock()
	}
}

// cuts reports whether a cut between this node and a peer lasts.
func (x *fault) cuts(peer uint16, way string) bool {
	return (x.Kind == admin.FaultCut || x.Kind == way) && (x.Peer == 0 || x.Peer == peer) &&
		!x.healed.Load()
}

// takes reports whether a frame to a peer is not to be sent now: it is lost, or late.
func (f *faults) takes(to uint16, frame []byte) bool {
	if f == nil {
		return false
	}
	x := f.active.Load()
	if x != nil && x.cuts(to, admin.FaultCutOut) {
		return true
	}
	slow := x != nil && x.Kind == admin.FaultSlow && (x.Peer == 0 || x.Peer == to) && !x.healed.Load()
	if !slow && f.late.Load() == 0 {
		return false
	}
	late := lateFrame{to: to, due: time.Now(), frame: bytes.Clone(frame)}
	if slow {
		late.due = late.due.Add(x.Delay)
	}
	f.mu.Lock()
	if !slow && f.mu.lateTo[to] == 0 {
		f.mu.Unlock()
		return false
	}
	if f.mu.bytes+len(frame) <= maxLateBytes {
		f.mu.queue = append(f.mu.queue, late)
		f.mu.bytes += len(frame)
		f.mu.lateTo[to]++
		f.late.Add(1)
	}
	first := len(f.mu.queue) == 1
	f.mu.Unlock()
	if first {
		f.nudge()
	}
	return true
}

// loses reports whether a frame of a peer is lost.
func (f *faults) loses(from uint16) bool {
	if f == nil {
		return false
	}
	x := f.active.Load()
	return x != nil && x.cuts(from, admin.FaultCutIn)
}

// stand waits while a fault of a kind lasts.
func (f *faults) stand(kind string) {
	if x := f.active.Load(); x != nil && x.Kind == kind {
		<-x.gate
	}
}

// clock returns a clock on which a turn that begins stands still while the node is
// paused: it is read after, as by a process that was stopped and goes on.
func (f *faults) clock(of func() node.Nanos) func() node.Nanos {
	if f == nil {
		return of
	}
	return func() node.Nanos {
		f.stand(admin.FaultPause)
		return of()
	}
}

// disk returns a directory whose syncs stand still while the disk is stalled.
func (f *faults) disk(of disk.Dir) disk.Dir {
	if f == nil {
		return of
	}
	return stallingDir{of, f}
}

type stallingDir struct {
	disk.Dir
	faults *faults
}

func (d stallingDir) Create(name string, sizeBytes int64) (disk.File, error) {
	file, err := d.Dir.Create(name, sizeBytes)
	return stallingFile{file, d.faults}.orNil(), err
}

func (d stallingDir) Open(name string) (disk.File, error) {
	file, err := d.Dir.Open(name)
	return stallingFile{file, d.faults}.orNil(), err
}

type stallingFile struct {
	disk.File
	faults *faults
}

// orNil is nothing where there is no file.
func (s stallingFile) orNil() disk.File {
	if s.File == nil {
		return nil
	}
	return s
}

// Sync makes it a disk.File.
func (s stallingFile) Sync() error {
	s.faults.stand(admin.FaultDisk)
	return s.File.Sync()
}

// faultText says what a fault is, for people.
func faultText(x admin.Fault) string {
	return map[string]string{
		admin.FaultCut:    "links to peers are cut",
		admin.FaultCutIn:  "nothing of peers is heard",
		admin.FaultCutOut: "peers hear nothing",
		admin.FaultSlow:   fmt.Sprintf("what is sent to peers is late by %s", spanText(x.Delay)),
		admin.FaultDisk:   "syncs of the log stand still",
		admin.FaultPause:  "no turn runs",
		admin.FaultCrash:  "ended as by kill -9",
	}[x.Kind]
}

package sim

import (
	"iter"

	"lockd/wal"
	"lockd/wal/disk"
	"lockd/wal/disk/simdisk"
)

// flush is what the log is writing. It stands still before operations of the disk
// while the world goes on, so that the power may go, the process die, and the node
// append and release between any two of them. It is a coroutine that nobody but the
// log resumes, so that a seed repeats a run.
type flush struct {
	// planned lasts from when a flush is asked for until it has ended; work is what
	// it does, and err how that ended.
	planned bool
	work    func() (wal.LSN, error)
	err     error
	// next goes on to the next stop and says how long that takes, and stop has all
	// further operations fail; both are nil before the flush begins. yield is what
	// it stops by.
	next  func() (Time, bool)
	stop  func()
	yield func(Time) bool
	// inside says that the flush runs now, and not the world.
	inside bool
	stuck  bool // it waits for the disk to move again
	// stops says that it is to stop on its way; dying has it stop before each
	// operation, over has each fail.
	stops       bool
	dying, over bool
}

// newLog returns the log of a life that begins.
func newLog(p *process) *nodeLog {
	l := &nodeLog{p: p, marks: make(map[uint16]wal.LSN), saved: make(map[uint16][]savedAt)}
	l.rounds = wal.NewRounds(l)
	return l
}

// opened has the log go on with a writer.
func (l *nodeLog) opened(w *wal.Writer) {
	l.writer, l.last, l.told = w, w.Durable(), w.Durable()
}

// begin plans a flush. Most take their time before they begin and are then done at
// once, which costs the least; some stop on their way.
func (l *nodeLog) begin(work func() (wal.LSN, error)) {
	f, d, wait := &l.flush, l.p.w.dice.disk, Time(0)
	f.planned, f.work = true, work
	if f.stops = d.permille(150); !f.stops {
		wait = l.syncTime()
	} else if d.permille(250) {
		wait = d.around(l.p.w.opts.TurnDelay)
	}
	l.p.w.agenda.After(wait, l.goOn)
}

// syncTime draws how long a sync takes.
func (l *nodeLog) syncTime() Time {
	mean := l.p.w.opts.SyncTime
	return mean/2 + l.p.w.dice.disk.around(mean/2)
}

// goOn resumes the flush, unless the disk stands still.
func (l *nodeLog) goOn() {
	if !l.p.alive {
		return
	}
	f := &l.flush
	if f.stuck = f.next != nil && l.stalled(); f.stuck {
		return
	}
	took, more := l.step()
	l.synced()
	if more {
		l.p.w.agenda.After(took, l.goOn)
		return
	}
	f.planned, f.next, f.stop = false, nil, nil
	l.ended(f.err)
}

// unstick resumes a flush that a stalled disk kept waiting.
func (l *nodeLog) unstick() {
	if l.flush.stuck && l.p.alive {
		l.goOn()
	}
}

// stalled reports whether the disk stands still.
func (l *nodeLog) stalled() bool { return l.p.site.stalledUntil > l.p.w.agenda.Now() }

// step runs the flush to its next stop. It reports how long the operation takes
// that comes then, and false if the flush has ended.
func (l *nodeLog) step() (Time, bool) {
	f := &l.flush
	if f.next == nil && !f.stops && !l.stalled() {
		_, f.err = f.work()
		return 0, false
	}
	if f.next == nil {
		f.next, f.stop = iter.Pull(func(yield func(Time) bool) {
			f.yield = yield
			_, f.err = f.work()
		})
	}
	f.inside = true
	defer func() { f.inside = false }()
	return f.next()
}

// pause has the flush stand still before an operation. A sync takes a drawn time,
// anything else seldom takes any. It returns an error if the process has died.
func (l *nodeLog) pause(op operation) error {
	f, d, took := &l.flush, l.p.w.dice.disk, Time(0)
	switch {
	case f.over:
		return errDied
	case !f.inside:
		return nil
	case f.dying:
	case op == operationSync:
		took = l.syncTime()
	case d.permille(500):
		took = d.around(l.p.w.opts.SyncTime / 4)
	case !l.stalled():
		return nil
	}
	if !f.yield(took) {
		f.over = true
		return errDied
	}
	return nil
}

// death is how a process dies.
type death uint8

const (
	deathAlone   death = iota // its disk keeps what was written
	deathByPower              // what was not synced is lost in part
)

// die ends the log with its process. A flush that has begun may get further than
// anybody hears of, or be torn inside an operation if the power goes, and so may a
// spare that is being made.
func (l *nodeLog) die(of death) {
	f, d, power := &l.flush, l.p.w.dice.disk, of == deathByPower
	if f.next != nil {
		l.p.w.covered["died between two operations of a flush"]++
	}
	if f.planned && !l.p.dark && d.permille(600) {
		if power {
			l.p.site.plan(d.between(1, 8), simdisk.ErrCut)
		}
		f.stops, f.dying = true, true
		for n := d.between(1, 8); n > 0; n-- {
			if _, more := l.step(); !more {
				break
			}
		}
	}
	if power && l.preparing && !l.p.dark && l.writer.NeedsSpare() && d.permille(300) {
		l.p.site.plan(1, simdisk.ErrCut)
		_ = l.writer.Prepare() // nobody hears how it went
	}
	l.abandon()
}

// abandon has the flush end where it stands, and nothing be written any more.
func (l *nodeLog) abandon() {
	f := &l.flush
	f.over = true
	if f.stop != nil {
		f.stop()
	}
}

// operation is a kind of operation of a disk.
type operation uint8

const (
	operationSync operation = iota
	operationOther
)

// stepDir is the directory of a log, before whose operations a flush may stop.
type stepDir struct {
	disk.Dir
	log *nodeLog
}

// Create implements disk.Dir.
func (s stepDir) Create(name string, sizeBytes int64) (disk.File, error) {
	if err := s.log.pause(operationSync); err != nil {
		return nil, err
	}
	f, err := s.Dir.Create(name, sizeBytes)
	return s.file(f), err
}

// Open implements disk.Dir.
func (s stepDir) Open(name string) (disk.File, error) {
	if err := s.log.pause(operationOther); err != nil {
		return nil, err
	}
	f, err := s.Dir.Open(name)
	return s.file(f), err
}

// file has a flush stop before the operations of a file, nil if there is none.
func (s stepDir) file(f disk.File) disk.File {
	if f == nil {
		return nil
	}
	return stepFile{f, s.log}
}

// Rename implements disk.Dir.
func (s stepDir) Rename(from, to string) error {
	if err := s.log.pause(operationOther); err != nil {
		return err
	}
	return s.Dir.Rename(from, to)
}

// Remove implements disk.Dir.
func (s stepDir) Remove(name string) error {
	if err := s.log.pause(operationOther); err != nil {
		return err
	}
	return s.Dir.Remove(name)
}

// Sync implements disk.Dir.
func (s stepDir) Sync() error {
	if err := s.log.pause(operationSync); err != nil {
		return err
	}
	return s.Dir.Sync()
}

// stepFile is a file of a log, before whose operations a flush may stop.
type stepFile struct {
	disk.File
	log *nodeLog
}

// WriteAt implements disk.File.
func (s stepFile) WriteAt(bufs [][]byte, off int64) error {
	if err := s.log.pause(operationOther); err != nil {
		return err
	}
	return s.File.WriteAt(bufs, off)
}

// ReadAt implements disk.File.
func (s stepFile) ReadAt(p []byte, off int64) (int, error) {
	if err := s.log.pause(operationOther); err != nil {
		return 0, err
	}
	return s.File.ReadAt(p, off)
}

// Sync implements disk.File.
func (s stepFile) Sync() error {
	if err := s.log.pause(operationSync); err != nil {
		return err
	}
	return s.File.Sync()
}

package wal

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// idleSealDelay is how long nothing is appended before the log is sealed. It
// bounds how much of the log may be taken for torn when it is damaged.
const idleSealDelay = 200 * time.Millisecond

// spareRetryDelay is how long the spare loop waits after it could not make a
// file. Every flush would wake it otherwise, and a full disk stays full.
const spareRetryDelay = time.Second

// SyncerOptions say what a Syncer tells its owner.
type SyncerOptions struct {
	// OnDurable is called with the last durable LSN after each sync.
	OnDurable func(LSN)
	// OnFailed is called once, with the failure after which nothing becomes
	// durable any more. OnDurable is not called after it. Both are called by who
	// syncs: the flush loop, or whoever called FlushHere.
	OnFailed func(error)
	// OnPrepareFailed is called when no spare segment could be made. Nothing
	// is lost yet; Stats().RoomBytes says how much still fits. It is tried again
	// every second for as long as a spare is wanted. May be nil.
	OnPrepareFailed func(error)
}

// Syncer flushes a Writer while its owner goes on appending. Everything that
// is submitted while a sync runs goes into the next one.
//
// StartSyncer starts two loops and Stop ends them. The flush loop is woken by
// Submit, Release, the first FlushHere after a seal, the idle timer and Stop; one
// round is one Flush or Seal. The spare loop is woken after a round that took a
// spare, and by itself a second after it could not make one; one round makes one
// file. OnPrepareFailed comes from the spare loop. No callback may block or call the
// Syncer.
type Syncer struct {
	opts SyncerOptions
	// wake and wakeSpare hold at most one signal each; whoever submits, releases
	// or flushes sends, nobody closes them.
	wake, wakeSpare chan struct{}
	// stop is closed by Stop.
	stop     chan struct{}
	stopOnce sync.Once
	loops    sync.WaitGroup

	// flushing is held by who writes and syncs. It comes before mu.
	flushing struct {
		sync.Mutex
		over bool // after a failure and at Stop
		pace pace
		last int64 // clock at the end of the last sync; zero without a Clock
	}
	mu struct {
		sync.Mutex
		// writer's front is guarded by this lock. Its back belongs to who holds
		// flushing, its back.dir to the spare loop too.
		writer *Writer
	}
	// writer is mu.writer, for the back half and SyncStarted.
	writer *Writer
}

// StartSyncer starts the loops around w, which belongs to the Syncer from here
// on. The caller must call Stop.
func StartSyncer(w *Writer, opts SyncerOptions) *Syncer {
	s := &Syncer{
		opts:      opts,
		wake:      make(chan struct{}, 1),
		wakeSpare: make(chan struct{}, 1),
		stop:      make(chan struct{}),
		writer:    w,
	}
	s.mu.writer = w
	s.loops.Add(2)
	go s.flushLoop()
	go s.spareLoop()
	signal(s.wakeSpare)
	return s
}

// Append adds a record to what the next Submit hands over, and returns its
// LSN. It copies Data and never waits for the disk.
func (s *Syncer) Append(r Record) LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.writer.Append(r)
}

// Submit asks for everything appended so far to be made durable, and returns
// at once. Submitting while a sync runs costs one extra sync, however often.
func (s *Syncer) Submit() { signal(s.wake) }

// FlushHere makes what was appended durable on the caller's goroutine, which
// spares it two wake-ups of threads, and reports true. It reports false, and has
// done nothing, if that could take longer than a sync of a quick disk does, and
// without a Clock, which tells: the caller then submits. It takes as long as one
// sync; of that there is no promise, for the disk may stall in this very one.
func (s *Syncer) FlushHere() bool {
	f := &s.flushing
	if !f.TryLock() {
		return false
	}
	defer f.Unlock()
	clock := s.writer.opts.Clock
	if f.over || clock == nil || !f.pace.quick(clock()) || s.writer.back.victim != 0 {
		return false
	}
	return s.run(s.flushOne)
}

// round runs one round on the flush loop and reports whether the log can go on.
func (s *Syncer) round(what func() error) bool {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	return !s.flushing.over && s.run(what)
}

// errBeside is not told to anybody: what waits is left to the flush loop.
var errBeside = errors.New("wal: not a plain sync")

// run reports whether a round was run and the log can go on. Requires: flushing is
// held.
func (s *Syncer) run(round func() error) bool {
	err := round()
	if err == nil {
		return true
	}
	if err != errBeside {
		s.flushing.over = true
		s.opts.OnFailed(err)
	}
	return false
}

// flushOne writes and syncs what waits if it is one batch that fits where the log
// stands, with no segment to be begun, freed or copied from.
func (s *Syncer) flushOne() error {
	s.mu.Lock()
	if !s.writer.plain() {
		s.mu.Unlock()
		return errBeside
	}
	sealed := s.writer.front.sealed
	j, ok, err := s.writer.cut()
	s.mu.Unlock()
	if err != nil {
		return s.fail(err)
	}
	if !ok {
		return nil
	}
	if err := s.carryOut(&j); err != nil {
		return s.fail(err)
	}
	if sealed {
		signal(s.wake) // the flush loop has nothing to seal any more, and does not look
	}
	return nil
}

// Release is Writer.Release. It wakes the flush loop, so that segments are
// recycled even if nothing is appended any more.
func (s *Syncer) Release(group uint16, slot uint64) {
	s.mu.Lock()
	s.mu.writer.Release(group, slot)
	s.mu.Unlock()
	signal(s.wake)
}

// Reopen is Writer.Reopen.
func (s *Syncer) Reopen(group uint16) {
	s.mu.Lock()
	s.mu.writer.Reopen(group)
	s.mu.Unlock()
}

// Stats is Writer.Stats.
func (s *Syncer) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.writer.Stats()
}

// SyncStarted is Writer.SyncStarted. It takes no lock.
func (s *Syncer) SyncStarted() int64 { return s.writer.SyncStarted() }

// Stop ends the loops, then flushes, seals and closes the Writer, without
// calling back. It returns the failure if there was one.
func (s *Syncer) Stop() error {
	s.stopOnce.Do(func() { close(s.stop) })
	s.loops.Wait()
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.flushing.over = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mu.writer.front.failed; err != nil && err != ErrClosed {
		s.mu.writer.Close()
		return err
	}
	return s.mu.writer.Close()
}

// signal sends without waiting; one signal waiting is as good as two.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// flushLoop runs rounds until Stop or the first failure.
func (s *Syncer) flushLoop() {
	defer s.loops.Done()
	idle := time.NewTimer(idleSealDelay)
	defer idle.Stop()
	for {
		ok := true
		select {
		case <-s.stop:
			return
		case <-s.wake:
			ok = s.round(s.flush)
			idle.Reset(idleSealDelay)
		case <-idle.C:
			ok = s.round(func() error {
				if d := s.sealsIn(); d > 0 {
					idle.Reset(d)
					return nil
				}
				return s.seal()
			})
		}
		if !ok {
			return
		}
	}
}

// sealsIn returns how long the log has yet to be idle, or nothing. FlushHere, which
// wakes the flush loop only after a seal, wants a Clock.
func (s *Syncer) sealsIn() time.Duration {
	clock, last := s.writer.opts.Clock, s.flushing.last
	if clock == nil || last == 0 {
		return 0
	}
	return idleSealDelay - time.Duration(clock()-last)
}

// flush is Writer.Flush with the lock held only in the front steps.
func (s *Syncer) flush() error {
	w := s.writer
	for again := true; again; again = w.behind() {
		found, err := w.gather()
		if err != nil {
			return s.fail(err)
		}
		s.mu.Lock()
		w.forward(found)
		s.mu.Unlock()
		if err := s.writeAll(); err != nil {
			return s.fail(err)
		}
	}
	return nil
}

// writeAll is Writer.writeAll with the lock held only in the front steps.
func (s *Syncer) writeAll() error {
	for {
		s.mu.Lock()
		j, ok, err := s.writer.cut()
		s.mu.Unlock()
		if err == nil && ok {
			err = s.carryOut(&j)
		}
		if err != nil || !ok {
			return err
		}
	}
}

// seal is Writer.Seal with the lock held only in the front steps. What is appended
// meanwhile is written before the seal or after it, never instead: the log is sealed
// when seal returns, so that what is written next by FlushHere wakes the flush loop.
func (s *Syncer) seal() error {
	if err := s.flush(); err != nil {
		return err
	}
	w := s.writer
	for sealing := false; !sealing; {
		s.mu.Lock()
		j, ok, err := w.cut()
		if sealing = !ok && err == nil; sealing {
			j, ok = w.cutSeal()
		}
		s.mu.Unlock()
		if err == nil && ok {
			err = s.carryOut(&j)
		}
		if err != nil {
			return s.fail(err)
		}
	}
	return nil
}

// carryOut is Writer.carryOut with the lock held only in the front steps.
func (s *Syncer) carryOut(j *job) error {
	w := s.writer
	if err := w.perform(j); err != nil {
		return err
	}
	if w.opts.Clock != nil {
		s.flushing.last = w.opts.Clock()
		s.flushing.pace.note(j.nanos, s.flushing.last)
	}
	s.mu.Lock()
	w.finish(j)
	durable := w.front.durable
	s.mu.Unlock()
	s.opts.OnDurable(durable)

	made, err := w.recycle(j)
	s.mu.Lock()
	w.front.spares = append(w.front.spares, made...)
	wanted := w.NeedsSpare()
	s.mu.Unlock()
	if wanted {
		signal(s.wakeSpare)
	}
	return err
}

// fail keeps the failure in the Writer.
func (s *Syncer) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.mu.writer.fail(err)
	return err
}

// spareLoop makes spare segments until Stop.
func (s *Syncer) spareLoop() {
	defer s.loops.Done()
	for {
		select {
		case <-s.stop:
			return
		case <-s.wakeSpare:
		}
		if err := s.prepareSpare(); err != nil {
			if s.opts.OnPrepareFailed != nil {
				s.opts.OnPrepareFailed(err)
			}
			if !s.pause(spareRetryDelay) {
				return
			}
			s.askSpare()
		}
	}
}

// askSpare wakes the spare loop if a spare is wanted.
func (s *Syncer) askSpare() {
	s.mu.Lock()
	wanted := s.mu.writer.NeedsSpare()
	s.mu.Unlock()
	if wanted {
		signal(s.wakeSpare)
	}
}

// pause waits for d to pass or for Stop, and reports whether it was not for Stop.
func (s *Syncer) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.stop:
		return false
	case <-timer.C:
		return true
	}
}

// prepareSpare makes spares, one file at a time, until there are enough.
func (s *Syncer) prepareSpare() error {
	for {
		s.mu.Lock()
		w := s.mu.writer
		if !w.NeedsSpare() {
			s.mu.Unlock()
			return nil
		}
		name := w.freshName()
		s.mu.Unlock()
		if err := makeSpare(w.back.dir, name, w.opts.SegmentBytes); err != nil {
			return fmt.Errorf("wal: spare segment: %w", err)
		}
		s.mu.Lock()
		w.front.spares = append(w.front.spares, name)
		s.mu.Unlock()
		select {
		case <-s.stop:
			return nil
		default:
		}
	}
}

package wal

import (
	"errors"
	"fmt"
	"testing"

	"lockd/wal/disk/simdisk"
)

// crashSteps is the length of a workload: long enough to copy forward and
// recycle several times.
const crashSteps = 62

// crashRun runs a workload with a fault at operation k, ends the process,
// opens the log again (with a second power cut inside, if the draw says so),
// checks what came back, and goes on. It reports whether the workload got as
// far as k.
type crashRun struct {
	opts  Options
	fault simdisk.Fault
	// cut says that the power goes with the process, always; otherwise it does
	// half of the time.
	cut bool
	// seed chooses; settle, if not nil, decides what a power cut leaves.
	seed   uint64
	settle simdisk.Draw
	// large is how long every 20th record or so is, zero for none.
	large int
}

func (c *crashRun) at(k int) (reached bool, err error) {
	draw := drawFrom(c.seed)
	settle := c.settle
	if settle == nil {
		settle = draw
	}
	d := simdisk.New(settle)
	d.Plan(k, c.fault)
	m := newModel()
	m.large = c.large
	w, _, err := open(mustMount(d), c.opts)
	if err == nil {
		err = m.work(w, drawFrom(c.seed+1), crashSteps)
	}
	if err == nil && d.Ops() < k {
		if s := w.Stats(); s.Recycled < 4 || s.CopiedRecords < 4 {
			return false, fmt.Errorf("recycled %d segments and copied %d records, want 4 of each",
				s.Recycled, s.CopiedRecords)
		}
		return false, nil
	}
	if err == nil && c.fault.Err == simdisk.ErrCut {
		return true, errors.New("the workload survived a power cut")
	}
	if err != nil {
		if err := c.checkFinal(w, m); err != nil {
			return true, err
		}
	}
	for round := range 3 {
		if c.cut || draw(2) == 0 {
			d.PowerCut()
		} else {
			d.Unmount()
		}
		if round == 1 {
			d.Plan(d.Ops()+1+draw(12), c.fault)
		}
		w, got, err := open(mustMount(d), c.opts)
		if err != nil && round == 1 {
			continue
		}
		if err != nil {
			return true, fmt.Errorf("round %d: open: %w", round, err)
		}
		if err := m.check(got); err != nil {
			return true, fmt.Errorf("round %d: %w", round, err)
		}
		m.releaseAll(w)
		if err := m.work(w, draw, 4); err != nil && round != 1 {
			return true, fmt.Errorf("round %d: %w", round, err)
		}
	}
	return true, nil
}

// checkFinal verifies that a failure is final (I11). Requires: w is nil, because
// Open failed, or a flush or a seal of w failed.
func (c *crashRun) checkFinal(w *Writer, m *model) error {
	if w == nil {
		return nil
	}
	if w.front.failed == nil {
		return errors.New("a failed flush was forgotten")
	}
	before := w.Durable()
	m.append(w, Record{Group: 1, Kind: KindState}, 1)
	after, err := w.Flush()
	if err == nil || after != before {
		return fmt.Errorf("flush after a failure: got LSN %d (%v), want %d and the failure",
			after, err, before)
	}
	return nil
}

// everyOperation runs c for every k until the workload ends before it.
func (c crashRun) everyOperation(t *testing.T) {
	t.Helper()
	seed := c.seed
	for k := 1; ; k++ {
		c.seed = seed*1_000_003 + uint64(k)
		reached, err := c.at(k)
		if err != nil {
			t.Fatalf("operation %d, seed %d: %v", k, c.seed, err)
		}
		if !reached {
			if k < 150 {
				t.Fatalf("the workload had %d operations, want at least 150", k)
			}
			return
		}
	}
}

func TestFD1PowerCutAtEveryOperation(t *testing.T) {
	for seed := range uint64(2) {
		for _, effect := range []simdisk.Effect{simdisk.EffectAll, simdisk.EffectPart} {
			t.Run(fmt.Sprintf("seed=%d/effect=%d", seed, effect), func(t *testing.T) {
				crashRun{
					opts:  smallOptions(),
					fault: simdisk.Fault{Err: simdisk.ErrCut, Effect: effect},
					cut:   true,
					seed:  seed,
				}.everyOperation(t)
			})
		}
	}
}

// TestFP1KillAtEveryOperation ends the process without a power cut, and cuts
// the power later: what was read back after the kill must stay.
func TestFP1KillAtEveryOperation(t *testing.T) {
	crashRun{
		opts:  smallOptions(),
		fault: simdisk.Fault{Err: simdisk.ErrCut, Effect: simdisk.EffectAll},
		seed:  11,
	}.everyOperation(t)
}

func TestFD5FailureOfEveryCall(t *testing.T) {
	faults := map[string]simdisk.Fault{
		"io-error":       {Err: simdisk.ErrIO, Effect: simdisk.EffectNone},
		"no-space":       {Err: simdisk.ErrNoSpace, Effect: simdisk.EffectNone},
		"short-write":    {Err: simdisk.ErrIO, Effect: simdisk.EffectPart},
		"done-but-error": {Err: simdisk.ErrIO, Effect: simdisk.EffectAll},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			crashRun{opts: smallOptions(), fault: fault, seed: 21}.everyOperation(t)
		})
	}
}

// TestFD6LostDirectoryEntry settles every power cut the same way: 0 keeps
// everything, 1 loses every unsynced sector and name, 2 fills sectors with
// garbage and loses names.
func TestFD6LostDirectoryEntry(t *testing.T) {
	for choice := range 3 {
		t.Run(fmt.Sprintf("choice=%d", choice), func(t *testing.T) {
			crashRun{
				opts:   smallOptions(),
				fault:  simdisk.Fault{Err: simdisk.ErrCut, Effect: simdisk.EffectAll},
				cut:    true,
				seed:   31,
				settle: drawAlways(choice),
			}.everyOperation(t)
		})
	}
}

// TestFD6LostSegment damages the directory after the fact: the entry of a
// segment that is in use is gone. Only the loss of the newest segment looks
// like an older log; peers notice that by the LSN they remember.
func TestFD6LostSegment(t *testing.T) {
	d := simdisk.New(drawFrom(1))
	opts := smallOptions()
	opts.TargetSegments = 4
	w, _, err := open(mustMount(d), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := newModel().work(w, drawFrom(2), 60); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d.Unmount()
	l, err := list(mustMount(d))
	if err != nil || len(l.segments) < 3 {
		t.Fatalf("got segments %v (%v), want at least 3", l.segments, err)
	}
	d.Unmount()
	for _, number := range l.segments[:len(l.segments)-1] {
		c := d.Clone(drawFrom(3))
		c.Lose(segmentName(number))
		if _, _, err := open(mustMount(c), opts); !errors.Is(err, ErrCorrupt) {
			t.Errorf("without segment %d: got %v, want ErrCorrupt", number, err)
		}
	}
}

// TestFD9RemovalKeepsIdleGroup runs long enough for hundreds of segments while
// one group stays idle, and looks at what is left of that group (I10) and at
// the number of segments (I22).
func TestFD9RemovalKeepsIdleGroup(t *testing.T) {
	d := simdisk.New(drawFrom(1))
	w, _, err := open(mustMount(d), smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	for round := range 40 {
		if err := m.work(w, drawFrom(uint64(round)), 20); err != nil {
			t.Fatal(err)
		}
		m.act(w, 2)
		if s := w.Stats(); s.Segments > smallOptions().MaxSegments-1 {
			t.Fatalf("round %d: %d segments in use: %+v", round, s.Segments, s)
		}
	}
	s := w.Stats()
	if s.Recycled < 100 || s.CopiedRecords < 100 {
		t.Fatalf("recycled %d segments and copied %d records, want 100 of each",
			s.Recycled, s.CopiedRecords)
	}
	d.PowerCut()
	_, got, err := open(mustMount(d), smallOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.check(got); err != nil {
		t.Fatal(err)
	}
}

// lyingDisk lets the disk lie about syncs from operation k of a workload on and
// then cuts the power. What comes back must be damaged in plain sight, or end
// before what was called durable, which peers know (I7), or be all there.
func lyingDisk(k int, seed uint64) (outcome string, err error) {
	draw := drawFrom(seed)
	d := simdisk.New(draw)
	m := newModel()
	w, _, err := open(mustMount(d), smallOptions())
	for err == nil && d.Ops() < k {
		err = m.work(w, draw, 1)
	}
	if err != nil {
		return "", err
	}
	d.Lie()
	if err := m.work(w, draw, 1+draw(12)); err != nil {
		return "", err
	}
	d.PowerCut()
	w, got, err := open(mustMount(d), smallOptions())
	switch {
	case errors.Is(err, ErrCorrupt):
		return "damaged", nil
	case err != nil:
		return "", fmt.Errorf("open: %w", err)
	case w.Durable() < m.durable:
		return "ends early", nil
	default:
		return "whole", m.check(got)
	}
}

func TestFD7LyingSync(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(4) {
		for k := 1; k < 250; k += 4 {
			outcome, err := lyingDisk(k, seed*1_000_003+uint64(k))
			if err != nil {
				t.Fatalf("lies from operation %d on, seed %d: %v", k, seed, err)
			}
			outcomes[outcome]++
		}
	}
	t.Logf("after a disk that lied: %v", outcomes)
	if outcomes["damaged"] == 0 || outcomes["ends early"] == 0 {
		t.Errorf("got %v, want some damaged and some that end early", outcomes)
	}
}

//go:build plant

package wal

import (
	"errors"
	"fmt"
	"testing"

	"lockd/wal/disk/simdisk"
)

// TestPlantedBugsAreCaught plants each bug and runs the check that has to
// notice it, first without the bug.
func TestPlantedBugsAreCaught(t *testing.T) {
	cut := simdisk.Fault{Err: simdisk.ErrCut, Effect: simdisk.EffectAll}
	bugs := map[string]func() error{
		"wal-damage-cut-as-torn": damagedLog,
		"wal-removal-forgets-promise": func() error {
			return someOperation(crashRun{opts: smallOptions(), fault: cut, cut: true})
		},
		"wal-removal-before-sync": func() error {
			return someOperation(crashRun{opts: smallOptions(), fault: cut, cut: true})
		},
		"wal-durable-before-sync": func() error {
			return someOperation(crashRun{opts: smallOptions(), fault: cut, cut: true})
		},
		"wal-answer-after-failed-sync": func() error {
			failed := simdisk.Fault{Err: simdisk.ErrIO, Effect: simdisk.EffectNone}
			return someOperation(crashRun{opts: smallOptions(), fault: failed})
		},
	}
	defer func() { Planted = "" }()
	for name, check := range bugs {
		Planted = ""
		if err := check(); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
		Planted = name
		err := check()
		if err == nil {
			t.Errorf("%s was not noticed", name)
		}
		t.Logf("%s: %v", name, err)
	}
}

// someOperation runs a crash run until its workload ends or a check fails.
func someOperation(run crashRun) error {
	for k := 1; ; k++ {
		run.seed = uint64(k)
		reached, err := run.at(k)
		if err != nil {
			return fmt.Errorf("operation %d: %w", k, err)
		}
		if !reached {
			return nil
		}
	}
}

// damagedLog damages a synced record and wants ErrCorrupt.
func damagedLog() error {
	d := simdisk.New(drawFrom(1))
	w, _, err := open(mustMount(d), smallOptions())
	if err != nil {
		return err
	}
	m := newModel()
	m.append(w, Record{Group: 1, Kind: KindState}, 40)
	if err := errors.Join(m.flush(w), w.Seal()); err != nil {
		return err
	}
	d.Unmount()
	d.FlipBit(segmentName(1), 8*(chunkBytes+batchHeaderBytes+recordHeaderBytes))
	_, got, err := open(mustMount(d), smallOptions())
	if errors.Is(err, ErrCorrupt) {
		return nil
	}
	if err := m.check(got); err != nil {
		return err
	}
	return fmt.Errorf("opening a damaged log: got %d records (%v), want ErrCorrupt", len(got), err)
}

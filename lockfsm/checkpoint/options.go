package checkpoint

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Options configure a store. Fatal and Report must be set; everything else has
// a default at zero.
type Options struct {
	// Fatal is called when the store cannot go on, from any goroutine, possibly
	// while the store's locks are held. It must end the process and not return
	// (nor call the store); if it does return, the store panics.
	Fatal func(error)
	// Report is called with what a node must act on although no call of its own
	// failed, from goroutines of the store. It must be quick and may not call
	// the store.
	Report func(Report)

	// CacheBytes is the block cache. Default 8 MiB: a checkpoint is read once.
	CacheBytes int64
	// MemTableBytes is the write buffer. Default 16 MiB; a larger one makes
	// fewer files and a longer recovery.
	MemTableBytes uint64
	// Retry is how long the store waits after a flush or compaction failed, before
	// it tries again. Default 1 s. What fails maxFailures times in a row, for
	// another reason than want of space, is fatal.
	Retry time.Duration
	// DiskSlow is how long one disk operation may take before Report is told.
	// Default 5 s.
	DiskSlow time.Duration
	// LowSpaceBytes is how much must be free if Report is not to be told of little
	// space. Default 1 GiB. Below it that is told when one of the last ten per cent of
	// the disk is used up, and now and then.
	LowSpaceBytes uint64
}

// ReportKind says what a report is about.
type ReportKind uint8

// The kinds of report.
const (
	// ReportBackground: a flush or compaction failed. It is tried again after
	// Options.Retry.
	ReportBackground ReportKind = 1
	// ReportDamage: a file no longer reads as it was written. The store refuses
	// all work from then on; the node stops.
	ReportDamage ReportKind = 2
	// ReportDiskSlow: a disk operation exceeded Options.DiskSlow.
	ReportDiskSlow ReportKind = 3
	// ReportLowSpace: the disk is nearly full.
	ReportLowSpace ReportKind = 4
)

// String names the kind.
func (k ReportKind) String() string {
	switch k {
	case ReportBackground:
		return "background error"
	case ReportDamage:
		return "damage"
	case ReportDiskSlow:
		return "slow disk"
	case ReportLowSpace:
		return "low disk space"
	default:
		return fmt.Sprintf("ReportKind(%d)", uint8(k))
	}
}

// Report is something that went wrong in the background.
type Report struct {
	Kind ReportKind
	Err  error
}

func (o *Options) validate() error {
	if o.Fatal == nil || o.Report == nil {
		return fmt.Errorf("checkpoint: options: Fatal and Report must be set")
	}
	if o.CacheBytes < 0 || o.DiskSlow < 0 || o.Retry < 0 {
		return fmt.Errorf("checkpoint: options: have cache %d, slow disk %v and retry %v, want "+
			"none below 0", o.CacheBytes, o.DiskSlow, o.Retry)
	}
	if o.Retry == 0 {
		o.Retry = time.Second
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 8 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 16 << 20
	}
	if o.LowSpaceBytes == 0 {
		o.LowSpaceBytes = 1 << 30
	}
	if o.DiskSlow == 0 {
		o.DiskSlow = 5 * time.Second
	}
	return nil
}

// logger drops Pebble's chatter and makes its fatal errors fatal.
type logger struct{ fatal func(error) }

// Infof drops a line: what matters arrives as an event.
func (logger) Infof(string, ...any) {}

// Errorf drops a line: what matters arrives as an event.
func (logger) Errorf(string, ...any) {}

// Fatalf does not return.
func (l logger) Fatalf(format string, args ...any) {
	err := &pebbleError{text: fmt.Sprintf(format, args...)}
	for _, arg := range args {
		if cause, ok := arg.(error); ok {
			err.cause = cause
		}
	}
	l.fatal(err)
	panic(err)
}

// pebbleError is what Pebble said last. The cause, which Pebble hands over as an
// argument of its text, lets the caller advise.
type pebbleError struct {
	text  string
	cause error
}

// Error is the text as Pebble meant it.
func (e *pebbleError) Error() string { return "checkpoint: pebble: " + e.text }

// Unwrap returns the cause, nil if there is none.
func (e *pebbleError) Unwrap() error { return e.cause }

// listener passes on what a node must know.
func (s *Store) listener(opts *Options) *pebble.EventListener {
	report, least := opts.Report, opts.LowSpaceBytes
	l := &pebble.EventListener{
		BackgroundError: func(err error) {
			err = fmt.Errorf("checkpoint: %w", err)
			// Damage comes as DataCorruption too, and ends the node by that.
			if s.pace.failed(err) && !pebble.IsCorruptionError(err) {
				opts.Fatal(fmt.Errorf("%w (%d times in a row)", err, maxFailures))
			}
			report(Report{ReportBackground, err})
		},
		FlushEnd: func(info pebble.FlushInfo) {
			if info.Err == nil {
				s.pace.succeeded()
			}
		},
		CompactionEnd: func(info pebble.CompactionInfo) {
			if info.Err == nil {
				s.pace.succeeded()
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.damaged.Store(true)
			report(Report{ReportDamage,
				fmt.Errorf("%w: file %s: %w", ErrDamaged, info.Path, info.Details)})
		},
		DiskSlow: func(info pebble.DiskSlowInfo) {
			report(Report{ReportDiskSlow, fmt.Errorf("checkpoint: %s of %s takes %v",
				info.OpType, info.Path, info.Duration)})
		},
		LowDiskSpace: func(info pebble.LowDiskSpaceInfo) {
			if info.AvailBytes < least { // a tenth of a large disk is room enough
				report(Report{ReportLowSpace, fmt.Errorf("checkpoint: %d MiB of %d MiB free",
					info.AvailBytes>>20, info.TotalBytes>>20)})
			}
		},
	}
	return l
}

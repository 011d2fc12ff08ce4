package checkpoint

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"lockd/lockfsm/checkpoint/checkpointtest"
)

// subject makes *Store fit the interfaces of the contract.
type subject struct{ *Store }

func (s subject) OpenSnapshot(group uint16) (checkpointtest.Snapshot, error) {
	n, err := s.Store.OpenSnapshot(group)
	if err != nil {
		return nil, err
	}
	return reader{n}, nil
}

func (s subject) Begin(group uint16, st checkpointtest.State) (checkpointtest.Installer, error) {
	in, err := s.Store.Begin(group, Content(st))
	if err != nil {
		return nil, err
	}
	return in, nil
}

// reader makes *Snapshot fit.
type reader struct{ *Snapshot }

func (r reader) State() checkpointtest.State { return checkpointtest.State(r.Content()) }

// testOptions fail the test for whatever a healthy store never reports.
func testOptions(t *testing.T) Options {
	return Options{
		Fatal:      func(err error) { panic(err) },
		Report:     func(r Report) { t.Errorf("report: got %v: %v, want none", r.Kind, r.Err) },
		CacheBytes: 1 << 20, MemTableBytes: 1 << 20,
		Retry: time.Millisecond,
	}
}

func mustOpen(t *testing.T, fs vfs.FS, opts Options) *Store {
	t.Helper()
	s, err := open(fs, "db", opts)
	if err != nil {
		t.Fatalf("open: got %v, want no error", err)
	}
	return s
}

func TestContract(t *testing.T) {
	checkpointtest.Run(t, checkpointtest.Subject{
		ErrOldSlot: ErrOldSlot, ErrChunk: ErrChunk,
		Open: func(t *testing.T) (checkpointtest.Store, func() checkpointtest.Store) {
			fs := vfs.NewMem()
			s := mustOpen(t, fs, testOptions(t))
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: got %v, want no error", err)
				}
			})
			return subject{s}, func() checkpointtest.Store {
				if err := s.Close(); err != nil {
					t.Fatalf("close: got %v, want no error", err)
				}
				s = mustOpen(t, fs, testOptions(t))
				return subject{s}
			}
		},
	})
}

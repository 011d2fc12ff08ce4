package checkpoint

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A dropped checkpoint is gone, after a restart too, and the group begins anew.
func TestDroppedCheckpointIsGone(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs, testOptions(t))
	var b Batch
	b.Set([]byte("\x00"), []byte("meta"))
	if err := s.Save(3, 50, &b); err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(3); err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(4); err != nil {
		t.Errorf("a group without a checkpoint: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, fs, testOptions(t))
	if got := s.Groups(); len(got) != 0 {
		t.Fatalf("groups after a drop: got %v, want none", got)
	}
	if err := s.Save(3, 7, &b); err != nil {
		t.Errorf("a lower slot after a drop: %v", err)
	}
	records := 0
	if _, err := s.Load(3, func(_, _ []byte) error { records++; return nil }); err != nil ||
		records != 1 {
		t.Errorf("load: got %d records, %v, want 1", records, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

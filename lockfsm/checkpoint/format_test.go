package checkpoint

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestStoreFormat holds the bytes in the store to version 1.
func TestStoreFormat(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), testOptions(t))
	var b Batch
	b.Set([]byte{0}, []byte("meta"))
	b.Set([]byte{3, 'a'}, []byte("lock"))
	if err := s.Save(258, 9, &b); err != nil {
		t.Fatalf("save: got %v, want no error", err)
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatalf("iterate: got %v, want no error", err)
	}
	var got strings.Builder
	for ok := it.First(); ok; ok = it.Next() {
		fmt.Fprintf(&got, "%x=%x\n", it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		t.Errorf("close: got %v, want no error", err)
	}
	want := "00=01\n" +
		"010102=01" + "0900000000000000" + "0100000000000000" + "0200000000000000" +
		formatHash + "\n" +
		"020102000000000000000100=6d657461\n" +
		"02010200000000000000010361=6c6f636b\n"
	if got.String() != want {
		t.Errorf("store: got\n%swant\n%s", got.String(), want)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: got %v, want no error", err)
	}
}

// formatHash is the sum of the two record hashes above, little-endian. The hash
// is part of the format.
const formatHash = "f77eab739a09ae84"

// TestChunkFormat installs a chunk of version 1 that was written once.
func TestChunkFormat(t *testing.T) {
	chunk, err := hex.DecodeString(formatChunk)
	if err != nil {
		t.Fatalf("hex: got %v, want no error", err)
	}
	s := mustOpen(t, vfs.NewMem(), testOptions(t))
	in, err := s.Begin(1, Content{9, 2, 0x4bf04560e0eb9736})
	if err != nil {
		t.Fatalf("begin: got %v, want no error", err)
	}
	if err := in.Add(chunk); err != nil {
		t.Fatalf("add: got %v, want no error", err)
	}
	if err := in.Commit(); err != nil {
		t.Fatalf("commit: got %v, want no error", err)
	}
	got := map[string]string{}
	_, err = s.Load(1, func(key, value []byte) error {
		got[string(key)] = string(value)
		return nil
	})
	same := got["\x00"] == "meta" && got["\x03a"] == strings.Repeat("lock", 20)
	if err != nil || len(got) != 2 || !same {
		t.Errorf("records: got %q and %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: got %v, want no error", err)
	}
}

// formatChunk is the only chunk of a snapshot at slot 9 with two records.
const formatChunk = "01010100000000090000000000000002000000000000003697ebe06045f04b5b0000001f" +
	"7a7a825b380104006d657461025003616c6f636b110415003c"

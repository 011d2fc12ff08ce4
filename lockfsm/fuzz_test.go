package lockfsm

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// sampleBatches are valid batches that a random world makes.
func sampleBatches(tb testing.TB, seed uint64, n int) [][]byte {
	tb.Helper()
	w, err := newWorld(seed)
	if err != nil {
		tb.Fatalf("world: got %v, want no error", err)
	}
	var all [][]byte
	for range n {
		if err := w.step(); err != nil {
			tb.Fatalf("step: got %v, want no error", err)
		}
		all = append(all, bytes.Clone(w.batch.Bytes()))
	}
	return all
}

// checkApply applies any bytes to two machines of different layout: they must
// agree, stay whole, and never panic.
func checkApply(tb testing.TB, a, b *Machine, value []byte) {
	tb.Helper()
	var outA, outB Outcome
	before := a.Digest()
	errA := a.Apply(a.Applied()+1, value, &outA)
	errB := b.Apply(b.Applied()+1, value, &outB)
	if (errA == nil) != (errB == nil) || errA != nil && errA.Error() != errB.Error() {
		tb.Fatalf("errors: got %v and %v, want the same", errA, errB)
	}
	if !slices.Equal(outA.Results, outB.Results) || a.Digest() != b.Digest() {
		tb.Fatalf("results: got %+v and %+v, want the same", outA.Results, outB.Results)
	}
	switch {
	case errA == nil, errors.Is(errA, ErrMalformed):
	case !errors.Is(errA, ErrTooNew):
		tb.Fatalf("error: got %v, want %v or %v", errA, ErrTooNew, ErrMalformed)
	case a.Digest() != before:
		tb.Fatalf("digest after %v: got %x, want %x", errA, a.Digest(), before)
	}
	if err := a.Validate(); err != nil {
		tb.Fatalf("value %x: %v", value, err)
	}
}

func twoMachines(tb testing.TB) (*Machine, *Machine) {
	tb.Helper()
	l := tinyLimits()
	a, err := New(l)
	if err != nil {
		tb.Fatalf("new: got %v, want no error", err)
	}
	l.Seed = 99
	b, err := New(l)
	if err != nil {
		tb.Fatalf("new: got %v, want no error", err)
	}
	return a, b
}

// FuzzApply: no bytes make Apply panic, and every replica does the same.
func FuzzApply(f *testing.F) {
	for _, value := range sampleBatches(f, 1, 40) {
		f.Add(value)
	}
	prefix := sampleBatches(f, 2, 30)
	f.Fuzz(func(t *testing.T, value []byte) {
		a, b := twoMachines(t)
		for _, p := range prefix {
			checkApply(t, a, b, p)
		}
		checkApply(t, a, b, value)
		checkApply(t, a, b, value)
	})
}

// TestSpoiledBatches applies valid batches with a few bytes changed, cut or
// added.
func TestSpoiledBatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	a, b := twoMachines(t)
	failed := 0
	for _, value := range sampleBatches(t, 3, 1500) {
		switch rng.IntN(4) {
		case 0:
			value = value[:rng.IntN(len(value)+1)]
		case 1:
			value = append(value, byte(rng.Uint32()))
		case 2:
			for range 1 + rng.IntN(3) {
				if len(value) > 0 {
					value[rng.IntN(len(value))] = byte(rng.Uint32() % 9)
				}
			}
		}
		var probe BatchError
		if at, err := checkBatch(value, FormatLatest); err != nil && len(value) > 0 {
			probe = BatchError{Offset: at, Err: err}
			failed++
		}
		if probe.Offset > len(value) {
			t.Fatalf("offset: got %d of %d bytes", probe.Offset, len(value))
		}
		checkApply(t, a, b, value)
	}
	if failed < 300 {
		t.Errorf("got %d batches refused, want at least 300", failed)
	}
}

// FuzzLoad: no record makes Load or Loaded panic.
func FuzzLoad(f *testing.F) {
	w, err := newWorld(1)
	if err != nil {
		f.Fatalf("world: got %v, want no error", err)
	}
	for range 60 {
		if err := w.step(); err != nil {
			f.Fatalf("step: got %v, want no error", err)
		}
	}
	var all Records
	w.a.All(all.Set)
	for i := range all.Len() {
		key, value := all.At(i)
		f.Add(uint16(i), key, value)
	}
	f.Fuzz(func(t *testing.T, at uint16, key, value []byte) {
		loadSpoiled(t, &all, int(at)%all.Len(), key, value)
	})
}

// loadSpoiled loads all with one record replaced. If it is taken, the machine
// must be whole, or say that it is not.
func loadSpoiled(t *testing.T, all *Records, at int, key, value []byte) error {
	t.Helper()
	m, err := New(DefaultLimits())
	if err != nil {
		t.Fatalf("new: got %v, want no error", err)
	}
	for i := range all.Len() {
		k, v := all.At(i)
		if i == at {
			k, v = key, value
		}
		if err := m.Load(k, v); err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooNew) {
				t.Fatalf("load: got %v, want %v or %v", err, ErrDamaged, ErrTooNew)
			}
			return err
		}
	}
	return m.Loaded()
}

// TestSpoiledRecords flips bits in every record; all that Load takes must be
// told from the original by its digest.
func TestSpoiledRecords(t *testing.T) {
	w, err := newWorld(7)
	if err != nil {
		t.Fatalf("world: got %v, want no error", err)
	}
	for w.twin.lastSession < 9 || len(w.twin.claims()) < 6 {
		if err := w.step(); err != nil {
			t.Fatalf("step: got %v, want no error", err)
		}
	}
	var all Records
	w.a.All(all.Set)
	want, refused, newer := w.a.Digest(), 0, 0
	for i := range all.Len() {
		key, value := all.At(i)
		for bit := range 8 * len(value) {
			bad := bytes.Clone(value)
			bad[bit/8] ^= 1 << (bit % 8)
			var sum uint64
			for j := range all.Len() {
				k, v := all.At(j)
				if i == j {
					v = bad
				}
				sum += RecordHash(k, v)
			}
			if sum == want {
				t.Fatalf("record %x bit %d: digest unchanged", key, bit)
			}
			err := loadSpoiled(t, &all, i, key, bad)
			switch {
			case errors.Is(err, ErrTooNew):
				newer++
			case err != nil:
				refused++
			}
		}
	}
	t.Logf("%d records: %d flips refused by Load, %d taken for a later version",
		all.Len(), refused, newer)
	if refused < 500 || newer == 0 {
		t.Errorf("got %d flips refused and %d newer, want at least 500 and 1", refused, newer)
	}
}

// TestSlotOrder: a gap or a step back is a broken invariant.
func TestSlotOrder(t *testing.T) {
	for _, slot := range []uint64{0, 2, 7} {
		a, _ := twoMachines(t)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("slot %d on a new machine: got no panic", slot)
				}
			}()
			_ = a.Apply(slot, nil, &Outcome{})
		}()
	}
}

package lockfsm

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// written applies one write and returns its result.
func written(t *testing.T, m *Machine, name string, version uint64, value string) Result {
	t.Helper()
	var b BatchBuilder
	b.Append(&Command{Op: OpWrite, Token: Token(version), Name: []byte(name), Value: []byte(value)})
	var out Outcome
	if err := m.Apply(m.Applied()+1, b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if ok := out.Results[0].Code == CodeOK; ok != (len(out.Events) == 1) {
		t.Errorf("write %q: got %d events with code %v", name, len(out.Events), out.Results[0].Code)
	}
	return out.Results[0]
}

// Of two writers that read the same version one is refused.
func TestRegisterComparesVersions(t *testing.T) {
	m := newMachine(t)
	if r := written(t, m, "a", 0, "one"); r.Code != CodeOK || r.Token != 1 {
		t.Fatalf("first write: got %v version %d, want ok 1", r.Code, r.Token)
	}
	if r := written(t, m, "a", 0, "two"); r.Code != CodeConflict || r.Token != 1 {
		t.Fatalf("write of an old version: got %v version %d, want conflict 1", r.Code, r.Token)
	}
	if r := written(t, m, "a", 1, "two"); r.Code != CodeOK || r.Token != 3 {
		t.Fatalf("write of the version in force: got %v version %d, want ok 3", r.Code, r.Token)
	}
	if v, version := m.Register("a"); string(v) != "two" || version != 3 {
		t.Errorf("register: got %q version %d, want two 3", v, version)
	}
}

// What writes a register, and what is no batch, is more than the machine's concern.
func TestPlain(t *testing.T) {
	m := newMachine(t)
	var lock, both, none BatchBuilder
	lock.Append(&Command{Op: OpRelease, Session: 1, Token: 1, Name: []byte("a")})
	both.Append(&Command{Op: OpRelease, Session: 1, Token: 1, Name: []byte("a")})
	both.Append(&Command{Op: OpWrite, Token: 1, Name: []byte("a"), Value: []byte{1}})
	none.Tick(0, nil)
	for _, c := range []struct {
		name  string
		value []byte
		want  bool
	}{
		{"empty", nil, true}, {"a step of time", none.Bytes(), true}, {"a release", lock.Bytes(), true},
		{"a write behind it", both.Bytes(), false}, {"garbage", []byte{255, 255}, false},
		{"a release cut short", lock.Bytes()[:len(lock.Bytes())-1], false},
	} {
		if got := m.Plain(c.value); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}

// Two writes of one slot would leave one version for two values.
func TestRegisterIsWrittenOnceASlot(t *testing.T) {
	m := newMachine(t)
	var b BatchBuilder
	for _, v := range []uint64{0, 1} {
		b.Append(&Command{Op: OpWrite, Token: Token(v), Name: []byte("a"), Value: []byte{byte(v)}})
	}
	var out Outcome
	if err := m.Apply(1, b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if got := out.Results[1].Code; got != CodeConflict {
		t.Errorf("second write of a slot: got %v, want conflict", got)
	}
}

func TestRegisterBounds(t *testing.T) {
	m := newMachine(t)
	long := string(make([]byte, MaxRegisterBytes+1))
	if r := written(t, m, "a", 0, long); r.Code != CodeBadRequest {
		t.Errorf("a value too long: got %v", r.Code)
	}
	if r := written(t, m, "", 0, "x"); r.Code != CodeBadName {
		t.Errorf("no name: got %v", r.Code)
	}
	if r := written(t, m, string(make([]byte, 65)), 0, "x"); r.Code != CodeNameTooLong {
		t.Errorf("a name too long: got %v", r.Code)
	}
	for i := range maxRegisters {
		written(t, m, fmt.Sprintf("r%02d", i), 0, "x")
	}
	if r := written(t, m, "one more", 0, "x"); r.Code != CodeTooManyRegisters {
		t.Errorf("one too many: got %v", r.Code)
	}
}

// Registers come back from records, whole and as changes.
func TestRegistersAreStored(t *testing.T) {
	m := newMachine(t)
	written(t, m, "b", 0, "one")
	written(t, m, "a", 0, "")
	stored := map[string][]byte{}
	save := func(key, value []byte) { stored[string(key)] = bytes.Clone(value) }
	m.Dirty(save)
	written(t, m, "b", 1, "two")
	changes := 0
	m.Dirty(func(key, value []byte) {
		if key[0] == keyRegister {
			changes++
		}
		save(key, value)
	})
	if changes != 1 {
		t.Errorf("changed registers: got %d, want 1", changes)
	}
	back, err := reload(t, stored)
	if err != nil {
		t.Fatal(err)
	}
	if back.Digest() != m.Digest() {
		t.Error("digests differ after a load")
	}
	if v, version := back.Register("b"); string(v) != "two" || version != 3 {
		t.Errorf("register: got %q version %d, want two 3", v, version)
	}
	delete(stored, "\x04a")
	if _, err := reload(t, stored); !errors.Is(err, ErrDamaged) {
		t.Errorf("a register is missing: got %v, want ErrDamaged", err)
	}
}

func newMachine(t *testing.T) *Machine {
	t.Helper()
	m, err := New(DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// reload makes a machine from stored records.
func reload(t *testing.T, stored map[string][]byte) (*Machine, error) {
	t.Helper()
	m := newMachine(t)
	for _, key := range slices.Sorted(maps.Keys(stored)) {
		if err := m.Load([]byte(key), stored[key]); err != nil {
			return nil, err
		}
	}
	return m, m.Loaded()
}

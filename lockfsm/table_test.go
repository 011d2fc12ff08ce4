package lockfsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"
)

// TestModes checks the matrix cell by cell against the one of the VMS lock
// manager.
func TestModes(t *testing.T) {
	const matrix = `
	   NL CR CW PR PW EX
	NL  y  y  y  y  y  y
	CR  y  y  y  y  y  n
	CW  y  y  y  n  n  n
	PR  y  y  n  y  n  n
	PW  y  y  n  n  n  n
	EX  y  n  n  n  n  n`
	rows := strings.Split(strings.TrimSpace(matrix), "\n")[1:]
	for m, row := range rows {
		for o, cell := range strings.Fields(row)[1:] {
			if got, want := Mode(m).Compatible(Mode(o)), cell == "y"; got != want {
				t.Errorf("%v beside %v: got %t, want %t", Mode(m), Mode(o), got, want)
			}
		}
	}
	if Mode(6).Valid() || !ModeEX.Valid() {
		t.Errorf("valid: got %t for 6 and %t for EX", Mode(6).Valid(), ModeEX.Valid())
	}
}

// TestTable compares a table with a map under churn, with few distinct hashes
// so that runs are long and go on behind the last home, while it grows.
func TestTable(t *testing.T) {
	for seed := uint64(1); seed <= 24; seed++ {
		rng := rand.New(rand.NewPCG(seed, 3))
		spread := 4 + rng.IntN(16) // bits
		var tab table
		have := map[ref]uint32{}
		var live []ref
		for i := range 1500 {
			if len(live) > 0 && rng.IntN(10) < int(seed%8) {
				k := rng.IntN(len(live))
				r := live[k]
				live[k] = live[len(live)-1]
				live = live[:len(live)-1]
				tab.remove(have[r], r)
				delete(have, r)
			} else {
				r, h := ref(i+1), rng.Uint32()>>(32-spread)<<(32-spread)
				if rng.IntN(50) == 0 {
					h = ^uint32(0) // the last home of all
				}
				tab.insert(h, r)
				have[r] = h
				live = append(live, r)
			}
			if i%100 == 0 {
				checkTable(t, &tab, have)
			}
		}
		checkTable(t, &tab, have)
	}
}

// TestTableGrowsGently fills a table and checks at every size that its slots are
// well used, the old table's included, and that what is left of the old table
// does not fill up while it is emptied.
func TestTableGrowsGently(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 3))
	var tab table
	for n := 1; n <= 100_000; n++ {
		tab.insert(rng.Uint32(), ref(n))
		if n < growGently {
			continue
		}
		// Two chunks are begun at the cursor, one goes on behind the last home.
		got, most := tab.memoryBytes(), uint64((n*10/6+3*tableChunk)*slotBytes)
		if got > most {
			t.Fatalf("%d entries: got %d bytes of slots, want at most %d", n, got, most)
		}
		if old := &tab.old; old.size > 0 && n%64 == 0 {
			left := 0
			for i := tab.cursor; i < old.size; i++ {
				if old.at(i).ref != 0 {
					left++
				}
			}
			if full := int(old.size-tab.cursor) * 19 / 20; left > full+tableChunk {
				t.Fatalf("%d entries: got %d in what is left of the old table, want at most %d",
					n, left, full)
			}
		}
	}
}

func checkTable(t *testing.T, tab *table, have map[ref]uint32) {
	t.Helper()
	if tab.n != len(have) {
		t.Fatalf("entries: got %d, want %d", tab.n, len(have))
	}
	for r, h := range have {
		found := 0
		p := tab.probe(h)
		for c := p.next(); c != 0; c = p.next() {
			if c == r {
				found++
			}
		}
		if found != 1 {
			t.Fatalf("entry %d with hash %#x: got %d, want found once", r, h, found)
		}
	}
}

// TestNames stores names of every length and gives them back.
func TestNames(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	var s nameStore
	have := map[nameRef][]byte{}
	for range 20_000 {
		if len(have) > 500 {
			for r, name := range have { // order: any one will do
				s.drop(r, len(name))
				delete(have, r)
				break
			}
		}
		name := bytes.Repeat([]byte{byte(rng.Uint32())}, 1+rng.IntN(maxNameBytes))
		r := s.put(name)
		if have[r] != nil {
			t.Fatalf("block %d: got it twice", r)
		}
		have[r] = name
	}
	for r, name := range have {
		if got := s.block(r, len(name)); !bytes.Equal(got, name) {
			t.Fatalf("name at %d: got %x, want %x", r, got, name)
		}
	}
	if got, most := len(s.chunks), 24; got > most {
		t.Errorf("chunks for 501 names under churn: got %d, want at most %d", got, most)
	}
}

// TestEntrySizes holds the declared sizes to the real ones.
func TestEntrySizes(t *testing.T) {
	for _, c := range []struct {
		name string
		got  uintptr
		want uintptr
	}{
		{"lock", unsafe.Sizeof(lock{}), lockBytes}, {"claim", unsafe.Sizeof(claim{}), claimBytes},
		{"session", unsafe.Sizeof(session{}), sessionBytes},
		{"due", unsafe.Sizeof(due{}), heapBytes},
		{"slot", unsafe.Sizeof(slot{}), slotBytes},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d bytes, want %d", c.name, c.got, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	l := DefaultLimits()
	if _, err := New(l); err != nil {
		t.Errorf("default limits: got %v, want no error", err)
	}
	t.Logf("default limits bound a group to %d MiB", l.MemoryBytes()>>20)
	for name, spoil := range map[string]func(*Limits){
		"HoldersPerLock": func(l *Limits) { l.HoldersPerLock = 1 << 16 },
		"TickCap":        func(l *Limits) { l.TickCap = l.LeaseMin + 1 },
		"LeaseMin":       func(l *Limits) { l.LeaseMin = l.LeaseMax + 1 },
		"NameBytes":      func(l *Limits) { l.NameBytes = 513 },
		"Detached":       func(l *Limits) { l.Detached = l.Claims + 1 },
	} {
		bad := DefaultLimits()
		spoil(&bad)
		if _, err := New(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want it named", name, err)
		}
	}
}

// TestNamesPage compares pages of names with a sorted list.
func TestNamesPage(t *testing.T) {
	b := newBench(t, DefaultLimits())
	for i := range 300 {
		b.acquire(RequestID(i+1), fmt.Appendf(nil, "%c/%03d", 'a'+byte(i%3), i*7%300), ModeEX)
	}
	var all []string
	for after, more := []byte(nil), true; more; more = after != nil {
		var page [][]byte
		page, after = searched(b.m, "b/", string(after), 7)
		for _, n := range page {
			all = append(all, string(n))
		}
	}
	if len(all) != 100 || all[0] > all[1] || all[0][:2] != "b/" {
		t.Fatalf("pages: got %d names from %q, want 100", len(all), all[:2])
	}
	for i := 1; i < len(all); i++ {
		if all[i-1] >= all[i] {
			t.Errorf("names: got %q before %q", all[i-1], all[i])
		}
	}
}

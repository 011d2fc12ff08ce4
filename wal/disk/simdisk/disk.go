package simdisk

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"lockd/wal/disk"
)

// SectorBytes is the unit that is written whole or not at all.
const SectorBytes = 512

// Errors besides those of package disk. A planned Fault gives the error it
// names.
var (
	// ErrCut is what every call gives after the power went or the directory
	// was unmounted.
	ErrCut = errors.New("simdisk: power is off")

	// ErrNoSpace means that the capacity is used up.
	ErrNoSpace = errors.New("simdisk: no space left")

	// ErrIO is a fault of the device.
	ErrIO = errors.New("simdisk: input/output error")
)

// Draw returns a number from 0 to n−1. Requires: n > 0.
type Draw func(n int) int

// Disk is the durable thing. It belongs to one goroutine.
type Disk struct {
	draw Draw
	// names is what the running system sees; durable what a power cut leaves
	// if no unsynced change happened; changes are the unsynced ones in order.
	names, durable map[string]*file
	changes        []change
	// mounted is the Dir in use, nil if none.
	mounted *Dir
	// capacity bounds the sum of file sizes in bytes; zero means no bound.
	capacity int64
	ops      int
	faults   map[int]Fault
	// lying is set by Lie.
	lying bool
}

// change is one change of a name.
type change struct {
	kind     changeKind
	from, to string
	file     *file
}

type changeKind uint8

const (
	changeCreate changeKind = iota
	changeRename
	changeRemove
)

// Fault says how a planned operation fails.
type Fault struct {
	// Err is what the call returns. ErrCut turns the power off.
	Err error
	// Effect says how much of the operation happens before it fails.
	Effect Effect
}

// Effect is how much of a failing operation happens.
type Effect uint8

const (
	// EffectNone leaves everything as it was.
	EffectNone Effect = iota
	// EffectPart writes a part of the data, cut at a sector that is drawn. Other
	// operations treat it like EffectNone.
	EffectPart
	// EffectAll does all of the operation and then reports failure.
	EffectAll
)

// New returns an empty disk.
func New(draw Draw) *Disk {
	return &Disk{
		draw:    draw,
		names:   map[string]*file{},
		durable: map[string]*file{},
		faults:  map[int]Fault{},
	}
}

// Clone returns an independent copy, unmounted, with the same content and
// unsynced state but no planned faults. It chooses with draw.
func (d *Disk) Clone(draw Draw) *Disk {
	c := New(draw)
	c.capacity, c.ops = d.capacity, d.ops
	copies := map[*file]*file{}
	twin := func(f *file) *file {
		if f == nil {
			return nil
		}
		if copies[f] == nil {
			copies[f] = f.clone()
		}
		return copies[f]
	}
	for name, f := range d.names { // order: fills a map
		c.names[name] = twin(f)
	}
	for name, f := range d.durable { // order: fills a map
		c.durable[name] = twin(f)
	}
	for _, ch := range d.changes {
		ch.file = twin(ch.file)
		c.changes = append(c.changes, ch)
	}
	return c
}

// Mount opens the directory. It gives disk.ErrLocked while it is mounted.
func (d *Disk) Mount() (*Dir, error) {
	if d.mounted != nil {
		return nil, fmt.Errorf("%w: simulated directory", disk.ErrLocked)
	}
	d.mounted = &Dir{disk: d}
	return d.mounted, nil
}

// Unmount ends the process that has the directory, without a power cut: what
// it wrote and did not sync is still visible to the next one.
func (d *Disk) Unmount() {
	if d.mounted != nil {
		d.mounted.disk = nil
		d.mounted = nil
	}
}

// PowerCut ends the process that has the directory and settles what was not
// synced.
func (d *Disk) PowerCut() {
	d.Unmount()
	d.lying = false
	for _, name := range sortedNames(d.names) {
		d.names[name].settle(d.draw)
	}
	for _, name := range sortedNames(d.durable) {
		d.durable[name].settle(d.draw)
	}
	for _, ch := range d.changes {
		if d.draw(2) == 0 {
			ch.apply(d.durable)
		}
	}
	d.changes = nil
	d.names = map[string]*file{}
	for name, f := range d.durable { // order: fills a map
		d.names[name] = f
	}
}

// Lie makes every sync from now on report success and do nothing, as a device
// does that keeps its cache to itself. It ends with the next power cut.
func (d *Disk) Lie() { d.lying = true }

// Ops is the number of operations so far.
func (d *Disk) Ops() int { return d.ops }

// Plan makes operation number op fail. It replaces an earlier plan for op.
func (d *Disk) Plan(op int, f Fault) { d.faults[op] = f }

// SetCapacity bounds the sum of file sizes. Zero means no bound.
func (d *Disk) SetCapacity(bytes int64) { d.capacity = bytes }

// used is the sum of file sizes.
func (d *Disk) used() int64 {
	var sum int64
	for _, f := range d.names { // order: a sum
		sum += int64(len(f.data))
	}
	return sum
}

// Names returns the visible names, sorted.
func (d *Disk) Names() []string { return sortedNames(d.names) }

// Content returns the visible bytes of a file, nil if there is none. They
// belong to the disk; changing them is damage.
func (d *Disk) Content(name string) []byte {
	if f := d.names[name]; f != nil {
		return f.data
	}
	return nil
}

// Put stores a durable file, replacing what bore the name.
func (d *Disk) Put(name string, data []byte) {
	f := &file{data: slices.Clone(data)}
	d.names[name], d.durable[name] = f, f
}

// Lose makes a name vanish for good, as a damaged directory would: no change of a
// name that is not durable yet brings back a file that bears it or did. Such a file
// that has another name now keeps that, durably.
func (d *Disk) Lose(name string) {
	bore := map[*file]bool{d.names[name]: true, d.durable[name]: true}
	for _, c := range d.changes {
		if c.from == name || c.to == name {
			bore[c.file] = true
		}
	}
	delete(bore, nil)
	delete(d.names, name)
	d.changes = slices.DeleteFunc(d.changes, func(c change) bool { return bore[c.file] })
	maps.DeleteFunc(d.durable, func(at string, f *file) bool { return at == name || bore[f] })
	for at, f := range d.names { // order: fills a map
		if bore[f] {
			d.durable[at] = f
		}
	}
}

// Empty makes every file vanish for good, also one whose name is durable and not
// visible any more: no power cut brings it back.
func (d *Disk) Empty() {
	d.changes = nil
	clear(d.names)
	clear(d.durable)
}

// FlipBit damages one bit of a file. Bits count from the lowest of byte 0.
func (d *Disk) FlipBit(name string, bit int64) {
	d.names[name].data[bit/8] ^= 1 << (bit % 8)
}

// ZeroSector clears one sector of a file.
func (d *Disk) ZeroSector(name string, sector int64) {
	clear(d.names[name].sector(sector))
}

// GarbleSector fills one sector of a file with drawn bytes.
func (d *Disk) GarbleSector(name string, sector int64) {
	garble(d.names[name].sector(sector), d.draw)
}

// Place is a run of bytes of a file.
type Place struct {
	Name  string
	Off   int64
	Bytes int64
}

// Misplace copies the bytes of one place over those that begin at another, cut
// at the end of that file, as a misdirected write would.
func (d *Disk) Misplace(from Place, to Place) {
	src := slices.Clone(d.names[from.Name].data[from.Off : from.Off+from.Bytes])
	copy(d.names[to.Name].data[to.Off:], src)
}

// apply makes the change in names, if what it depends on is there.
func (c *change) apply(names map[string]*file) {
	switch c.kind {
	case changeCreate:
		names[c.to] = c.file
	case changeRename:
		if names[c.from] == c.file {
			delete(names, c.from)
			names[c.to] = c.file
		}
	case changeRemove:
		if names[c.from] == c.file {
			delete(names, c.from)
		}
	default:
		panic(fmt.Sprintf("simdisk: unknown change: have %d", c.kind))
	}
}

// sortedNames returns the keys of names, sorted.
func sortedNames(names map[string]*file) []string {
	list := make([]string, 0, len(names))
	for name := range names { // order: sorted below
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

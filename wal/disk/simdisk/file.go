package simdisk

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"lockd/wal/disk"
)

// file is the content behind a name.
type file struct {
	// data is what the running system reads; unsynced is what it held before each
	// write since the last sync, in their order.
	data     []byte
	unsynced []overwritten
	// idle are spent buffers of unsynced.
	idle [][]byte
}

// overwritten is what stood in whole sectors, the first of which is sector.
type overwritten struct {
	sector int64
	bytes  []byte
}

// clone returns an independent copy.
func (f *file) clone() *file {
	c := &file{data: slices.Clone(f.data)}
	for _, o := range f.unsynced {
		c.unsynced = append(c.unsynced, overwritten{o.sector, slices.Clone(o.bytes)})
	}
	return c
}

// sector returns the bytes of sector n; fewer at the end of the file.
func (f *file) sector(n int64) []byte {
	return f.data[n*SectorBytes : min((n+1)*SectorBytes, int64(len(f.data)))]
}

// write puts p at off and remembers what it covers.
func (f *file) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	var b []byte
	if k := len(f.idle); k > 0 {
		b, f.idle = f.idle[k-1], f.idle[:k-1]
	}
	first, end := off/SectorBytes, (off+int64(len(p))+SectorBytes-1)/SectorBytes
	b = append(b[:0], f.data[first*SectorBytes:min(end*SectorBytes, int64(len(f.data)))]...)
	f.unsynced = append(f.unsynced, overwritten{first, b})
	copy(f.data[off:], p)
}

// sync makes everything written durable.
func (f *file) sync() {
	for i := range f.unsynced {
		f.idle = append(f.idle, f.unsynced[i].bytes)
	}
	clear(f.unsynced)
	f.unsynced = f.unsynced[:0]
}

// synced returns what each unsynced sector held at the last sync.
func (f *file) synced() map[int64][]byte {
	held := make(map[int64][]byte)
	for _, o := range slices.Backward(f.unsynced) { // the oldest counts
		for n, rest := o.sector, o.bytes; len(rest) > 0; n++ {
			k := min(SectorBytes, len(rest))
			held[n], rest = rest[:k], rest[k:]
		}
	}
	return held
}

// settle decides what became of each unsynced sector.
func (f *file) settle(draw Draw) {
	held := f.synced()
	for _, n := range slices.Sorted(maps.Keys(held)) {
		switch draw(3) {
		case 0: // survived
		case 1:
			copy(f.sector(n), held[n])
		default:
			garble(f.sector(n), draw)
		}
	}
	f.sync()
}

// garble fills b with drawn bytes.
func garble(b []byte, draw Draw) {
	for i := range b {
		b[i] = byte(draw(256))
	}
}

// Dir is a mounted Disk. It implements disk.Dir and belongs to the goroutine
// of its Disk.
type Dir struct {
	// disk is nil once the process has ended.
	disk *Disk
}

// begin counts an operation and returns the fault planned for it.
func (d *Dir) begin() (*Disk, Fault, error) {
	if d.disk == nil {
		return nil, Fault{}, ErrCut
	}
	s := d.disk
	s.ops++
	f, planned := s.faults[s.ops]
	if !planned {
		return s, Fault{Effect: EffectAll}, nil
	}
	if f.Err == ErrCut {
		// The process is gone; its disk waits for PowerCut.
		s.Unmount()
	}
	return s, f, nil
}

// name makes a change of names unless the fault prevents it.
func (d *Dir) name(ch change, f Fault, s *Disk) error {
	if f.Effect == EffectAll {
		ch.apply(s.names)
		s.changes = append(s.changes, ch)
	}
	return f.Err
}

// Create implements disk.Dir.
func (d *Dir) Create(name string, sizeBytes int64) (disk.File, error) {
	s, f, err := d.begin()
	if err != nil {
		return nil, err
	}
	if s.names[name] != nil {
		return nil, fmt.Errorf("simdisk: create %s: exists", name)
	}
	if s.capacity > 0 && s.used()+sizeBytes > s.capacity {
		return nil, fmt.Errorf("simdisk: create %s: %w", name, ErrNoSpace)
	}
	if f.Effect == EffectPart {
		sizeBytes = int64(s.draw(int(sizeBytes) + 1))
	}
	made := &file{data: make([]byte, sizeBytes)}
	if f.Effect == EffectPart {
		f.Effect = EffectAll
	}
	if err := d.name(change{kind: changeCreate, to: name, file: made}, f, s); err != nil {
		return nil, err
	}
	return &handle{dir: d, file: made}, nil
}

// Open implements disk.Dir.
func (d *Dir) Open(name string) (disk.File, error) {
	s, f, err := d.begin()
	if err != nil {
		return nil, err
	}
	if f.Err != nil {
		return nil, f.Err
	}
	if s.names[name] == nil {
		return nil, fmt.Errorf("simdisk: open %s: %w", name, disk.ErrNotExist)
	}
	return &handle{dir: d, file: s.names[name]}, nil
}

// Rename implements disk.Dir.
func (d *Dir) Rename(from, to string) error {
	s, f, err := d.begin()
	if err != nil {
		return err
	}
	moved := s.names[from]
	if moved == nil {
		return fmt.Errorf("simdisk: rename %s: %w", from, disk.ErrNotExist)
	}
	return d.name(change{kind: changeRename, from: from, to: to, file: moved}, f, s)
}

// Remove implements disk.Dir.
func (d *Dir) Remove(name string) error {
	s, f, err := d.begin()
	if err != nil {
		return err
	}
	gone := s.names[name]
	if gone == nil {
		return fmt.Errorf("simdisk: remove %s: %w", name, disk.ErrNotExist)
	}
	return d.name(change{kind: changeRemove, from: name, file: gone}, f, s)
}

// List implements disk.Dir.
func (d *Dir) List() ([]string, error) {
	s, f, err := d.begin()
	if err != nil {
		return nil, err
	}
	return s.Names(), f.Err
}

// Sync implements disk.Dir.
func (d *Dir) Sync() error {
	s, f, err := d.begin()
	if err != nil {
		return err
	}
	if f.Effect == EffectAll && !s.lying {
		for i := range s.changes {
			s.changes[i].apply(s.durable)
		}
		s.changes = s.changes[:0]
	}
	return f.Err
}

// handle is an open file.
type handle struct {
	dir  *Dir
	file *file
	// closed is set by Close.
	closed bool
}

// begin counts an operation on the file.
func (h *handle) begin() (*Disk, Fault, error) {
	if h.closed {
		return nil, Fault{}, disk.ErrClosed
	}
	return h.dir.begin()
}

// WriteAt implements disk.File. Like the real one it wants aligned data, in
// files whose size allows it.
func (h *handle) WriteAt(bufs [][]byte, off int64) error {
	s, f, err := h.begin()
	if err != nil {
		return err
	}
	size := int64(len(h.file.data))
	total := int64(0)
	for _, b := range bufs {
		total += int64(len(b))
	}
	if off < 0 || off+total > size {
		panic(fmt.Sprintf("simdisk: write past the end: have %d+%d, size %d", off, total, size))
	}
	if size%disk.AlignBytes == 0 && (off|total)%disk.AlignBytes != 0 {
		panic(fmt.Sprintf("simdisk: unaligned write: have %d bytes at %d", total, off))
	}
	switch f.Effect {
	case EffectNone:
		total = 0
	case EffectPart:
		total = SectorBytes * int64(s.draw(int(total/SectorBytes)+1))
	case EffectAll:
	}
	for _, b := range bufs {
		b = b[:min(int64(len(b)), total)]
		h.file.write(b, off)
		off += int64(len(b))
		total -= int64(len(b))
	}
	return f.Err
}

// ReadAt implements disk.File.
func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	_, f, err := h.begin()
	if err != nil {
		return 0, err
	}
	if f.Err != nil {
		return 0, f.Err
	}
	if off >= int64(len(h.file.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.file.data[off:])
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// Sync implements disk.File.
func (h *handle) Sync() error {
	s, f, err := h.begin()
	if err != nil {
		return err
	}
	switch {
	case s.lying && f.Err == nil:
	case f.Effect == EffectAll:
		h.file.sync()
	case f.Err != ErrCut:
		h.file.settle(s.draw)
	}
	return f.Err
}

// Size implements disk.File.
func (h *handle) Size() (int64, error) {
	_, f, err := h.begin()
	if err != nil {
		return 0, err
	}
	return int64(len(h.file.data)), f.Err
}

// Close implements disk.File.
func (h *handle) Close() error {
	if h.closed {
		return disk.ErrClosed
	}
	h.closed = true
	return nil
}

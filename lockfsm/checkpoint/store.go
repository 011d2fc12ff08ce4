package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"lockd/lockfsm"
)

// ErrDamaged means that a checkpoint is not what was saved. The node stops; an
// operator rebuilds it from its peers.
var ErrDamaged = lockfsm.ErrDamaged

// ErrTooNew means that the store was written by a later version. It is not
// damage; run a newer binary.
var ErrTooNew = lockfsm.ErrTooNew

// ErrOldSlot means that a checkpoint or snapshot is behind the one stored.
// Nothing was changed.
var ErrOldSlot = errors.New("checkpoint: slot is behind the stored checkpoint")

// Batch is a set of changed records: fill one with Machine.Dirty.
type Batch = lockfsm.Records

// storeFormat is the version of everything in this package's own records.
const storeFormat = 1

// pebbleFormat is named, not "newest", because it only goes up: raising it rules
// out a downgrade and is a decision. From this one on Pebble's log tells a torn
// end from damage and table footers have checksums.
const pebbleFormat = pebble.FormatTableFormatV6

// blockBytes is how much is read, checked and unpacked at a time. A restart reads
// all there is and so wants large blocks; a save that replaces a few records of
// many reads a block for each of them.
const blockBytes = 16 << 10

const (
	keyFormat = 0x00
	keyGroup  = 0x01
	keyRecord = 0x02
	keyStage  = 0x03

	recordPrefixBytes = 11
	markerBytes       = 33
)

// marker says which checkpoint of a group is valid.
type marker struct {
	slot       uint64
	generation uint64
	records    uint64
	hash       uint64
}

// Store holds the checkpoints of a node.
type Store struct {
	db      *pebble.DB
	cache   *pebble.Cache
	health  io.Closer
	damaged atomic.Bool // set by Pebble's goroutines, read by all
	buffers atomic.Uint64
	pace    pace
	// stageSyncBytes is stageSyncBytes, and less in tests.
	stageSyncBytes int

	mu struct {
		sync.Mutex
		groups map[uint16]marker
		stages map[uint16]stage
		// doubted are the groups whose last Save failed: what the next one adds
		// may be there.
		doubted map[uint16]bool
		// generations is the last generation used of each group, by installs
		// that did not end too.
		generations map[uint16]uint64
	}
}

// Open opens the store in dir and makes it if there is none. It fails with
// ErrDamaged or ErrTooNew, or an error of the disk.
func Open(dir string, opts Options) (*Store, error) {
	return open(vfs.Default, dir, opts)
}

func open(fs vfs.FS, dir string, opts Options) (*Store, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := &Store{cache: pebble.NewCache(opts.CacheBytes), stageSyncBytes: stageSyncBytes}
	s.mu.groups = map[uint16]marker{}
	s.mu.stages = map[uint16]stage{}
	s.mu.doubted = map[uint16]bool{}
	s.mu.generations = map[uint16]uint64{}
	s.pace.retry = opts.Retry
	events := s.listener(&opts)
	fs, s.health = vfs.WithDiskHealthChecks(fs, opts.DiskSlow, nil,
		func(info vfs.DiskSlowInfo) { events.DiskSlow(info) })
	opening := new(atomic.Bool)
	po := &pebble.Options{
		FS:                 orderedFS{fs, opts.Fatal, &s.pace, opening},
		Cache:              s.cache,
		MemTableSize:       opts.MemTableBytes,
		FormatMajorVersion: pebbleFormat,
		Logger:             logger{opts.Fatal},
		EventListener:      events,
	}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		po.Levels[i].BlockSize = blockBytes
	}
	opening.Store(true)
	db, err := pebble.Open(dir, po)
	opening.Store(false)
	if err != nil {
		s.cache.Unref()
		if errors.Is(err, iofs.ErrNotExist) {
			// What Open does not find it makes, but for what its manifest names.
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, errors.Join(fmt.Errorf("checkpoint: open %s: %w", dir, s.judge(err)),
			s.health.Close())
	}
	s.db = db
	if err := s.readMarkers(); err != nil {
		return nil, errors.Join(fmt.Errorf("checkpoint: open %s: %w", dir, err), s.Close())
	}
	s.noteBuffers()
	return s, nil
}

// Close closes the store. Requires: no Snapshot or Installer is in use.
func (s *Store) Close() error {
	err := s.db.Close()
	s.cache.Unref()
	return errors.Join(err, s.health.Close())
}

// BufferBytes is what the write buffers and the cache took when something was last
// written, or read as a whole. They grow to the bounds that Options give, whatever is
// stored. It waits for nobody: Pebble knows better, and keeps its lock while a disk that
// stands still is to take the end of a log.
func (s *Store) BufferBytes() uint64 { return s.buffers.Load() }

// noteBuffers is for those who wait for the disk anyway.
func (s *Store) noteBuffers() {
	m := s.db.Metrics()
	s.buffers.Store(m.MemTable.Size + m.MemTable.ZombieSize + uint64(max(0, m.BlockCache.Size)))
}

// judge marks an error of Pebble that means damage.
func (s *Store) judge(err error) error {
	if err != nil && pebble.IsCorruptionError(err) && !errors.Is(err, ErrDamaged) {
		s.damaged.Store(true)
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

func (s *Store) usable() error {
	if s.damaged.Load() {
		return fmt.Errorf("%w: reported earlier", ErrDamaged)
	}
	return nil
}

func (s *Store) marker(group uint16) marker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.groups[group]
}

func (s *Store) setMarker(group uint16, mk marker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.groups[group] = mk
	s.mu.generations[group] = max(s.mu.generations[group], mk.generation)
}

// nextGeneration returns a generation of group that was never used before.
func (s *Store) nextGeneration(group uint16) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.generations[group]++
	return s.mu.generations[group]
}

// GroupInfo describes the checkpoint of one group.
type GroupInfo struct {
	Group   uint16
	Slot    uint64
	Records uint64
}

// Groups lists the groups that have a checkpoint, by number.
func (s *Store) Groups() []GroupInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []GroupInfo
	for g, mk := range s.mu.groups {
		all = append(all, GroupInfo{g, mk.slot, mk.records})
	}
	slices.SortFunc(all, func(a, b GroupInfo) int { return int(a.Group) - int(b.Group) })
	return all
}

// Save changes the checkpoint of a group to slot by the records in b: all that
// changed since the one before (a group's first Save has all there is), those
// that Add put in being new to it. It is durable when Save returns; a crash
// leaves the old or the new one. It fails with ErrOldSlot, ErrDamaged or an error
// of the disk, after which the records that Dirty handed out are lost to the
// store and the node must stop, or save them again.
func (s *Store) Save(group uint16, slot uint64, b *Batch) error {
	if err := s.usable(); err != nil {
		return err
	}
	mk := s.marker(group)
	if slot < mk.slot {
		return fmt.Errorf("%w: group %d: have %d, got %d", ErrOldSlot, group, mk.slot, slot)
	}
	if mk.generation == 0 {
		mk.generation = s.nextGeneration(group)
	}
	mk.slot = slot
	pb := s.db.NewBatch()
	doubted := s.doubt(group)
	if err := s.replaceAll(pb, group, &mk, changes{b, doubted}); err != nil {
		return fmt.Errorf("checkpoint: save group %d: %w", group, errors.Join(err, pb.Close()))
	}
	if err := s.commit(pb, group, mk); err != nil {
		return fmt.Errorf("checkpoint: save group %d: %w", group, err)
	}
	s.trust(group)
	return nil
}

// doubt has the next Save of a group look before it adds, and reports whether
// this one must.
func (s *Store) doubt(group uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.mu.doubted[group]
	s.mu.doubted[group] = true
	return was
}

// trust ends the doubt, after a Save that succeeded.
func (s *Store) trust(group uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.doubted, group)
}

// changes are the records of a Save.
type changes struct {
	*Batch
	// doubted says that those which are added may be there.
	doubted bool
}

// Drop removes the checkpoint of a group, and what has arrived of a snapshot. It
// is durable when Drop returns; a crash leaves all or nothing.
func (s *Store) Drop(group uint16) error {
	if err := s.usable(); err != nil {
		return err
	}
	mk := s.marker(group)
	_, arrives := s.staged(group)
	if mk.generation == 0 && !arrives {
		return nil
	}
	pb := s.db.NewBatch()
	err := errors.Join(pb.Delete(groupKey(group), nil), pb.Delete(stageKey(group), nil),
		pb.DeleteRange(recordKey(nil, group, 0), recordKey(nil, group, ^uint64(0)), nil))
	if err != nil {
		return fmt.Errorf("checkpoint: drop group %d: %w", group, errors.Join(err, pb.Close()))
	}
	if err := pb.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("checkpoint: drop group %d: %w", group, s.judge(err))
	}
	s.mu.Lock()
	delete(s.mu.groups, group)
	delete(s.mu.stages, group)
	s.mu.Unlock()
	return pb.Close()
}

// replaceAll puts the records and deletions of b into pb and keeps count and
// hash right, which takes a look at each record that is replaced. The keys
// ascend, so one iterator goes forward over the group and reads no block twice;
// to look up each key by itself reads a block for most of those that are new.
// For those that are known to be new nothing is read.
func (s *Store) replaceAll(pb *pebble.Batch, group uint16, mk *marker, b changes) error {
	it, err := s.records(s.db, group, mk.generation)
	if err != nil {
		return s.judge(err)
	}
	prefix := recordKey(nil, group, mk.generation)
	var full []byte
	for i := range b.Len() {
		key, value := b.At(i)
		full = append(append(full[:0], prefix...), key...)
		var old record
		if b.doubted || !b.Adds(i) {
			old, err = look(it, full)
		}
		if err == nil {
			err = replace(pb, mk, full, old, value)
		}
		if err != nil {
			break
		}
	}
	return errors.Join(s.judge(err), s.judge(it.Close()))
}

// record is what the store has under a key.
type record struct {
	value []byte
	found bool
}

// look returns the record of a key, borrowed until the iterator moves.
func look(it *pebble.Iterator, full []byte) (record, error) {
	if !it.SeekGE(full) || !bytes.Equal(it.Key(), full) {
		return record{}, it.Error()
	}
	value, err := it.ValueAndErr()
	return record{value, true}, err
}

// replace puts one record or deletion into pb in place of an old one.
func replace(pb *pebble.Batch, mk *marker, full []byte, old record, value []byte) error {
	key := full[recordPrefixBytes:]
	if old.found {
		mk.records--
		mk.hash -= lockfsm.RecordHash(key, old.value)
	}
	if value == nil {
		if !old.found {
			return nil
		}
		return pb.Delete(full, nil)
	}
	mk.records++
	mk.hash += lockfsm.RecordHash(key, value)
	return pb.Set(full, value, nil)
}

// commit makes pb and the marker durable together.
func (s *Store) commit(pb *pebble.Batch, group uint16, mk marker) error {
	ended, err := s.endStage(pb, group, mk)
	if err == nil {
		err = pb.Set(groupKey(group), appendMarker(nil, mk), nil)
	}
	if err != nil {
		return errors.Join(err, pb.Close())
	}
	if err := pb.Commit(pebble.Sync); err != nil {
		return s.judge(err)
	}
	if ended {
		s.forgetStage(group)
	}
	s.setMarker(group, mk)
	s.noteBuffers()
	return pb.Close()
}

// Load calls fn with every record of a group's checkpoint in ascending order of
// key, and returns its slot, 0 if the group has none. key and value are
// borrowed until fn returns. An error of fn ends it. It fails with ErrDamaged
// when all has been read but count or hash do not match, so whatever fn built
// counts only if Load returns nil.
func (s *Store) Load(group uint16, fn func(key, value []byte) error) (uint64, error) {
	if err := s.usable(); err != nil {
		return 0, err
	}
	mk := s.marker(group)
	if mk.generation == 0 {
		return 0, nil
	}
	if err := s.walk(group, mk, fn); err != nil {
		return 0, err
	}
	s.noteBuffers()
	return mk.slot, nil
}

// walk is Load for one generation of a group.
func (s *Store) walk(group uint16, mk marker, fn func(key, value []byte) error) error {
	it, err := s.records(s.db, group, mk.generation)
	if err != nil {
		return fmt.Errorf("checkpoint: load group %d: %w", group, s.judge(err))
	}
	var records, hash uint64
	for ok := it.First(); ok; ok = it.Next() {
		key, value := it.Key()[recordPrefixBytes:], it.Value()
		records++
		hash += lockfsm.RecordHash(key, value)
		if err := fn(key, value); err != nil {
			err = fmt.Errorf("checkpoint: load group %d: %w", group, err)
			return errors.Join(err, it.Close())
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return fmt.Errorf("checkpoint: load group %d: %w", group, s.judge(err))
	}
	if records != mk.records || hash != mk.hash {
		return fmt.Errorf("%w: group %d at slot %d: have %d records, hash %x, want %d, %x",
			ErrDamaged, group, mk.slot, records, hash, mk.records, mk.hash)
	}
	return nil
}

// records returns an iterator over one generation of a group.
func (s *Store) records(
	r pebble.Reader, group uint16, generation uint64,
) (*pebble.Iterator, error) {
	return r.NewIter(&pebble.IterOptions{
		LowerBound: recordKey(nil, group, generation),
		UpperBound: recordKey(nil, group, generation+1),
	})
}

func groupKey(group uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{keyGroup}, group)
}

// recordKey appends the prefix of a generation's records.
func recordKey(dst []byte, group uint16, generation uint64) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, keyRecord), group)
	return binary.BigEndian.AppendUint64(dst, generation)
}

func appendMarker(dst []byte, mk marker) []byte {
	le := binary.LittleEndian
	dst = append(dst, storeFormat)
	dst = le.AppendUint64(dst, mk.slot)
	dst = le.AppendUint64(dst, mk.generation)
	dst = le.AppendUint64(dst, mk.records)
	return le.AppendUint64(dst, mk.hash)
}

func decodeMarker(b []byte) (marker, error) {
	le := binary.LittleEndian
	switch {
	case len(b) > 0 && b[0] > storeFormat:
		return marker{}, fmt.Errorf("%w: marker of version %d", ErrTooNew, b[0])
	case len(b) != markerBytes || b[0] == 0:
		return marker{}, fmt.Errorf("%w: marker %x", ErrDamaged, b)
	}
	mk := marker{le.Uint64(b[1:]), le.Uint64(b[9:]), le.Uint64(b[17:]), le.Uint64(b[25:])}
	if mk.generation == 0 {
		return marker{}, fmt.Errorf("%w: marker %x", ErrDamaged, b)
	}
	return mk, nil
}

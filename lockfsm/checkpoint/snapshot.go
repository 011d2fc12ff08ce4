package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"
	"github.com/klauspost/compress/s2"
)

// ErrChunk means that a chunk is damaged, is of another snapshot, or is not the
// next one. The sender sends it again.
var ErrChunk = errors.New("checkpoint: bad snapshot chunk")

// ErrNoCheckpoint means that the group has no checkpoint to send.
var ErrNoCheckpoint = errors.New("checkpoint: group has no checkpoint")

// A chunk, numbers little-endian:
//
//	version u8 = 1 | codec u8 (0: plain, 1: S2) | flags u8 (1: last) | number u32 |
//	slot u64 | records u64 | hash u64 | plain length u32 |
//	CRC-32C u32 of all before and the body | body
//	body  (key length uvarint | value length uvarint | key | value)*
//
// slot, records and hash are those of the whole snapshot and stand in every
// chunk, so that chunks of two snapshots are never mixed.
const (
	chunkVersion     = 1
	chunkHeaderBytes = 39
	chunkCRCAt       = 35
	chunkLast        = 1 << 0
	codecPlain       = 0
	codecS2          = 1

	// maxChunkBytes bounds what a chunk may claim to unpack to.
	maxChunkBytes = 64 << 20
)

// chunkHeader is a decoded header.
type chunkHeader struct {
	codec   uint8
	last    bool
	number  uint32
	content Content
	plain   uint32
}

// Snapshot reads one group's checkpoint as it was when it was opened, in
// chunks. It is steppable and belongs to one goroutine.
type Snapshot struct {
	s     *Store
	group uint16
	mk    marker
	view  *pebble.Snapshot
	it    *pebble.Iterator
	ok    bool // it stands on a record
	next  uint32
	ended bool // the last chunk was returned
	plain []byte
}

// OpenSnapshot opens the current checkpoint of a group for sending. Saves and
// installs go on beside it and do not change it; it pins disk space until it is
// closed. It fails with ErrNoCheckpoint.
func (s *Store) OpenSnapshot(group uint16) (*Snapshot, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	view := s.db.NewSnapshot()
	mk, err := s.snapshotMarker(view, group)
	if err != nil {
		return nil, errors.Join(err, view.Close())
	}
	it, err := s.records(view, group, mk.generation)
	if err != nil {
		return nil, errors.Join(s.judge(err), view.Close())
	}
	return &Snapshot{s: s, group: group, mk: mk, view: view, it: it, ok: it.First()}, nil
}

// snapshotMarker reads the marker that belongs to view.
func (s *Store) snapshotMarker(view *pebble.Snapshot, group uint16) (marker, error) {
	value, closer, err := view.Get(groupKey(group))
	if errors.Is(err, pebble.ErrNotFound) {
		return marker{}, fmt.Errorf("%w: group %d", ErrNoCheckpoint, group)
	}
	if err != nil {
		return marker{}, s.judge(err)
	}
	mk, err := decodeMarker(value)
	return mk, errors.Join(err, closer.Close())
}

// Content says what is in the snapshot.
func (n *Snapshot) Content() Content { return n.mk.content() }

// Seek makes Next return chunk number next, which begins after the record of
// key after; zero and no key begin at the start. An Installer's Position says
// both. The snapshot need not be the one that the chunks before came from, as
// long as its Content is equal.
func (n *Snapshot) Seek(number uint32, after []byte) error {
	n.next, n.ended = number, false
	if number == 0 {
		n.ok = n.it.First()
		return n.it.Error()
	}
	from := append(recordKey(nil, n.group, n.mk.generation), after...)
	n.ok = n.it.SeekGE(append(from, 0))
	return n.it.Error()
}

// Next appends a chunk to dst and says whether it is the last. maxBytes bounds
// its records before compression; a record that is larger goes alone. An empty
// snapshot has one chunk. After the last it returns no chunk.
func (n *Snapshot) Next(dst []byte, maxBytes int) (chunk []byte, last bool, err error) {
	if n.ended {
		return dst, true, n.it.Error()
	}
	n.plain = n.plain[:0]
	for n.ok {
		key, value := n.it.Key()[recordPrefixBytes:], n.it.Value()
		size := len(key) + len(value) + 2*binary.MaxVarintLen32
		if len(n.plain) > 0 && len(n.plain)+size > maxBytes {
			break
		}
		n.plain = binary.AppendUvarint(n.plain, uint64(len(key)))
		n.plain = binary.AppendUvarint(n.plain, uint64(len(value)))
		n.plain = append(append(n.plain, key...), value...)
		n.ok = n.it.Next()
	}
	if err := n.it.Error(); err != nil {
		return dst, false, fmt.Errorf("checkpoint: snapshot of group %d: %w", n.group, n.s.judge(err))
	}
	h := chunkHeader{last: !n.ok, number: n.next, content: n.mk.content()}
	n.next++
	n.ended = h.last
	return appendChunk(dst, h, n.plain), h.last, nil
}

// Close lets go of the checkpoint.
func (n *Snapshot) Close() error { return errors.Join(n.it.Close(), n.view.Close()) }

func appendChunk(dst []byte, h chunkHeader, plain []byte) []byte {
	le := binary.LittleEndian
	body := s2.Encode(nil, plain)
	h.codec = codecS2
	if len(body) >= len(plain) {
		h.codec, body = codecPlain, plain
	}
	var flags byte
	if h.last {
		flags |= chunkLast
	}
	start := len(dst)
	dst = append(dst, chunkVersion, h.codec, flags)
	dst = le.AppendUint32(dst, h.number)
	dst = le.AppendUint64(dst, h.content.Slot)
	dst = le.AppendUint64(dst, h.content.Records)
	dst = le.AppendUint64(dst, h.content.Hash)
	dst = le.AppendUint32(dst, uint32(len(plain)))
	dst = le.AppendUint32(dst, checksum(dst[start:], body))
	return append(dst, body...)
}

func checksum(header, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(header, table), table, body)
}

// openChunk checks a chunk and unpacks its records into buf.
func openChunk(chunk, buf []byte) (chunkHeader, []byte, error) {
	le := binary.LittleEndian
	if len(chunk) > 0 && chunk[0] > chunkVersion {
		return chunkHeader{}, nil, fmt.Errorf("%w: chunk of version %d", ErrTooNew, chunk[0])
	}
	if len(chunk) < chunkHeaderBytes || chunk[0] != chunkVersion {
		return chunkHeader{}, nil, fmt.Errorf("%w: %d bytes", ErrChunk, len(chunk))
	}
	body := chunk[chunkHeaderBytes:]
	if want := checksum(chunk[:chunkCRCAt], body); le.Uint32(chunk[chunkCRCAt:]) != want {
		return chunkHeader{}, nil, fmt.Errorf("%w: checksum is %x, want %x",
			ErrChunk, le.Uint32(chunk[chunkCRCAt:]), want)
	}
	h := chunkHeader{codec: chunk[1], last: chunk[2]&chunkLast != 0,
		number: le.Uint32(chunk[3:]), plain: le.Uint32(chunk[31:])}
	h.content = Content{le.Uint64(chunk[7:]), le.Uint64(chunk[15:]), le.Uint64(chunk[23:])}
	if h.plain > maxChunkBytes {
		return h, nil, fmt.Errorf("%w: unpacks to %d bytes, want at most %d",
			ErrChunk, h.plain, maxChunkBytes)
	}
	switch h.codec {
	case codecPlain:
		buf = body
	case codecS2:
		if n, err := s2.DecodedLen(body); err != nil || n != int(h.plain) {
			return h, nil, fmt.Errorf("%w: unpacks to %d bytes, want %d (%v)",
				ErrChunk, n, h.plain, err)
		}
		var err error
		if buf, err = s2.Decode(buf[:cap(buf)], body); err != nil {
			return h, nil, fmt.Errorf("%w: %v", ErrChunk, err)
		}
	default:
		return h, nil, fmt.Errorf("%w: codec %d", ErrTooNew, h.codec)
	}
	if len(buf) != int(h.plain) {
		return h, nil, fmt.Errorf("%w: %d bytes, want %d", ErrChunk, len(buf), h.plain)
	}
	return h, buf, nil
}

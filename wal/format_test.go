package wal

import (
	"encoding/binary"
	"hash/crc32"
)

// setVersion makes the segment header at the start of b one of another
// version, with a valid checksum.
func setVersion(b []byte, version uint16) {
	binary.LittleEndian.PutUint16(b[8:], version)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

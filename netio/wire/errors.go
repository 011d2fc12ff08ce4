package wire

import "errors"

// Errors of the decoders. Each is wrapped with what was being decoded; a
// receiver closes the conn on any of them, and says ErrVersion apart from the
// rest, because "too new" asks for an upgrade and the others for a bug report.
var (
	// ErrTooLarge means a length field or a count above its limit. It is found
	// as soon as the length is readable, before anything is buffered for it.
	ErrTooLarge = errors.New("wire: frame exceeds its limit")
	// ErrTruncated means that a body ended inside a field.
	ErrTruncated = errors.New("wire: body too short")
	// ErrTrailing means that bytes are left after the last field of a body.
	ErrTrailing = errors.New("wire: bytes after the last field")
	// ErrMagic means that the first frame of a conn is not ours.
	ErrMagic = errors.New("wire: wrong magic")
	// ErrVersion means that the other side speaks only versions we do not.
	ErrVersion = errors.New("wire: no common version")
	// ErrKind means a frame kind this version does not know, or one that must
	// not come from this side.
	ErrKind = errors.New("wire: unknown frame kind")
	// ErrField means a field whose value is outside its stated range.
	ErrField = errors.New("wire: field out of range")
	// ErrChecksum means a peer frame that does not read as it was written.
	ErrChecksum = errors.New("wire: checksum mismatch")
	// ErrName means an empty name, one longer than the limit, or one with a
	// zero byte.
	ErrName = errors.New("wire: bad name")
)

package wire

import (
	"encoding/binary"
	"fmt"
)

// cursor reads a body front to back. After the first failure it yields zeros
// and keeps the failure, so that a decoder checks once, at its end. Slices it
// yields borrow the body.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) take(n int) []byte {
	if len(c.b) < n {
		c.fail(ErrTruncated)
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

func (c *cursor) u8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// text reads a u16 length of at most limit and that many bytes.
func (c *cursor) text(limit int) []byte {
	n := int(c.u16())
	if n > limit {
		c.fail(ErrTooLarge)
		return nil
	}
	return c.take(n)
}

// count reads a u16 count of at most limit items of at least itemBytes each, so
// that no count makes a decoder allocate more than a body can fill.
func (c *cursor) count(limit, itemBytes int) int {
	n := int(c.u16())
	if n > limit {
		c.fail(ErrTooLarge)
		return 0
	}
	if n*itemBytes > len(c.b) {
		c.fail(ErrTruncated)
		return 0
	}
	return n
}

// end returns the first failure, or ErrTrailing if bytes are left, wrapped with
// what was decoded.
func (c *cursor) end(what string) error {
	if c.err == nil && len(c.b) > 0 {
		c.err = ErrTrailing
	}
	if c.err != nil {
		return fmt.Errorf("%s: %w", what, c.err)
	}
	return nil
}

// appendText writes a u16 length and the bytes, cut to limit: a longer text is
// for people, and a frame over its limit would cost the conn.
func appendText[T string | []byte](dst []byte, text T, limit int) []byte {
	if len(text) > limit {
		text = text[:limit]
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(text)))
	return append(dst, text...)
}

package client

import (
	"fmt"
	"strconv"

	"lockd/netio/wire"
)

// Mode is how a hold agrees with other holds of the same lock. The zero Mode is Exclusive.
type Mode uint8

// The modes. Two holds agree by the table of the VMS lock manager, whose letters
// String returns.
const (
	Exclusive       Mode = iota // EX: alone, but for Null
	Shared                      // PR: with other Shared, ConcurrentRead and Null
	Update                      // PW: with ConcurrentRead and Null only
	ConcurrentWrite             // CW: with ConcurrentWrite, ConcurrentRead and Null
	ConcurrentRead              // CR: with everything but Exclusive
	Null                        // NL: with everything
)

// String returns the two letters of the mode.
func (m Mode) String() string {
	w, err := m.wire()
	if err != nil {
		return "mode " + strconv.Itoa(int(m))
	}
	return w.String()
}

func (m Mode) wire() (wire.Mode, error) {
	switch m {
	case Exclusive:
		return wire.ModeEX, nil
	case Shared:
		return wire.ModePR, nil
	case Update:
		return wire.ModePW, nil
	case ConcurrentWrite:
		return wire.ModeCW, nil
	case ConcurrentRead:
		return wire.ModeCR, nil
	case Null:
		return wire.ModeNL, nil
	default:
		return 0, fmt.Errorf("%w: Mode %d", ErrOptions, m)
	}
}

// modeOf is the inverse of Mode.wire. Requires: m was decoded, and so is one of the six.
func modeOf(m wire.Mode) Mode {
	return [...]Mode{Null, ConcurrentRead, ConcurrentWrite, Shared, Update, Exclusive}[m]
}

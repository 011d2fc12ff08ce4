package check

import (
	"fmt"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// value is the value of a lock, which outlives its holders.
type value struct {
	data     string
	token    lockfsm.Token
	doubtful bool
}

// ValueText is a value as a Version has it, empty for none.
func ValueText(v *wire.LockValue) string {
	if len(v.Data) == 0 {
		return ""
	}
	return fmt.Sprintf("%s, token %d, doubtful: %v", v.Data, v.Token,
		v.Flags&wire.ValueDoubtful != 0)
}

func (v *value) text() string {
	x := wire.LockValue{Data: []byte(v.data), Token: uint64(v.token)}
	if v.doubtful {
		x.Flags |= wire.ValueDoubtful
	}
	return ValueText(&x)
}

// writes reports whether a hold may write the value.
func (c *Claim) writes() bool {
	h := c.root()
	return h.token != 0 && !h.kept && (h.mode == lockfsm.ModePW || h.mode == lockfsm.ModeEX)
}

// doubt notes that a hold ends and was not given back.
func (s *step) doubt(c *Claim) {
	if l := s.touch(c.name); c.writes() && l.value.data != "" {
		l.value.doubtful = true
	}
}

// mayWrite returns how an amend of the value is to be answered.
func (k *Claim) mayWrite() lockfsm.Code {
	switch {
	case k.root().capacity > 0:
		return lockfsm.CodeOtherKind
	case !k.writes():
		return lockfsm.CodeNotWriter
	default:
		return lockfsm.CodeOK
	}
}

// Valued counts the locks that have a value, which stay when nobody holds them.
func (m *Model) Valued() int {
	n := 0
	for _, l := range m.locks { // order: a count
		if l.value.data != "" {
			n++
		}
	}
	return n
}

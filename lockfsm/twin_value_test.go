package lockfsm

import (
	"fmt"
	"strings"
)

// twinValue is the value of a lock of the twin.
type twinValue struct {
	data     string
	token    Token
	doubtful bool
}

func (v *twinValue) bytes() int {
	if v.data == "" {
		return 0
	}
	return 128 + len(v.data)
}

// doubt notes that a hold ends that may have been about to write.
func (t *twin) doubt(c *twinClaim, how ending) {
	writes := c.mode == ModePW || c.mode == ModeEX
	if writes && how != endReleased && c.on == nil && c.hold == nil && !c.kept && c.holds() &&
		c.lock.value.data != "" {
		c.lock.value.doubtful = true
	}
}

func dumpValue(b *strings.Builder, data string, token Token, doubtful bool) {
	if data != "" {
		fmt.Fprintf(b, "  value %q token=%d doubtful=%t\n", data, token, doubtful)
	}
}

package lockfsm

import (
	"fmt"
	"strings"
)

// BatchText describes the value of a slot to people, one line for its tick and
// one for each command. An empty value is a no-op and has no lines. The error
// is that with which Apply would refuse the batch; the lines before it stand.
func BatchText(value []byte) ([]string, error) {
	if len(value) == 0 {
		return nil, nil
	}
	r := reader{b: value, newest: FormatLatest}
	t, err := r.header()
	if err != nil {
		return nil, err
	}
	var lines []string
	if t.present {
		lines = append(lines, tickText(t))
	}
	var c Command
	for r.at < len(r.b) {
		if err := r.command(&c); err != nil {
			return lines, fmt.Errorf("%w at byte %d of %d", err, r.at, len(value))
		}
		lines = append(lines, c.String())
	}
	return lines, nil
}

func tickText(t tick) string {
	text := fmt.Sprintf("tick %d ms", t.delta)
	if t.by != (Clock{}) {
		text += fmt.Sprintf(" by the clock of ballot %d.%d", t.by.Round, t.by.Node)
	}
	ids := reader{b: t.ids}
	for i := 0; ids.at < len(ids.b); i++ {
		if i == 0 {
			text += ", renews"
		}
		text += fmt.Sprintf(" %d", ids.u64())
	}
	return text
}

// String describes the command to people.
func (c *Command) String() string {
	var b strings.Builder
	b.WriteString(c.Op.String())
	if c.Name != nil {
		fmt.Fprintf(&b, " %q", c.Name)
	}
	if c.Op == OpOpenSession {
		fmt.Fprintf(&b, " nonce %x lease %d ms epoch %d", c.Nonce, c.Lease, c.Epoch)
		return b.String()
	}
	if c.Op == OpForce {
		fmt.Fprintf(&b, " token %d, asked for by %q: %q", c.Token, c.Who, c.Value)
		return b.String()
	}
	if c.Op == OpWrite {
		fmt.Fprintf(&b, " version %d, %d bytes", c.Token, len(c.Value))
		return b.String()
	}
	if uint64(c.Session)>>63 != 0 {
		fmt.Fprintf(&b, " owner %016x", uint64(c.Session))
	} else {
		fmt.Fprintf(&b, " session %d epoch %d", c.Session, c.Epoch)
	}
	switch c.Op {
	case OpAcquire:
		fmt.Fprintf(&b, " request %d mode %v", c.Request, c.Mode)
		c.describeQueueing(&b)
	case OpTake:
		fmt.Fprintf(&b, " request %d permits %d of %d", c.Request, c.Permits, c.Capacity)
		c.describeQueueing(&b)
	case OpEnter:
		fmt.Fprintf(&b, " request %d owner %d mode %v", c.Request, c.Owner, c.Mode)
		c.describeQueueing(&b)
	case OpAcquireAll:
		fmt.Fprintf(&b, " request %d", c.Request)
		for rest := c.Parts; len(rest) > 0; {
			var p Part
			p, rest = rest.Next()
			fmt.Fprintf(&b, " %q mode %v", p.Name, p.Mode)
		}
		c.describeQueueing(&b)
	case OpAwait, OpCountDown, OpSet, OpReset:
		fmt.Fprintf(&b, " request %d done %d %v %d", c.Request, c.Done, c.Gate, c.Count)
		c.describeQueueing(&b)
		if c.Lease != 0 {
			fmt.Fprintf(&b, " for %d ms", c.Lease)
		}
	case OpLetGo:
		fmt.Fprintf(&b, " grace %d ms", c.Lease)
	case OpLeave, OpReleaseAll:
		fmt.Fprintf(&b, " request %d token %d", c.Request, c.Token)
	case OpConvert:
		fmt.Fprintf(&b, " request %d converts %d token %d to mode %v", c.Request, c.Target, c.Token,
			c.Mode)
		c.describeQueueing(&b)
	case OpGiveBack:
		fmt.Fprintf(&b, " acquired by %d token %d", c.Target, c.Token)
	case OpRelease:
		fmt.Fprintf(&b, " token %d", c.Token)
	case OpCancel:
		fmt.Fprintf(&b, " request %d", c.Request)
	case OpAmend:
		fmt.Fprintf(&b, " request %d of %d token %d", c.Request, c.Target, c.Token)
		b.Write(c.Terms.describe(nil))
	case OpRenewHold:
		fmt.Fprintf(&b, " token %d for %d ms", c.Token, c.Lease)
	case OpCloseSession, OpPark:
	}
	return b.String()
}

// describeQueueing says what all acquires have in common.
func (c *Command) describeQueueing(b *strings.Builder) {
	if c.Weight != 0 {
		fmt.Fprintf(b, " weight %d", c.Weight)
	}
	if c.Flags&Wait != 0 {
		b.WriteString(" waits")
	}
	if c.Flags&Detect != 0 {
		b.WriteString(" giving nothing back")
	}
	if c.Flags&Detached != 0 {
		fmt.Fprintf(b, " for %d ms", c.Lease)
	}
	b.Write(c.Terms.describe(nil))
}

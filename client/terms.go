package client

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"lockd/netio/wire"
)

// termed reports whether the Call is one that version 2 cannot say, because it
// has terms. What asks for several names is of version 3 in any case.
func (x *Call) termed() bool {
	return x.Kind == wire.KindAmend ||
		x.Terms != nil && x.Kind.Acquires() && x.Kind != wire.KindAcquireAll
}

// answerFlags are the flags that ask for an answer in the version of the conn.
func (x *Call) answerFlags() (f wire.Flags) {
	if x.version >= wire.VersionKinds {
		switch x.Kind {
		case wire.KindAcquire, wire.KindGet, wire.KindList:
			f |= wire.FlagVersion2
		}
	}
	if x.version >= wire.VersionWhole &&
		(x.Kind == wire.KindGet || x.Kind == wire.KindList || x.Kind.Acquires()) {
		f |= wire.FlagVersion3
	}
	return f
}

// appendTermed writes an Ask or an Amend.
func (x *Call) appendTermed(dst []byte, h wire.Header, epoch uint32, name []byte) []byte {
	if x.Kind == wire.KindAmend {
		h.Flags &= wire.FlagDetached
		return wire.AppendAmend(dst, h, &wire.Amend{Session: x.Session, Target: x.target,
			Token: x.Token, Epoch: epoch, Terms: *x.Terms, Name: name})
	}
	return wire.AppendAsk(dst, h, &wire.Ask{Kind: x.Kind, Session: x.Session, Owner: x.Owner,
		Epoch: epoch, TTLMillis: uint32(x.TTL.Milliseconds()), Permits: x.Permits,
		Capacity: x.Capacity, Mode: x.Mode, Weight: x.Weight, Terms: *x.Terms, Name: name})
}

// terms returns what the options ask for beyond a mode, nil for nothing. It copies.
func (o *LockOptions) terms() (*wire.Terms, error) {
	if len(o.Payload)+len(o.Labels) == 0 && o.MinHold == 0 && o.LockDelay == 0 &&
		o.MaxHold == 0 {
		return nil, nil
	}
	t := &wire.Terms{}
	if err := o.putTimes(t); err != nil {
		return nil, err
	}
	if len(o.Payload) > 0 {
		if err := putPayload(t, o.Payload); err != nil {
			return nil, err
		}
	}
	if len(o.Labels) > 0 {
		if err := putLabels(t, o.Labels); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// maxMillis bounds the times that a request can say, and longest is that length.
const (
	maxMillis = 1<<32 - 1
	longest   = maxMillis * time.Millisecond
)

// millisUp rounds up to milliseconds.
func millisUp(d time.Duration) int64 {
	ms := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// putTimes rounds up to milliseconds.
func (o *LockOptions) putTimes(t *wire.Terms) error {
	for _, x := range []struct {
		name  string
		d     time.Duration
		field wire.TermFields
		to    *uint32
	}{{"MinHold", o.MinHold, wire.TermMinHold, &t.MinHoldMillis},
		{"LockDelay", o.LockDelay, wire.TermDelay, &t.DelayMillis},
		{"MaxHold", o.MaxHold, wire.TermMaxHold, &t.MaxHoldMillis}} {
		ms := millisUp(x.d)
		switch {
		case x.d < 0 || ms > maxMillis:
			return fmt.Errorf("%w: %s %s, must be 0 to %s", ErrOptions, x.name, x.d, longest)
		case ms > 0:
			t.Fields |= x.field
			*x.to = uint32(ms)
		}
	}
	if o.MaxHold > 0 && o.MinHold > o.MaxHold {
		return fmt.Errorf("%w: MinHold %s above MaxHold %s", ErrOptions, o.MinHold, o.MaxHold)
	}
	return nil
}

func putPayload(t *wire.Terms, payload []byte) error {
	if len(payload) > wire.MaxPayloadBytes {
		return fmt.Errorf("%w: payload of %d bytes, limit %d", ErrOptions, len(payload),
			wire.MaxPayloadBytes)
	}
	t.Fields |= wire.TermPayload
	t.Payload = bytes.Clone(payload)
	return nil
}

func putLabels(t *wire.Terms, labels map[string]string) error {
	all := make([]wire.Label, 0, len(labels))
	for key, value := range labels { // order: sorted below
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return fmt.Errorf("%w: label %q=%q is not UTF-8: bytes go into the payload", ErrOptions, key,
				value)
		}
		all = append(all, wire.Label{Key: []byte(key), Value: []byte(value)})
	}
	slices.SortFunc(all, func(a, b wire.Label) int { return bytes.Compare(a.Key, b.Key) })
	var err error
	if t.Labels, err = wire.AppendLabels(nil, all); err != nil {
		return fmt.Errorf("%w: labels: %w", ErrOptions, err)
	}
	t.Fields |= wire.TermLabels
	return nil
}

// SetPayload replaces the payload that others see of the hold; an empty one takes
// it away. It fails with a *LostError if the hold is over, and with ErrTooMuchData,
// the payload being as it was, if there is no room for a longer one.
func (h *Held) SetPayload(ctx context.Context, payload []byte) error {
	t := &wire.Terms{}
	if err := putPayload(t, payload); err != nil {
		return err
	}
	return h.amend(ctx, t)
}

// SetLabels replaces all labels that others see of the hold. See SetPayload.
func (h *Held) SetLabels(ctx context.Context, labels map[string]string) error {
	t := &wire.Terms{}
	if err := putLabels(t, labels); err != nil {
		return err
	}
	return h.amend(ctx, t)
}

// amend changes what t names.
func (h *Held) amend(ctx context.Context, t *wire.Terms) error {
	return h.amended(ctx, t, func(uint64) {})
}

// amended does so, and then has note take the token of the hold for which it did, before
// any other amend of the hold.
func (h *Held) amended(ctx context.Context, t *wire.Terms, note func(token uint64)) error {
	if err := h.present(); err != nil {
		return err
	}
	turn, err := h.amendTurn(ctx)
	if err != nil {
		return err
	}
	defer func() { <-turn }()
	x := &Call{Kind: wire.KindAmend, Name: h.name, Terms: t, Hold: &h.call,
		Timeout: h.c.opts.RequestTimeout}
	if err := h.c.call(ctx, x); err != nil {
		return err
	}
	note(x.Token)
	return nil
}

// amends makes an Amend one of its Hold, as that is now.
func (x *Call) amends() {
	h := x.Hold
	x.Session, x.Flags, x.target = h.Session, h.Flags&wire.FlagDetached, h.target
	x.Owner, x.Token = h.Owner, h.tokenOf(x.Name)
}

// overtakes reports whether x is an Amend of a hold of which an earlier one is open,
// which may be another Held's of the same owner. The nodes take one that comes behind a
// later one for one that has had its effect, and say that it is done.
func (x *Call) overtakes() bool {
	for y := x.changeBefore; y != nil; y = y.changeBefore {
		if x.waitsFor(y) {
			return true
		}
	}
	return false
}

// amendTurn waits until no other amend of the hold is under way; who has received from
// turn has ended its own. One that is refused as busy and sent again would come behind
// the next, and the nodes take it for one that had its effect.
func (h *Held) amendTurn(ctx context.Context) (turn chan struct{}, err error) {
	h.mu.Lock()
	if h.mu.amends == nil {
		h.mu.amends = make(chan struct{}, 1)
	}
	turn = h.mu.amends
	h.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return turn, nil
	case <-ctx.Done():
		return nil, ended(ctx)
	}
}

// newLabels copies labels that were decoded; what does not decode is left out.
func newLabels(b []byte) map[string]string {
	all, err := wire.DecodeLabels(nil, b)
	if err != nil || len(all) == 0 {
		return nil
	}
	labels := make(map[string]string, len(all))
	for _, l := range all {
		labels[string(l.Key)] = string(l.Value)
	}
	return labels
}

// LabelText writes labels as key=value, in the order of the keys, with a comma
// between two.
func LabelText(labels map[string]string) string {
	type label struct{ key, value string }
	all := make([]label, 0, len(labels))
	for key, value := range labels { // order: sorted below
		all = append(all, label{key, value})
	}
	slices.SortFunc(all, func(a, b label) int { return cmp.Compare(a.key, b.key) })
	var b strings.Builder
	for i, l := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(plain(l.key) + "=" + plain(l.value))
	}
	return b.String()
}

// plain is what somebody else wrote, fit for a line of a terminal: quoted if it has
// anything that does not print.
func plain(text string) string {
	for _, r := range text {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(text)
		}
	}
	return text
}

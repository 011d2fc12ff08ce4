package node

import (
	"bytes"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// maxTryBytes bounds the data of a try that may wait among the reads of its group:
// one with more goes through the log even if it will be refused.
const maxTryBytes = 512

// decodeTerms turns the requests that have terms into commands, as decodeKinds
// does with those of version 2.
func decodeTerms(cmd *lockfsm.Command, h wire.Header, body []byte) wire.Status {
	if h.Kind == wire.KindAmend {
		x, err := wire.DecodeAmend(body)
		if err != nil {
			return wire.StatusBadRequest
		}
		cmd.Op, cmd.Request = lockfsm.OpAmend, lockfsm.RequestID(h.Request)
		cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
		cmd.Target, cmd.Token = lockfsm.RequestID(x.Target), lockfsm.Token(x.Token)
		cmd.Name = x.Name
		cmd.Flags, cmd.Terms = commandFlags(h, x.Session), termsOf(&x.Terms)
		return wire.StatusOK
	}
	x, err := wire.DecodeAsk(body)
	if err != nil {
		return wire.StatusBadRequest
	}
	switch x.Kind {
	case wire.KindTake:
		cmd.Op = lockfsm.OpTake
	case wire.KindEnter:
		cmd.Op = lockfsm.OpEnter
	default:
		cmd.Op = lockfsm.OpAcquire
	}
	cmd.Request, cmd.Owner = lockfsm.RequestID(h.Request), lockfsm.Owner(x.Owner)
	cmd.Session, cmd.Epoch = lockfsm.SessionID(x.Session), lockfsm.Epoch(x.Epoch)
	cmd.Permits, cmd.Capacity = lockfsm.Permits(x.Permits), lockfsm.Permits(x.Capacity)
	cmd.Mode, cmd.Weight, cmd.Name = lockfsm.Mode(x.Mode), x.Weight, x.Name
	cmd.Flags, cmd.Lease = acquireFlags(h, x.Session), lockfsm.Millis(x.TTLMillis)
	cmd.Terms = termsOf(&x.Terms)
	return wire.StatusOK
}

// termsOf translates terms, which still borrow the frame.
func termsOf(x *wire.Terms) lockfsm.Terms {
	return lockfsm.Terms{Fields: lockfsm.TermFields(x.Fields), Payload: x.Payload, Labels: x.Labels,
		MaxHold: lockfsm.Millis(x.MaxHoldMillis), MinHold: lockfsm.Millis(x.MinHoldMillis),
		Delay: lockfsm.Millis(x.DelayMillis), Value: x.Value}
}

// cloneTerms copies what terms borrow.
func cloneTerms(t lockfsm.Terms) lockfsm.Terms {
	t.Payload, t.Labels = bytes.Clone(t.Payload), bytes.Clone(t.Labels)
	t.Value = bytes.Clone(t.Value)
	return t
}

package verify

import (
	"slices"
	"time"

	"lockd/lockd/verify/check"
)

// record is what one worker did. It belongs to the worker, and then to who judges.
type record struct {
	clock func() int64
	all   []check.Operation
	limit int // of all: one turn may go past it
	// busy counts what a node or a client refused because of a bound: nothing
	// happened, and nothing is recorded.
	busy int
}

// begin notes that o begins now and has no answer yet, and returns where it is.
func (r *record) begin(o check.Operation) int {
	o.Call, o.Return, o.Outcome = r.clock(), check.Open, check.Uncertain
	r.all = append(r.all, o)
	return len(r.all) - 1
}

// end notes that an operation is answered now.
func (r *record) end(i int, outcome check.Outcome) *check.Operation {
	o := &r.all[i]
	o.Outcome, o.Return = outcome, r.clock()
	return o
}

// forget takes back the operations from the i-th on, of which nothing happened.
func (r *record) forget(i int) {
	r.all = r.all[:i]
	r.busy++
}

// refused takes back an operation that was refused and changed nothing.
func (r *record) refused(i int) { r.all = r.all[:i] }

// lost notes that a hold may end unasked, not before a moment.
func (r *record) lost(o check.Operation, from int64) {
	r.all = append(r.all, check.Operation{Kind: check.Loss, Name: o.Name, Token: o.Token,
		Client: o.Client, Worker: o.Worker, Call: from, Return: check.Open})
}

// promiser is a client.Held or a client.HeldAll.
type promiser interface{ SafeUntil() time.Time }

// promised returns until when a hold is safe, on the clock of the record and never
// later than it is; zero if it is not held any more.
func (r *record) promised(h promiser) int64 {
	now := r.clock() // before the other clock is read
	until := h.SafeUntil()
	if until.IsZero() {
		return 0
	}
	return now + int64(time.Until(until))
}

// again notes which acquires of a client may have been granted unheard: those that
// were under way when one of its conns had ended less than a lease ago. A session
// is lost no sooner, and only if nobody was heard for that long.
func again(all []check.Operation, ended []int64, lease int64) {
	const slack = int64(time.Second)
	for i := range all {
		o := &all[i]
		if o.Kind != check.Acquire {
			continue
		}
		k, _ := slices.BinarySearch(ended, o.Call-lease-slack)
		if k < len(ended) && (o.Return == check.Open || ended[k] <= o.Return+slack) {
			o.Again = 1
			if o.Return != check.Open {
				o.Again += uint32((o.Return - o.Call) / lease)
			}
		}
	}
}

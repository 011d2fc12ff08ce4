package history

import "slices"

// Model is a sequential lock or register: what it may answer in which state.
type Model struct {
	name string
	// step executes an operation, or reports that it cannot have ended so in
	// this state. It may change s only if it reports true.
	step func(s *state, o *attempt) bool
	// counts: an uncertain acquire of an owner who holds may change a count.
	counts bool
}

// String returns what the model is of.
func (m Model) String() string { return m.name }

// attempt is an operation with what the rest of the history says of it.
type attempt struct {
	*Operation
	// strongest and most are Mode and the permits, but for a ghost: then Mode and
	// Permits are the least that it can be, and these the most.
	strongest Mode
	most      uint32
	// crowded: somebody may have waited when it was refused, so that the hold it
	// names need not be in the way by itself.
	crowded bool
	// excused: a ghost that nobody met otherwise may have been in the way.
	excused bool
}

func newAttempt(o *Operation) *attempt {
	return &attempt{Operation: o, strongest: o.Mode, most: permits(o)}
}

func permits(o *Operation) uint32 { return max(1, o.Permits) }

// state is the state of one lock or one register between two operations.
type state struct {
	// last is the highest token granted, or shown to a register.
	last  uint64
	value int64 // of a register
	holds []hold
}

// hold is one hold. What a ghost asked for is known within bounds only.
type hold struct {
	token         uint64
	owner         uint64
	permits, most uint32
	count         uint32 // definite acquires not given back
	// unsure are uncertain acquires by its owner that may or may not be there, and
	// may be given back at any moment.
	unsure          uint32
	mode, strongest Mode
}

// loose reports whether the hold may end at any moment.
func (h *hold) loose() bool { return h.count == 0 }

func (s *state) equal(t *state) bool {
	return s.last == t.last && s.value == t.value && slices.Equal(s.holds, t.holds)
}

// hash mixes what tells most states apart.
func (s *state) hash() uint64 {
	h := s.last*0x9e3779b97f4a7c15 ^ uint64(s.value)
	for i := range s.holds {
		k := &s.holds[i]
		h = (h ^ k.token ^ uint64(k.count)<<48 ^ uint64(k.unsure)<<56) * 0xff51afd7ed558ccd
	}
	return h ^ h>>32
}

// clone returns a state that shares nothing with s.
func (s *state) clone() *state {
	t := *s
	t.holds = slices.Clone(s.holds)
	return &t
}

// find returns where the hold with a token is, or -1.
func (s *state) find(token uint64) int {
	return slices.IndexFunc(s.holds, func(h hold) bool { return h.token == token })
}

func (s *state) remove(i int) { s.holds = slices.Delete(s.holds, i, i+1) }

package history

import "slices"

// Model is a sequential lock or register: what it may answer in which state.
type Model struct {
	name string
	// step executes an operation, or reports that it cannot have ended so in
	// this state. It may change s only if it reports true.
	step func(s *state, o *attempt) bool
}

// String returns what the model is of.
func (m Model) String() string { return m.name }

// attempt is an operation with what the rest of the history says of it.
type attempt struct {
	*Operation
	// granted are the tokens of all definite grants of this lock.
	granted map[uint64]struct{}
	// crowded: somebody may have waited when it was refused, so that the hold it
	// names need not be in the way by itself.
	crowded bool
}

// unknown reports whether no definite grant has a token.
func (o *attempt) unknown(token uint64) bool {
	_, ok := o.granted[token]
	return !ok
}

// state is the state of one lock or one register between two operations.
type state struct {
	// last is the highest token granted, or shown to a register.
	last  uint64
	value int64 // of a register
	holds []hold
}

// hold is one hold. One that is only known from uncertain acquires is loose: it
// may end at any moment, and its token is zero until somebody is refused because
// of it.
type hold struct {
	token   uint64
	since   uint64 // the highest token when it was granted; its own is above
	owner   uint64
	permits uint32
	count   uint32 // definite acquires not given back
	unsure  uint32 // uncertain ones that may or may not be
	mode    Mode
}

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
	return slices.IndexFunc(s.holds, func(h hold) bool { return token != 0 && h.token == token })
}

// nameless returns a hold whose token is not known and may be this one, or -1.
func (s *state) nameless(token uint64) int {
	return slices.IndexFunc(s.holds, func(h hold) bool { return h.token == 0 && h.since < token })
}

func (s *state) remove(i int) { s.holds = slices.Delete(s.holds, i, i+1) }

// add puts a hold in, in the order of tokens, unknown ones first: states that
// mean the same are then equal.
func (s *state) add(h hold) {
	i := len(s.holds)
	for i > 0 && s.holds[i-1].token > h.token {
		i--
	}
	s.holds = slices.Insert(s.holds, i, h)
	s.last = max(s.last, h.token)
}

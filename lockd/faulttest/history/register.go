package history

// Register is what a lock guards: one value, and the highest token it was shown.
// Read and Write with a smaller token are refused, all others are not. A Write
// replaces the value that its writer has read: if another was accepted in
// between, that one is lost, which the tokens are there to prevent.
func Register() Model { return Model{name: "register", step: stepRegister} }

func stepRegister(s *state, o *attempt) bool {
	switch {
	case o.Kind != Read && o.Kind != Write || o.Outcome == Uncertain:
		return false
	case o.Outcome == Refused:
		return o.Token < s.last
	case o.Token < s.last:
		return false
	case o.Kind == Read && o.Value != s.value, o.Kind == Write && o.Before != s.value:
		return false
	}
	s.last = o.Token
	if o.Kind == Write {
		s.value = o.Value
	}
	return true
}

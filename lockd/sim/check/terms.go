package check

import "lockd/lockfsm"

// terms are what a claim has beyond a mode or permits.
type terms struct {
	payload, labels string
	minHold, delay  uint64
	maxHold         uint64
	amended         lockfsm.RequestID // the newest change
}

func (s *scanner) terms() (t lockfsm.Terms) {
	t.Fields = lockfsm.TermFields(s.u16())
	if t.Fields&^(lockfsm.TermPayload|lockfsm.TermLabels|lockfsm.TermMaxHold|
		lockfsm.TermMinHold|lockfsm.TermDelay|lockfsm.TermValue|lockfsm.TermOwner) != 0 {
		s.bad = true
	}
	if t.Fields&lockfsm.TermPayload != 0 {
		t.Payload = s.take(int(s.u16()))
	}
	if t.Fields&lockfsm.TermLabels != 0 {
		t.Labels = s.take(int(s.u16()))
	}
	if t.Fields&lockfsm.TermMaxHold != 0 {
		t.MaxHold = lockfsm.Millis(s.u32())
	}
	if t.Fields&lockfsm.TermMinHold != 0 {
		t.MinHold = lockfsm.Millis(s.u32())
	}
	if t.Fields&lockfsm.TermDelay != 0 {
		t.Delay = lockfsm.Millis(s.u32())
	}
	if t.Fields&lockfsm.TermValue != 0 {
		t.Value = s.take(int(s.u16()))
	}
	if t.Fields&lockfsm.TermOwner != 0 {
		t.Owner = lockfsm.Owner(s.u64())
	}
	return t
}

// take changes what t names.
func (x *terms) take(t *lockfsm.Terms) {
	if t.Fields&lockfsm.TermPayload != 0 {
		x.payload = string(t.Payload)
	}
	if t.Fields&lockfsm.TermLabels != 0 {
		x.labels = string(t.Labels)
	}
	if t.Fields&lockfsm.TermMaxHold != 0 {
		x.maxHold = uint64(t.MaxHold)
	}
	if t.Fields&lockfsm.TermMinHold != 0 {
		x.minHold = uint64(t.MinHold)
	}
	if t.Fields&lockfsm.TermDelay != 0 {
		x.delay = uint64(t.Delay)
	}
}

// DataText is the data of a claim as a Version has it.
func DataText(payload, labels []byte) string { return string(payload) + "|" + string(labels) }

// amend judges a change of a hold's data, or of its lock's value, which counts once.
func (s *step) amend(c *lockfsm.Command, r *lockfsm.Result) error {
	k := s.named(c, c.Target)
	want, writes := lockfsm.CodeOK, c.Terms.Fields&lockfsm.TermValue != 0
	switch {
	case k == nil:
		want = lockfsm.CodeNotHolder
	case writes && c.Request > k.root().terms.amended:
		want = k.mayWrite()
	}
	if want != r.Code {
		return s.bad("I18: amend of %q by session %d with token %d answered %v, not %v", c.Name,
			c.Session, c.Token, r.Code, want)
	}
	if want != lockfsm.CodeOK {
		return nil
	}
	h := k.root()
	if c.Request <= h.terms.amended {
		return nil
	}
	h.terms.take(&c.Terms)
	h.terms.amended = c.Request
	if l := s.touch(k.name); writes && len(c.Terms.Value) > 0 {
		l.value = value{data: string(c.Terms.Value), token: h.token}
	} else if writes {
		l.value = value{}
	}
	return nil
}

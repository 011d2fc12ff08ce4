package lockfsm

// twinTerms are the terms of a claim of the twin.
type twinTerms struct {
	payload, labels string
	amended         RequestID
}

func newTerms(t *Terms) *twinTerms {
	x := &twinTerms{}
	x.take(t)
	return x
}

// take changes what t names.
func (x *twinTerms) take(t *Terms) {
	if t.Fields&TermPayload != 0 {
		x.payload = string(t.Payload)
	}
	if t.Fields&TermLabels != 0 {
		x.labels = string(t.Labels)
	}
}

// data is what others see, also of a claim without terms.
func (x *twinTerms) data() Terms {
	if x == nil {
		return Terms{}
	}
	return Terms{Payload: []byte(x.payload), Labels: []byte(x.labels)}
}

func (x *twinTerms) bytes() int { return 128 + len(x.payload) + len(x.labels) }

// dataBytes is what the terms of all claims count for.
func (t *twin) dataBytes() int {
	n := 0
	for _, c := range t.claims() {
		if c.terms != nil {
			n += c.terms.bytes()
		}
	}
	return n
}

func fitting(t *Terms) bool { return len(t.Payload) <= 4096 && len(t.Labels) <= 512 }

func amendable(c *Command) bool {
	return c.Flags&Wait == 0 && c.Request != 0 && c.Target != 0 && fitting(&c.Terms)
}

// amend changes the data of a hold, unless a newer request has.
func (t *twin) amend(c *Command, res Result) Result {
	cl := t.find(c.Session, c.Target, res.Detached)
	if cl == nil || cl.hold != nil || !cl.holds() || !cl.place().knows(c.Token) ||
		cl.lock.name != string(c.Name) {
		return res.with(CodeNotHolder)
	}
	h := cl.place()
	next, before := twinTerms{}, 0
	if h.terms != nil {
		next, before = *h.terms, h.terms.bytes()
	}
	if c.Request <= next.amended {
		return res.with(CodeOK)
	}
	next.take(&c.Terms)
	next.amended = c.Request
	if next.bytes() > before && t.dataBytes()-before+next.bytes() > int(t.l.DataBytes) {
		return res.with(CodeTooMuchData)
	}
	h.terms = &next
	return res.with(CodeOK)
}

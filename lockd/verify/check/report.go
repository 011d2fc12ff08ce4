package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Rule is which part of the model a violation is of.
type Rule string

// The rules, as the package comment lists them.
const (
	RuleToken     Rule = "token"
	RuleExclusion Rule = "exclusion"
	RuleRelease   Rule = "release"
	RuleRefusal   Rule = "refusal"
	RuleGet       Rule = "get"
	RuleTest      Rule = "test"
	RuleValue     Rule = "value"
	RuleConvert   Rule = "conversion"
)

// Violation is an operation that no order explains, with what is in its way.
type Violation struct {
	Name string
	Rule Rule
	Text string // what is wrong, in one line
	// What cannot be: the history up to its return has no order.
	What Operation
	// Against is the operation that it contradicts first of all, nil if it is none
	// in particular.
	Against *Operation
}

// String returns a text of two or three lines.
func (v *Violation) String() string {
	text := fmt.Sprintf("%s of %q: %s\n  %s", v.Rule, v.Name, v.Text, &v.What)
	if v.Against != nil {
		text += "\n  " + v.Against.String()
	}
	return text
}

// violation makes one of an operation and of what it contradicts, nil for nothing.
func violation(r Rule, what, against *Operation, text string) *Violation {
	v := &Violation{Name: what.Name, Rule: r, Text: text, What: *what}
	if against != nil {
		other := *against
		v.Against = &other
	}
	return v
}

// Report is what Check found.
type Report struct {
	Operations int // those with an outcome, or that may have had one
	Definite   int // those of them with an outcome
	Names      int
	Ghosts     int // grants nobody was told of, and somebody met
	// Most is how many states a name could be in at one moment.
	Most       int
	Violations []Violation // one for each name that has any
	Undecided  []string    // names with too much under way at a time
}

// Check judges a history. Operations may come in any order; they are not changed.
func Check(all []Operation) Report {
	sorted := make([]*Operation, len(all))
	for i := range all {
		sorted[i] = &all[i]
	}
	slices.SortStableFunc(sorted, func(a, b *Operation) int {
		if c := cmp.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return cmp.Compare(a.Call, b.Call)
	})
	var r Report
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n].Name == sorted[0].Name {
			n++
		}
		r.judge(sorted[:n:n])
		sorted = sorted[n:]
	}
	return r
}

// judge judges one name.
func (r *Report) judge(all []*Operation) {
	r.Names++
	for _, o := range all {
		if o.Kind != Loss {
			r.Operations++
		}
		if o.Outcome != Uncertain {
			r.Definite++
		}
	}
	h, v := newHistory(all)
	if v != nil {
		r.Violations = append(r.Violations, *v)
		return
	}
	most, v, decided := h.run()
	r.Ghosts += h.ghosts
	r.Most = max(r.Most, most)
	switch {
	case v != nil:
		r.Violations = append(r.Violations, *v)
	case !decided:
		r.Undecided = append(r.Undecided, h.name)
	}
}

// explain says why no configuration can put a step behind it, by the one that has
// come furthest.
func (w *walk) explain(before []*config, s *step) *Violation {
	c := before[0]
	for _, d := range before {
		if d.next > c.next || d.next == c.next && len(d.holds) < len(c.holds) {
			c = d
		}
	}
	switch {
	case s.Kind == Acquire && s.Outcome == Done:
		return w.explainGrant(c, s)
	case s.Kind == Convert:
		return w.explainTurn(c, s)
	case s.Kind == Release:
		return violation(RuleRelease, s.Operation, w.firstOf(s.grant), "given back, and not held")
	case s.Kind == Write:
		return violation(RuleValue, s.Operation, w.firstOf(s.grant), "written by who does not hold it")
	case s.Kind == Acquire:
		return w.explainRefusal(c, s)
	case s.Reads != nil && w.answered(before, s):
		return w.explainValue(c, s)
	case s.Kind == Test:
		return violation(RuleTest, s.Operation, w.holder(c), fmt.Sprintf(
			"no state between call and return answers so; the last that is possible: %s", w.state(c)))
	default:
		return violation(RuleGet, s.Operation, w.holder(c), fmt.Sprintf(
			"no state between call and return answers so; the last that is possible: %s", w.state(c)))
	}
}

// explainGrant tells a token out of order from holds that do not agree and from a
// value that was not there.
func (w *walk) explainGrant(c *config, s *step) *Violation {
	if g := &w.grants[s.grant]; g.met != nil {
		return violation(RuleExclusion, g.met, w.holder(c), fmt.Sprintf("token %d, which was met here, "+
			"had no place before: %s", g.token, w.state(c)))
	}
	for i := c.next; i < s.grant; i++ {
		if g := &w.grants[i]; g.first != nil && g.first.Call > s.Return {
			return violation(RuleToken, s.Operation, g.first,
				fmt.Sprintf("token %d was granted before the smaller %d was", s.Token, g.token))
		}
	}
	if s.grant < c.next && c.at(s.grant) < 0 {
		return violation(RuleToken, s.Operation, w.firstOf(s.grant),
			fmt.Sprintf("token %d is of a hold that is over", s.Token))
	}
	for _, k := range c.holds {
		g := &w.grants[k.grant]
		apart := w.capacity > 0 || !agree(w.grants[s.grant].modes, w.modesOf(k))
		if k.grant != s.grant && apart && !w.loose(k) {
			return violation(RuleExclusion, s.Operation, g.first, fmt.Sprintf(
				"token %d was granted while token %d was held", s.Token, g.token))
		}
	}
	if s.Reads != nil {
		return w.explainValue(c, s)
	}
	return violation(RuleExclusion, s.Operation, w.holder(c),
		"granted while others held it: "+w.state(c))
}

// explainTurn tells a hold that was not there from others that do not agree with what
// it became.
func (w *walk) explainTurn(c *config, s *step) *Violation {
	if s.grant < 0 || c.at(s.grant) < 0 {
		return violation(RuleConvert, s.Operation, w.firstOf(s.grant), "converted, and not held")
	}
	for _, k := range c.holds {
		g := &w.grants[k.grant]
		if k.grant != s.grant && !agree(1<<s.Mode, w.modesOf(k)) && !w.loose(k) {
			return violation(RuleExclusion, s.Operation, g.first, fmt.Sprintf(
				"converted while token %d was held", g.token))
		}
	}
	return violation(RuleConvert, s.Operation, w.holder(c), "converted while others held it, or "+
		"out of the order of tokens: "+w.state(c))
}

func (w *walk) explainRefusal(c *config, s *step) *Violation {
	text := "refused, and nobody was in the way"
	against := w.holder(c)
	if s.Token != 0 {
		text = fmt.Sprintf("refused because of token %d, which was not in the way", s.Token)
		against = w.firstOf(s.grant)
	}
	return violation(RuleRefusal, s.Operation, against, text+"; the last state that is possible: "+
		w.state(c))
}

func (w *walk) explainValue(c *config, s *step) *Violation {
	text := "no value was ever written"
	var against *Operation
	if c.value >= 0 {
		against = w.steps[c.value].Operation
		text = fmt.Sprintf("value %q was the last that was written, not %q", against.Value, s.Reads.Data)
	}
	return violation(RuleValue, s.Operation, against, text)
}

// answered reports whether a question would have been answered but for its value.
func (w *walk) answered(before []*config, s *step) bool {
	plain := *s.Operation
	plain.Reads = nil
	other := *s
	other.Operation = &plain
	return slices.ContainsFunc(before, func(c *config) bool {
		return w.answers(c, &other) ||
			slices.ContainsFunc(w.after(c), func(d *config) bool { return w.answers(d, &other) })
	})
}

// firstOf returns the Acquire that was told a grant, nil if there is none.
func (w *walk) firstOf(g int32) *Operation {
	if g < 0 {
		return nil
	}
	return w.grants[g].first
}

// holder returns the Acquire of the newest present hold, nil if there is none.
func (w *walk) holder(c *config) *Operation {
	if len(c.holds) == 0 {
		return nil
	}
	return w.firstOf(c.holds[len(c.holds)-1].grant)
}

// state says who holds the lock.
func (w *walk) state(c *config) string {
	all := make([]Holder, len(c.holds))
	for i, k := range c.holds {
		all[i].Token = w.grants[k.grant].token
	}
	return holdersText(all)
}

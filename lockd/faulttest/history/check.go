package history

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Errors of Report.Err.
var (
	// ErrViolation: no order of the operations explains the answers.
	ErrViolation = errors.New("history: not linearizable")
	// ErrUndecided: a search was not over in time. Make the history smaller.
	ErrUndecided = errors.New("history: not decided in time")
)

// Report says what Check did and found.
type Report struct {
	Operations int // Expire not counted
	Partitions int // names
	Largest    int // operations of one name
	Uncertain  int // operations without a definite answer
	// Ghosts are holds that nobody was told of, but that somebody met.
	Ghosts   int
	Took     time.Duration
	Failures []Failure
}

// Failure is one name whose history is not linearizable, or not known to be.
type Failure struct {
	Name string
	Err  error  // ErrViolation or ErrUndecided
	Text string // the operations, in the longest order found, then the others
}

// Err returns what failed, nil if nothing did.
func (r *Report) Err() error {
	if len(r.Failures) == 0 {
		return nil
	}
	f := &r.Failures[0]
	return fmt.Errorf("%w: %d of %d names, the first %q:\n%s", f.Err, len(r.Failures), r.Partitions,
		f.Name, f.Text)
}

// Add counts other in.
func (r *Report) Add(other *Report) {
	r.Operations += other.Operations
	r.Partitions += other.Partitions
	r.Largest = max(r.Largest, other.Largest)
	r.Uncertain += other.Uncertain
	r.Ghosts += other.Ghosts
	r.Took += other.Took
	r.Failures = append(r.Failures, other.Failures...)
}

// String returns the figures in one line.
func (r *Report) String() string {
	return fmt.Sprintf("%d operations of %d names, at most %d of one, %.2f %% uncertain, %d ghosts, "+
		"%.2fs of checking", r.Operations, r.Partitions, r.Largest,
		100*float64(r.Uncertain)/float64(max(1, r.Operations)), r.Ghosts, r.Took.Seconds())
}

// Check searches the history of each name. Limit bounds each search. All must
// be operations of what the model describes, from the first on: a name begins
// free, a register with value and token zero.
func Check(m Model, all []Operation, limit time.Duration) Report {
	began := time.Now()
	var r Report
	for _, name := range byName(all) {
		r.Partitions++
		p := newPartition(m, name)
		r.Operations += p.counted
		r.Largest = max(r.Largest, p.counted)
		r.Uncertain += p.uncertain
		r.Ghosts += p.ghosts
		if err := p.judge(limit); err != nil {
			r.Failures = append(r.Failures, Failure{Name: name[0].Name, Err: err, Text: p.describe(err)})
		}
	}
	r.Took = time.Since(began)
	return r
}

// byName sorts operations into one slice per name, in the order of the names.
func byName(all []Operation) [][]*Operation {
	sorted := make([]*Operation, len(all))
	for i := range all {
		sorted[i] = &all[i]
	}
	slices.SortStableFunc(sorted, func(a, b *Operation) int { return cmp.Compare(a.Name, b.Name) })
	var names [][]*Operation
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n].Name == sorted[0].Name {
			n++
		}
		names = append(names, sorted[:n:n])
		sorted = sorted[n:]
	}
	return names
}

// partition is the history of one name, ready to be searched.
type partition struct {
	model porcupine.Model
	// definite are the operations that every explanation needs; perhaps are
	// uncertain ones that most explanations do without.
	definite, perhaps          []porcupine.Operation
	counted, uncertain, ghosts int
	err                        error // it cannot be explained, whatever the order
}

func newPartition(m Model, all []*Operation) *partition {
	p := &partition{model: m.porcupine()}
	granted, released, owners := make(map[uint64]int), make(map[uint64]int), make(map[uint64]int)
	for _, o := range all {
		switch {
		case o.Outcome == Granted && o.Kind == Acquire:
			granted[o.Token]++
			owners[o.Owner]++
		case o.Outcome == Granted && o.Kind == Release:
			released[o.Token]++
		}
	}
	var ends []*Operation
	for _, o := range all {
		if o.Kind != Expire {
			p.counted++
			if o.Outcome == Uncertain {
				p.uncertain++
			}
		}
		a := newAttempt(o)
		switch {
		case o.Outcome != Uncertain:
			if o.Kind == Acquire && o.Outcome == Refused {
				a.crowded, a.excused = company(all, o)
			}
			p.definite = append(p.definite, a.operation())
		case o.Kind == Acquire && m.counts && o.Owner != 0 && owners[o.Owner] > 0:
			p.perhaps = append(p.perhaps, a.operation())
		case o.Kind == Expire || o.Kind == Release:
			if granted[o.Token] > released[o.Token] {
				ends = append(ends, o)
			}
		default: // it changes nothing that anybody met
		}
	}
	if !m.counts {
		ends = firstEnds(ends)
	}
	for _, o := range ends {
		p.definite = append(p.definite, newAttempt(o).operation())
	}
	added, err := ghosts(all, granted)
	for _, a := range added {
		p.definite = append(p.definite, a.operation())
	}
	p.ghosts, p.err = len(added)/2, err
	return p
}

// firstEnds returns one end for each hold that has any: from the first moment on
// at which one of them may have come. That a hold ends once leaves less to search.
func firstEnds(ends []*Operation) []*Operation {
	first := make(map[uint64]*Operation)
	var kept []*Operation
	for _, o := range ends {
		have := first[o.Token]
		if have == nil {
			have = &Operation{Kind: Expire, Began: o.Began, Ended: Open, Name: o.Name, Token: o.Token}
			first[o.Token] = have
			kept = append(kept, have)
		}
		have.Began = min(have.Began, o.Began)
	}
	return kept
}

func (a *attempt) operation() porcupine.Operation {
	return porcupine.Operation{ClientId: a.Client, Input: a, Call: a.Began, Return: a.Ended}
}

// judge searches for an order. The error matches one of those of this package.
func (p *partition) judge(limit time.Duration) error {
	if p.err != nil {
		return p.err
	}
	verdict := porcupine.CheckOperationsTimeout(p.model, p.definite, limit)
	if verdict == porcupine.Illegal && len(p.perhaps) > 0 {
		all := slices.Concat(p.definite, p.perhaps)
		verdict = porcupine.CheckOperationsTimeout(p.model, all, limit)
	}
	switch verdict {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return ErrViolation
	default:
		return ErrUndecided
	}
}

// company reports whether somebody was waiting at some moment of the refused
// acquire o, and whether an uncertain one may have been granted by then.
func company(all []*Operation, o *Operation) (crowded, excused bool) {
	for _, w := range all {
		if w.Kind != Acquire || w.Began > o.Ended || w.Ended < o.Began {
			continue
		}
		crowded = crowded || w.Waits == Queues
		excused = excused || w.Outcome == Uncertain
	}
	return crowded, excused
}

func (m Model) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return &state{} },
		Step: func(s, input, _ any) (bool, any) {
			next := s.(*state).clone()
			return m.step(next, input.(*attempt)), next
		},
		Equal: func(a, b any) bool { return a.(*state).equal(b.(*state)) },
		Hash:  func(s any) uint64 { return s.(*state).hash() },
	}
}

// describe tells a history that could not be explained: the longest order that
// was found, and what is left.
func (p *partition) describe(err error) string {
	all := slices.Concat(p.definite, p.perhaps)
	_, info := porcupine.CheckOperationsVerbose(p.model, all, time.Second)
	var longest []porcupine.Operation
	for _, partial := range info.PartialLinearizationsOperations() {
		for _, order := range partial {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	var b strings.Builder
	fmt.Fprintln(&b, err)
	done := make(map[*attempt]bool)
	for i := range longest {
		a := longest[i].Input.(*attempt)
		done[a] = true
		fmt.Fprintf(&b, "  %3d. %s\n", i+1, a.Operation)
	}
	slices.SortFunc(all, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for i := range all {
		if a := all[i].Input.(*attempt); !done[a] {
			fmt.Fprintf(&b, "  not explained: %s\n", a.Operation)
		}
	}
	return b.String()
}

package wal

import (
	"slices"
	"testing"
)

// calls notes what is asked of it, and syncs here while it is quick.
type calls struct {
	quick bool
	seen  []string
}

func (c *calls) FlushHere() bool {
	c.seen = append(c.seen, "here")
	return c.quick
}

func (c *calls) Submit() { c.seen = append(c.seen, "submit") }

// TestRounds: what is asked for in a round is synced at its end, once, there or by
// somebody else, and by somebody else at once where no round runs.
func TestRounds(t *testing.T) {
	for _, row := range []struct {
		name  string
		quick bool
		do    func(r *Rounds)
		want  []string
	}{
		{"nothing asked", true, func(r *Rounds) { r.Begin(); r.Sent() }, nil},
		{"no round", true, func(r *Rounds) { r.Ask() }, []string{"submit"}},
		{"in a round", true, func(r *Rounds) { r.Begin(); r.Ask(); r.Ask(); r.Sent() },
			[]string{"here"}},
		{"slow", false, func(r *Rounds) { r.Begin(); r.Ask(); r.Sent() }, []string{"here", "submit"}},
		{"after it", true, func(r *Rounds) { r.Begin(); r.Ask(); r.Sent(); r.Ask() },
			[]string{"here", "submit"}},
		{"two loops", true, func(r *Rounds) { r.Begin(); r.Begin(); r.Ask(); r.Sent(); r.Sent() },
			[]string{"here"}},
		{"asked between", true,
			func(r *Rounds) { r.Begin(); r.Begin(); r.Sent(); r.Ask(); r.Sent() }, []string{"here"}},
	} {
		c := &calls{quick: row.quick}
		row.do(NewRounds(c))
		if !slices.Equal(c.seen, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, c.seen, row.want)
		}
	}
}

package faulttest

import (
	"strings"
	"testing"

	"lockd/client"
)

// claimed is a hold as a client might wrongly have been told of it.
type claimed struct {
	token uint64
	lost  bool
}

func (c *claimed) Token() uint64 { return c.token }
func (c *claimed) Valid() bool   { return !c.lost }

// TestCheckerSeesWhatALockMustNot feeds the checker histories of a broken
// cluster, and of a sound one.
func TestCheckerSeesWhatALockMustNot(t *testing.T) {
	type step struct {
		mode  client.Mode
		hold  *claimed
		leave []*claimed
	}
	a, b, lost := &claimed{token: 5}, &claimed{token: 6}, &claimed{token: 5, lost: true}
	old := &claimed{token: 4}
	for _, row := range []struct {
		name  string
		steps []step
		want  string // of the last step
	}{
		{"two writers", []step{{client.Exclusive, a, nil}, {client.Exclusive, b, nil}},
			"token 6 while it was held with token 5"},
		{"reader and writer", []step{{client.Shared, a, nil}, {client.Exclusive, b, nil}},
			"while it was held"},
		{"token goes back", []step{{client.Exclusive, b, nil},
			{client.Exclusive, old, []*claimed{b}}}, "token 4 after token 6"},
		{"two readers", []step{{client.Shared, b, nil}, {client.Shared, a, nil}}, ""},
		{"one after the other", []step{{client.Exclusive, a, nil},
			{client.Exclusive, b, []*claimed{a}}}, ""},
		{"after a lost hold", []step{{client.Exclusive, lost, nil}, {client.Exclusive, b, nil}}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &register{name: "x"}
			got := ""
			for _, s := range row.steps {
				for _, h := range s.leave {
					r.leave(h)
				}
				got = r.enter(s.hold, s.mode)
			}
			if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	s := newTokenSet()
	s.add(1, 7, "a")
	if before, again := s.add(1, 7, "b"); !again || before != "a" {
		t.Errorf("a repeated token: got %q, %v, want a, true", before, again)
	}
	if _, again := s.add(2, 7, "b"); again {
		t.Error("the same token of another group was taken for a repetition")
	}
}

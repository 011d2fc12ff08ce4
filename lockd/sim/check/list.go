package check

import (
	"bytes"
	"fmt"
	"strings"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// listed judges a page of a group's names: each is as the log says at that slot, they
// come in order, and none that is in use is left out between the ends of the page.
func (h *History) listed(q *Question, x *wire.Response) error {
	page, err := q.page(x.Payload)
	if x.Status != wire.StatusOK || err != nil {
		return fmt.Errorf("I23: List of group %d is answered %v, %v", q.Group, x.Status, err)
	}
	m, told, last := h.models[q.Group], make(map[string]bool), []byte(q.After)
	for i := range page.Entries {
		e := &page.Entries[i]
		if bytes.Compare(e.Name, last) <= 0 || !strings.HasPrefix(string(e.Name), q.Name) {
			return fmt.Errorf("I23: List of %q in group %d has %q after %q", q.Name, q.Group, e.Name, last)
		}
		last, told[string(e.Name)] = e.Name, true
		v := m.At(string(e.Name), x.Slot)
		first := lockfsm.Token(0)
		if len(v.Tokens) > 0 {
			first = v.Tokens[0]
		}
		if !v.Vague && (int(e.HolderCount) != v.Holders || int(e.WaiterCount) != v.Waiters ||
			e.Token != uint64(first)) {
			return fmt.Errorf("I24: List shows %q at slot %d of group %d with %d holders, %d waiters, "+
				"token %d; the log says %d, %d, %d", e.Name, x.Slot, q.Group, e.HolderCount, e.WaiterCount,
				e.Token, v.Holders, v.Waiters, first)
		}
	}
	for name := range m.locks { // order: any one is enough
		v := m.At(name, x.Slot)
		beyond := name <= q.After || page.More != 0 && name > string(last)
		if !v.Vague && v.Holders+v.Waiters > 0 && !beyond && !told[name] &&
			strings.HasPrefix(name, q.Name) {
			return fmt.Errorf("I24: List of %q at slot %d of group %d leaves %q out", q.Name, x.Slot,
				q.Group, name)
		}
	}
	return nil
}

// page decodes the answer to a List in the version in which it was asked for: one of
// another may decode too, as what nobody said.
func (q *Question) page(b []byte) (wire.ListPage, error) {
	switch {
	case q.Version >= wire.VersionWhole:
		return wire.DecodeListPage3(b)
	case q.Version >= wire.VersionKinds:
		return wire.DecodeListPage2(b)
	default:
		return wire.DecodeListPage(b)
	}
}

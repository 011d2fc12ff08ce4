package node

import (
	"bytes"
	"fmt"
	"testing"

	"lockd/netio/wire"
)

// longNames returns n names of group 0 that are as long as a name may be, ascending.
func longNames(groups, n int) (all [][]byte) {
	for i := 0; len(all) < n; i++ {
		name := append(fmt.Appendf(nil, "long/%06d/", i), bytes.Repeat([]byte("x"), wire.MaxNameBytes)...)
		if name = name[:wire.MaxNameBytes]; wire.GroupOf("", name, uint16(groups)) == 0 {
			all = append(all, name)
		}
	}
	return all
}

// A page has as many entries as it has room for, and says that there are more: all pages
// have each name once, be the names long or short.
func TestListPages(t *testing.T) {
	o := testOptions()
	w := newWorld(t, o)
	a := w.lasting(1, 0, 60_000)
	names := longNames(o.Groups, 130)
	for i := range 150 {
		names = append(names, w.nameIn(0, i))
	}
	for _, name := range names {
		a.lock(name)
	}
	found, pages := map[string]bool{}, 0
	var after []byte
	for more := wire.MorePages; more == wire.MorePages; pages++ {
		h := a.header(wire.KindList)
		h.Flags = wire.FlagVersion3
		r := w.call(a.conn, h, wire.AppendList(nil, h, &wire.List{Limit: wire.MaxListPage,
			After: after}))
		page, err := wire.DecodeListPage3(r.Payload)
		if r.Status != wire.StatusOK || err != nil || len(page.Entries) == 0 ||
			len(r.Payload) > wire.MaxListBytes+4 {
			t.Fatalf("page %d: got %v, %v, %d entries in %d bytes", pages, r.Status, err,
				len(page.Entries), len(r.Payload))
		}
		for i := range page.Entries {
			name := string(page.Entries[i].Name)
			if found[name] || name <= string(after) {
				t.Fatalf("page %d: got %.20q after %.20q", pages, name, after)
			}
			found[name], after = true, []byte(name)
		}
		more = page.More
	}
	if len(found) != len(names) || pages < 2 || pages > 3 {
		t.Errorf("got %d names in %d pages, want %d in two or three", len(found), pages, len(names))
	}
}

package lockfsm

// due is one entry of the expiry heap: a session or detached hold, and a
// moment at or before its deadline.
type due struct {
	at  Time
	ref ref
}

// dueHeap orders sessions and detached holds by the moment at which they must
// be looked at. It is a 4-ary heap with one entry for each.
//
// Renewing does not touch the heap, so the stored moment may be earlier than
// the deadline. When such an entry comes to the top it is moved down to its
// deadline; an entry at the top whose moment is its deadline is the least of
// all by (deadline, kind, id), because no other's deadline is before its stored
// moment. What expires, and in which order, is therefore a function of the
// deadlines alone, whatever the layout of the heap.
type dueHeap struct {
	m     *Machine
	items []due
}

func (h *dueHeap) less(a, b due) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	x, y := h.m.sessions.at(a.ref), h.m.sessions.at(b.ref)
	if x.kind != y.kind {
		return x.kind < y.kind
	}
	return x.expiryID() < y.expiryID()
}

// push adds r at its deadline.
func (h *dueHeap) push(r ref) {
	h.items = append(h.items, due{})
	h.up(len(h.items)-1, due{h.m.sessions.at(r).deadline, r})
}

// remove takes r out. Requires: it is in the heap.
func (h *dueHeap) remove(r ref) {
	i := int(h.m.sessions.at(r).heapAt)
	n := len(h.items) - 1
	last := h.items[n]
	h.items = h.items[:n]
	if i == n {
		return
	}
	if i > 0 && h.less(last, h.items[(i-1)/4]) {
		h.up(i, last)
		return
	}
	h.down(i, last)
}

// earliest returns what expires first, or zero if the heap is empty. The
// caller decides by its deadline whether it is due at t; below t every stored
// moment is brought up to its deadline.
func (h *dueHeap) earliest(t Time) ref {
	for len(h.items) > 0 {
		top := h.items[0]
		deadline := h.m.sessions.at(top.ref).deadline
		if top.at == deadline || top.at > t {
			return top.ref
		}
		h.down(0, due{deadline, top.ref})
	}
	return 0
}

func (h *dueHeap) set(i int, d due) {
	h.items[i] = d
	h.m.sessions.at(d.ref).heapAt = uint32(i)
}

func (h *dueHeap) up(i int, d due) {
	for i > 0 {
		parent := (i - 1) / 4
		if !h.less(d, h.items[parent]) {
			break
		}
		h.set(i, h.items[parent])
		i = parent
	}
	h.set(i, d)
}

func (h *dueHeap) down(i int, d due) {
	for {
		first := 4*i + 1
		if first >= len(h.items) {
			break
		}
		least := first
		for j := first + 1; j < min(first+4, len(h.items)); j++ {
			if h.less(h.items[j], h.items[least]) {
				least = j
			}
		}
		if !h.less(h.items[least], d) {
			break
		}
		h.set(i, h.items[least])
		i = least
	}
	h.set(i, d)
}

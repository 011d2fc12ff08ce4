package agenda

// Time is a moment or a length of the world's true time, in nanoseconds. No
// simulated node or client ever sees it.
type Time int64

// The usual lengths.
const (
	Microsecond Time = 1_000
	Millisecond      = 1_000 * Microsecond
	Second           = 1_000 * Millisecond

	// Never is later than every world ends.
	Never Time = 1 << 60
)

// Seconds is t as a number of seconds.
func (t Time) Seconds() float64 { return float64(t) / float64(Second) }

// Millis is t as a number of milliseconds.
func (t Time) Millis() float64 { return float64(t) / float64(Millisecond) }

// Agenda holds all events to come and the present moment. The zero value is
// empty and at zero. It belongs to one goroutine.
type Agenda struct {
	// Draw decides the order of events of one moment, the smallest first. If it
	// is nil they happen in the order in which they were planned. It is called
	// once for each event and must be set before the first.
	Draw func() uint32

	now  Time
	seq  uint64
	heap []event // each before its four children, at 4i+1 to 4i+4
}

// event is something that happens at a moment, and in that moment in the order
// of rank: what was drawn, and then how many were planned before.
type event struct {
	at   Time
	rank uint64
	do   func()
}

func (e *event) before(f *event) bool {
	return e.at < f.at || e.at == f.at && e.rank < f.rank
}

// Now is the present moment.
func (a *Agenda) Now() Time { return a.now }

// Planned is how many events were ever planned.
func (a *Agenda) Planned() uint64 { return a.seq }

// At plans an event; one in the past happens now.
func (a *Agenda) At(t Time, do func()) {
	a.seq++
	rank := a.seq & (1<<32 - 1) // four billion are never there at one time
	if a.Draw != nil {
		rank |= uint64(a.Draw()) << 32
	}
	e := event{max(t, a.now), rank, do}
	a.heap = append(a.heap, e)
	i := len(a.heap) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&a.heap[parent]) {
			break
		}
		a.heap[i] = a.heap[parent]
		i = parent
	}
	a.heap[i] = e
}

// After plans an event d from now.
func (a *Agenda) After(d Time, do func()) { a.At(a.now+d, do) }

// Next makes the next event happen. If there is none before until, it goes to
// that moment and reports false.
func (a *Agenda) Next(until Time) bool {
	if len(a.heap) == 0 || a.heap[0].at >= until {
		a.now = until
		return false
	}
	first := a.heap[0]
	last := len(a.heap) - 1
	e := a.heap[last]
	a.heap[last] = event{}
	a.heap = a.heap[:last]
	if last > 0 {
		a.sink(e)
	}
	a.now = first.at
	first.do()
	return true
}

// sink puts an event into the hole at the top.
func (a *Agenda) sink(e event) {
	h, i := a.heap, 0
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		least := child
		for k := child + 1; k < min(child+4, len(h)); k++ {
			if h[k].before(&h[least]) {
				least = k
			}
		}
		if !h[least].before(&e) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = e
}

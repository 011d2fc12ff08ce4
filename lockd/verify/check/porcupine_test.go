package check

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// This file has the model once more, written down plainly and searched through by
// somebody else's program.

// plainHold is a hold of the plain model.
type plainHold struct {
	token, owner uint64
	mode         Mode
	permits      uint32
	count        int
	extra        bool // its owner may have entered unheard
}

// plain is a lock.
type plain struct {
	last  uint64
	value Value
	holds []plainHold
}

func (p plain) clone() plain {
	p.holds = slices.Clone(p.holds)
	return p
}

func (p plain) equal(q plain) bool {
	return p.last == q.last && p.value == q.value && slices.Equal(p.holds, q.holds)
}

func (p plain) at(token uint64) int {
	return slices.IndexFunc(p.holds, func(h plainHold) bool { return h.token == token })
}

// inTheWay reports whether somebody is.
func (p plain) inTheWay(o *Operation) bool {
	used := o.Permits
	for _, h := range p.holds {
		used += h.permits
		if o.Capacity == 0 && h.mode.agreeing()>>o.Mode&1 == 0 {
			return true
		}
	}
	return o.Capacity > 0 && used > o.Capacity
}

// plainOp is an operation of the plain model: those without an outcome are two, one
// that may begin something and one that may end it.
type plainOp struct {
	*Operation
	ends             bool
	ghosts           []uint64 // tokens nobody was told of
	crowded, excused bool
}

func (p plain) step(o *plainOp) []plain {
	switch {
	case o.ends:
		return p.mayEnd(o)
	case o.Kind == Loss, o.Kind == Release && o.Outcome == Uncertain:
		next := []plain{p}
		if i := p.at(o.Token); i >= 0 {
			next = append(next, p.less(i, o.Kind == Release)...)
		}
		return next
	case o.Kind == Force:
		next := []plain{}
		i := p.at(o.Token)
		if i >= 0 {
			next = p.less(i, false)
		}
		if i < 0 || o.Outcome == Uncertain {
			next = append(next, p)
		}
		return next
	case o.Kind == Convert:
		return p.turn(o)
	case o.Kind == Release:
		i := p.at(o.Token)
		if i < 0 || p.holds[i].count == 0 {
			return nil
		}
		return p.less(i, true)
	case o.Kind == Write:
		next := p.clone()
		next.value = Value{o.Value, o.Token}
		switch {
		case p.at(o.Token) >= 0 && o.Outcome == Uncertain:
			return []plain{p, next}
		case p.at(o.Token) >= 0:
			return []plain{next}
		case o.Outcome == Uncertain:
			return []plain{p}
		}
		return nil
	case o.Kind == Acquire && o.Outcome == Uncertain:
		return p.unheard(o)
	case o.Outcome == Uncertain: // a question
		return []plain{p}
	case o.Reads != nil && *o.Reads != p.value:
		return nil
	case o.Kind == Acquire && o.Outcome == Done:
		return p.enter(o, o.Token)
	case p.answers(o):
		return []plain{p}
	}
	return nil
}

// turn converts a hold. Without an answer it may have come to that or not.
func (p plain) turn(o *plainOp) (next []plain) {
	tokens := []uint64{o.Newest}
	if o.Outcome == Uncertain {
		next, tokens = []plain{p}, append(slices.Clone(o.ghosts), o.Token)
	}
	i := p.at(o.Token)
	if i < 0 || p.holds[i].count == 0 {
		return next
	}
	for _, token := range tokens {
		turned := p.clone()
		turned.holds = slices.Delete(turned.holds, i, i+1)
		h := p.holds[i]
		h.mode, h.token = o.Mode, token
		switch weaker := p.holds[i].mode.noStronger(o.Mode); {
		case token == o.Token && weaker:
			turned.holds = slices.Insert(turned.holds, i, h)
		case token <= p.last || turned.inTheWay(o.Operation):
			continue
		default:
			turned.last, turned.holds = token, append(turned.holds, h)
		}
		next = append(next, turned)
	}
	return next
}

// less gives a hold back: all of it, or one entry.
func (p plain) less(i int, one bool) []plain {
	next := p.clone()
	if h := &next.holds[i]; one && h.count > 1 {
		h.count--
		return []plain{next}
	}
	gone := p.clone()
	gone.holds = slices.Delete(gone.holds, i, i+1)
	if one && p.holds[i].extra {
		next.holds[i].count = 0
		return []plain{gone, next}
	}
	return []plain{gone}
}

// mayEnd ends a hold that nobody was told of, or none.
func (p plain) mayEnd(o *plainOp) []plain {
	next := []plain{p}
	for i, h := range p.holds {
		turned := o.Kind == Convert && h.token == o.Token
		if h.count == 0 || turned || slices.Contains(o.ghosts, h.token) {
			next = append(next, p.less(i, false)...)
		}
	}
	return next
}

func (p plain) unheard(o *plainOp) []plain {
	next := []plain{p}
	for _, token := range o.ghosts {
		next = append(next, p.enter(o, token)...)
	}
	for i, h := range p.holds {
		if o.Owner != 0 && h.owner == o.Owner {
			with := p.clone()
			with.holds[i].extra = true
			next = append(next, with)
		}
	}
	return next
}

func (p plain) enter(o *plainOp, token uint64) []plain {
	next := p.clone()
	if i := p.at(token); i >= 0 {
		if o.Owner == 0 || o.Owner != p.holds[i].owner || p.holds[i].count == 0 {
			return nil
		}
		next.holds[i].count++
		return []plain{next}
	}
	if token <= p.last || p.inTheWay(o.Operation) {
		return nil
	}
	next.last = token
	next.holds = append(next.holds, plainHold{token: token, owner: o.Owner, mode: o.Mode,
		permits: o.Permits, count: 1})
	return []plain{next}
}

func (p plain) answers(o *plainOp) bool {
	switch o.Kind {
	case Acquire:
		for _, h := range p.holds {
			if o.Owner != 0 && h.owner == o.Owner && h.count > 0 && !o.excused {
				return false
			}
		}
		if o.Token != 0 && p.at(o.Token) < 0 {
			return false
		}
		return o.crowded || o.excused || p.inTheWay(o.Operation)
	case Get:
		var listed, held []Holder
		for _, h := range o.Holders {
			listed = append(listed, Holder{Token: h.Token, Mode: h.Mode, Permits: h.Permits})
		}
		for _, h := range p.holds {
			held = append(held, Holder{Token: h.token, Mode: h.mode, Permits: h.permits})
		}
		return slices.Equal(listed, held)
	case Test:
		newest := uint64(0)
		if n := len(p.holds); n > 0 {
			newest = p.holds[n-1].token
		}
		return o.Newest == newest && o.Current == (p.at(o.Token) >= 0)
	default:
		return false
	}
}

// plainly has porcupine judge a history of one name.
func plainly(all []Operation) porcupine.CheckResult {
	told, met := map[uint64]bool{}, map[uint64]bool{}
	for i := range all {
		o := &all[i]
		if o.Kind == Acquire && o.Outcome == Done {
			told[o.Token] = true
		}
		if o.Kind == Convert && o.Outcome == Done {
			told[o.Newest] = true
		}
	}
	for i := range all {
		o := &all[i]
		if o.Outcome == Uncertain {
			continue
		}
		for _, h := range o.Holders {
			met[h.Token] = true
		}
		if o.Kind != Convert {
			met[o.Newest] = true
		}
		if o.Outcome == Refused || o.Current {
			met[o.Token] = true
		}
	}
	var ghosts []uint64
	for token := range met {
		if token != 0 && !told[token] {
			ghosts = append(ghosts, token)
		}
	}
	slices.Sort(ghosts)
	var ops []porcupine.Operation
	for i := range all {
		o := &plainOp{Operation: &all[i], ghosts: ghosts}
		for k := range all {
			w := &all[k]
			asks := w.Kind == Acquire || w.Kind == Convert
			waits := asks && w.Waits == Queues && w.Call <= o.Return
			o.crowded = o.crowded || k != i && waits && w.Return >= o.Call
			o.excused = o.excused || asks && w.Outcome == Uncertain && w.Call <= o.Return
		}
		ops = append(ops, porcupine.Operation{Input: o, Call: o.Call, Return: o.Return})
		if (o.Kind == Acquire || o.Kind == Convert) && o.Outcome == Uncertain {
			end := *o
			end.ends = true
			ops = append(ops, porcupine.Operation{Input: &end, Call: o.Call, Return: o.Return})
		}
	}
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{plain{}} },
		Step: func(state, input, _ any) (next []any) {
			for _, p := range state.(plain).step(input.(*plainOp)) {
				next = append(next, p)
			}
			return next
		},
		Equal: func(a, b any) bool { return a.(plain).equal(b.(plain)) },
	}
	return porcupine.CheckOperationsTimeout(model.ToModel(), ops, 2*time.Second)
}

// drawn is how a history is drawn: of a real lock, and then spoiled or not.
type drawn struct {
	*rand.Rand
	now     int64
	rest    int64 // between two operations, at most
	lock    plain
	next    uint64 // token
	clients []drawnClient
	all     []Operation
	shape   int // mutex, modes, semaphore, owners, values
	ask     asking
}

// asking says what those ask for that get no answer.
type asking uint8

const (
	alikeOnly  asking = iota // the same
	asTheyLike               // in modes, for permits and for owners of their own
)

type drawnClient struct {
	token uint64 // that it holds, else zero
	free  int64  // when its last operation has returned
	times int
}

// The shapes of drawn histories.
const (
	drawnMutex = iota
	drawnModes
	drawnSemaphore
	drawnOwners
	drawnValues
	drawnShapes
)

func draw(seed uint64, ask asking) []Operation {
	d := &drawn{Rand: rand.New(rand.NewPCG(seed, 1)), next: 1, rest: 20, ask: ask}
	d.shape = d.IntN(drawnShapes)
	d.clients = make([]drawnClient, 2+d.IntN(3))
	d.run(6 + d.IntN(14))
	return d.all
}

func (d *drawn) run(operations int) {
	for len(d.all) < operations {
		d.now += 1 + d.Int64N(d.rest)
		d.act(d.IntN(len(d.clients)))
	}
}

// act has a client do something at this moment, and writes down from when to when.
func (d *drawn) act(client int) {
	c := &d.clients[client]
	if c.free >= d.now {
		return
	}
	o := Operation{Name: "n", Client: client, Outcome: Done, Mode: Exclusive}
	if d.shape == drawnSemaphore {
		o.Permits, o.Capacity = 1+d.Uint32N(2), 3
	}
	if d.shape == drawnOwners {
		o.Owner = uint64(client + 1)
	}
	switch n, of := d.IntN(10), &d.clients[d.IntN(len(d.clients))]; {
	case n < 2:
		d.question(&o)
	case n == 2 && of.token != 0:
		o.Kind, o.Token = Force, of.token
		d.lock = d.lock.less(d.lock.at(of.token), false)[0]
		of.token, of.times = 0, 0
	case c.token != 0 && d.shape == drawnOwners && n < 4 && c.times < 3:
		o.Kind, o.Token = Acquire, c.token
		d.lock = d.lock.enter(&plainOp{Operation: &o}, c.token)[0]
		c.times++
	case c.token != 0 && d.shape == drawnModes && n < 6:
		d.turn(&o, c)
	case c.token != 0 && d.shape == drawnValues && n < 6:
		o.Kind, o.Token, o.Value = Write, c.token, fmt.Sprint(len(d.all))
		d.lock.value = Value{o.Value, o.Token}
	case c.token != 0:
		o.Kind, o.Token = Release, c.token
		d.lock = d.lock.less(d.lock.at(c.token), true)[0]
		if c.times--; c.times == 0 {
			c.token = 0
		}
	default:
		d.acquire(&o, c)
	}
	o.Call = max(c.free+1, d.now-d.Int64N(3*d.rest/2))
	o.Return = d.now + d.Int64N(3*d.rest/2)
	c.free = o.Return
	changes := o.Kind == Release || o.Kind == Force || o.Kind == Write || o.Kind == Convert
	if d.IntN(12) == 0 && (changes || o.Kind == Acquire && o.Outcome == Done &&
		(c.times < 2 || d.ask == asTheyLike)) {
		d.unheard(&o, c)
	}
	d.all = append(d.all, o)
}

// turn converts what a client holds, or asks whether it is held if others are in the way.
func (d *drawn) turn(o *Operation, c *drawnClient) {
	i := d.lock.at(c.token)
	o.Kind, o.Token, o.Mode = Convert, c.token, Mode(d.IntN(int(modes)))
	o.Waits = Waits(d.IntN(2))
	o.Was, o.Newest = d.lock.holds[i].mode, c.token
	if !o.Was.noStronger(o.Mode) {
		o.Newest = d.next + 1 + d.Uint64N(3)
	}
	turned := d.lock.turn(&plainOp{Operation: o})
	if len(turned) == 0 {
		*o = Operation{Name: o.Name, Client: o.Client, Outcome: Done}
		d.question(o)
		return
	}
	d.lock, d.next, c.token = turned[0], max(d.next, o.Newest), o.Newest
}

func (d *drawn) acquire(o *Operation, c *drawnClient) {
	o.Kind, o.Waits = Acquire, Waits(d.IntN(2))
	if d.shape == drawnModes {
		o.Mode = Mode(d.IntN(int(modes)))
	}
	if d.lock.inTheWay(o) {
		o.Waits = Tries
		o.Outcome, o.Token = Refused, d.lock.holds[0].token
		return
	}
	d.next += 1 + d.Uint64N(3)
	o.Token = d.next
	d.lock = d.lock.enter(&plainOp{Operation: o}, d.next)[0]
	c.token, c.times = d.next, 1
	if d.shape == drawnValues && d.IntN(2) == 0 {
		o.Reads = &Value{d.lock.value.Data, d.lock.value.Token}
	}
}

func (d *drawn) question(o *Operation) {
	if o.Kind = Test; d.IntN(2) == 0 {
		o.Kind = Get
	}
	if n := len(d.lock.holds); n > 0 {
		o.Newest = d.lock.holds[n-1].token
		o.Token = d.lock.holds[d.IntN(n)].token
		o.Current = true
	}
	if o.Kind == Get {
		o.Token, o.Newest, o.Current = 0, 0, false
		for _, h := range d.lock.holds {
			o.Holders = append(o.Holders, Holder{Token: h.token, Mode: h.mode, Permits: h.permits})
		}
		if d.shape == drawnValues {
			o.Reads = &Value{d.lock.value.Data, d.lock.value.Token}
		}
	}
}

// unheard takes the answer away. What an Acquire was granted ends some time, and is
// nothing that its client knows of. Those that are unheard all ask alike.
func (d *drawn) unheard(o *Operation, c *drawnClient) {
	o.Outcome, o.Return = Uncertain, Open
	switch o.Kind {
	case Convert:
		if d.ask == alikeOnly {
			o.Outcome, o.Return = Done, c.free
			return
		}
		o.Newest = 0
		if d.IntN(2) == 0 {
			d.lock = d.lock.less(d.lock.at(c.token), false)[0]
		}
		c.token, c.times = 0, 0
	case Acquire:
		alike := d.shape == drawnMutex || d.shape == drawnValues
		if o.Reads = nil; !alike && d.ask == alikeOnly {
			o.Outcome, o.Return = Done, c.free
			return
		}
		if c.times > 1 { // its owner has entered once more, perhaps for good
			if o.Token, c.times = 0, c.times-1; d.IntN(2) == 0 {
				d.lock = d.lock.less(d.lock.at(c.token), true)[0]
			}
			return
		}
		if o.Token = 0; d.IntN(2) == 0 {
			d.lock = d.lock.less(d.lock.at(c.token), false)[0]
		} else {
			d.all = append(d.all, *o)
			o.Kind, o.Token, o.Call = Loss, 0, 0
		}
		c.token, c.times = 0, 0
	}
}

// spoil changes something of a history, which may be no lie for all that.
func spoil(all []Operation, r *rand.Rand) {
	o, other := &all[r.IntN(len(all))], &all[r.IntN(len(all))]
	switch r.IntN(8) {
	case 0:
		o.Token, other.Token = other.Token, o.Token
	case 1:
		if o.Return != Open {
			shift := r.Int64N(60) - 30
			o.Call, o.Return = o.Call+shift, o.Return+shift
		}
	case 2:
		if o.Return != Open {
			o.Return = o.Call + (o.Return-o.Call)/8
		}
	case 3:
		if len(o.Holders) > 0 {
			o.Holders = o.Holders[1:]
		}
	case 4:
		if o.Kind == Release {
			*o = Operation{Kind: Get, Call: o.Call, Return: o.Return, Outcome: o.Outcome, Name: "n"}
		}
	case 5:
		if o.Reads != nil && other.Reads != nil {
			o.Reads, other.Reads = other.Reads, o.Reads
		}
	case 6:
		o.Current = !o.Current
	case 7:
		if o.Kind == Convert {
			o.Mode = Mode(r.IntN(int(modes)))
		}
	}
}

// TestPorcupineAgrees compares the verdicts on many small histories, of a lock as it
// is to be and of such as were changed. FuzzPorcupineAgrees goes on from there.
func TestPorcupineAgrees(t *testing.T) {
	for _, ask := range []asking{alikeOnly, asTheyLike} {
		const histories = 8_000
		good, bad := 0, 0
		for seed := range uint64(histories) {
			if compare(t, seed, ask) {
				good++
			} else {
				bad++
			}
		}
		t.Logf("%d histories may happen, %d may not", good, bad)
		if bad < histories/10 || good < histories/4 {
			t.Errorf("got %d that may happen and %d that may not: too few of one kind", good, bad)
		}
	}
}

func FuzzPorcupineAgrees(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, seed, asking(seed>>63)) })
}

// compare reports whether Check says that a history may happen. If porcupine says that
// it may, Check must, and the other way round if those who got no answer asked alike.
func compare(t *testing.T, seed uint64, ask asking) bool {
	t.Helper()
	all := draw(seed, ask)
	r := rand.New(rand.NewPCG(seed, 2))
	spoiled := r.IntN(4) > 0
	if spoiled {
		for range 1 + r.IntN(3) {
			spoil(all, r)
		}
	}
	report := Check(all)
	want := plainly(all)
	ok := len(report.Violations) == 0
	if want == porcupine.Unknown || ok && ask == asTheyLike {
		return ok
	}
	if ok != (want == porcupine.Ok) || len(report.Undecided) > 0 || !spoiled && !ok {
		var b strings.Builder
		for i := range all {
			fmt.Fprintln(&b, all[i].Call, all[i].Return, &all[i])
		}
		t.Fatalf("seed %d, spoiled %v: got %v, porcupine says %s, of\n%s", seed, spoiled,
			report.Violations, want, b.String())
	}
	return ok
}

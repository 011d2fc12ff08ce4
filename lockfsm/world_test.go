package lockfsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// world drives a twin, a machine, and a second machine of another seed that is
// loaded from its own incremental checkpoints every now and then, with random
// batches, and compares everything after each.
type world struct {
	rng   *rand.Rand
	l     Limits
	twin  *twin
	a, b  *Machine
	disk  map[string][]byte // what b's checkpoints left
	parts []part            // of the change set being collected
	slot  uint64
	seen  []Command // to be sent again
	// draw draws a command, nil for one of all kinds
	draw  func() Command
	batch BatchBuilder

	outTwin, outA, outB Outcome
}

// part is a record of a change set, or the deletion of one.
type part struct {
	key, value []byte
	adds       bool
}

// tinyLimits make every bound be met often.
func tinyLimits() Limits {
	l := DefaultLimits()
	l.Sessions, l.Locks, l.Claims, l.Detached = 6, 5, 24, 4
	l.ClaimsPerSession, l.WaitersPerLock, l.HoldersPerLock = 8, 5, 4
	l.NameBytes, l.SessionNameBytes = 60, 20
	l.LeaseMin, l.LeaseMax, l.HoldMin, l.HoldMax = 100, 500, 50, 300
	l.TickCap, l.WorkPerApply = 60, 4
	l.DataBytes = 3000
	return l
}

func newWorld(seed uint64) (*world, error) {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), l: tinyLimits(),
		disk: map[string][]byte{}}
	w.l.Seed = seed
	switch seed % 4 { // let each bound be the first that is met now and then
	case 1:
		w.l.Claims, w.l.ClaimsPerSession, w.l.WaitersPerLock = 14, 14, 14
	case 2:
		w.l.HoldersPerLock, w.l.Detached, w.l.DataBytes = 2, 2, 400
	case 3:
		w.l.WorkPerApply = 1
	}
	w.l.AgeStep = []Millis{0, 40, 1000}[seed%3]
	return w, w.start(seed)
}

// start makes the machines and the twin.
func (w *world) start(seed uint64) error {
	other := w.l
	other.Seed = seed * 77
	var err error
	if w.a, err = New(w.l); err != nil {
		return err
	}
	if w.b, err = New(other); err != nil {
		return err
	}
	w.twin = newTwin(w.l)
	return nil
}

var worldNames = []string{"a", "b", "c", strings.Repeat("d", 41), strings.Repeat("e", 60), "f", "g"}

// drawOp spreads 0 to 99 over the opcodes.
func drawOp(n int) Op {
	for _, share := range []struct {
		below int
		op    Op
	}{{11, OpOpenSession}, {13, OpCloseSession}, {31, OpAcquire}, {43, OpTake}, {54, OpEnter},
		{65, OpConvert}, {68, OpAcquireAll}, {80, OpRelease}, {86, OpCancel}, {90, OpPark}, {91, OpLetGo},
		{94, OpRenewHold},
		{98, OpAmend}} {
		if n < share.below {
			return share.op
		}
	}
	return OpWrite
}

// session draws a session that mostly is there.
func (w *world) session() SessionID {
	last := w.twin.lastSession
	for range 20 {
		id := SessionID(w.rng.IntN(int(last) + 2))
		if w.twin.sessions[id] != nil {
			return id
		}
	}
	return last
}

// command draws a command that mostly makes sense.
func (w *world) command() Command {
	r := w.rng
	if w.draw != nil {
		return w.draw()
	}
	if len(w.seen) > 0 && r.IntN(4) == 0 {
		c := w.seen[r.IntN(len(w.seen))]
		if r.IntN(2) == 0 {
			c.Epoch++
		}
		return c
	}
	c := Command{
		Op:      drawOp(r.IntN(100)),
		Mode:    []Mode{ModeNL, ModeCR, ModeCW, ModePR, ModePR, ModePW, ModeEX, ModeEX}[r.IntN(8)],
		Weight:  uint8(r.IntN(3)),
		Session: w.session(),
		Request: RequestID(r.IntN(40)),
		Name:    []byte(worldNames[r.IntN(len(worldNames))]),
		Lease:   Millis(90 + r.IntN(250)),
	}
	if c.Op != OpWrite && r.IntN(4) == 0 {
		c.Op = OpAwait
	}
	if r.IntN(60) == 0 {
		return w.finishForce(Command{Op: OpForce, Name: c.Name, Token: Token(c.Request)})
	}
	c.Permits, c.Capacity = Permits(r.IntN(4)), Permits(3+r.IntN(10)/9)
	c.Owner = Owner(r.IntN(20)) % 3
	if r.IntN(3) > 0 {
		c.Flags = Wait
	}
	if s := w.twin.sessions[c.Session]; s != nil {
		c.Epoch = s.epoch
	}
	if c.Op == OpAmend || c.Op.hasTerms() && r.IntN(5) == 0 {
		c.Terms = w.terms()
		if r.IntN(3) > 0 {
			c.Terms.Fields, c.Terms.Owner = c.Terms.Fields&(dataTerms|TermValue), 0
		}
		if c.Op != OpAmend && r.IntN(20) > 0 {
			c.Terms.Fields, c.Terms.Owner = c.Terms.Fields&^(TermValue|TermOwner), 0
		}
	}
	switch r.IntN(60) {
	case 0:
		c.Mode = 6
	case 1:
		c.Name = nil
	case 2:
		c.Name = bytes.Repeat([]byte("x"), 61)
	case 3:
		c.Epoch++
	case 4:
		c.Epoch--
	}
	if c.Op == OpAwait {
		return w.gateCommand(c)
	}
	return w.finish(c)
}

// terms draws terms.
func (w *world) terms() Terms {
	r := w.rng
	t := Terms{Fields: TermFields(r.IntN(int(knownTerms)+1)) & knownTerms,
		MinHold: Millis(r.IntN(200)), Delay: Millis(r.IntN(150)),
		MaxHold: Millis(30 + r.IntN(280))}
	if t.Fields&TermOwner != 0 {
		t.Owner = Owner(r.IntN(3))
	}
	if t.Fields&TermPayload != 0 {
		t.Payload = bytes.Repeat([]byte{byte('p' + r.IntN(5))}, r.IntN(9)*r.IntN(30))
	}
	if t.Fields&TermLabels != 0 {
		t.Labels = bytes.Repeat([]byte{byte('k' + r.IntN(5))}, r.IntN(9))
		if r.IntN(50) == 0 {
			t.Labels = make([]byte, MaxLabelBytes+1)
		}
	}
	if t.Fields&TermValue != 0 {
		t.Value = bytes.Repeat([]byte{byte('v' + r.IntN(4))}, r.IntN(5)*r.IntN(20))
	}
	return t
}

// finish gives a command what its opcode needs.
func (w *world) finish(c Command) Command {
	r := w.rng
	all := w.twin.claims()
	switch c.Op {
	case OpWrite:
		c.Name, c.Value = fmt.Appendf(nil, "r%02d", r.IntN(20)), make([]byte, r.IntN(9))
		if c.Token = w.twin.registers[string(c.Name)]; r.IntN(8) == 0 {
			c.Token++
		}
	case OpOpenSession:
		c.Nonce[0] = byte(r.IntN(9))
		c.Lease = 100 + 100*Millis(r.IntN(5))
		c.Name = []byte("client")[:r.IntN(7)]
	case OpEnter:
		return w.finishEnter(c)
	case OpTake:
		if r.IntN(3) > 0 {
			c.Name = []byte("f")
		}
		if r.IntN(10) == 0 {
			c.Flags = Detached
			c.Session = SessionID(r.IntN(4))
		}
		return w.finishPlain(c)
	case OpAcquire:
		if r.IntN(5) == 0 {
			c.Flags = Detached
			c.Session = SessionID(r.IntN(4))
		}
		return w.finishPlain(c)
	case OpConvert:
		return w.finishConvert(c)
	case OpAcquireAll:
		return w.finishParts(c)
	case OpRelease, OpRenewHold, OpCancel, OpAmend:
		c.Flags &^= Wait
		if len(all) == 0 || r.IntN(10) == 0 {
			c.Token = Token(r.IntN(20))
			break
		}
		cl := all[r.IntN(len(all))]
		if c.Op == OpRenewHold && len(w.twin.detached) > 0 {
			cl = w.twin.detached[r.IntN(len(w.twin.detached))]
		}
		c.Session, c.Token, c.Epoch = cl.s.id, cl.stamp, cl.s.epoch
		if c.Target = cl.request; c.Op != OpAmend {
			c.Request = cl.request
		}
		c.Name = []byte(cl.lock.name)
		if cl.detached && c.Op != OpCancel {
			c.Flags = Detached
		}
		if cl.owner != 0 && cl.all == nil && c.Op == OpRelease && r.IntN(10) > 0 {
			c.Op, c.Token = OpLeave, cl.place().stamp
			if r.IntN(10) == 0 { // one that was left before
				c.Request = RequestID(r.IntN(40))
			}
		}
		if c.Op == OpRelease && r.IntN(4) == 0 || c.Op == OpLeave && r.IntN(3) == 0 {
			c.Op, c.Target, c.Token = OpGiveBack, cl.request, cl.place().stamp-Token(r.IntN(8)/7)
		}
		if cl.all != nil && c.Op == OpRelease && r.IntN(2) > 0 {
			c.Op, c.Token, c.Name = OpReleaseAll, cl.token(), nil
		}
	}
	return c
}

// finishConvert chooses a hold, often one that shares its lock.
func (w *world) finishConvert(c Command) Command {
	r := w.rng
	all := slices.DeleteFunc(w.twin.claims(), func(cl *twinClaim) bool {
		return !cl.holds() || len(cl.lock.holders) < 2 && r.IntN(3) > 0
	})
	if len(all) == 0 {
		return c
	}
	cl := all[r.IntN(len(all))]
	c.Session, c.Epoch, c.Target, c.Name = cl.s.id, cl.s.epoch, cl.request, []byte(cl.lock.name)
	c.Token = cl.place().stamp - Token(r.IntN(10)/9)
	if r.IntN(2) > 0 {
		c.Flags |= Wait | Detect
	}
	if cl.detached {
		c.Flags |= Detached
		if r.IntN(10) > 0 {
			c.Flags &^= Wait
		}
	}
	return c
}

// drawParts draws the names of an acquire of several, which mostly make sense.
func (w *world) drawParts() Parts {
	r := w.rng
	names := slices.Clone(worldNames)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:1+r.IntN(4)]
	if r.IntN(30) > 0 {
		slices.Sort(names)
	}
	var all Parts
	for _, n := range names {
		mode := []Mode{ModeCR, ModeCW, ModePR, ModePR, ModeEX}[r.IntN(5)]
		if r.IntN(100) == 0 {
			mode, n = 6, strings.Repeat("x", r.IntN(70))
		}
		all = all.AppendPart(Part{Mode: mode, Name: []byte(n)})
	}
	return all[:len(all)-len(all)*(r.IntN(60)/59)]
}

// clock draws the clock of a step: mostly that of the present leader, sometimes of
// the next one, and now and then of one before, or none.
func (w *world) clock() Clock {
	c := w.twin.clock
	switch w.rng.IntN(20) {
	case 0:
		return Clock{Round: c.Round + 1, Node: uint16(1 + w.rng.IntN(3))}
	case 1:
		return Clock{Round: c.Round, Node: c.Node + 1}
	case 2:
		return Clock{Round: c.Round / 2, Node: c.Node}
	case 3:
		return Clock{}
	default:
		return c
	}
}

// step applies one random batch to all three and compares.
func (w *world) step() error {
	r := w.rng
	w.batch.Reset()
	w.slot++
	var step *twinStep
	if r.IntN(3) > 0 {
		step = &twinStep{by: w.clock(), delta: Millis(r.IntN(80))}
		for id := range w.twin.lastSession + 1 {
			if known := w.twin.sessions[id] != nil; known && r.IntN(8) > 0 || r.IntN(50) == 0 {
				step.renewed = append(step.renewed, id)
			}
		}
		w.batch.TickBy(step.by, step.delta, step.renewed)
	}
	var cs []Command
	for range r.IntN(8) {
		c := w.command()
		cs = append(cs, c)
		w.batch.Append(&c)
		if w.seen = append(w.seen, c); len(w.seen) > 30 {
			w.seen = slices.Delete(w.seen, 0, 10)
		}
	}
	w.twin.apply(step, cs, &w.outTwin)
	if err := w.a.Apply(w.slot, w.batch.Bytes(), &w.outA); err != nil {
		return err
	}
	if err := w.b.Apply(w.slot, w.batch.Bytes(), &w.outB); err != nil {
		return err
	}
	if err := w.compare(cs); err != nil {
		return err
	}
	if r.IntN(6) == 0 {
		return w.checkpoint()
	}
	if w.rng.IntN(3) == 0 {
		w.collect()
	}
	return nil
}

func (w *world) compare(cs []Command) error {
	want := describe(&w.outTwin, cs)
	if got := describe(&w.outA, cs); got != want {
		return fmt.Errorf("outcome: got\n%swant\n%s", got, want)
	}
	if got := describe(&w.outB, cs); got != want {
		return fmt.Errorf("outcome of the reloaded machine: got\n%swant\n%s", got, want)
	}
	if got, want := dumpMachine(w.a), w.twin.dump(); got != want {
		return fmt.Errorf("after %ssteps\nstate: got\n%swant\n%s", describe(&w.outA, cs), got, want)
	}
	if err := w.compareTokens(); err != nil {
		return err
	}
	if err := w.compareClaims(); err != nil {
		return err
	}
	for _, m := range []*Machine{w.a, w.b} {
		if err := w.twin.compareFlows(m); err != nil {
			return err
		}
		if err := w.twin.compareLate(m); err != nil {
			return err
		}
	}
	if got, want := w.b.Digest(), w.a.Digest(); got != want {
		return fmt.Errorf("digest of the reloaded machine: got %x, want %x", got, want)
	}
	if err := w.a.Validate(); err != nil {
		return err
	}
	return w.b.Validate()
}

// compareTokens asks both about every token of every lock, and those beside.
func (w *world) compareTokens() error {
	for name, l := range w.twin.locks { // order: any one that differs will do
		for _, h := range l.holders {
			for _, token := range []Token{h.stamp - 1, h.stamp, h.stamp + 1} {
				got := w.a.CheckToken([]byte(name), token)
				current, newest := w.twin.check(name, token)
				if got.Current != current || got.Newest != newest || got.Looked > len(l.holders) {
					return fmt.Errorf("token %d of %q: got %+v, want current %t, newest %d",
						token, name, got, current, newest)
				}
			}
		}
	}
	return nil
}

// compareClaims asks for what every session has, page by page, and wants all holds
// and waits that the twin knows, once.
func (w *world) compareClaims() error {
	for id, s := range w.twin.sessions { // order: any one that differs will do
		if got := w.a.FindSession(s.nonce); (got == id) != !s.ending {
			return fmt.Errorf("session %d, ending %t: found %d", id, s.ending, got)
		}
		holds := map[RequestID]int{}
		var after RequestID
		for pages := 0; ; pages++ {
			page := w.a.SessionClaims(nil, id, after, 2)
			for _, c := range page {
				if c.Token != 0 {
					holds[c.Request]++
				}
				after = c.Request
				cl := w.twin.find(id, c.Request, false)
				if enters := cl.owner != 0 && cl.all == nil; enters != (c.Owner != 0) {
					return fmt.Errorf("session %d, request %d: got owner %d, want one who enters: %t", id,
						c.Request, c.Owner, enters)
				}
			}
			if len(page) == 0 {
				break
			}
			if pages > 1000 {
				return fmt.Errorf("claims of session %d have no end", id)
			}
		}
		want := 0
		for _, c := range w.twin.claimsOf(s) {
			if c.holds() && !c.done {
				want++
			}
		}
		got := 0
		for _, n := range holds { // order: sum
			got += n
		}
		if got != want {
			return fmt.Errorf("session %d: got %d holds, want %d", id, got, want)
		}
	}
	return nil
}

func describe(o *Outcome, cs []Command) string {
	var b strings.Builder
	for i, r := range o.Results {
		c := cs[i]
		fmt.Fprintf(&b, "%v s%d e%d r%d t%d %v f%d %d/%d o%d a%d %v %d d%d %.5q %v: %v %+v\n",
			c.Op, c.Session, c.Epoch, c.Request, c.Token, c.Mode, c.Flags, c.Permits, c.Capacity,
			c.Owner, c.Target, c.Gate, c.Count, c.Done, c.Name, c.Terms, r.Code, r)
	}
	for _, e := range o.Events {
		fmt.Fprintf(&b, "%v s%d r%d t%d %d %.5q\n", e.Kind, e.Session, e.Request, e.Token,
			e.Reason, e.Name)
	}
	for _, s := range o.Steps {
		fmt.Fprintf(&b, "step s%d o%d t%d %.5q\n", s.Session, s.Owner, s.Token, s.Name)
	}
	fmt.Fprintf(&b, "not renewed %v\n", o.NotRenewed)
	return b.String()
}

// collect takes a few records of what b changed, long before the rest.
func (w *world) collect() {
	n := w.rng.IntN(6)
	w.b.DirtySome(func(key, value []byte) bool {
		w.take(key, value)
		n--
		return n > 0
	})
}

func (w *world) take(key, value []byte) {
	w.parts = append(w.parts, part{bytes.Clone(key), bytes.Clone(value), w.b.AddsRecord()})
}

// checkpoint stores what b changed and now and then goes on with a machine that
// was loaded from the store.
func (w *world) checkpoint() error {
	w.b.Dirty(w.take)
	for _, p := range w.parts {
		if p.adds && w.disk[string(p.key)] != nil {
			return fmt.Errorf("record %x: said to be added, but it is there", p.key)
		}
		if p.value == nil {
			delete(w.disk, string(p.key))
			continue
		}
		w.disk[string(p.key)] = p.value
	}
	w.parts = w.parts[:0]
	if w.rng.IntN(2) == 0 {
		return nil
	}
	limits := w.b.Limits()
	limits.Seed++
	loaded, err := New(limits)
	if err != nil {
		return err
	}
	loaded.passMost = w.b.passMost
	var keys []string
	for k := range w.disk {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := loaded.Load([]byte(k), w.disk[k]); err != nil {
			return err
		}
	}
	if err := loaded.Loaded(); err != nil {
		return err
	}
	full, whole := records(w.a), records(loaded)
	if !slices.Equal(full, whole) {
		return fmt.Errorf("records: got\n%v\nwant\n%v", whole, full)
	}
	w.b = loaded
	return w.b.Validate()
}

// records lists all records in the order in which All hands them out.
func records(m *Machine) []string {
	var all []string
	m.All(func(key, value []byte) { all = append(all, fmt.Sprintf("%x=%x", key, value)) })
	return all
}

// tally counts what random worlds met.
type tally struct {
	commands int
	codes    map[Code]int
	events   map[string]int
	restored int
	// deep counts holds that were entered again, shared places in queues that
	// several requests of an owner share, kept permits that nobody got because
	// the head of the queue asks for more.
	deep, shared, kept int
	// turns counts waiting conversions, moved holds that were converted.
	turns, moved int
	// amended counts commands that changed the data of a hold.
	amended int
	// parts counts parts that were seen to hold, late those that wait although their
	// lock has room for them.
	parts, late int
	// circles counts the steps of circles of owners.
	circles int
	// those of conversions and of parts
	throughTurns, throughParts, throughOneTurn int
}

// look counts what the machine's locks show.
func (t *tally) look(m *Machine) {
	m.ForEachLock(func(l *LockInfo) bool {
		for _, h := range l.Holders {
			t.deep += int(h.Depth) - 1
			if h.Moved {
				t.moved++
			}
			t.parts += int(min(h.Part, 1))
		}
		for _, w := range l.Waiters {
			if w.Converts != 0 {
				t.turns++
			}
			t.shared += int(w.Depth) - 1
			clash := slices.ContainsFunc(l.Holders, func(h ClaimInfo) bool {
				return !h.Mode.Compatible(w.Mode)
			})
			if w.Part != 0 && !clash {
				t.late++
			}
		}
		if len(l.Waiters) > 0 && l.Taken < l.Capacity && !l.Waiters[0].Parked {
			t.kept++
		}
		return true
	})
}

// runWorld runs one seed.
func runWorld(seed uint64, steps int, met *tally) error {
	w, err := newWorld(seed)
	if err != nil {
		return err
	}
	for i := range steps {
		b := w.b
		if err := w.step(); err != nil {
			return fmt.Errorf("seed %d step %d: %w", seed, i, err)
		}
		met.commands += len(w.outA.Results)
		for _, r := range w.outA.Results {
			met.codes[r.Code]++
			if r.Op == OpAmend && r.Code == CodeOK {
				met.amended++
			}
		}
		for _, e := range w.outA.Events {
			met.events[fmt.Sprint(e.Kind, e.Reason)]++
		}
		if w.b != b {
			met.restored++
		}
		met.look(w.a)
		met.circles += len(w.outA.Steps)
	}
	met.throughTurns += w.twin.throughTurns
	met.throughParts += w.twin.throughParts
	met.throughOneTurn += w.twin.throughOneTurn
	return nil
}

// TestTwin compares the machine with the twin, command by command, through
// checkpoints and restarts (I13 to I20).
func TestTwin(t *testing.T) {
	met := tally{codes: map[Code]int{}, events: map[string]int{}}
	for seed := uint64(1); seed <= 60; seed++ {
		if err := runWorld(seed, 500, &met); err != nil {
			t.Fatalf("%v\nrun: go test ./lockfsm -run TestTwin", err)
		}
	}
	short := tally{codes: map[Code]int{}, events: map[string]int{}}
	for seed := uint64(61); seed <= 660; seed++ { // each begins with other bounds
		if err := runWorld(seed, 200, &short); err != nil {
			t.Fatalf("%v\nrun: go test ./lockfsm -run TestTwin", err)
		}
	}
	t.Logf("%d commands, %d restarts, %v, %v", met.commands, met.restored, met.codes, met.events)
	if met.commands < 100_000 || met.restored < 1_000 {
		t.Errorf("got %d commands and %d restarts, want at least 100000 and 1000",
			met.commands, met.restored)
	}
	t.Logf("%d levels held, %d waiting, %d times permits kept for the head of the queue",
		met.deep, met.shared, met.kept)
	t.Logf("%d steps of circles, %d of conversions, %d of parts, %d circles of one turn", met.circles,
		met.throughTurns, met.throughParts, met.throughOneTurn)
	if min(met.circles, met.throughTurns, met.throughParts) < 10 {
		t.Errorf("got %d steps of circles, %d of conversions, %d of parts, want 10 of each",
			met.circles, met.throughTurns, met.throughParts)
	}
	t.Logf("%d parts held, %d kept waiting by others", met.parts, met.late)
	if met.parts < 1000 || met.late < 1000 {
		t.Errorf("got %d parts held, %d kept waiting by others, want 1000 of each", met.parts, met.late)
	}
	if met.deep < 1000 || met.shared < 1000 || met.kept < 1000 {
		t.Errorf("got %d levels held, %d waiting, permits kept %d times, want 1000 of each",
			met.deep, met.shared, met.kept)
	}
	for c := Code(1); c < 64; c++ {
		if !strings.HasPrefix(c.String(), "Code(") && met.codes[c] == 0 {
			t.Errorf("got no result with code %v, want some", c)
		}
	}
	if met.amended < 300 {
		t.Errorf("got %d amended claims seen, want at least 300", met.amended)
	}
	t.Logf("%d conversions waiting, %d holds converted", met.turns, met.moved)
	if met.turns < 1000 || met.moved < 1000 {
		t.Errorf("got %d conversions waiting, %d holds converted, want 1000 of each",
			met.turns, met.moved)
	}
	if len(met.events) != 12 || met.events["forced 0"] < 300 {
		t.Errorf("got events %v, want twelve kinds and reasons, and 300 forced", met.events)
	}
}

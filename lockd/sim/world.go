package sim

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"lockd/lockd/node"
	"lockd/lockd/sim/agenda"
	"lockd/lockd/sim/check"
	"lockd/lockfsm"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
	"lockd/wal/disk/simdisk"
)

// World is one seed's cluster with its clients. It belongs to one goroutine.
type World struct {
	opts   Options
	agenda agenda.Agenda
	trace  trace
	// dice are the branches that the world itself draws from; clients, clocks
	// and drives have their own.
	dice struct{ network, disk, schedule, faults, episode, operator, stranger dice }

	sites    []*site // node n stands at n−1
	links    []*link
	clients  []*client
	cores    []*coreClient
	watchers []*watcher
	names    [][]string // lock names by group
	gates    []map[wire.GateKind]string
	nextConn node.ConnID
	healing  bool
	failure  error

	chosen  *check.Chosen
	models  []*check.Model
	witness *witness // nil if nobody searches
	history *check.History
	past    past // which holds ended, as nodes tell it
	// firstApplied is when each slot of each group was.
	firstApplied [][]Time
	// crossing has the core clients do nothing but wait for each other.
	crossing crossing
	leases   *check.Leases
	// registers are what exclusive locks guard; granted are all grants so far.
	registers map[lockName]*register
	granted   map[grantName]grantOf

	// disks are the numbers of all disks there ever were; configured is set once
	// the checkers know which of them accept.
	disks      map[paxos.DiskID]int
	configured bool
	// observers are those of each group's newest seats.
	observers map[paxos.GroupID][]paxos.NodeID
	operator  operator
	// steps are the proposals that change who accepts.
	steps map[stepKey]step
	// records are the cluster's records that were chosen, by version.
	records map[uint64]string
	leavers leavers
	// crowded is set while a crowd comes and goes: leases that were renewed after it
	// must go on being renewed.
	crowded Time
	// deposals are all leaders that were deposed; moves counts those too that gave
	// their group away, and whoever began to lead.
	deposals []deposal
	moves    int
	gap      gap  // that is open, or was
	shunned  Time // until when no other node is

	message  paxos.Message // scratch for the network door
	messages [32]uint64
	requests [128]uint64
	statuses [64]uint64
	events   [64]uint64
	ops      [64]uint64
	covered  map[string]uint64
	faulted  map[string]uint64 // covered when faults ended
	slots    uint64
}

// New makes the world of some options. What happens is printed to log, which
// may be nil.
func New(o Options, log io.Writer) *World {
	w := &World{opts: o, covered: make(map[string]uint64)}
	w.trace.print = log
	w.agenda.Draw = newDice(o.Seed, "order").Uint32
	w.dice.network = newDice(o.Seed, "network")
	w.dice.disk = newDice(o.Seed, "disk")
	w.dice.schedule = newDice(o.Seed, "schedule")
	w.dice.faults = newDice(o.Seed, "faults")
	w.dice.episode = newDice(o.Seed, "episode")
	w.dice.operator = newDice(o.Seed, "operator")
	w.dice.stranger = newDice(o.Seed, "stranger")
	w.chosen = check.NewChosen(o.Groups)
	w.disks = make(map[paxos.DiskID]int)
	w.operator = operator{w: w}
	w.records = make(map[uint64]string)
	w.leavers = leavers{make(map[paxos.GroupID][]paxos.NodeID), make(map[paxos.NodeID]bool)}
	w.steps = make(map[stepKey]step)
	w.observers = make(map[paxos.GroupID][]paxos.NodeID)
	w.leases = check.NewLeases(o.Drift + 1000)
	w.registers, w.granted = make(map[lockName]*register), make(map[grantName]grantOf)
	limits := o.Node.Limits
	limits.TickCap = lockfsm.Millis(2 * o.Node.LogTick / node.Millisecond)
	for g := range uint16(o.Groups) {
		w.models = append(w.models, check.NewModel(g, limits))
	}
	w.history, w.past = check.NewHistory(w.models), newPast()
	if o.Search {
		w.witness = newWitness(w)
	}
	w.drawNames()
	for id := range uint16(o.Nodes + o.Spares) {
		w.sites = append(w.sites, newSite(w, id+1))
		w.sites[id].out = int(id) >= o.Nodes
	}
	for i, a := range w.sites {
		for _, b := range w.sites[i+1:] {
			w.links = append(w.links, &link{w: w, a: a, b: b})
		}
	}
	for id := range o.Clients {
		w.clients = append(w.clients, newClient(w, id))
	}
	for id := range o.Cores {
		w.cores = append(w.cores, newCoreClient(w, id))
	}
	for id := range o.Watchers {
		w.watchers = append(w.watchers, newWatcher(w, id))
	}
	return w
}

// cursor is where a list of a group goes on: at its beginning, or behind some name.
func (w *World) cursor(d dice, g uint16) string {
	if d.permille(500) {
		return ""
	}
	return w.names[g][d.IntN(len(w.names[g]))]
}

// drawNames finds lock names that belong to each group.
func (w *World) drawNames() {
	w.names = make([][]string, w.opts.Groups)
	for i, left := 0, w.opts.Groups; left > 0; i++ {
		name := fmt.Sprint("lock/", i)
		g := wire.GroupOf("", name, uint16(w.opts.Groups))
		if len(w.names[g]) < w.opts.Names {
			w.names[g] = append(w.names[g], name)
			if len(w.names[g]) == w.opts.Names {
				left--
			}
		}
	}
	w.drawGates()
}

// Report is what a run showed.
type Report struct {
	Seed uint64
	// Command runs the same world again.
	Command string
	// Failure is nil if nothing was wrong.
	Failure error
	// Trace is equal for equal runs.
	Trace uint64
	// Virtual is how much time passed in the world, Events how many events.
	Virtual Time
	Events  uint64
	// Slots counts slots applied for the first time.
	Slots uint64
	// Coverage counts what was exercised, by name, and Faulted what of it while
	// faults happened.
	Coverage, Faulted map[string]uint64
	// Faults are the classes that were on.
	Faults Fault
}

// Run lets the world break and heal, and says how it went.
func (w *World) Run() (r Report) {
	defer func() {
		if broken := recover(); broken != nil {
			w.failf("panic: %v\n%s", broken, debug.Stack())
		}
		for _, s := range w.sites {
			if s.proc != nil {
				s.proc.log.abandon()
			}
		}
		r = w.report()
	}()
	for _, s := range w.sites {
		w.agenda.After(w.dice.schedule.length(0, 500*millisecond), s.start)
	}
	for _, l := range w.links {
		l.redial()
	}
	for _, c := range w.clients {
		c.beat()
		c.work()
	}
	for _, c := range w.cores {
		c.begin()
	}
	for _, x := range w.watchers {
		x.begin()
	}
	w.sample()
	w.operator.operate()
	w.planFaults()
	for w.failure == nil && w.agenda.Next(w.opts.Breaking) {
	}
	if w.faulted = make(map[string]uint64); w.opts.Faults != 0 {
		w.faulted = w.counts()
	}
	w.heal()
	w.witness.judge()
	return r
}

// failf notes the first thing that is wrong.
func (w *World) failf(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf("at %.6f s: %w", float64(w.agenda.Now())/1e9, fmt.Errorf(format, args...))
		w.say("FAILED %v", w.failure)
	}
}

// check takes a checker's verdict.
func (w *World) check(err error) {
	if err != nil {
		w.failf("%w", err)
	}
}

// faulty reports whether a class of faults is on now.
func (w *World) faulty(f Fault) bool { return w.opts.Faults&f != 0 && !w.healing }

// patience is how long a client waits for an answer.
func (w *World) patience() Time {
	return 2*w.election() + 200*w.opts.Latency + 20*w.opts.SyncTime + 500*millisecond
}

// election is the election timeout.
func (w *World) election() Time {
	return Time(w.opts.Node.ElectionTicks) * Time(w.opts.Node.Tick)
}

// link finds the link between two nodes.
func (w *World) link(a, b uint16) *link {
	for _, l := range w.links {
		if l.a.id == a && l.b.id == b || l.a.id == b && l.b.id == a {
			return l
		}
	}
	return nil
}

// stopped judges a node that has stopped by itself.
func (w *World) stopped(p *process, err error) {
	w.note("stopped", uint64(p.site.id))
	w.say("node %d stops: %v", p.site.id, err)
	switch {
	case p.site.tooOld(err):
		w.restart(p.site)
	case p.site.lost && errors.Is(err, node.ErrWiped):
		w.covered["wiped node stopped"]++
	case p.site.renewed && !p.site.born() && errors.Is(err, node.ErrWiped):
		w.covered["replaced node stopped before its peers knew"]++
		w.restart(p.site)
	case p.site.lost && errors.Is(err, node.ErrRolledBack):
		w.covered["rolled back node stopped"]++
		p.site.halted = true
	case p.site.leaving && errors.Is(err, node.ErrRemoved):
		w.covered["removed node stopped"]++
		p.site.letGo()
	case p.site.damaged && errors.Is(err, wal.ErrCorrupt):
		w.covered["damage found at work"]++
		p.site.halted = true
	case errors.Is(err, simdisk.ErrNoSpace):
		// The disk was full when it said so, and may have room again by now.
		w.covered["full disk stopped a node"]++
		w.restart(p.site)
	case errors.Is(err, simdisk.ErrCut):
		w.covered["power cut at work"]++
		p.dark = true
		w.restart(p.site)
	case errors.Is(err, simdisk.ErrIO):
		w.covered["disk error stopped a node"]++
		w.restart(p.site)
	default:
		w.failf("node %d stops without a reason: %v", p.site.id, err)
	}
	p.site.crash("by itself")
}

// applied is told by every node of every slot it applies.
func (w *World) applied(
	p *process, g paxos.GroupID, e *paxos.Entry, m *lockfsm.Machine, out *lockfsm.Outcome,
) {
	// Who is first says how things stand: whatever takes a slot over is held against it.
	compares := uint64(e.Slot)%w.opts.DigestEvery == 0
	digest := uint64(0)
	if compares || !w.chosen.Known(g, e.Slot) {
		digest = m.Digest()
	}
	result := hashOutcome(out)
	w.note("applied", uint64(p.site.id), uint64(g), uint64(e.Slot), result, digest)
	if !w.configured {
		w.birth()
	}
	p.shun(g, e.Slot+1)
	first, err := w.chosen.Applied(int(p.site.id), g, e, result, digest)
	w.check(err)
	if !first || w.failure != nil {
		return
	}
	w.slots++
	pending := check.AllDone
	if m.Pending() {
		pending = check.StillEnding
	}
	w.tell(g, e, out)
	model := w.models[g]
	if err := model.Apply(uint64(e.Slot), e.Value, out, pending); err != nil {
		w.check(err)
		return
	}
	w.history.Record(uint16(g), uint64(e.Slot), e.Value, out)
	w.noteTime(uint16(g), uint64(e.Slot))
	w.countKept(out)
	b, _ := check.DecodeBatch(e.Value)
	for i := range out.Results {
		w.ops[out.Results[i].Op]++
		w.seats(g, e, &b.Commands[i], &out.Results[i])
		w.noteRecord(g, e.Slot, &b.Commands[i], &out.Results[i])
	}
	w.covered["gate opened for several"] += model.Opened
	w.covered["gate broken"] += model.Broken
	w.noteForced(uint16(g), model)
	w.covered["circle of owners refused"] += model.Circles
	w.covered["waiter too old to be passed"] += model.Aged
	w.covered["max hold over"] += model.Overstayed
	w.covered["step of an earlier leader"] += model.Late
	w.moving(uint16(g), model, e.Ballot, b.Clock)
	for i := range model.Grants {
		w.noteGrant(uint16(g), &model.Grants[i])
		w.grantLate(uint16(g), &model.Grants[i])
		if w.opts.Drift <= maxDrift {
			w.check(w.leases.Granted(uint16(g), &model.Grants[i]))
		}
		w.check(w.history.Granted(uint16(g), &model.Grants[i]))
	}
	for _, end := range model.Ends {
		if end.LetGo {
			w.covered["session let go"]++
		}
		if end.Reason == lockfsm.ReasonExpired {
			w.covered["session expired"]++
			w.check(w.leases.Ended(uint16(g), end.Session.ID, int64(w.agenda.Now())))
		}
	}
}

// moving judges that log time does not stand still under a leader (I20, I31). A leader
// of which an earlier one had the higher ballot asks for one above when it hears of
// that; what it had proposed until then, a window at most, counts for nothing.
func (w *World) moving(g uint16, m *check.Model, ballot, clock paxos.Ballot) {
	if m.Late == 0 || clock != ballot {
		return
	}
	m.Still++
	w.covered["step of a leader that was to outbid"]++
	if m.Still > w.opts.Node.Window {
		w.failf("I31: log time of group %d stands still: %d steps of its leaders in a row do not "+
			"count, the last by ballot %v", g, m.Still, ballot)
	}
}

// tell prints what a slot did, for people.
func (w *World) tell(g paxos.GroupID, e *paxos.Entry, out *lockfsm.Outcome) {
	if w.trace.print == nil {
		return
	}
	b, _ := check.DecodeBatch(e.Value)
	w.say("group %d slot %d ballot %v: tick %d renews %v, not %v", g, e.Slot, e.Ballot, b.Delta,
		b.Renewed, out.NotRenewed)
	for i := range b.Commands {
		c, r := &b.Commands[i], &out.Results[i]
		w.say("    %v session %d epoch %d request %d %q mode %v flags %d token %d: %v session %d "+
			"token %d", c.Op, c.Session, c.Epoch, c.Request, c.Name, c.Mode, c.Flags, c.Token, r.Code,
			r.Session, r.Token)
	}
	for i := range out.Events {
		v := &out.Events[i]
		w.say("    %v session %d request %d %q token %d reason %d", v.Kind, v.Session, v.Request,
			v.Name, v.Token, v.Reason)
	}
}

// hashOutcome is the fingerprint of what a slot did.
func hashOutcome(out *lockfsm.Outcome) uint64 {
	h := uint64(14695981039346656037)
	mix := func(numbers ...uint64) {
		for _, n := range numbers {
			h = (h ^ n) * 1099511628211
			h ^= h >> 31
		}
	}
	flag := map[bool]uint64{true: 1}
	for i := range out.Results {
		r := &out.Results[i]
		mix(uint64(r.Op), uint64(r.Code), uint64(r.Waiting), uint64(r.Session), uint64(r.Request),
			uint64(r.Token), uint64(r.Holder), uint64(r.HolderToken), flag[r.Detached],
			flag[r.HolderDetached], uint64(r.Part), uint64(r.Left), uint64(r.Capacity), uint64(r.Gate),
			uint64(r.StepsAt), uint64(r.Steps))
	}
	for i := range out.Steps {
		x := &out.Steps[i]
		mix(uint64(x.Session), uint64(x.Owner), uint64(x.Token), check.Hash(x.Name))
	}
	for i := range out.Events {
		e := &out.Events[i]
		mix(uint64(e.Kind), uint64(e.Reason), uint64(e.Session), uint64(e.Request), uint64(e.Token),
			check.Hash(e.Name))
	}
	for _, s := range out.NotRenewed {
		mix(uint64(s))
	}
	return h
}

// report sums the run up.
func (w *World) report() Report {
	if w.faulted == nil {
		w.faulted = w.counts()
	}
	return Report{Seed: w.opts.Seed, Command: w.opts.Command(), Failure: w.failure,
		Trace: w.trace.hash, Virtual: w.agenda.Now(), Events: w.agenda.Planned(), Slots: w.slots,
		Coverage: w.counts(), Faulted: w.faulted, Faults: w.opts.Faults}
}

package sim

import (
	"errors"
	"fmt"
	"slices"

	"lockd/lockd/history"
	"lockd/lockd/node"
	"lockd/lockd/sim/check"
	"lockd/paxos"
	"lockd/wal"
	"lockd/wal/disk"
	"lockd/wal/disk/simdisk"
)

// site is a place where a node lives: its disk, its clock, and the process that
// runs there now.
type site struct {
	w     *World
	id    uint16
	drive *simdisk.Disk
	store *store
	past  history.Files
	clock clock
	disk  *check.Disk
	// number is that of the disk, -1 before there is one.
	number int
	shown  paxos.DiskID
	// proc is nil while nothing runs here.
	proc  *process
	lives uint64
	// began is when the last life did.
	began Time
	// pausedUntil and stalledUntil end a pause of the process and a stall of
	// the disk.
	pausedUntil, stalledUntil Time
	// lost says that the directory was wiped or restored from a copy: it must
	// not be admitted again.
	lost bool
	// renewed says that the directory was lost and the cluster has taken in a new
	// one, which some nodes may hear of only after the node has called on them.
	renewed bool
	// damaged says that the log does not say any more what was written. The
	// node must then not start, or find all that was ever synced; halted says
	// that it stopped for good, which a fault explains.
	damaged, halted bool
	// full says that the disk has no room left.
	full  bool
	plans []int // operations of the disk that are to fail
	// out says that the node is no part of the cluster, not yet or, with
	// removed, not any more; leaving that it is to be let go.
	out, removed, leaving bool
	// format is the newest format that the build here knows, zero for all.
	format uint8
	// copied is what the directory held once; heard is the highest position of
	// the log that each peer was told of, node n at n−1.
	copied *copied
	heard  []wal.LSN
	// troubled is when the last pause or stall ends.
	troubled Time
}

func newSite(w *World, id uint16) *site {
	d := newDice(w.opts.Seed, fmt.Sprint("drive ", id))
	s := &site{
		w: w, id: id, number: -1,
		drive: simdisk.New(d.IntN),
		store: newStore(),
		past:  history.Memory(),
		clock: newClock(newDice(w.opts.Seed, fmt.Sprint("clock ", id)), w.opts.Drift),
		heard: make([]wal.LSN, w.opts.Nodes+w.opts.Spares),
	}
	if d := newDice(w.opts.Seed, fmt.Sprint("build ", id)); w.faulty(FaultMixed) && d.permille(400) {
		s.build(d)
	}
	return s
}

// start begins a life with what the disk holds.
func (s *site) start() {
	if s.proc != nil || s.halted || s.out || s.w.failure != nil {
		return
	}
	s.lives++
	s.began = s.w.agenda.Now()
	s.w.note("start", uint64(s.id), s.lives)
	p := &process{w: s.w, site: s, life: s.lives, alive: true, doomed: -1,
		handing: make(map[paxos.GroupID]Time)}
	err := s.open(p)
	p.alive = err == nil
	switch {
	case err == nil:
		s.proc = p
		p.log.prepare(s.w.opts.SyncTime)
		p.wake()
		p.beat()
	case errors.Is(err, simdisk.ErrCut):
		// The power went while it started.
		s.drive.PowerCut()
		s.w.covered["power cut at start"]++
		s.w.restart(s)
	case errors.Is(err, simdisk.ErrIO), s.full && errors.Is(err, simdisk.ErrNoSpace):
		s.drive.Unmount()
		s.w.restart(s)
	case s.tooOld(err):
		s.drive.Unmount()
		s.w.restart(s)
	case s.leaving && errors.Is(err, node.ErrRemoved):
		s.drive.Unmount()
		s.w.covered["removed node stopped"]++
		s.letGo()
	case s.damaged && errors.Is(err, node.ErrLostCheckpoint):
		s.w.covered["lost checkpoint found"]++
		s.drive.Unmount()
		s.halted = true
	case s.damaged && errors.Is(err, wal.ErrCorrupt):
		s.w.covered["damage found"]++
		s.drive.Unmount()
		s.halted = true
	default:
		s.w.failf("node %d does not start: %v", s.id, err)
	}
}

// open recovers the node of a new life, as main does it.
func (s *site) open(p *process) error {
	dir, err := s.drive.Mount()
	if err != nil {
		return err
	}
	p.dir = dir
	o := s.options(p)
	id, err := s.identity(dir, o)
	if err != nil {
		return err
	}
	rec := node.NewRecovery(id, o)
	for g := range uint16(s.w.opts.Groups) {
		have := s.store.groups[g]
		if have == nil {
			continue
		}
		m, err := load(rec.Limits(), have.records)
		if err != nil {
			return fmt.Errorf("I12: checkpoint of group %d at %d: %w", g, have.slot, err)
		}
		if m.Applied() != have.slot {
			return fmt.Errorf("I12: checkpoint of group %d is at %d, its machine at %d", g,
				have.slot, m.Applied())
		}
		rec.Checkpoint(g, m)
	}
	found := check.NewFound(s.w.opts.Groups)
	logOptions := s.w.opts.Log
	logOptions.Stamp = uint64(id.Disk)
	logOptions.Clock = func() int64 { return int64(s.clock.read(s.w.agenda.Now())) }
	p.log = newLog(p)
	writer, err := wal.Open(stepDir{dir, p.log}, logOptions, func(lsn wal.LSN, r wal.Record) error {
		p.log.marked(0, &r)
		return errors.Join(found.Add(&r), rec.Replay(lsn, r))
	})
	if err != nil {
		return err
	}
	rec.Opened(writer.Durable())
	if !s.lost {
		if err := s.disk.Restarted(found); err != nil {
			return err
		}
	}
	p.log.opened(writer)
	for g := range uint16(s.w.opts.Groups) {
		s.released(g, s.store.slot(g))
	}
	p.store = &checkpoints{p: p, limits: rec.Limits(), sending: make(map[uint16]*sending)}
	p.inbox = node.NewInbox(o.MaxInboxBytes)
	if err := p.openPast(); err != nil {
		return err
	}
	p.node, err = node.New(o, node.Deps{
		Log: p.log, Peers: peers{p}, Clients: clients{p}, Checkpoints: p.store,
		History:    remembers{p},
		Superblock: superblock{p}, Observe: p.observe, Probe: probe{p},
	}, p.inbox, rec)
	if err != nil {
		return err
	}
	p.node.CatchUp(node.OneByOne)
	return nil
}

// options are those of a new life, with a list of nodes that has this one.
func (s *site) options(p *process) node.Options {
	o := s.w.opts.Node
	p.met = make(map[uint16]bool)
	for _, other := range o.Nodes {
		p.met[other.ID] = other.ID != s.id
	}
	o.Self, o.Format = s.id, s.format
	if s.id%2 == 0 {
		o.RetainSlots *= 4 // some can still teach what others have dropped
	}
	if int(s.id) > len(o.Nodes) {
		o.Nodes = append(slices.Clone(o.Nodes), node.Peer{ID: s.id, ClientAddress: fmt.Sprint(s.id)})
	}
	o.Seed = s.w.dice.schedule.Uint64()
	return o
}

// identity reads who lives here, or formats an empty directory.
func (s *site) identity(dir disk.Dir, o node.Options) (node.Identity, error) {
	b, err := disk.ReadFile(dir, identityName)
	if err == nil {
		id, err := node.DecodeIdentity(b)
		if err == nil {
			s.shows(id.Disk)
		}
		return id, err
	}
	if !errors.Is(err, disk.ErrNotExist) {
		return node.Identity{}, err
	}
	id := node.Identity{
		Cluster: o.Cluster, Node: paxos.NodeID(o.Self), Groups: uint16(o.Groups),
		Disk:     paxos.DiskID(s.w.dice.disk.Uint64() | 1),
		Settings: o.Digest(),
	}
	if err := disk.WriteFileAtomic(dir, identityName, node.AppendIdentity(nil, &id)); err != nil {
		return id, err
	}
	s.shows(id.Disk)
	return id, nil
}

// shows has the checkers follow a disk from its first start on.
func (s *site) shows(d paxos.DiskID) {
	if s.disk != nil && s.shown == d {
		return
	}
	s.shown, s.number = d, s.w.number(d)
	s.disk = check.NewDisk(s.id, s.number, s.w.opts.Groups, s.w.chosen)
	clear(s.heard)
}

func (s *site) released(group uint16, slot uint64) {
	if err := s.disk.Released(paxos.GroupID(group), paxos.Slot(slot)); !s.lost {
		s.w.check(err)
	}
}

// crash ends the process. What it had appended and not synced may reach the
// disk in part; with a power cut what was written and not synced may vanish.
func (s *site) crash(why string) {
	p := s.proc
	if p == nil {
		return
	}
	w := s.w
	w.note("crash", uint64(s.id))
	w.say("node %d dies %s", s.id, why)
	p.alive = false
	s.proc = nil
	// The next process takes turns at once, and its clock must not stand still.
	s.pausedUntil, s.stalledUntil = 0, 0
	s.clock.wake(w.agenda.Now())
	p.store.died()
	of := deathAlone
	if p.dark || w.faulty(FaultPower) && w.dice.faults.permille(600) {
		of = deathByPower
	}
	p.log.die(of)
	if of == deathByPower {
		w.covered["power cut"]++
		s.drive.PowerCut()
	} else {
		s.drive.Unmount()
	}
	for _, l := range w.links {
		if l.a == s || l.b == s {
			l.died(p)
		}
	}
	for _, c := range p.conns {
		c.died()
	}
	p.conns = nil
}

// plan makes the disk operation that is in so many steps from now fail.
func (s *site) plan(steps int, err error) {
	op := s.drive.Ops() + steps
	s.plans = append(s.plans, op)
	s.drive.Plan(op, simdisk.Fault{Err: err, Effect: pick(s.w.dice.disk, simdisk.EffectNone,
		simdisk.EffectPart, simdisk.EffectAll)})
}

// mend takes back what was planned and has not happened.
func (s *site) mend() {
	for _, op := range s.plans {
		s.drive.Plan(op, simdisk.Fault{Effect: simdisk.EffectAll})
	}
	s.plans = nil
}

// wipe empties the directory. Requires: nothing runs here.
func (s *site) wipe() {
	s.w.note("wipe", uint64(s.id))
	s.lost, s.copied = true, nil
	s.drive.Empty()
	s.store = newStore()
}

package paxostest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lockd/paxos"
)

// Arg is one argument of a verb: a bare word, or a key with a value.
type Arg struct {
	Key, Value string
}

// Env runs the verbs of the scripts in testdata/paxos against a World. A verb
// returns what happened because of it, one line each.
type Env struct {
	world *World
	lines []string
}

// Do runs one verb:
//
//	cluster nodes=N [acceptors= window= retain= message= inflight= election= beat= rank=]
//	tick N|all [count=K]      beats of a clock; nothing is delivered
//	pass [count=K]            K times: all tick, then everything is delivered
//	lead N                    passes time on N alone until it serves
//	deliver [from= to= kind= count=]    hands over packets in flight, in order
//	drop [from= to= kind= count=]       loses them
//	flight                    lists them
//	sync N|all                makes what was handed out durable
//	stabilize                 delivers and syncs until nothing is in flight
//	propose N VALUE, read N, transfer N to=M, checkpoint N
//	change N acceptor=M       proposes on N to make M an acceptor, or not one
//	crash N [keep=K]          keeps K unsynced records
//	restart N
//	reset N [seen=M]          all others, or M only, see N's conn reset
//	up N                      all others see a conn to N stand
//	cut A B, mend             cuts both ways; oneway: from A to B only
//	status N|all, disk N
//
// The word quiet keeps a verb from saying what happened on the way.
func (v *Env) Do(verb string, args []Arg) string {
	v.lines = nil
	if err := v.run(verb, args); err != nil {
		v.say("error: %v", err)
	}
	if slices.Contains(args, Arg{Key: "quiet"}) {
		v.lines = nil
	}
	if v.world != nil && v.world.Checker.Violation != "" {
		v.say("VIOLATION %s", v.world.Checker.Violation)
	}
	if len(v.lines) == 0 {
		return "ok\n"
	}
	return strings.Join(v.lines, "\n") + "\n"
}

func (v *Env) say(format string, args ...any) {
	v.lines = append(v.lines, fmt.Sprintf(format, args...))
}

func (v *Env) run(verb string, args []Arg) error {
	switch verb {
	case "cluster":
		return v.cluster(args)
	case "tick":
		return v.each(args, v.tick(args))
	case "pass":
		return v.pass(args)
	case "lead":
		return v.each(args, v.lead)
	case "deliver":
		return v.deliver(args)
	case "drop":
		return v.drop(args)
	case "flight":
		return v.flight()
	case "sync":
		return v.each(args, func(n *Node) error { v.world.Sync(n); return nil })
	case "stabilize":
		v.world.Stabilize()
		return nil
	case "propose":
		return v.each(args[:1], v.propose(args))
	case "change":
		id := paxos.NodeID(number(args, "acceptor", 0))
		return v.each(args, v.propose([]Arg{{}, {Key: string(Change(id))}}))
	case "read":
		return v.each(args, v.read)
	case "transfer":
		return v.each(args, v.transfer(args))
	case "checkpoint":
		return v.each(args, func(n *Node) error { v.world.Checkpoint(n); return nil })
	case "crash":
		return v.each(args, func(n *Node) error {
			v.world.Crash(n.ID, number(args, "keep", 0))
			return nil
		})
	case "restart":
		return v.each(args, func(n *Node) error { return v.world.Start(n.ID) })
	case "reset":
		return v.each(args, v.reset(args))
	case "up":
		return v.each(args, v.up)
	case "cut", "oneway":
		return v.cut(verb, args)
	case "mend":
		clear(v.world.cut)
		return nil
	case "status":
		return v.each(args, v.status)
	case "settled":
		return v.each(args, v.settled)
	case "disk":
		return v.each(args, v.disk)
	default:
		return fmt.Errorf("no verb %q", verb)
	}
}

// number returns the value of key, or otherwise.
func number(args []Arg, key string, otherwise int) int {
	for _, a := range args {
		if a.Key == key {
			if n, err := strconv.Atoi(a.Value); err == nil {
				return n
			}
			return -1
		}
	}
	return otherwise
}

// each runs do on the nodes that the bare words name.
func (v *Env) each(args []Arg, do func(*Node) error) error {
	for _, a := range args {
		if a.Value != "" || a.Key == "quiet" {
			continue
		}
		if a.Key == "all" {
			for _, n := range v.world.nodes {
				if err := do(n); err != nil {
					return err
				}
			}
			continue
		}
		id, err := strconv.Atoi(a.Key)
		if err != nil || id < 1 || id > len(v.world.nodes) {
			return fmt.Errorf("no node %q", a.Key)
		}
		if err := do(v.world.nodes[id-1]); err != nil {
			return err
		}
	}
	return nil
}

func (v *Env) cluster(args []Arg) error {
	w, err := NewWorld(Options{
		Nodes:     number(args, "nodes", 3),
		Acceptors: number(args, "acceptors", 0),
		Config: paxos.Config{
			Group:            1,
			ElectionTicks:    paxos.Ticks(number(args, "election", 10)),
			HeartbeatTicks:   paxos.Ticks(number(args, "beat", 3)),
			RankDelayTicks:   paxos.Ticks(number(args, "rank", 2)),
			Window:           number(args, "window", 8),
			RetainSlots:      paxos.Slot(number(args, "retain", 100)),
			MaxMessageBytes:  number(args, "message", 1000),
			MaxInflightBytes: number(args, "inflight", 1000),
		},
		Trace: v.say,
	})
	v.world = w
	return err
}

func (v *Env) tick(args []Arg) func(*Node) error {
	return func(n *Node) error {
		for range number(args, "count", 1) {
			v.world.Tick(n)
		}
		return nil
	}
}

func (v *Env) pass(args []Arg) error {
	for range number(args, "count", 1) {
		for _, n := range v.world.nodes {
			v.world.Tick(n)
		}
		v.world.Stabilize()
	}
	return nil
}

func (v *Env) lead(n *Node) error {
	for range 100 {
		if n.Replica != nil && n.Replica.Status().Serving {
			v.lines = nil
			v.say("%d leads %v", n.ID, n.Replica.Status().Ballot)
			return nil
		}
		v.world.Tick(n)
		v.world.Stabilize()
	}
	v.lines = nil
	return fmt.Errorf("node %d does not come to lead", n.ID)
}

// picked reports whether a packet fits from=, to= and kind=.
func (p *packet) picked(args []Arg) bool {
	if from := number(args, "from", 0); from != 0 && int(p.from) != from {
		return false
	}
	if to := number(args, "to", 0); to != 0 && int(p.to) != to {
		return false
	}
	for _, a := range args {
		if a.Key == "kind" && a.Value != p.kind() {
			return false
		}
	}
	return true
}

func (p *packet) message() paxos.Message {
	var m paxos.Message
	if _, err := paxos.DecodeMessage(p.frame, &m); err != nil {
		panic("paxostest: packet in flight: " + err.Error())
	}
	return m
}

func (p *packet) kind() string {
	if p.snapshot != nil {
		return "Snapshot"
	}
	m := p.message()
	return m.Kind.String()
}

func (p *packet) describe() string {
	if p.snapshot != nil {
		return fmt.Sprintf("%d→%d Snapshot slot=%d", p.from, p.to, p.snapshot.slot)
	}
	m := p.message()
	return Describe(&m)
}

// deliver hands over what fits and was in flight when the verb began.
func (v *Env) deliver(args []Arg) error {
	count := number(args, "count", len(v.world.wire))
	inFlight := len(v.world.wire)
	for i := 0; i < inFlight && count > 0; {
		if !v.world.wire[i].picked(args) {
			i++
			continue
		}
		v.world.Deliver(i)
		inFlight--
		count--
	}
	return nil
}

func (v *Env) drop(args []Arg) error {
	count := number(args, "count", len(v.world.wire))
	v.world.wire = slices.DeleteFunc(v.world.wire, func(p packet) bool {
		if count == 0 || !p.picked(args) {
			return false
		}
		count--
		v.say("lost %s", p.describe())
		return true
	})
	return nil
}

func (v *Env) flight() error {
	for i := range v.world.wire {
		v.say("%s", v.world.wire[i].describe())
	}
	return nil
}

func (v *Env) propose(args []Arg) func(*Node) error {
	return func(n *Node) error {
		if len(args) < 2 {
			return fmt.Errorf("propose %d what?", n.ID)
		}
		at := len(v.lines)
		s, err := v.world.Propose(n, []byte(args[1].Key))
		if err == nil {
			v.lines = slices.Insert(v.lines, at, fmt.Sprintf("%d proposes in slot %d", n.ID, s))
		}
		return err
	}
}

func (v *Env) read(n *Node) error {
	at := len(v.lines)
	seq, err := v.world.Read(n)
	if err == nil {
		v.lines = slices.Insert(v.lines, at, fmt.Sprintf("%d reads in round %d", n.ID, seq))
	}
	return err
}

func (v *Env) transfer(args []Arg) func(*Node) error {
	return func(n *Node) error {
		err := n.Replica.TransferLead(paxos.NodeID(number(args, "to", 0)))
		v.world.Drain(n)
		return err
	}
}

func (v *Env) reset(args []Arg) func(*Node) error {
	seen := paxos.NodeID(number(args, "seen", 0))
	return func(n *Node) error {
		for _, m := range v.world.nodes {
			if m != n && m.Replica != nil && (seen == 0 || seen == m.ID) {
				m.Replica.PeerDown(n.ID)
				v.world.Drain(m)
			}
		}
		return nil
	}
}

func (v *Env) up(n *Node) error {
	for _, m := range v.world.nodes {
		if m != n && m.Replica != nil {
			m.Replica.PeerUp(n.ID)
			v.world.Drain(m)
		}
	}
	return nil
}

func (v *Env) cut(verb string, args []Arg) error {
	var ids []paxos.NodeID
	err := v.each(args, func(n *Node) error { ids = append(ids, n.ID); return nil })
	if err != nil {
		return err
	}
	if len(ids) != 2 {
		return fmt.Errorf("%s takes two nodes", verb)
	}
	v.world.setCut(ids[0], ids[1], severed)
	if verb == "cut" {
		v.world.setCut(ids[1], ids[0], severed)
	}
	return nil
}

func (v *Env) status(n *Node) error {
	if n.Replica == nil {
		v.say("%d down", n.ID)
		return nil
	}
	s := n.Replica.Status()
	serving := ""
	if s.Serving {
		serving = " serving"
	}
	v.say("%d %v%s leader=%d promised=%v chosen=%d last=%d lowest=%d",
		n.ID, s.Role, serving, s.Leader, s.Promised, s.Chosen, s.Last, s.Lowest)
	return nil
}

func (v *Env) settled(n *Node) error {
	v.say("%d settled %t", n.ID, n.Replica != nil && n.Replica.Settled())
	return nil
}

func (v *Env) disk(n *Node) error {
	for _, r := range n.synced {
		v.say("synced   %s", describeRecord(r))
	}
	for _, u := range n.unsynced {
		for _, r := range u.records {
			v.say("unsynced %s", describeRecord(r))
		}
		for i := range u.after {
			v.say("  then   %s", Describe(&u.after[i]))
		}
	}
	return nil
}

package admin

import (
	"fmt"

	"github.com/valyala/fastjson"

	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/wal"
)

// AppendDirectory appends whose a data directory is.
func AppendDirectory(dst []byte, id *node.Identity) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("what", "directory")
	o.name("cluster", id.Cluster)
	o.number("node", uint64(id.Node))
	o.text("disk", fmt.Sprintf("%016x", uint64(id.Disk)))
	o.number("groups", uint64(id.Groups))
	o.text("settings", fmt.Sprintf("%016x", id.Settings))
	o.truth("born", truth(id.Born))
	o.number("starts", id.Starts)
	if id.Record != nil {
		o.number("record", id.Version)
		o.list("nodes", len(id.Record.Nodes), func(i int) *fastjson.Value {
			return listedValue(o.arena, &id.Record.Nodes[i])
		})
	}
	return o.end(dst)
}

// DumpedGroup is the checkpoint of one group, which is told bit by bit.
type DumpedGroup struct {
	object
	sessions, locks *fastjson.Value
	nSessions       int
	nLocks          int
}

// NewDumpedGroup begins one: the number of the group, the slot up to which it is, and how
// many records it has.
func NewDumpedGroup(group uint16, slot, records uint64) *DumpedGroup {
	g := &DumpedGroup{object: newObject(new(fastjson.Arena))}
	g.text("what", "checkpoint")
	g.number("group", uint64(group))
	g.number("slot", slot)
	g.number("records", records)
	return g
}

// Damaged adds why it cannot be read, TooNew that a newer lockd wrote it.
func (g *DumpedGroup) Damaged(err error) { g.text("damage", err.Error()) }

// TooNew adds that a newer lockd wrote it.
func (g *DumpedGroup) TooNew(err error) { g.text("too_new", err.Error()) }

// Machine begins what it holds.
func (g *DumpedGroup) Machine(at lockfsm.Time, digest uint64) {
	g.number("log_time_ms", uint64(at))
	g.text("digest", fmt.Sprintf("%016x", digest))
	g.sessions, g.locks = g.arena.NewArray(), g.arena.NewArray()
	g.value.Set("sessions", g.sessions)
	g.value.Set("locks", g.locks)
}

// Session adds a session. Requires: Machine was called.
func (g *DumpedGroup) Session(s *lockfsm.SessionInfo) {
	o := newObject(g.arena)
	o.number("session", uint64(s.ID))
	o.name("name", string(s.Name))
	o.number("epoch", uint64(s.Epoch))
	o.number("lease_ms", uint64(s.Lease))
	o.number("until_ms", uint64(s.Deadline))
	o.number("claims", uint64(s.Claims))
	if s.Parked {
		o.truth("parked", true)
	}
	if s.Ending {
		o.truth("ending", true)
	}
	g.sessions.SetArrayItem(g.nSessions, o.value)
	g.nSessions++
}

// Lock adds a lock. Requires: Machine was called.
func (g *DumpedGroup) Lock(l *lockfsm.LockInfo) {
	o := newObject(g.arena)
	o.name("name", string(l.Name))
	o.permits(int(l.Taken), int(l.Capacity))
	o.list("held_by", len(l.Holders), func(i int) *fastjson.Value {
		h := newObject(g.arena)
		h.claim(&l.Holders[i])
		h.number("token", uint64(l.Holders[i].Token))
		h.number("since_ms", uint64(l.Holders[i].Since))
		h.holding(truth(l.Holders[i].Kept), truth(l.Holders[i].Detached))
		return h.value
	})
	o.list("queue", len(l.Waiters), func(i int) *fastjson.Value {
		w := newObject(g.arena)
		w.claim(&l.Waiters[i])
		w.number("request", uint64(l.Waiters[i].Request))
		w.number("weight", uint64(l.Waiters[i].Weight))
		if l.Waiters[i].Parked {
			w.truth("parked", true)
		}
		return w.value
	})
	g.locks.SetArrayItem(g.nLocks, o.value)
	g.nLocks++
}

// claim adds whose a hold or a wait is, and what it takes.
func (o object) claim(c *lockfsm.ClaimInfo) {
	o.number("session", uint64(c.Session))
	switch {
	case c.Permits > 0:
		o.number("permits", uint64(c.Permits))
		return
	case c.Owner != 0:
		o.number("owner", uint64(c.Owner))
		o.number("depth", uint64(c.Depth))
	}
	o.text("mode", c.Mode.String())
}

// Append appends it.
func (g *DumpedGroup) Append(dst []byte) []byte { return g.end(dst) }

// DumpedLog is what the log of a data directory holds, and what is damaged in all of that.
type DumpedLog struct {
	// Segments are the headers of its segments.
	Segments []wal.Item
	// Next is the number of the record that would be written next, zero if its end was not
	// found; Spares are files that wait to become segments.
	Next   wal.LSN
	Spares int
	// Accepts, Promises and Hints are how many records of each kind there are.
	Accepts, Promises, Hints int
	Damage                   []Damage
}

// Damage is a damaged place.
type Damage struct {
	In     string // file of the log, or what else it is
	Offset int64  // in bytes, negative where there is none
	Err    error
}

// AppendDumpedLog appends it.
func AppendDumpedLog(dst []byte, l *DumpedLog) []byte {
	o := newObject(new(fastjson.Arena))
	o.text("what", "log")
	o.list("segments", len(l.Segments), func(i int) *fastjson.Value {
		s := newObject(o.arena)
		s.number("segment", l.Segments[i].Segment)
		s.text("file", l.Segments[i].File)
		s.number("first", uint64(l.Segments[i].First))
		return s.value
	})
	if l.Next != 0 {
		o.number("next", uint64(l.Next))
	}
	o.count("spares", l.Spares)
	o.count("accepts", l.Accepts)
	o.count("promises", l.Promises)
	o.count("hints", l.Hints)
	o.list("damage", len(l.Damage), func(i int) *fastjson.Value {
		d := newObject(o.arena)
		d.text("in", l.Damage[i].In)
		if l.Damage[i].Offset >= 0 {
			d.number("offset", uint64(l.Damage[i].Offset))
		}
		d.text("error", l.Damage[i].Err.Error())
		return d.value
	})
	return o.end(dst)
}
